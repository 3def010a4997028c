"""What a bundle says about itself: `bundle.json`, the first file in it.

A bundle is a plain tar archive, so any system can look into it:

    bundle.json                    this: format, job, step, and every file with size and SHA-256
    job.yaml                       the settings
    checkpoint/                    lora.safetensors, state…, checkpoint.json: none for a fresh job
    samples/                       the pictures up to that step
    start_lora/style.safetensors   what the job started from, if it did
    control_images/                references of sample prompts
    datasets/cats/1.png            what the job reads of its datasets, captions with them

The files follow in just this order and nothing else is in it. Paths are made from the names here,
never taken from the archive, and a name is one part of a path: so nothing can be written elsewhere.
It stands first, so that whoever receives a bundle can refuse it before the gigabytes arrive. Tar in
place of zip, since it can be read while it arrives: neither end needs room for the archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backend.db.values import is_storable
from trainer.panels.field import TrainingName

FORMAT = 1
MANIFEST, JOB_FILE = "bundle.json", "job.yaml"
MAX_MANIFEST_BYTES = 64 << 20  # 200,000 files need some 30 MB
MAX_JOB_BYTES = 1 << 20
MAX_FILES = 200_000
MAX_FILE_BYTES = 1 << 40


def _plain_name(name: str) -> str:
    """One part of a path that means the same on every system, and is not hidden."""
    is_plain = (
        0 < len(name.encode("utf-8", "replace")) <= 255
        and name.isprintable()
        and is_storable(name)
        and not name.startswith(".")
        and not set(name) & set('/\\:*?"<>|')
    )
    if not is_plain:
        raise ValueError(f"{name!r} is not the plain name of a file")
    return name


def _dataset_name(name: str) -> str:
    for part in name.split("/"):
        _plain_name(part)
    if len(name) > 255:
        raise ValueError(f"{name[:40]!r}… is longer than 255 characters")
    return name


PlainName = Annotated[str, AfterValidator(_plain_name)]
DatasetName = Annotated[str, AfterValidator(_dataset_name)]
SampleName = Annotated[str, Field(pattern=r"^step-\d{6,12}-prompt-\d{2,6}\.png$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Entry(BaseModel):
    # A later version may say more; what must be understood comes with another format number.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class PackedFile(_Entry):
    """A file in the bundle."""

    name: PlainName
    size_bytes: int = Field(ge=0, le=MAX_FILE_BYTES)
    sha256: Sha256


class PackedSample(PackedFile):
    """A sample, whose name tells its step and prompt."""

    name: SampleName


class PackedControlImage(PackedFile):
    """A reference picture; `named` is what the job calls it."""

    named: str = Field(max_length=4096)


class PackedDataset(_Entry):
    """What the job reads of one folder of the datasets folder."""

    name: DatasetName
    files: list[PackedFile] = Field(max_length=MAX_FILES)

    @property
    def contents(self) -> dict[str, str]:
        """Names and hashes: two datasets that agree in them are the same."""
        return {file.name: file.sha256 for file in self.files}


class Manifest(_Entry):
    """Everything that is in the bundle. step: of its checkpoint, None without one."""

    format: int
    darkroom_version: str = Field(max_length=64)
    created_at: datetime = Field(strict=False)
    training_name: TrainingName
    step: int | None = Field(ge=0, le=10**9)
    job: PackedFile
    checkpoint: list[PackedFile] = Field(max_length=64)
    samples: list[PackedSample] = Field(max_length=MAX_FILES)
    start_lora: PackedFile | None
    control_images: list[PackedControlImage] = Field(max_length=MAX_FILES)
    datasets: list[PackedDataset] = Field(max_length=1000)
    left_out_datasets: list[str] = Field(max_length=1000)

    def members(self) -> Iterator[tuple[str, PackedFile]]:
        """(path in the archive, file) in the archive's order, without the manifest itself."""
        yield JOB_FILE, self.job
        yield from ((f"checkpoint/{file.name}", file) for file in self.checkpoint)
        yield from ((f"samples/{file.name}", file) for file in self.samples)
        if self.start_lora is not None:
            yield f"start_lora/{self.start_lora.name}", self.start_lora
        yield from ((f"control_images/{file.name}", file) for file in self.control_images)
        for dataset in self.datasets:
            yield from ((f"datasets/{dataset.name}/{file.name}", file) for file in dataset.files)

    @property
    def num_bytes(self) -> int:
        """Of all files together."""
        return sum(file.size_bytes for _, file in self.members())
