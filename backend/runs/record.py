"""Events into rows. Each kind of event has one function; `record_events` calls them in order.

Called within one transaction together with the new byte offset of the event file, so that every
line counts exactly once however often the worker is killed.
"""

from __future__ import annotations

import errno
import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.artifacts.marks import read_marks
from backend.artifacts.queries import checkpoint_entry, sample_entry
from backend.db.columns import now
from backend.db.models import Checkpoint, Job, Measurement, Metric, Run, Sample
from backend.jobs.change_rules import CHECKPOINTS_GONE
from backend.jobs.commands import settle_command
from backend.jobs.eta import STEPS_OF_PACE, mean_step_seconds
from backend.jobs.feed import announce
from backend.jobs.moves import move
from backend.jobs.queries import measurement_point, total_steps
from backend.jobs.schemas import METRIC_COLUMNS
from backend.jobs.status import JobStatus
from backend.jobs.work import DRAWING, parse_work
from backend.runs.event_problems import (
    of_failed_picture,
    of_failed_sample,
    of_refused_command,
    of_warning,
)
from backend.runs.pace import RECENT_STEPS, STRETCH_STEPS, Pace
from backend.runs.set_aside import forget_what_is_gone, set_aside
from trainer import events
from trainer.errors import Problem, Severity
from trainer.job_folder import JobFolder
from trainer.live_changes import with_settings

log = logging.getLogger(__name__)

KEPT_PROBLEMS = 100  # a run that warns at every step must not fill the database
STEPS_IN_ONE_EVENT = 500
FACTS_OF_A_LORA = ("loss", "preservation_loss", "num_layers", "lora_norm", "is_best")


@dataclass
class Place:
    """The rows and the folder that events are about."""

    session: Session
    job: Job
    run: Run
    folder: JobFolder


def record_events(place: Place, found: Sequence[events.AnyEvent]) -> list[Problem]:
    """Write what the events say into the tables and the feed; what to say of those that no row can
    be made of, which are left out. Raises OSError and OperationalError: that trouble passes.
    """
    failure = _failure(place, found)
    if failure is None:
        return []
    log.error(
        "job %d, run %d: an event is left out", place.job.id, place.run.number, exc_info=failure
    )
    failures = [(event, _failure(place, [event])) for event in found]
    return [_unrecorded(event, error) for event, error in failures if error is not None]


def _failure(place: Place, found: Sequence[events.AnyEvent]) -> Exception | None:
    """Why the events cannot be recorded, and nothing of them is; None once they are."""
    try:
        with place.session.begin_nested():
            _record_all(place, found)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # of a name that an event holds
            raise
        return error
    except OperationalError:
        raise
    except Exception as error:
        return error
    return None


def _unrecorded(event: events.AnyEvent, error: Exception) -> Problem:
    return Problem(
        "unrecorded_event",
        f"No row can be made of event {event.seq} ({event.type}) in events.jsonl: "
        f"{type(error).__name__}.",
        "It was skipped; the training is not affected. The worker's log says more: please report "
        "it, unless the file was changed by hand.",
        severity=Severity.WARNING,
        params={"seq": event.seq, "type": event.type},
    )


def _record_all(place: Place, found: Sequence[events.AnyEvent]) -> None:
    steps: list[events.Step] = []
    for event in found:
        if isinstance(event, events.Step):
            steps.append(event)
            continue
        _record_steps(place, steps)
        steps = []
        _record_one(place, event)
    _record_steps(place, steps)
    place.job.updated_at = now()
    if found:
        place.job.last_sign_at = _moment(found[-1])


def _record_one(place: Place, event: events.AnyEvent) -> None:
    match event:
        case events.RunStarted():
            _run_started(place, event)
        case events.RunBegins():
            _run_begins(place, event)
        case events.PhaseStarted():
            _phase_started(place, event.phase, _clock(event), event.message)
        case events.Progress():
            _progress(place, event)
        case events.WaitingForSpace():
            _waiting_for_space(place, event)
        case events.Sample():
            _sample(place, event)
        case events.SamplePreview():
            _preview(place, event)
        case events.SampleFailed():
            _sample_failed(place, event)
        case events.CheckpointSaved():
            _checkpoint_saved(place, event)
        case events.Measured():
            _measured(place, event)
        case events.BestCheckpoint():
            _best_checkpoint(place, event)
        case events.CheckpointRemoved():
            _checkpoint_removed(place, event)
        case events.Superseded():
            _superseded(place, event)
        case events.Warned():
            add_problem(place.run, of_warning(event))
        case events.CommandTaken():
            _command_taken(place, event)
        case events.CommandRefused():
            _command_refused(place, event)
        case events.RunFinished():
            _run_finished(place, event)
        case _:
            pass


def add_problem(run: Run, problem: Problem) -> None:
    """Keep a problem with the run, once."""
    entry = problem.as_dict()
    if entry not in run.problems and len(run.problems) < KEPT_PROBLEMS:
        run.problems = [*run.problems, entry]


def _run_started(place: Place, event: events.RunStarted) -> None:
    place.run.status = "running"
    move(
        place.session,
        place.job.id,
        from_status=JobStatus.STARTING,
        to_status=JobStatus.RUNNING,
        reason=f"run {place.run.number}, process {event.process_id} on {event.device}",
    )


def _run_begins(place: Place, event: events.RunBegins) -> None:
    session, job, run = place.session, place.job, place.run
    # A drawing goes on behind the pictures that are there.
    drawn = num_drawn(session, job.id) if job.kind == DRAWING else 0
    first = event.resumed_from_step or drawn
    run.first_step = run.last_step = first
    job.step = first
    forget_what_is_gone(session, job, place.folder, after_step=first)
    # Earlier runs count up to where this one goes on.
    kept = func.min(func.coalesce(Run.kept_until_step, first), first)
    session.execute(
        update(Run)
        .where(Run.job_id == job.id, Run.number < run.number)
        .values(kept_until_step=kept)
        .execution_options(synchronize_session=False)
    )


def num_drawn(session: Session, job_id: int) -> int:
    """How many pictures of a drawing there are."""
    drawn = select(func.count()).select_from(Sample).where(Sample.job_id == job_id)
    return session.scalar(drawn) or 0


def _clock(event: events.Event) -> float:
    """Seconds, to be compared within the run; the time of day, which may be set, only of a trainer
    of an older version.
    """
    return event.time if event.elapsed_seconds is None else event.elapsed_seconds


def _phase_started(place: Place, phase: str, time: float, message: str) -> None:
    job, run = place.job, place.run
    if run.first_step is not None:
        # Obeyed, with what came after the step set aside, which the trainer does between saying
        # where it begins and its next phase. Cut off before, the next run begins there as well:
        # the newest checkpoint may be one that was still to be set aside.
        job.resume_from_step = None
    if run.phase_began is not None and time > run.phase_began and run.phase != phase:
        seconds = time - run.phase_began
        if run.phase == "sample":
            job.sampling_seconds = _blended(job.sampling_seconds, seconds)
        elif run.phase == "save":
            job.saving_seconds = _blended(job.saving_seconds, seconds)
        elif run.phase == "validate":
            job.measuring_seconds = _blended(job.measuring_seconds, seconds)
    if run.phase != phase or run.phase_began is None:
        run.phase_began = time
    run.phase = job.phase = phase
    if phase == "train":
        job.progress = _steps_done(job)
    else:
        job.progress = {"done": 0, "total": 0, "message": message} if message else None


def _steps_done(job: Job) -> dict[str, Any]:
    return {"done": job.step, "total": total_steps(job.config) or 0, "message": ""}


def _blended(before: float | None, seconds: float) -> float:
    """A third of what is: follows a change within a few times, and no single one too far."""
    return seconds if before is None else before + (seconds - before) / 3


def _progress(place: Place, event: events.Progress) -> None:
    if place.run.phase != event.phase:
        _phase_started(place, event.phase, _clock(event), "")
    place.job.progress = {"done": event.done, "total": event.total, "message": event.message}


def _waiting_for_space(place: Place, event: events.WaitingForSpace) -> None:
    """A wait is no part of how long a save takes: its time counts from when there is room again."""
    if place.run.phase != event.phase:
        _phase_started(place, event.phase, _clock(event), "")
    place.run.phase_began = None
    megabytes = {"done": event.free_bytes // 10**6, "total": event.needed_bytes // 10**6}
    place.job.progress = megabytes | {"message": event.sentence}


def _record_steps(place: Place, steps: Sequence[events.Step]) -> None:
    if not steps:
        return
    session, job, run = place.session, place.job, place.run
    if run.phase != "train":
        _phase_started(place, "train", _clock(steps[0]), "")
    rows = [_metric(place, step) for step in steps]
    session.execute(insert(Metric).prefix_with("OR REPLACE"), rows)
    last = steps[-1]
    run.last_step = job.step = last.step
    job.loss = last.loss
    recent = _recent(place, Metric.step_seconds, job.step, limit=STEPS_OF_PACE)
    job.step_seconds = statistics.median(recent[:RECENT_STEPS])
    job.mean_step_seconds = mean_step_seconds(recent)
    job.best_step_seconds = _best_step_seconds(place, steps)
    job.progress = _steps_done(job)
    for start in range(0, len(rows), STEPS_IN_ONE_EVENT):
        part = rows[start : start + STEPS_IN_ONE_EVENT]
        items = [_point(row, run.number) for row in part]
        announce(session, "steps", job.id, {"job_id": job.id, "items": items})


def _best_step_seconds(place: Place, steps: Sequence[events.Step]) -> float | None:
    """Of the run's fastest stretch, which may have begun before these steps."""
    before = _recent(place, Metric.step_seconds, steps[0].step - 1, limit=STRETCH_STEPS - 1)
    pace = Pace(place.job.best_step_seconds)
    for seconds in [*reversed(before), *(step.step_seconds for step in steps)]:
        pace.add(seconds)
    return pace.best_seconds


def _metric(place: Place, step: events.Step) -> dict[str, Any]:
    said = step.model_dump(exclude=events.STAMPS)
    return {"job_id": place.job.id, "run_id": place.run.id, **said}


def _point(row: dict[str, Any], run_number: int) -> dict[str, Any]:
    return {name: row[name] for name in METRIC_COLUMNS} | {"run": run_number}


def _recent(
    place: Place, column: Any, up_to_step: int, *, limit: int = RECENT_STEPS
) -> list[float]:
    """Of this run, the latest first."""
    query = (
        select(column)
        .where(
            Metric.job_id == place.job.id,
            Metric.run_id == place.run.id,
            Metric.step <= up_to_step,
        )
        .order_by(Metric.step.desc())
        .limit(limit)
    )
    return list(place.session.scalars(query))


def _sample(place: Place, event: events.Sample) -> None:
    session, job = place.session, place.job
    session.execute(
        delete(Sample).where(
            Sample.job_id == job.id,
            Sample.step == event.step,
            Sample.prompt_index == event.prompt_index,
            Sample.superseded_by.is_(None),
        )
    )
    row = Sample(
        job_id=job.id,
        run_id=place.run.id,
        step=event.step,
        prompt_index=event.prompt_index,
        prompt=event.prompt,
        seed=event.seed,
        width=event.width,
        height=event.height,
        guidance_scale=event.guidance_scale,
        sample_steps=event.sample_steps,
        lora_strength=event.lora_strength,
        negative_prompt=event.negative_prompt,
        control_images=event.control_images,
        path=event.path,
        created_at=_moment(event),
    )
    session.add(row)
    session.flush()
    if job.kind == DRAWING:
        place.run.last_step = job.step = num_drawn(session, job.id)
    entry = sample_entry(row, read_marks(place.folder)).model_dump(mode="json")
    announce(session, "sample", job.id, {"job_id": job.id, **entry})


def _preview(place: Place, event: events.SamplePreview) -> None:
    said = event.model_dump(include={"step", "prompt_index", "prompt", "done", "total"})
    announce(place.session, "preview", place.job.id, {"job_id": place.job.id, **said})


def _moment(event: events.Event) -> datetime:
    """When it happened, which may be long before it is recorded."""
    return datetime.fromtimestamp(event.time, UTC) if event.time > 0 else now()


def _sample_failed(place: Place, event: events.SampleFailed) -> None:
    is_drawing = place.job.kind == DRAWING
    problem = (of_failed_picture if is_drawing else of_failed_sample)(event)
    add_problem(place.run, problem)
    # The gallery reads it from the run's record; that there is something new is all it need know.
    data = {"job_id": place.job.id, "step": event.step, "prompt_index": event.prompt_index}
    announce(place.session, "sample_failed", place.job.id, data)


def _command_taken(place: Place, event: events.CommandTaken) -> None:
    """Settings that were changed are the job's from now on: a resume goes on with them."""
    if event.settings:
        changed = with_settings(place.job.config, event.settings)
        parse_work(changed)  # or the job could not be started again
        place.job.config = changed
    settle_command(
        place.session, place.job.id, event.command_seq, "taken", step=event.step, problems=[]
    )


def _command_refused(place: Place, event: events.CommandRefused) -> None:
    for problem in event.problems:
        add_problem(place.run, of_refused_command(event, problem))
    problems = [_complete(problem) for problem in event.problems]
    settle_command(
        place.session,
        place.job.id,
        event.command_seq,
        "refused",
        step=event.step,
        problems=problems,
    )


def _complete(problem: dict[str, Any]) -> dict[str, Any]:
    """With what an older trainer may have left out."""
    return {"code": "command_refused", "message": "", "hint": ""} | problem


def _measured(place: Place, event: events.Measured) -> None:
    session, job, run = place.session, place.job, place.run
    said = event.model_dump(exclude=events.STAMPS | {"seconds"})
    row = Measurement(job_id=job.id, run_id=run.id, **said)
    session.merge(row)
    point = measurement_point(row, run.number).model_dump(mode="json")
    announce(session, "measurement", job.id, {"job_id": job.id, **point})


def _best_checkpoint(place: Place, event: events.BestCheckpoint) -> None:
    rows = place.session.scalars(select(Checkpoint).where(Checkpoint.job_id == place.job.id)).all()
    marks = read_marks(place.folder)
    for row in rows:
        is_best = row.step == event.step
        if row.is_best == is_best:
            continue
        row.is_best = is_best
        entry = checkpoint_entry(row, marks).model_dump(mode="json")
        announce(place.session, "checkpoint", place.job.id, {"job_id": place.job.id, **entry})


def _checkpoint_saved(place: Place, event: events.CheckpointSaved) -> None:
    checked = {"num_layers": event.num_layers or None, "lora_norm": event.lora_norm}
    facts = _mean_losses(place, event.step) | checked
    _add_lora(place, event, step=event.step, path=event.lora, is_final=False, facts=facts)
    # That it was to begin anew is over; should this checkpoint be gone one day, it is asked again.
    place.job.warnings = [w for w in place.job.warnings if w["code"] != CHECKPOINTS_GONE]


def _mean_losses(place: Place, step: int) -> dict[str, Any]:
    """Of the latest steps up to this one; None for a loss that the job has not."""
    means: dict[str, Any] = {}
    for column in (Metric.loss, Metric.preservation_loss):
        found = [value for value in _recent(place, column, step) if value is not None]
        means[column.key] = statistics.fmean(found) if found else None
    return means


def _result_saved(place: Place, event: events.RunFinished, path: str) -> None:
    """The end result is the LoRA of its step's checkpoint: what is known of that holds for it."""
    step = event.step if event.lora_step is None else event.lora_step
    checkpoint = place.session.scalar(
        select(Checkpoint).where(
            Checkpoint.job_id == place.job.id,
            Checkpoint.step == step,
            Checkpoint.is_final.is_(False),
        )
    )
    facts = (
        _mean_losses(place, step)
        if checkpoint is None
        else {name: getattr(checkpoint, name) for name in FACTS_OF_A_LORA}
    )
    # A job has one result; that of an earlier end is overwritten on the disk.
    place.session.execute(
        delete(Checkpoint).where(Checkpoint.job_id == place.job.id, Checkpoint.is_final.is_(True))
    )
    _add_lora(place, event, step=step, path=path, is_final=True, facts=facts)


def _add_lora(
    place: Place,
    event: events.Event,
    *,
    step: int,
    path: str,
    is_final: bool,
    facts: Mapping[str, Any],
) -> None:
    """A row for a LoRA file, in place of that of the same step."""
    session, job = place.session, place.job
    try:
        # The LoRA's own size: the event tells the whole folder's, with the state to resume from.
        size_bytes = (place.folder.path / path).stat().st_size
    except OSError as error:
        log.warning("job %d: %s cannot be read: %s", job.id, path, error)
        return
    session.execute(
        delete(Checkpoint).where(
            Checkpoint.job_id == job.id, Checkpoint.step == step, Checkpoint.is_final == is_final
        )
    )
    row = Checkpoint(
        job_id=job.id,
        run_id=place.run.id,
        step=step,
        is_final=is_final,
        size_bytes=size_bytes,
        path=path,
        created_at=_moment(event),
        **facts,
    )
    session.add(row)
    session.flush()
    entry = checkpoint_entry(row, read_marks(place.folder)).model_dump(mode="json")
    announce(session, "checkpoint", job.id, {"job_id": job.id, **entry})


def _checkpoint_removed(place: Place, event: events.CheckpointRemoved) -> None:
    place.session.execute(
        delete(Checkpoint).where(
            Checkpoint.job_id == place.job.id,
            Checkpoint.step == event.step,
            Checkpoint.is_final.is_(False),
        )
    )
    data = {"job_id": place.job.id, "step": event.step}
    announce(place.session, "checkpoint_removed", place.job.id, data)


def _superseded(place: Place, event: events.Superseded) -> None:
    session, job = place.session, place.job
    set_aside(session, job, place.folder, event, run_number=place.run.number)
    announce(session, "superseded", job.id, {"job_id": job.id, "after_step": event.after_step})


def _run_finished(place: Place, event: events.RunFinished) -> None:
    run = place.run
    run.finish = event.model_dump(mode="json")
    if event.ended_early is not None:
        said = {"hint": "", "field": None, "params": {}} | event.ended_early
        known = {key: said[key] for key in ("code", "message", "hint", "field", "params")}
        add_problem(run, Problem(**known, severity=Severity.WARNING))
    run.phase = event.phase or run.phase
    if run.first_step is not None:  # a run that was refused has no step to tell
        is_drawing = place.job.kind == DRAWING
        units = num_drawn(place.session, place.job.id) if is_drawing else event.step
        run.last_step = place.job.step = units
    if event.lora is not None:
        _result_saved(place, event, event.lora)
