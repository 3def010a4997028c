"""A job's runs told over again: the events on the disk into the rows that a worker would have made.

The interpreter of events is the worker's own (`runs/record.py`). Each run passes through the states
of the job as it did then, so that what it leaves is what a worker would have left. What only the
worker knew is lost with the database: exit codes of trainers that had no last word, and who asked
for what. Such a run counts as interrupted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from backend.db.models import Job, Run
from backend.jobs.log import last_lines
from backend.jobs.moves import move
from backend.jobs.status import JobStatus
from backend.rescan.folders import FoundJob, FoundRun
from backend.runs.event_lines import EventLines, torn_end
from backend.runs.outcome import LOG_TAIL_LINES, LastKnown, outcome_of
from backend.runs.record import Place, add_problem, record_events
from backend.runs.settle import settle
from backend.runs.stop_signs import stop_was_asked
from trainer.errors import Problem
from trainer.events import AnyEvent, read_lines


@dataclass(frozen=True)
class ReadRun:
    """A run with everything that its files say. events_end, log_end: bytes read."""

    found: FoundRun
    events: list[AnyEvent]
    faults: list[Problem]
    log_tail: list[str]
    was_told_to_stop: bool
    started_at: datetime
    finished_at: datetime
    events_end: int
    log_end: int


def read_runs(found: FoundJob) -> list[ReadRun]:
    """The runs of a job with their events; faults once for each kind. Raises OSError."""
    return [_read_run(run, found.created_at) for run in found.runs]


def replay_run(session: Session, job: Job, found: FoundJob, read: ReadRun) -> Run:
    """Tell one run over again, as the latest of the job; its row."""
    number = read.found.files.number
    reason = f"brought back by a rescan: run {number}"
    for status in (JobStatus.QUEUED, JobStatus.STARTING):
        move(session, job.id, from_status=job.status, to_status=status, reason=reason)
    job.started_at = read.started_at
    run = Run(
        job_id=job.id,
        number=number,
        token=read.found.token,
        worker_id="rescan",
        host=read.found.started.host if read.found.started else "",
        device=read.found.started.device if read.found.started else "",
        started_at=read.started_at,
        events_offset=read.events_end,
        log_offset=read.log_end,
    )
    session.add(run)
    session.flush()
    unrecorded = record_events(Place(session, job, run, found.folder), read.events)
    for fault in [*read.faults, *unrecorded[:1]]:
        add_problem(run, fault)
    _settle(session, job, run, read)
    return run


def _settle(session: Session, job: Job, run: Run, read: ReadRun) -> None:
    said = None if run.finish is None else run.finish["exit_code"]
    outcome = outcome_of(
        LastKnown(
            finish=run.finish,
            exit_code=said,
            asked_to_stop=read.was_told_to_stop,
            used_force=False,
            phase=run.phase,
            step=run.last_step or 0,
            log_tail=read.log_tail,
        )
    )
    settle(session, job, run, outcome, said, ended_at=read.finished_at)


def _read_run(run: FoundRun, job_created_at: datetime) -> ReadRun:
    events, faults, end = _read_events(run)
    log_tail, log_end = last_lines(run.files.log, LOG_TAIL_LINES)
    times = [event.time for event in events if event.time > 0]
    changed = _changed_at(run.files.events) or _changed_at(run.files.log) or job_created_at
    return ReadRun(
        found=run,
        events=events,
        faults=faults,
        log_tail=log_tail,
        was_told_to_stop=stop_was_asked(run.files, run.token),
        started_at=datetime.fromtimestamp(times[0], UTC) if times else changed,
        finished_at=datetime.fromtimestamp(times[-1], UTC) if times else changed,
        events_end=end,
        log_end=log_end,
    )


def _read_events(run: FoundRun) -> tuple[list[AnyEvent], list[Problem], int]:
    events: list[AnyEvent] = []
    faults: dict[str, Problem] = {}
    event_lines = EventLines(run.token)
    offset = 0
    while True:
        lines, end = read_lines(run.files.events, offset)
        if end == offset:
            torn = torn_end(run.files.events, end)
            return events, [*faults.values(), *([torn] if torn else [])], end
        found, wrong = event_lines.parse(lines)
        events += found
        for fault in wrong:
            faults.setdefault(fault.code, fault)
        offset = end


def _changed_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(os.stat(path).st_mtime, UTC)
    except FileNotFoundError:
        return None
