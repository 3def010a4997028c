"""Which events of a run hooks are told of."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from backend.db.models import Job
from backend.hooks.outbox import note
from backend.jobs.status import JobStatus
from backend.settings import Settings
from trainer.events import CheckpointSaved, Event, Sample


def notice_events(session: Session, settings: Settings, job: Job, found: Iterable[Event]) -> None:
    """Leave notes of pictures and checkpoints. Paths are relative to the output folder."""
    for event in found:
        match event:
            case CheckpointSaved():
                path = f"{job.training_name}/{event.lora}"
                note(session, settings, "checkpoint", job, at_step=event.step, path=path)
            case Sample():
                path = f"{job.training_name}/{event.path}"
                note(
                    session,
                    settings,
                    "sample",
                    job,
                    at_step=event.step,
                    path=path,
                    prompt=event.prompt,
                )
            case _:
                pass


def notice_end(session: Session, settings: Settings, job: Job) -> None:
    """Leave a note that a run ended, unless the job goes on by itself."""
    if job.status in (JobStatus.COMPLETED, JobStatus.STOPPED):
        note(session, settings, "finished", job)
    elif job.status in (JobStatus.FAILED, JobStatus.INTERRUPTED):
        note(session, settings, "failed", job)
