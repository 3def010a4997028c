"""What of a job belongs into a bundle, found on this machine and hashed.

Everything is read once before the first byte leaves, so that a damaged checkpoint or a missing
picture is a refusal with a sentence and not a download that breaks off. Hashes of datasets are
remembered from one look to the next (`trainer/file_memory.py`), so usually only the checkpoint is
really read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from backend import __version__
from backend.bundles.manifest import (
    FORMAT,
    JOB_FILE,
    Manifest,
    PackedControlImage,
    PackedDataset,
    PackedFile,
    PackedSample,
)
from backend.db.engine import Database
from backend.db.models import Job
from backend.errors import Conflict, NotFound, Unusable
from backend.jobs import queries
from backend.jobs.work import DRAWING, not_a_training
from backend.settings import Settings
from trainer.config import JobConfig
from trainer.errors import DarkroomError
from trainer.file_memory import FileMemory
from trainer.folders import join_inside
from trainer.job_file import job_yaml, parse_job
from trainer.job_folder import LORA_FILE, MANIFEST_FILE, JobFolder
from trainer.pictures import PICTURE_SUFFIXES
from trainer.sample_check import control_image_path
from trainer.start_check import start_file


@dataclass(frozen=True)
class Contents:
    """A bundle that can be written. sources: each file's bytes, or where they lie."""

    manifest: Manifest
    sources: dict[str, Path | bytes]


def find_by_name(database: Database, name: str) -> int:
    """The id of the job with this training name. Raises NotFound."""
    with database.read() as session:
        job_id = session.scalar(select(Job.id).where(Job.training_name == name))
    if job_id is None:
        raise NotFound("no_such_job", f"There is no job {name!r}.", "Check the training name.")
    return job_id


def collect(
    database: Database,
    settings: Settings,
    job_id: int,
    *,
    step: int | None = None,
    with_dataset: bool = True,
) -> Contents:
    """Everything that the job needs to go on elsewhere.

    step: of the checkpoint, None takes the newest whole one. Raises NotFound, Conflict for a
    damaged checkpoint, Unusable if the job or what it names cannot be packed.
    """
    with database.read() as session:
        row = queries.find_job(session, job_id)
        if row.kind == DRAWING:
            raise not_a_training(row.training_name, job_id, "packed into a bundle")
        config = row.config
    try:
        job = parse_job(config)
        return _collect(job, settings, step, with_dataset)
    except DarkroomError as error:
        raise Unusable("cannot_be_packed", error.message, problems=error.problems) from error
    except ValidationError as error:  # a name that no other system could hold
        text = "; ".join(str(details["msg"]) for details in error.errors()[:3])
        raise Unusable(
            "cannot_be_packed", f"The job cannot be packed: {text}.", "Rename it and pack again."
        ) from error
    except OSError as error:
        raise Unusable(
            "cannot_be_packed",
            f"The job cannot be packed: {error.filename} cannot be read: {error.strerror}.",
            "Put the file back, or pack the job without its dataset.",
        ) from error


def _collect(job: JobConfig, settings: Settings, step: int | None, with_dataset: bool) -> Contents:
    memory = FileMemory(settings.cache_dir)
    sources: dict[str, Path | bytes] = {}
    folder = JobFolder(settings.output_dir, job.job.training_name)
    chosen = _checkpoint_step(folder, step)
    start = start_file(job, settings.folders)
    names = list(dict.fromkeys(_dataset_names(job)))
    text = job_yaml(job).encode("utf-8")
    manifest = Manifest(
        format=FORMAT,
        darkroom_version=__version__,
        created_at=datetime.now(UTC).replace(microsecond=0),
        training_name=job.job.training_name,
        step=chosen,
        job=PackedFile(
            name=JOB_FILE, size_bytes=len(text), sha256=hashlib.sha256(text).hexdigest()
        ),
        checkpoint=[] if chosen is None else _checkpoint(folder, chosen),
        samples=[] if chosen is None else _samples(folder, chosen, memory),
        # A start that is gone does not keep a job from going on from its own checkpoint.
        start_lora=_packed(start, memory) if start and (start.is_file() or not chosen) else None,
        control_images=_control_images(job, settings, memory) if with_dataset else [],
        datasets=[_dataset(job, settings, n, memory) for n in names] if with_dataset else [],
        left_out_datasets=[] if with_dataset else names,
    )
    memory.save()
    sources[JOB_FILE] = text
    places = _places(job, settings, folder, manifest, start)
    for (path, _), place in zip(list(manifest.members())[1:], places, strict=True):
        sources[path] = place
    return Contents(manifest, sources)


def _places(
    job: JobConfig, settings: Settings, folder: JobFolder, manifest: Manifest, start: Path | None
) -> Iterator[Path]:
    """Where each member behind the job file lies, in the archive's order."""
    for file in manifest.checkpoint:
        assert manifest.step is not None
        yield folder.checkpoint(manifest.step) / file.name
    yield from (folder.samples / file.name for file in manifest.samples)
    if manifest.start_lora is not None:
        assert start is not None
        yield start
    for image in manifest.control_images:
        yield control_image_path(image.named, settings.datasets_dir)
    for dataset in manifest.datasets:
        root = join_inside(settings.datasets_dir, dataset.name)
        yield from (root / file.name for file in dataset.files)


def _checkpoint_step(folder: JobFolder, step: int | None) -> int | None:
    """The step to pack; the newest whole checkpoint's unless it was chosen."""
    known = folder.checkpoint_steps()
    if step is not None and step not in known:
        raise NotFound(
            "no_such_checkpoint",
            f"{folder.training_name} has no checkpoint of step {step}.",
            f"There are: {', '.join(map(str, known)) or 'none'}.",
            params={"step": step, "known": known},
        )
    candidates = [step] if step is not None else list(reversed(known))
    refusal: Conflict | None = None
    for candidate in candidates:
        try:
            _checkpoint(folder, candidate)
        except Conflict as found:
            refusal = refusal or found
            continue
        return candidate
    if refusal is not None:
        raise refusal
    return None


def _checkpoint(folder: JobFolder, step: int) -> list[PackedFile]:
    """The checkpoint's files, proved against what it says of them. Raises Conflict."""
    path = folder.checkpoint(step)
    try:
        text = (path / MANIFEST_FILE).read_bytes()
        written: dict[str, dict[str, Any]] = json.loads(text)["files"]
        found = [_hashed(path / name) for name in written]
        for file in found:
            said = written[file.name]
            if (file.size_bytes, file.sha256) != (said["size_bytes"], said["sha256"]):
                raise _damaged(folder, step, f"{file.name} is not as it was written")
        if LORA_FILE not in written:
            raise _damaged(folder, step, f"{LORA_FILE} is missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, step, f"{type(error).__name__}: {error}") from error
    return [*found, _hashed(path / MANIFEST_FILE)]


def _samples(folder: JobFolder, step: int, memory: FileMemory) -> list[PackedSample]:
    paths = [path for path, of_step, _ in folder.sample_files() if of_step <= step]
    return [PackedSample(**_packed(path, memory).model_dump()) for path in paths]


def _dataset_names(job: JobConfig) -> Iterator[str]:
    """Every folder of the datasets folder that the job reads."""
    for dataset in job.datasets:
        yield dataset.target_dataset
        yield from dataset.control_datasets
        if dataset.mask_dataset:
            yield dataset.mask_dataset
    if job.dataset_of_validation is not None:
        yield job.dataset_of_validation.target_dataset


def dataset_files(folder: Path, caption_extensions: frozenset[str]) -> list[Path]:
    """What a job can read of a dataset's folder: pictures and captions, by name.

    caption_extensions: with their dot. Raises OSError.
    """
    return [
        path
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if not path.name.startswith(".")
        and (path.suffix.lower() in PICTURE_SUFFIXES or path.suffix in caption_extensions)
        and path.is_file()
    ]


def caption_extensions(job: JobConfig) -> frozenset[str]:
    """The suffixes of caption files in the job's datasets, with their dot."""
    return frozenset(f".{dataset.caption_extension}" for dataset in job.datasets)


def _dataset(job: JobConfig, settings: Settings, name: str, memory: FileMemory) -> PackedDataset:
    folder = join_inside(settings.datasets_dir, name)
    files = dataset_files(folder, caption_extensions(job))
    return PackedDataset(name=name, files=[_packed(path, memory) for path in files])


def _control_images(
    job: JobConfig, settings: Settings, memory: FileMemory
) -> list[PackedControlImage]:
    named = list(dict.fromkeys(n for p in job.sample.prompts for n in p.control_images))
    found: list[PackedControlImage] = []
    for number, name in enumerate(named, 1):
        path = control_image_path(name, settings.datasets_dir)
        packed = _packed(path, memory).model_dump() | {"name": f"{number:03d}{path.suffix.lower()}"}
        found.append(PackedControlImage.model_validate({**packed, "named": name}))
    return found


def _packed(path: Path, memory: FileMemory) -> PackedFile:
    return PackedFile(name=path.name, size_bytes=path.stat().st_size, sha256=memory.sha256(path))


def _hashed(path: Path) -> PackedFile:
    """The same by reading every byte: a checkpoint is proved, not remembered."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return PackedFile(name=path.name, size_bytes=file.tell(), sha256=sha256)


def _damaged(folder: JobFolder, step: int, what: str) -> Conflict:
    return Conflict(
        "checkpoint_damaged",
        f"The checkpoint of step {step} of {folder.training_name} is damaged: {what}.",
        "Choose another step.",
        params={"step": step},
    )
