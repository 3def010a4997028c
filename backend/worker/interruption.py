"""After an interruption: back into the queue by itself, unless that has led nowhere.

Interrupted means that the trainer was ended by a signal that nobody here had sent, or vanished
without a last word: the machine restarted, or it died while no worker looked, or in a way that a
worker which had not started it could not see. Nothing is known against trying again, so the job
waits again, first of its priority, since it was first before. A job that brings the machine down
would do so for ever: three runs in a row that were interrupted and began at the same step made no
progress, and the third stays interrupted, with a warning that says why.
"""

from __future__ import annotations

import logging

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.models import Checkpoint, Job, Run
from backend.jobs.moves import move
from backend.jobs.queries import setting_of
from backend.jobs.status import JobStatus
from backend.jobs.work import DRAWING
from backend.runs.record import num_drawn
from trainer.errors import Problem, Severity
from trainer.panels.job import JobPanel

log = logging.getLogger(__name__)

TRIES_WITHOUT_PROGRESS = 3


def resume_by_itself(session: Session, job: Job, run: Run) -> bool:
    """Queue the interrupted job again, if it wants that and progress is made; whether it was."""
    if not _wants_it(job):
        return False
    began = _beginning(session, job) if run.first_step is None else run.first_step
    tries = _tries_from(session, run, began)
    if tries >= TRIES_WITHOUT_PROGRESS:
        run.problems = [*run.problems, _gave_up(began, tries).as_dict()]
        return False
    first = session.scalar(select(func.min(Job.queue_order)).where(Job.status == JobStatus.QUEUED))
    reason = f"resumes by itself after an interruption ({tries} of {TRIES_WITHOUT_PROGRESS} tries)"
    moved = move(
        session,
        job.id,
        from_status=JobStatus.INTERRUPTED,
        to_status=JobStatus.QUEUED,
        reason=reason,
        queue_order=(first if first is not None else job.queue_order or 1) - 1,
        error=None,
        finished_at=None,
        phase=None,
    )
    log.info("job %d (%s): %s", job.id, job.training_name, reason)
    return moved


def _wants_it(job: Job) -> bool:
    """A drawing has no setting for it: what is drawn is drawn, and what is missing is short."""
    if job.kind == DRAWING:
        return True
    return setting_of(job.config, "job", "resume_after_interruption", JobPanel) is True


def _beginning(session: Session, job: Job) -> int:
    """The step at which a run that never said so would have begun: it changed nothing since."""
    if job.kind == DRAWING:
        return num_drawn(session, job.id)
    if job.resume_from_step is not None:  # where the run was to begin
        return job.resume_from_step
    saved = (Checkpoint.job_id == job.id, Checkpoint.is_final.is_(False))
    return session.scalar(select(func.max(Checkpoint.step)).where(*saved)) or 0


def _tries_from(session: Session, run: Run, began: int) -> int:
    """How many runs in a row, this one the last, were interrupted and began at the same step.

    A run that never said where it began made no progress: it counts with the one after it.
    """
    tries = 0
    earlier = select(Run).where(Run.job_id == run.job_id, Run.number <= run.number)
    for each in session.scalars(earlier.order_by(Run.number.desc())):
        if each.status != JobStatus.INTERRUPTED or each.first_step not in (None, began):
            break
        tries += 1
    return tries


def _gave_up(began: int, tries: int) -> Problem:
    return Problem(
        "interrupted_again",
        f"The last {tries} runs were interrupted before they got past step {began}, "
        "so the job does not resume by itself any more.",
        "Look into the log and the machine's own (memory, power), then queue the job again.",
        severity=Severity.WARNING,
        params={"tries": tries, "step": began},
    )
