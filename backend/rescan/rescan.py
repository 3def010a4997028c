"""Jobs, runs, pictures, checkpoints and curves back from the output folder into the database.

    darkroom rescan            or POST /api/system/rescan

For a database that was lost, or restored from an older copy. A job that the database does not know
is told over again from its files (replay.py). One that it knows is left as it is, unless the folder
holds runs or files that it lacks: then the folder is told over again beside it, and what is missing
is taken over from that. Either way a job is written in one transaction, so a rescan can be cut off
and repeated; a second one finds nothing to do.

What trains is left alone: a job that waits or runs in the database belongs to the worker, and a
folder whose lock is held belongs to a trainer. A job whose files end in the middle of a run becomes
interrupted. It is not queued by itself: whether to go on with a job of long ago is for a person to
say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import (
    Checkpoint,
    FeedEntry,
    Job,
    JobMove,
    Measurement,
    Metric,
    Run,
    Sample,
)
from backend.jobs.examine import examine_config, examine_drawing_config, problem_entries
from backend.jobs.feed import announce, announce_job
from backend.jobs.moves import move
from backend.jobs.status import EDITABLE, JobStatus
from backend.jobs.work import DRAWING, gpu_of, kind_of, parse_work
from backend.rescan.artifacts import agree, is_complete, recorded_paths
from backend.rescan.folders import (
    FoundJob,
    NoJob,
    job_folders,
    read_folder,
    refuse_copies,
)
from backend.rescan.replay import ReadRun, read_runs, replay_run
from backend.rescan.schemas import RescanReport
from backend.settings import Settings
from trainer import folder_lock
from trainer.errors import Problem, Severity
from trainer.job_folder import JobFolder

log = logging.getLogger(__name__)

# What a job that is known takes over when the folder holds a newer run than the database.
_TAKEN_FROM_A_NEWER_RUN = (
    "config",
    "step",
    "phase",
    "loss",
    "step_seconds",
    "sampling_seconds",
    "saving_seconds",
    "mean_step_seconds",
    "best_step_seconds",
    "measuring_seconds",
    "error",
    "started_at",
    "finished_at",
    "last_sign_at",
)


def rescan(database: Database, settings: Settings, *, only: str | None = None) -> RescanReport:
    """Make the database hold what lies in the output folder, or in one job's folder of it."""
    folders = job_folders(settings.output_dir)
    found, problems = _read_folders(f for f in folders if only in (None, f.training_name))
    with database.read() as session:
        known = select(Run.token, Job.training_name).join(Job, Job.id == Run.job_id)
        names = {token: name for token, name in session.execute(known)}
    copies = refuse_copies(found, names)
    refused = {problem.params["folder"] for problem in copies}
    report = RescanReport(brought_back=[], completed=[], unchanged=[], left_alone=[], problems=[])
    problems += copies
    # In the order in which they were made, which is the order of their ids.
    for job in sorted(found, key=lambda job: job.created_at):
        if job.name not in refused:
            problems += _bring_back(database, settings, job, report)
    report.problems = problem_entries(problems)
    return report


def _read_folders(folders: Iterable[JobFolder]) -> tuple[list[FoundJob], list[Problem]]:
    found: list[FoundJob] = []
    problems: list[Problem] = []
    for folder in folders:
        try:
            found.append(read_folder(folder))
        except NoJob as refusal:
            problems.append(refusal.problem)
        except OSError as error:
            problems.append(_unreadable(folder, error))
    return found, problems


def _bring_back(
    database: Database, settings: Settings, found: FoundJob, report: RescanReport
) -> list[Problem]:
    """One job into the database, if it is to be; the problems that are told of it."""
    try:
        with database.read() as session:
            known = _known(session, found)
            is_whole = known is not None and not _lacks_something(session, known, found)
        if folder_lock.is_held(found.folder.lock) or _is_busy(known):
            report.left_alone.append(found.name)
            return [] if is_whole else [_trains(found)]
        if is_whole:
            report.unchanged.append(found.name)
            return []
        runs = read_runs(found)
        warnings = _warnings(database, settings, found)
        with database.write() as session:
            known = _known(session, found)
            if _is_busy(known):  # queued while its files were read
                report.left_alone.append(found.name)
                return [_trains(found)]
            before = _rows_of(session, known)
            problems = write_job(session, known, found, runs, warnings)
            is_as_before = known is not None and _rows_of(session, known) == before
    except Exception as error:
        # One folder's trouble must not keep the others away; the log says what it was.
        log.exception("%s cannot be brought back", found.folder.path)
        return [_unreadable(found.folder, error)]
    if is_as_before:  # what it lacks are files that say too little, which are named
        report.unchanged.append(found.name)
    else:
        (report.brought_back if known is None else report.completed).append(found.name)
    return [*found.problems, *_with_folder(found, runs), *problems]


def _warnings(database: Database, settings: Settings, found: FoundJob) -> list[Problem]:
    """Of the door, as if it were queued now."""
    if kind_of(found.config) == DRAWING:
        return examine_drawing_config(found.config, database, settings).warnings
    return examine_config(found.config, database, settings, is_new=False).warnings


def _known(session: Session, found: FoundJob) -> Job | None:
    return session.scalar(select(Job).where(Job.training_name == found.name))


def _is_busy(known: Job | None) -> bool:
    return known is not None and known.status not in EDITABLE


def _rows_of(session: Session, known: Job | None) -> tuple[set[int], set[str]]:
    """Numbers of the job's runs, and paths of its pictures and LoRA files."""
    if known is None:
        return set(), set()
    return _run_numbers(session, known), recorded_paths(session, known)


def _run_numbers(session: Session, known: Job) -> set[int]:
    return set(session.scalars(select(Run.number).where(Run.job_id == known.id)))


def _lacks_something(session: Session, known: Job, found: FoundJob) -> bool:
    in_database = _run_numbers(session, known)
    on_disk = {run.files.number for run in found.runs}
    return not on_disk <= in_database or not is_complete(session, known, found.folder)


def write_job(
    session: Session,
    known: Job | None,
    found: FoundJob,
    runs: list[ReadRun],
    warnings: list[Problem],
) -> list[Problem]:
    """The folder told over again as a job; a known one takes from it what it lacks.

    runs: of the folder, read; warnings: of the door. Problems met on the way are returned.
    """
    last_news = session.scalar(select(func.max(FeedEntry.id))) or 0
    told = _tell(session, found, runs)
    if known is None:
        told.training_name = found.name
        told.warnings = [warning.as_dict() for warning in warnings]
        kept = told
    else:
        _take_over(session, known, told)
        kept = known
    problems = agree(session, kept, found.folder)
    session.flush()
    # Nobody wants the news of long ago; that there is something new is enough.
    session.execute(delete(FeedEntry).where(FeedEntry.id > last_news))
    announce(session, "reset", kept.id, {})
    announce_job(session, kept.id)
    return problems


def _tell(session: Session, found: FoundJob, runs: list[ReadRun]) -> Job:
    """A job under a name that no other can have, for the time being."""
    job = Job(
        training_name=f"{found.name} (rescan)",
        kind=kind_of(found.config),
        config=found.config,
        gpu=gpu_of(parse_work(found.config)),
        created_at=found.created_at,
    )
    session.add(job)
    session.flush()
    for read in runs:
        replay_run(session, job, found, read)
        session.flush()
    job.config = found.config  # as the job file says now, whatever was changed in mid-run
    job.updated_at = job.finished_at or found.created_at
    session.flush()
    return job


def _take_over(session: Session, known: Job, told: Job) -> None:
    """Runs and files that a known job lacks, from the same job told over again, which goes."""
    runs = {run.number: run for run in _runs_of(session, known)}
    newest = max(runs, default=0)
    told_runs = _runs_of(session, told)
    ids = {run.id: runs[run.number].id if run.number in runs else run.id for run in told_runs}
    for run in told_runs:
        if run.number not in runs:
            _move_run(session, run, known)
        elif run.kept_until_step is not None:
            of_known = runs[run.number]
            limits = (run.kept_until_step, of_known.kept_until_step)
            of_known.kept_until_step = min(limit for limit in limits if limit is not None)
    _move_rows(session, known, told, ids)
    if told_runs and told_runs[-1].number > newest:
        _catch_up(session, known, told)
    session.flush()
    session.execute(delete(JobMove).where(JobMove.job_id == told.id))
    session.execute(delete(Job).where(Job.id == told.id))
    session.expire_all()


def _runs_of(session: Session, job: Job) -> list[Run]:
    return list(session.scalars(select(Run).where(Run.job_id == job.id).order_by(Run.number)))


def _move_run(session: Session, run: Run, known: Job) -> None:
    run.job_id = known.id
    for table in (Metric, Measurement):
        of_run = update(table).where(table.run_id == run.id)
        session.execute(of_run.values(job_id=known.id).execution_options(synchronize_session=False))


def _move_rows(session: Session, known: Job, told: Job, run_ids: dict[int, int]) -> None:
    """Pictures and checkpoints that the known job has no row of."""
    for table in (Sample, Checkpoint):
        of_known = set(session.scalars(select(table.path).where(table.job_id == known.id)))
        for row in session.scalars(select(table).where(table.job_id == told.id)).all():
            row.run_id = run_ids[row.run_id]
            if row.path not in of_known:
                row.job_id = known.id
        session.flush()


def _catch_up(session: Session, known: Job, told: Job) -> None:
    """Bring the known job to where its newest run left it."""
    end = told.status
    if end != known.status:
        reason = "brought to its newest run by a rescan"
        steps = (JobStatus.QUEUED, JobStatus.STARTING, end)
        for status in steps:
            move(session, known.id, from_status=known.status, to_status=status, reason=reason)
    for name in _TAKEN_FROM_A_NEWER_RUN:
        setattr(known, name, getattr(told, name))


def _with_folder(found: FoundJob, runs: list[ReadRun]) -> list[Problem]:
    """Faults of the runs' event files, saying whose they are."""
    return [
        Problem(
            fault.code,
            f"{found.name}, run {read.found.files.number}: {fault.message}",
            fault.hint,
            severity=fault.severity,
            params={**fault.params, "folder": found.name, "run": read.found.files.number},
        )
        for read in runs
        for fault in read.faults
    ]


def _trains(found: FoundJob) -> Problem:
    return Problem(
        "job_is_busy",
        f"{found.name} waits or trains just now and was left alone.",
        "Rescan once it has ended.",
        severity=Severity.WARNING,
        params={"folder": found.name},
    )


def _unreadable(folder: JobFolder, error: Exception) -> Problem:
    return Problem(
        "folder_unreadable",
        f"{folder.path} cannot be brought back: {error}.",
        "Look at the disk and the rights on the folder, then rescan. The log says more.",
        severity=Severity.WARNING,
        params={"folder": folder.training_name},
    )
