"""Reading jobs: rows in, response models out. Nothing here writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError
from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from backend.artifacts.addresses import thumbnail_url
from backend.db import models
from backend.errors import NotFound
from backend.failures.classes import FailureClass, class_of, likely_cause
from backend.jobs.eta import eta_seconds
from backend.jobs.job_filter import JobFilter, architecture_column, shown_status_column
from backend.jobs.log import LogPlace
from backend.jobs.order import JobOrder, cursor_behind, sorted_jobs
from backend.jobs.schemas import (
    METRIC_COLUMNS,
    Job,
    JobSummary,
    MeasurementPoint,
    MetricPoint,
    MoveEntry,
    PhaseProgress,
    ProblemEntry,
    QueueState,
    RunEntry,
)
from backend.jobs.status import ACTIVE, JobStatus, shown
from backend.jobs.waiting import WaitsFor, paused_devices, place, waits_for
from backend.jobs.work import DRAWING, TRAINING, JobKind, kind_of, parsed_work
from backend.lists import Page
from backend.settings import Settings
from backend.system.state import absent_devices
from trainer.config import JobConfig
from trainer.errors import Severity
from trainer.job_file import job_yaml
from trainer.job_folder import JobFolder
from trainer.panels.model import ModelPanel
from trainer.panels.training import TrainingPanel
from trainer.variants import Architecture

SHOWN_MOVES = 100  # a job that is retried every day reaches back weeks


def find_job(session: Session, job_id: int) -> models.Job:
    """The job's row. Raises NotFound."""
    job = session.get(models.Job, job_id)
    if job is None:
        raise NotFound(
            "no_such_job",
            f"There is no job {job_id}.",
            "It may have been deleted; the queue shows those there are.",
            params={"job_id": job_id},
        )
    return job


def list_jobs(
    session: Session,
    *,
    wanted: JobFilter,
    order: JobOrder,
    limit: int,
    after: str | None,
) -> Page[JobSummary]:
    """A page of jobs in this order. Raises Unusable for a cursor of another order."""
    # Ids are sorted, not whole jobs: with their configs, ten thousand are forty megabytes.
    ids = sorted_jobs(select(models.Job.id), order, after).limit(limit + 1)
    chosen = list(session.scalars(ids.where(*wanted.conditions())))
    found = {job.id: job for job in session.scalars(_jobs_of(chosen))}
    jobs = [found[job_id] for job_id in chosen]
    page = jobs[:limit]
    more = cursor_behind(page[-1], order) if len(jobs) > limit else None
    return Page(items=summaries(session, page), next=more)


def read_job(session: Session, settings: Settings, job_id: int) -> Job:
    """One job with its config, warnings and runs. Raises NotFound."""
    job = find_job(session, job_id)
    runs = session.scalars(
        select(models.Run).where(models.Run.job_id == job_id).order_by(models.Run.number)
    ).all()
    folder = JobFolder(settings.output_dir, job.training_name)
    return Job(
        **summaries(session, [job])[0].model_dump(),
        config=job.config,
        warnings=_warnings(job, runs),
        runs=[_run_entry(run) for run in runs],
        moves=_latest_moves(session, job_id),
        folder=job.training_name,
        resumable_from_steps=folder.checkpoint_steps(),
    )


def summaries(session: Session, jobs: Sequence[models.Job]) -> list[JobSummary]:
    """The jobs as lists and events show them; six queries at most, however many they are."""
    positions = _queue_positions(session, jobs)
    thumbnails = _thumbnails(session, [job.id for job in jobs])
    reasons = _reasons_to_wait(session, jobs)
    alarms = _active_alarms(session, jobs)
    return [
        _summary(
            job,
            positions.get(job.id),
            thumbnails.get(job.id),
            reasons.get(job.id),
            alarms.get(job.id, []),
        )
        for job in jobs
    ]


def queue_state(session: Session) -> QueueState:
    """What is paused, and how many jobs are in which state."""
    status = shown_status_column()
    named = session.scalars(
        select(architecture_column()).where(models.Job.kind == TRAINING).distinct()
    )

    def counted(kind: JobKind) -> dict[JobStatus, int]:
        of_kind = select(status, func.count()).where(models.Job.kind == kind).group_by(status)
        return {JobStatus(value): count for value, count in session.execute(of_kind)}

    return QueueState(
        paused=sorted(paused_devices(session)),
        num_jobs=counted(TRAINING),
        num_drawings=counted(DRAWING),
        architectures=sorted(set(named) & {a.value for a in Architecture}),
    )


def shown_status(job: models.Job) -> JobStatus:
    """A job that was asked to stop is stopping, even before its worker looked."""
    return shown(job.status, job.stop_requested_at)


def _jobs_of(ids: Sequence[int]) -> Select[Any]:
    return select(models.Job).where(models.Job.id.in_(ids))


def _summary(
    job: models.Job,
    position: int | None,
    thumbnail: str | None,
    reason: WaitsFor | None,
    alarms: list[ProblemEntry],
) -> JobSummary:
    config = parsed(job.config) if job.status in ACTIVE else None
    return JobSummary(
        id=job.id,
        training_name=job.training_name,
        kind=job.kind,
        status=shown_status(job),
        is_being_deleted=job.delete_request is not None,
        architecture=architecture_of(job.config),
        total_steps=total_steps(job.config),
        step=job.step,
        phase=job.phase,
        progress=PhaseProgress(**job.progress) if job.progress else None,
        loss=job.loss,
        step_seconds=job.step_seconds,
        best_step_seconds=job.best_step_seconds,
        eta_seconds=None if config is None else eta_seconds(job, config),
        queue_position=position,
        waits_for=reason,
        too_small_devices=job.too_small_devices or [],
        priority=job.priority,
        not_before=job.not_before,
        run_after_job_id=job.run_after_job_id,
        created_at=job.created_at,
        updated_at=job.updated_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        last_sign_at=job.last_sign_at if job.status in ACTIVE else None,
        thumbnail_url=thumbnail,
        error=ProblemEntry(**job.error) if job.error else None,
        likely_cause=_likely_cause(job.error) if job.error else None,
        alarms=alarms,
    )


def _likely_cause(error: dict[str, Any]) -> str:
    exit_code = (error.get("params") or {}).get("exit_code")
    return likely_cause(class_of(error["code"], exit_code), exit_code)


def parsed(config: dict[str, Any]) -> JobConfig | None:
    """The config as a training; None for a drawing, and while it is an incomplete draft."""
    try:
        return JobConfig.model_validate(config)
    except ValidationError:
        return None


def architecture_of(config: dict[str, Any]) -> str | None:
    """The model that a config names; None for one that is not known."""
    value = setting_of(config, "model", "model_architecture", ModelPanel)
    return value if value in [a.value for a in Architecture] else None


def total_steps(config: dict[str, Any]) -> int | None:
    """How many steps a training is to take, how many pictures a drawing has."""
    if kind_of(config) == DRAWING:
        pictures = config["pictures"]
        return len(pictures) if isinstance(pictures, list) else None
    value = setting_of(config, "training", "steps", TrainingPanel)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def setting_of(config: dict[str, Any], panel: str, name: str, model: type[Any]) -> Any:
    """A setting of a draft, its default where the draft does not say."""
    values = config.get(panel, {})
    default = model.model_fields[name].default
    return values.get(name, default) if isinstance(values, dict) else None


def _queue_positions(session: Session, jobs: Sequence[models.Job]) -> dict[int, int]:
    if not any(job.status == JobStatus.QUEUED for job in jobs):
        return {}
    order = func.row_number().over(order_by=(place(), models.Job.id))
    query = select(models.Job.id, order).where(models.Job.status == JobStatus.QUEUED)
    return {job_id: position for job_id, position in session.execute(query)}


def _reasons_to_wait(session: Session, jobs: Sequence[models.Job]) -> dict[int, WaitsFor]:
    waiting = [job for job in jobs if job.status == JobStatus.QUEUED]
    if not waiting:
        return {}
    before = {job.run_after_job_id for job in waiting} - {None}
    query = select(models.Job.id, models.Job.status).where(models.Job.id.in_(before))
    statuses = {job_id: status for job_id, status in session.execute(query)} if before else {}
    paused = paused_devices(session)
    absent = absent_devices(session, {job.gpu for job in waiting})
    found = {
        job.id: waits_for(
            job, after=statuses.get(job.run_after_job_id or 0), paused=paused, absent=absent
        )
        for job in waiting
    }
    return {job_id: reason for job_id, reason in found.items() if reason is not None}


def _active_alarms(session: Session, jobs: Sequence[models.Job]) -> dict[int, list[ProblemEntry]]:
    """What the worker warns of now, by job; only of runs that are under way."""
    active = [job.id for job in jobs if job.status in ACTIVE]
    if not active:
        return {}
    run = models.Run
    query = select(run.job_id, run.problems).where(
        run.job_id.in_(active), run.finished_at.is_(None)
    )
    return {
        job_id: [
            ProblemEntry(**problem)
            for problem in problems
            if (problem.get("params") or {}).get("active") is True
        ]
        for job_id, problems in session.execute(query)
    }


def _thumbnails(session: Session, job_ids: Sequence[int]) -> dict[int, str]:
    """The address of each job's newest sample, of its first prompt."""
    sample = models.Sample
    place = func.row_number().over(
        partition_by=sample.job_id, order_by=(sample.step.desc(), sample.prompt_index)
    )
    ranked = select(
        sample.job_id, sample.id, sample.path, sample.created_at, place.label("place")
    ).where(sample.job_id.in_(job_ids), sample.superseded_by.is_(None))
    newest = ranked.subquery()
    columns = newest.c
    query = select(columns.job_id, columns.id, columns.path, columns.created_at)
    rows = session.execute(query.where(columns.place == 1))
    return {job: thumbnail_url(job, number, path, made_at) for job, number, path, made_at in rows}


def _warnings(job: models.Job, runs: Sequence[models.Run]) -> list[ProblemEntry]:
    """The door's, then the latest run's; each once."""
    of_run = [p for p in runs[-1].problems if _is_a_warning_now(p)] if runs else []
    unique = {(p["code"], p["field"], p["message"]): p for p in [*job.warnings, *of_run]}
    return [ProblemEntry(**problem) for problem in unique.values()]


def _is_a_warning_now(problem: dict[str, Any]) -> bool:
    """An alarm that is over stays in the run's record and warns no more."""
    is_over = (problem.get("params") or {}).get("active") is False
    return problem.get("severity", "error") == "warning" and not is_over


def _run_entry(run: models.Run) -> RunEntry:
    return RunEntry(
        id=run.id,
        number=run.number,
        status=run.status,  # type: ignore[arg-type]
        started_at=run.started_at,
        finished_at=run.finished_at,
        exit_code=run.exit_code,
        failure_class=_failure_class(run),
        first_step=run.first_step,
        last_step=run.last_step,
        device=run.device,
        host=run.host,
        problems=[ProblemEntry(**problem) for problem in run.problems],
    )


def _failure_class(run: models.Run) -> FailureClass | None:
    """Which kind of failure ended the run; None for one that did not fail."""
    if run.status not in (JobStatus.FAILED, JobStatus.INTERRUPTED):
        return None
    errors = [p["code"] for p in run.problems if p.get("severity", "error") == Severity.ERROR]
    return class_of(errors[0] if errors else "crash", run.exit_code)


def _latest_moves(session: Session, job_id: int) -> list[MoveEntry]:
    move = models.JobMove
    latest = select(move).where(move.job_id == job_id).order_by(move.id.desc()).limit(SHOWN_MOVES)
    return [MoveEntry.model_validate(row) for row in session.scalars(latest)]


def list_metrics(
    session: Session,
    job_id: int,
    *,
    run_number: int | None = None,
    after_step: int,
    through_step: int | None = None,
    max_points: int,
) -> Page[MetricPoint]:
    """One curve, or a part of it: each step from the run whose result it is part of, or all that
    the run with this number trained. Raises NotFound.
    """
    metric, run = models.Metric, models.Run
    on_the_curve = and_(
        _on_the_curve(session, metric, job_id, run_number),
        metric.step > after_step,
        *([] if through_step is None else [metric.step <= through_step]),
    )
    joined = run.id == metric.run_id
    # The two ends, each one look into the index; min() and max() would read the whole curve.
    steps = select(metric.step).join(run, joined).where(on_the_curve).limit(1)
    first = session.scalar(steps.order_by(metric.step))
    last = session.scalar(steps.order_by(metric.step.desc()))
    if first is None or last is None:
        return Page(items=[])
    stride = math.ceil((last - first + 1) / max_points)
    # Columns, not objects: a curve has thousands of points and each is only passed on.
    columns = [getattr(metric, name) for name in METRIC_COLUMNS]
    rows = session.execute(
        select(*columns, run.number.label("run"))
        .join(run, joined)
        .where(on_the_curve, or_(metric.step % stride == 0, metric.step == last))
        .order_by(metric.step)
    )
    return Page[MetricPoint].model_construct(items=[MetricPoint(*row) for row in rows])


def list_measurements(
    session: Session, job_id: int, run_number: int | None = None
) -> Page[MeasurementPoint]:
    """What was measured, each from the run whose result it is part of, or all that the run with
    this number measured. Raises NotFound.
    """
    measurement, run = models.Measurement, models.Run
    rows = session.execute(
        select(measurement, run.number)
        .join(run, run.id == measurement.run_id)
        .where(_on_the_curve(session, measurement, job_id, run_number))
        .order_by(measurement.step, run.number)
    )
    # A step that two runs measured counts once.
    points = {row.step: measurement_point(row, number) for row, number in rows}
    return Page(items=list(points.values()))


def _on_the_curve(
    session: Session,
    row: type[models.Metric] | type[models.Measurement],
    job_id: int,
    run_number: int | None,
) -> ColumnElement[bool]:
    """Of one run every row; of all, those that no later run took back. Raises NotFound."""
    find_job(session, job_id)
    of_job = row.job_id == job_id
    if run_number is not None:
        return and_(of_job, row.run_id == _find_run(session, job_id, run_number).id)
    kept_until_step = models.Run.kept_until_step
    return and_(of_job, or_(kept_until_step.is_(None), row.step <= kept_until_step))


def measurement_point(row: models.Measurement, run_number: int) -> MeasurementPoint:
    """A measurement as the curve shows it."""
    return MeasurementPoint(
        step=row.step,
        validation_loss=row.validation_loss,
        drift_without_trigger=row.drift_without_trigger,
        change_with_trigger=row.change_with_trigger,
        run=run_number,
    )


def find_log(session: Session, settings: Settings, job_id: int, run_number: int | None) -> LogPlace:
    """Where the log of the run with this number is, or of the latest. Raises NotFound."""
    job = find_job(session, job_id)
    if run_number is not None:
        found = _find_run(session, job_id, run_number).number
    else:
        found = session.scalar(
            select(func.max(models.Run.number)).where(models.Run.job_id == job_id)
        )
    if found is None:
        return LogPlace(job.training_name, None, None)
    folder = JobFolder(settings.output_dir, job.training_name)
    return LogPlace(job.training_name, folder.run(found).log, found)


def _find_run(session: Session, job_id: int, number: int) -> models.Run:
    run = session.scalar(
        select(models.Run).where(models.Run.job_id == job_id, models.Run.number == number)
    )
    if run is None:
        raise NotFound(
            "no_such_run", f"Job {job_id} has no run {number}.", "The job lists its runs."
        )
    return run


def job_as_yaml(session: Session, job_id: int) -> tuple[str, str]:
    """Training name, and the job as YAML; a draft as far as it goes. Raises NotFound."""
    job = find_job(session, job_id)
    work = parsed_work(job.config)
    if work is not None:
        return job.training_name, job_yaml(work)
    return job.training_name, yaml.safe_dump(job.config, sort_keys=False, allow_unicode=True)
