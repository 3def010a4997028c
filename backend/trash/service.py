"""What is in the trash, and back again; single checkpoints into it.

Whole jobs: `deletion.py`; single pictures: `pictures.py`.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.models import Checkpoint, Job, Run
from backend.errors import Conflict, NotFound
from backend.jobs import queries
from backend.jobs.feed import announce, announce_job
from backend.jobs.status import ACTIVE, EDITABLE
from backend.jobs.work import kind_of
from backend.rescan.rescan import rescan
from backend.settings import Settings
from backend.trash import entries
from backend.trash.branches import left_by
from backend.trash.deletion import in_use, job_of, moving, returning
from backend.trash.entries import Entry
from backend.trash.pictures import restore_picture
from backend.trash.schemas import Restored, TrashEntry
from trainer import folder_lock
from trainer.job_folder import JobFolder


def delete_checkpoint(
    database: Database, settings: Settings, job_id: int, checkpoint_id: int
) -> TrashEntry:
    """Move one checkpoint, or the end result, to the trash. Raises NotFound or Conflict."""
    with moving(settings) as moved, database.write() as session:
        job = queries.find_job(session, job_id)
        row = session.get(Checkpoint, checkpoint_id)
        if row is None or row.job_id != job_id:
            raise NotFound(
                "no_such_checkpoint",
                f"Job {job_id} has no checkpoint {checkpoint_id}.",
                "Only the newest are kept; list the checkpoints again.",
            )
        _refuse_while_it_runs(job, "deprived of a checkpoint")
        _refuse_the_chosen_one(job, row)
        folder = JobFolder(settings.output_dir, job.training_name)
        thing = folder.result if row.is_final else folder.checkpoint(row.step)
        known = _columns(session, row)
        session.delete(row)
        data = {"job_id": job_id, "step": known["step"], "is_final": known["is_final"]}
        announce(session, "checkpoint_removed", job_id, data)
        announce_job(session, job_id)
        session.flush()
        entry = entries.put(
            settings.output_dir,
            thing,
            kind="checkpoint",
            training_name=job.training_name,
            known=known,
        )
        moved.append(entry)
    return trash_entry(settings, entry)


def list_trash(settings: Settings) -> list[TrashEntry]:
    """What is in the trash, the latest first."""
    return [trash_entry(settings, entry) for entry in entries.entries(settings.output_dir)]


def restore(database: Database, settings: Settings, entry_id: str) -> Restored:
    """Take something back. Raises NotFound, or Conflict with what stands in its place."""
    entry = _found(settings, entry_id)
    if entry.note.kind == "checkpoint":
        return _restore_checkpoint(database, settings, entry)
    if entry.note.kind == "picture":
        return restore_picture(database, settings, entry)
    return _restore_job(database, settings, entry)


def purge(settings: Settings, entry_id: str) -> None:
    """Remove something for good. Raises NotFound."""
    entries.purge(_found(settings, entry_id))


def purge_all(settings: Settings) -> None:
    """Remove for good whatever is in the trash."""
    for entry in entries.entries(settings.output_dir):
        entries.purge(entry)


def trash_entry(settings: Settings, entry: Entry) -> TrashEntry:
    """An entry in the wire form."""
    days = settings.trash_days
    return TrashEntry(
        id=entry.id,
        kind=entry.note.kind,
        training_name=entry.note.training_name,
        step=entry.note.known.get("step"),
        prompt=entry.note.known.get("prompt"),
        is_final=bool(entry.note.known.get("is_final")),
        size_bytes=entry.note.size_bytes,
        deleted_at=entry.deleted_at,
        expires_at=entry.deleted_at + timedelta(days=days) if days else None,
    )


def _restore_job(database: Database, settings: Settings, entry: Entry) -> Restored:
    name = entry.note.training_name
    target = settings.output_dir / entry.note.path
    with database.read() as session:
        holder = session.scalar(select(Job.id).where(Job.training_name == name))
    # The same id: the files were moved, and then the power went before the row was deleted.
    is_taken = holder is not None and holder != entry.note.known.get("job_id")
    if is_taken or os.path.lexists(target):
        raise Conflict(
            "job_name_taken",
            f"{name} cannot be restored: there is another job or folder of that name now.",
            "Delete or rename that one first.",
            params={"training_name": name, "job_id": holder},
        )
    entries.move_back(settings.output_dir, entry)
    return finish_job(database, settings, entry)


def finish_job(database: Database, settings: Settings, entry: Entry) -> Restored:
    """The rows of a job whose folder is in its place again; then its entry goes."""
    name = entry.note.training_name
    if os.path.lexists(settings.output_dir / entry.note.path):
        rescan(database, settings, only=name)
    with database.write() as session:
        job = session.scalar(select(Job).where(Job.training_name == name))
        if job is None:  # a draft, or a folder that a rescan could not read
            config = entry.note.known["config"]
            job = Job(training_name=name, kind=kind_of(config), config=config)
            if "created_at" in entry.note.known:  # by which the settling knows that it is back
                job.created_at = datetime.fromisoformat(entry.note.known["created_at"])
            session.add(job)
            session.flush()
        if job.status in EDITABLE:
            job.config = entry.note.known["config"]
        announce_job(session, job.id)
        job_id = job.id
    entries.purge(entry)
    return Restored(job_id=job_id)


def _restore_checkpoint(database: Database, settings: Settings, entry: Entry) -> Restored:
    name, known = entry.note.training_name, entry.note.known
    folder = JobFolder(settings.output_dir, name)
    with returning(settings) as returned, database.write() as session:
        job = job_of(session, entry)
        _refuse_while_it_runs(job, "given a checkpoint back")
        if os.path.lexists(settings.output_dir / entry.note.path):
            raise Conflict(
                "checkpoint_exists",
                f"{name} has another {Path(entry.note.path).name} now.",
                "Delete that one first.",
                params={"training_name": name, "step": known["step"]},
            )
        if folder_lock.is_held(folder.lock):
            raise in_use(job, "given a checkpoint back")
        _refuse_another_branch(session, job, entry)
        add_checkpoint(session, job, known)
        entries.move_back(settings.output_dir, entry)
        returned.append(entry)
        return Restored(job_id=job.id)


def _refuse_another_branch(session: Session, job: Job, entry: Entry) -> None:
    name, step = entry.note.training_name, entry.note.known["step"]
    run = left_by(session, job, entry.note.known)
    if run is None:
        return
    raise Conflict(
        "checkpoint_of_another_branch",
        f"The checkpoint of step {step} cannot go back into {name}: run {run.number} went on from "
        f"step {run.first_step}, and the training has left what came after that.",
        f"Copy its LoRA from {entry.content} to try it, or to start another job from it.",
        params={
            "training_name": name,
            "step": step,
            "run": run.number,
            "first_step": run.first_step,
            "path": str(entry.content),
        },
    )


def add_checkpoint(session: Session, job: Job, known: dict[str, Any]) -> None:
    """The row of a checkpoint that comes back."""
    session.add(_checkpoint_row(session, job, known))
    session.flush()
    announce(session, "reset", job.id, {})
    announce_job(session, job.id)


def _columns(session: Session, row: Checkpoint) -> dict[str, Any]:
    """What the row knows that its files do not say."""
    return {
        "step": row.step,
        "is_final": row.is_final,
        "size_bytes": row.size_bytes,
        "loss": row.loss,
        "preservation_loss": row.preservation_loss,
        "is_best": row.is_best,
        "num_layers": row.num_layers,
        "lora_norm": row.lora_norm,
        "path": row.path,
        "created_at": row.created_at.isoformat(),
        "run": session.get_one(Run, row.run_id).number,
    }


def _checkpoint_row(session: Session, job: Job, known: dict[str, Any]) -> Checkpoint:
    runs = select(Run.id).where(Run.job_id == job.id)
    run_id = session.scalar(runs.where(Run.number == known["run"]))
    run_id = run_id or session.scalar(runs.order_by(Run.number.desc()).limit(1))
    session.execute(
        delete(Checkpoint).where(
            Checkpoint.job_id == job.id,
            Checkpoint.step == known["step"],
            Checkpoint.is_final == known["is_final"],
        )
    )
    facts = {key: value for key, value in known.items() if key != "run"}
    if "created_at" in known:  # an entry of a version before this one has none
        facts["created_at"] = datetime.fromisoformat(known["created_at"])
    if facts["is_best"]:  # another may have become the best meanwhile
        best = select(Checkpoint.id).where(
            Checkpoint.job_id == job.id, Checkpoint.is_best, Checkpoint.step != known["step"]
        )
        facts["is_best"] = session.scalar(best) is None
    return Checkpoint(job_id=job.id, run_id=run_id, **facts)


def _found(settings: Settings, entry_id: str) -> Entry:
    entry = entries.find(settings.output_dir, entry_id)
    if entry is None:
        raise NotFound(
            "not_in_trash",
            f"There is nothing {entry_id!r} in the trash.",
            "It was restored, or removed for good; list the trash again.",
            params={"id": entry_id},
        )
    return entry


def _refuse_while_it_runs(job: Job, deed: str) -> None:
    if job.status in ACTIVE:
        status = queries.shown_status(job)
        raise Conflict(
            "wrong_state",
            f"{job.training_name} is {status} and cannot be {deed}.",
            "Stop it first.",
            params={"status": status.value, "job_id": job.id},
        )


def _refuse_the_chosen_one(job: Job, row: Checkpoint) -> None:
    if row.is_final or job.resume_from_step != row.step:
        return
    raise Conflict(
        "checkpoint_is_chosen",
        f"{job.training_name} is to go on from the checkpoint of step {row.step}.",
        "Take the job out of the queue and queue it from another checkpoint.",
        params={"job_id": job.id, "step": row.step},
    )
