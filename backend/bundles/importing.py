"""A bundle into a job of this installation: all of it, or nothing.

    read the manifest      refuse it, or settle names and room, before the gigabytes arrive
    take the files         into temporary folders beside where they will be, each proved
    publish                the start and the datasets first, then the job's folder: a rename each
    register               the rows from the files, as a rescan would, in the same transaction

Cut off before the last rename, nothing is to be seen of the job; datasets that are complete may be
there, and the next import takes them for what they are. Cut off between the last rename and the
rows, `darkroom rescan` brings the job. What a killed import leaves under temporary names is removed
by the next one; one import runs at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.bundles.manifest import MAX_JOB_BYTES, Manifest
from backend.bundles.reading import BadBundle, BundleReader
from backend.bundles.schemas import ImportedDataset, ImportReport
from backend.bundles.settling import Settled, settle
from backend.db.engine import Database
from backend.db.models import Job
from backend.errors import Conflict, Unusable
from backend.jobs.examine import examine_config
from backend.rescan.folders import read_folder
from backend.rescan.rescan import write_job
from backend.settings import Settings
from backend.system.state import known_devices
from backend.uploads import Readable
from trainer import folder_lock
from trainer.config import JobConfig
from trainer.durable_write import flush_tree, make_folder, move
from trainer.errors import FolderInUse, JobRefused
from trainer.folders import join_inside
from trainer.job_file import parse_job, parse_yaml, write_job_file
from trainer.job_folder import LORA_FILE, MANIFEST_FILE, ORIGIN_FILE, JobFolder

LOCK = ".import.lock"
_PREFIX = ".importing-"  # of folders that are being filled; hidden, so that no list shows them
SPARE_BYTES = 64 << 20  # for the database, and for what others write meanwhile


def import_bundle(
    database: Database, settings: Settings, stream: Readable, *, name: str | None = None
) -> ImportReport:
    """Read a bundle and make its job. name: of the training here; None takes the bundle's or the
    next free one. Raises BadBundle, Unusable, or Conflict; then nothing is there that was not.
    """
    make_folder(settings.output_dir)
    with _alone(settings):
        reader = BundleReader(stream)
        return _Import(database, settings, reader, name).run()


class _Import:
    """One import. Folders that are being filled lie in the roots that they will be renamed in."""

    def __init__(
        self, database: Database, settings: Settings, reader: BundleReader, name: str | None
    ) -> None:
        self._database = database
        self._settings = settings
        self._reader = reader
        self._name = name
        self._folders: dict[str, Path] = {}

    def run(self) -> ImportReport:
        manifest = self._reader.manifest
        files = self._reader.files()
        job = _read_job(next(files)[2], manifest)
        settled = self._settle(manifest, job)
        reused = {placed.name for placed in settled.datasets if placed.is_reused}
        with ExitStack() as stack:
            self._make_folders(stack)
            _refuse_what_has_no_room(manifest, reused, self._settings)
            for path, _, chunks in files:
                part, _, rest = path.partition("/")
                is_reused = part == "datasets" and rest.rpartition("/")[0] in reused
                _take(chunks, None if is_reused else self._target(part, rest, settled))
            _prove_checkpoint(self._folders["output"], manifest)
            self._write_own_files(manifest, settled)
            return self._publish(manifest, settled)

    def _make_folders(self, stack: ExitStack) -> None:
        settings = self._settings
        for key, root in (
            ("output", settings.output_dir),
            ("datasets", settings.datasets_dir),
            ("models", settings.models_dir),
        ):
            make_folder(root)
            folder = root / f"{_PREFIX}{uuid.uuid4().hex}"
            folder.mkdir()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self._folders[key] = folder

    def _settle(self, manifest: Manifest, job: JobConfig) -> Settled:
        with self._database.read() as session:
            names = {name.lower() for name in session.scalars(select(Job.training_name))}
            devices = known_devices(session)
        names |= {entry.name.lower() for entry in self._settings.output_dir.iterdir()}
        return settle(
            manifest,
            job,
            self._settings,
            name=self._name,
            is_taken=lambda candidate: candidate.lower() in names,
            devices=devices,
        )

    def _target(self, part: str, rest: str, settled: Settled) -> Path:
        """Where a file is collected. Datasets lie by number, since one may lie inside another."""
        name = rest.rpartition("/")[2]
        match part:
            case "checkpoint":
                assert self._reader.manifest.step is not None
                job = JobFolder(self._folders["output"], "job")
                return job.checkpoint(self._reader.manifest.step) / name
            case "samples":
                return JobFolder(self._folders["output"], "job").samples / name
            case "start_lora":
                return self._folders["models"] / name
            case "control_images":
                return self._folders["datasets"] / "control" / name
            case _:
                place = [placed.name for placed in settled.datasets].index(rest.rpartition("/")[0])
                return self._folders["datasets"] / str(place) / name

    def _write_own_files(self, manifest: Manifest, settled: Settled) -> None:
        folder = JobFolder(self._folders["output"], "job")
        folder.path.mkdir(exist_ok=True)
        write_job_file(folder.job_file, JobConfig.model_validate(settled.config))
        origin = {
            "training_name": manifest.training_name,
            "step": manifest.step,
            "packed_at": manifest.created_at.isoformat(),
            "darkroom_version": manifest.darkroom_version,
            "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (folder.path / ORIGIN_FILE).write_text(json.dumps(origin, indent=1), encoding="utf-8")
        for collected in self._folders.values():
            flush_tree(collected)

    def _publish(self, manifest: Manifest, settled: Settled) -> ImportReport:
        settings = self._settings
        if manifest.start_lora is not None and settled.start_lora is not None:
            target = join_inside(settings.models_dir, settled.start_lora).parent
            if not target.exists():
                file = self._folders["models"] / manifest.start_lora.name
                alone = file.parent / "start"
                alone.mkdir()
                os.rename(file, alone / file.name)
                flush_tree(alone)
                move(alone, target)
        own = dict(enumerate(settled.datasets)) | {"control": settled.control_images}
        # A folder before those inside it.
        for place, placed in sorted(
            ((place, placed) for place, placed in own.items() if placed is not None),
            key=lambda entry: entry[1].becomes.count("/"),
        ):
            if not placed.is_reused:
                collected = self._folders["datasets"] / str(place)
                collected.mkdir(exist_ok=True)
                target = join_inside(settings.datasets_dir, placed.becomes)
                _publish_dataset(collected, target)
        job_id = self._register(settled)
        return _report(manifest, settled, job_id)

    def _register(self, settled: Settled) -> int:
        """The job's folder and its rows together: if the rows fail, the folder goes again."""
        settings = self._settings
        collected = self._folders["output"] / "job"
        folder = JobFolder(settings.output_dir, settled.training_name)
        warnings = examine_config(settled.config, self._database, settings, is_new=False).warnings
        with self._database.write() as session, _undone_by(collected, folder.path):
            _refuse_taken(session, folder)
            move(collected, folder.path)
            write_job(session, None, read_folder(folder), [], warnings)
            job = session.scalar(select(Job).where(Job.training_name == folder.training_name))
            assert job is not None, "it was written just now"
            return job.id


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One import at a time, so that what a killed one has left can be told and removed."""
    try:
        with folder_lock.held(settings.output_dir / LOCK):
            for root in (settings.output_dir, settings.datasets_dir, settings.models_dir):
                for leftover in root.glob(f"{_PREFIX}*"):
                    shutil.rmtree(leftover, ignore_errors=True)
            yield
    except FolderInUse:
        raise Conflict(
            "import_runs", "Another bundle is being imported.", "Wait until it is there."
        ) from None


def _read_job(chunks: Iterator[bytes], manifest: Manifest) -> JobConfig:
    text = b"".join(chunks)
    assert len(text) <= MAX_JOB_BYTES, "the reader has looked"
    try:
        job = parse_job(parse_yaml(text.decode("utf-8"), name="its job"))
    except UnicodeDecodeError as error:
        raise BadBundle("its job is no UTF-8") from error
    except JobRefused as refusal:
        version = manifest.darkroom_version
        raise Unusable(
            "bundle_job",
            f"The job in the bundle, made by Darkroom {version}, cannot be read here.",
            problems=refusal.problems,
        ) from refusal
    if job.job.training_name != manifest.training_name:
        raise BadBundle(f"it names two jobs, {manifest.training_name} and another")
    return job


def _take(chunks: Iterator[bytes], target: Path | None) -> None:
    """Write a file; None only proves what is here already."""
    if target is None:
        for _ in chunks:
            pass
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
    except OSError as error:
        raise Unusable(
            "cannot_write",
            f"The bundle cannot be written to {target.parent.parent}: {error.strerror}.",
            "Make room or give this user the right to write there.",
        ) from error


def _refuse_what_has_no_room(manifest: Manifest, reused: set[str], settings: Settings) -> None:
    """Raises Unusable if a disk is too small; reused: datasets that are here already."""
    needed: dict[Path, int] = {
        settings.output_dir: sum(f.size_bytes for f in [*manifest.checkpoint, *manifest.samples]),
        settings.datasets_dir: sum(
            file.size_bytes for d in manifest.datasets if d.name not in reused for file in d.files
        )
        + sum(image.size_bytes for image in manifest.control_images),
        settings.models_dir: manifest.start_lora.size_bytes if manifest.start_lora else 0,
    }
    by_disk: dict[int, int] = {}
    for root, size_bytes in needed.items():
        disk = root.stat().st_dev
        by_disk[disk] = by_disk.get(disk, SPARE_BYTES) + size_bytes
        free = shutil.disk_usage(root).free
        if by_disk[disk] > free:
            raise Unusable(
                "no_room",
                f"The bundle needs {by_disk[disk] / 2**30:.1f} GiB on the disk of {root}, and "
                f"{free / 2**30:.1f} GiB are free.",
                "Make room there, or export the job without its dataset.",
                params={"needed_bytes": by_disk[disk], "free_bytes": free, "folder": str(root)},
            )


def _prove_checkpoint(collected: Path, manifest: Manifest) -> None:
    """That the files are those of a checkpoint of this step, by its own word."""
    if manifest.step is None:
        return
    packed = {file.name: (file.size_bytes, file.sha256) for file in manifest.checkpoint}
    path = JobFolder(collected, "job").checkpoint(manifest.step) / MANIFEST_FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        written = {name: (f["size_bytes"], f["sha256"]) for name, f in said["files"].items()}
        is_whole = said["step"] == manifest.step and LORA_FILE in written
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBundle(f"its checkpoint does not describe itself: {error}") from error
    packed.pop(MANIFEST_FILE)
    if not is_whole or written != packed:
        raise BadBundle("its checkpoint is not whole")


def _publish_dataset(collected: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise Conflict(
            "dataset_appeared",
            f"{target} was made while the bundle arrived.",
            "Import it again.",
            params={"folder": str(target)},
        )
    move(collected, target)


def _refuse_taken(session: Session, folder: JobFolder) -> None:
    name = folder.training_name
    holder = session.scalar(select(Job.id).where(Job.training_name == name))
    if holder is not None or os.path.lexists(folder.path):
        raise Conflict(
            "job_name_taken",
            f"A job or folder named {name} was made while the bundle arrived.",
            "Import it again.",
            params={"training_name": name},
        )


@contextmanager
def _undone_by(collected: Path, published: Path) -> Iterator[None]:
    """Take a folder back under its temporary name if what follows fails."""
    try:
        yield
    except BaseException:
        if not collected.exists() and published.exists():
            os.rename(published, collected)
        raise


def _report(manifest: Manifest, settled: Settled, job_id: int) -> ImportReport:
    num_files = {dataset.name: len(dataset.files) for dataset in manifest.datasets}
    renamed = settled.training_name != manifest.training_name
    return ImportReport(
        job_id=job_id,
        training_name=settled.training_name,
        renamed_from=manifest.training_name if renamed else None,
        step=manifest.step,
        datasets=[
            ImportedDataset(
                name=placed.name,
                becomes=placed.becomes,
                is_reused=placed.is_reused,
                num_files=num_files[placed.name],
            )
            for placed in settled.datasets
        ],
        missing_datasets=settled.missing_datasets,
        settings=settled.changes,
    )
