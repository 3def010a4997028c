"""Pictures and checkpoints: rows and files compared, and made to agree.

Events may be damaged while the files are whole. A picture tells its own recipe, a checkpoint's
folder its step. What neither says is not guessed: the file is named in place of being shown with a
false recipe. Rows whose file is gone are dropped.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.models import Checkpoint, Job, Run, Sample
from backend.db.values import is_storable
from backend.jobs.moves import move
from backend.jobs.status import JobStatus
from backend.jobs.work import DRAWING
from backend.runs.record import num_drawn
from trainer import events
from trainer.errors import Problem, Severity
from trainer.job_folder import LORA_FILE, MANIFEST_FILE, ORIGIN_FILE, RECIPE_CHUNK, JobFolder


def agree(session: Session, job: Job, folder: JobFolder) -> list[Problem]:
    """Drop rows without files, add rows for files without; what could not be brought back."""
    dropped = _drop_rows_without_files(session, job, folder)
    missing = files_of(folder) - recorded_paths(session, job)
    problems = _gone(folder, dropped)
    if missing:
        runs = _runs(session, job, folder)
        for path in sorted(missing):
            problems += _add(session, job, folder, runs, path)
        # Events that are lost cannot say how far it came; its checkpoints do.
        job.step = max([job.step, *folder.checkpoint_steps()])
        if job.kind == DRAWING:
            job.step = num_drawn(session, job.id)
    for step in folder.checkpoint_steps():
        problems += _damage(folder, step)
    return problems


def is_complete(session: Session, job: Job, folder: JobFolder) -> bool:
    """Whether the rows are exactly what lies in the folder."""
    return recorded_paths(session, job) == files_of(folder)


def files_of(folder: JobFolder) -> set[str]:
    """The pictures and LoRA files of a job on the disk, as rows name them."""
    found = {path for path, _, _ in folder.sample_files()}
    found |= {path for path, *_ in folder.superseded_sample_files()}
    loras = {folder.checkpoint(step) / LORA_FILE for step in folder.checkpoint_steps()}
    found |= {path for path in (*loras, folder.result) if path.is_file()}
    return {folder.relative(path) for path in found}


def recorded_paths(session: Session, job: Job) -> set[str]:
    """The same as the rows of the job say it."""
    rows = [select(table.path).where(table.job_id == job.id) for table in (Sample, Checkpoint)]
    return {path for query in rows for path in session.scalars(query)}


def _drop_rows_without_files(session: Session, job: Job, folder: JobFolder) -> list[str]:
    gone: list[str] = []
    for table in (Sample, Checkpoint):
        for row in session.scalars(select(table).where(table.job_id == job.id)).all():
            if not (folder.path / row.path).is_file():
                gone.append(row.path)
                session.delete(row)
    session.flush()
    return gone


def _runs(session: Session, job: Job, folder: JobFolder) -> list[Run]:
    """The job's runs, lowest number first; one that stands for them where there is none."""
    runs = list(session.scalars(select(Run).where(Run.job_id == job.id).order_by(Run.number)))
    if not runs:
        origin = _origin(folder)
        lost = [] if origin else [_runs_missing(job)]
        run = Run(
            job_id=job.id,
            number=1,
            token="",
            status="stopped" if origin else "interrupted",
            worker_id="import" if origin else "rescan",
            host="",
            device="",
            problems=[problem.as_dict() for problem in lost],
            started_at=job.created_at,
            finished_at=job.created_at,
            last_step=max(folder.checkpoint_steps(), default=None),
        )
        session.add(run)
        session.flush()
        if job.status == JobStatus.DRAFT:
            _end_where_it_came_to(session, job, origin)
        runs = [run]
    return runs


def _end_where_it_came_to(session: Session, job: Job, origin: str | None) -> None:
    """A job with checkpoints and no runs is at an end, and no draft."""
    if origin:
        moves = [JobStatus.QUEUED, JobStatus.STOPPED]
        reason = f"imported: {origin}"
    else:
        moves = [JobStatus.QUEUED, JobStatus.STARTING, JobStatus.INTERRUPTED]
        reason = "brought back by a rescan without its runs"
    for status in moves:
        move(session, job.id, from_status=job.status, to_status=status, reason=reason)


def _origin(folder: JobFolder) -> str | None:
    """What a bundle called the job, if it came in one: its runs stayed on the other machine."""
    try:
        said = json.loads((folder.path / ORIGIN_FILE).read_text(encoding="utf-8"))
        return f"{said['training_name']!s:.64} at step {said['step']!s:.16}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _runs_missing(job: Job) -> Problem:
    return Problem(
        "runs_missing",
        f"The folder of {job.training_name} has pictures or checkpoints, and no runs.",
        "Its curves and logs are lost. Queued, it goes on from its newest checkpoint.",
        severity=Severity.WARNING,
        params={"folder": job.training_name},
    )


def _add(
    session: Session, job: Job, folder: JobFolder, runs: list[Run], path: str
) -> list[Problem]:
    """A row for a file; a problem if the file does not say enough."""
    file = folder.path / path
    made_at = datetime.fromtimestamp(os.stat(file).st_mtime, UTC)
    if file.suffix == ".png":
        recipe = _recipe(folder, file)
        if recipe is None:
            return [_unreadable(folder, path, "it tells no recipe of its own")]
        row: Sample | Checkpoint = Sample(**recipe)
    elif file == folder.result:
        step = _result_step(file)
        if step is None:
            return [_unreadable(folder, path, "it does not tell its step")]
        row = _lora_row(folder, file, step, is_final=True)
    else:
        step = int(file.parent.name.removeprefix("step-"))
        row = _lora_row(folder, file, step, is_final=False)
    row.job_id, row.path, row.created_at = job.id, path, made_at
    row.run_id = _run_of(runs, row.step).id
    session.add(row)
    session.flush()
    return []


def _lora_row(folder: JobFolder, file: Path, step: int, *, is_final: bool) -> Checkpoint:
    manifest = _manifest(folder.checkpoint(step))
    return Checkpoint(
        step=step,
        is_final=is_final,
        size_bytes=os.stat(file).st_size,
        is_best=bool(manifest and manifest.get("is_best")),
    )


def _run_of(runs: list[Run], step: int) -> Run:
    """The last run that took this step; the latest where none says so."""
    for run in reversed(runs):
        if run.first_step is not None and run.first_step <= step <= (run.last_step or 0):
            return run
    return runs[-1]


def _recipe(folder: JobFolder, file: Path) -> dict[str, Any] | None:
    """What the picture says about itself, in a sample's columns."""
    places = {path: (step, index, None) for path, step, index in folder.sample_files()}
    places |= {path: place for path, *place in folder.superseded_sample_files()}
    step, index, superseded_by = places[file]
    try:
        with Image.open(file) as picture:
            said = json.loads(picture.info.get(RECIPE_CHUNK) or "null")
        said = {"path": "", **said, "step": step, "prompt_index": index}
        recipe = events.Sample.model_validate(said)
    except (OSError, ValueError, SyntaxError, TypeError, RecursionError, ValidationError):
        return None
    columns = {column.key for column in Sample.__table__.columns}
    values = {name: value for name, value in recipe.model_dump().items() if name in columns}
    return values | {"superseded_by": superseded_by} if is_storable(values) else None


def _result_step(file: Path) -> int | None:
    try:
        with safe_open(file, framework="np") as opened:
            said = (opened.metadata() or {}).get("darkroom.step", "")
    except (OSError, SafetensorError):
        return None
    return int(said) if said.isdecimal() else None


def _manifest(checkpoint: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((checkpoint / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def _damage(folder: JobFolder, step: int) -> list[Problem]:
    """What is wrong with a checkpoint at a look: files that are missing or have another size."""
    checkpoint = folder.checkpoint(step)
    manifest = _manifest(checkpoint)
    files = manifest.get("files") if manifest else None
    if not isinstance(files, dict):
        return [_damaged(folder, step, f"{MANIFEST_FILE} is missing or cannot be read")]
    for name, written in files.items():
        file = checkpoint / Path(str(name)).name
        size = file.stat().st_size if file.is_file() else None
        expected = written.get("size_bytes") if isinstance(written, dict) else None
        if size is None:
            return [_damaged(folder, step, f"{name} is missing")]
        if size != expected:
            return [_damaged(folder, step, f"{name} has {size} bytes in place of {expected}")]
    return []


def _damaged(folder: JobFolder, step: int, what: str) -> Problem:
    return Problem(
        "checkpoint_damaged",
        f"The checkpoint of step {step} of {folder.training_name} is damaged: {what}.",
        "No training goes on from it; the one before it is taken.",
        severity=Severity.WARNING,
        params={"folder": folder.training_name, "step": step},
    )


def _unreadable(folder: JobFolder, path: str, why: str) -> Problem:
    return Problem(
        "file_left_out",
        f"{folder.training_name}/{path} was left out: {why}, and no event does.",
        "It stays where it is.",
        severity=Severity.WARNING,
        params={"folder": folder.training_name, "path": path},
    )


def _gone(folder: JobFolder, paths: list[str]) -> list[Problem]:
    if not paths:
        return []
    first = ", ".join(sorted(paths)[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return [
        Problem(
            "files_gone",
            f"Of {folder.training_name}, these were made once and are gone: {first}{more}.",
            "Put them back from a backup and rescan, if you want them.",
            severity=Severity.WARNING,
            params={"folder": folder.training_name, "num_files": len(paths)},
        )
    ]
