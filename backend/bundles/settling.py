"""What a job from elsewhere is called here, and what of its settings cannot hold here.

A training name that is taken becomes `name-2`. A dataset that is here already, with the same files
to the byte, is used as it is; where another one has its name, it becomes `name-2` and the job's
settings say so. A GPU that is not here becomes any; a path that is not here stays, and is named:
the person knows where the file lies, we do not.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.bundles.contents import caption_extensions, dataset_files
from backend.bundles.manifest import Manifest
from backend.bundles.schemas import ChangedSetting
from backend.errors import Conflict
from backend.settings import Settings
from trainer.config import JobConfig
from trainer.file_memory import FileMemory
from trainer.folders import expanded, join_inside

_HUB_NAME = re.compile(r"^[\w-][\w.-]*/[\w-][\w.-]*$")
_MODEL_PATHS = ("name_or_path", "autoencoder_path", "text_encoder_path")
START_LORAS = "imported"  # folder in the models folder


@dataclass(frozen=True)
class PlacedDataset:
    """A dataset of the bundle under its name here."""

    name: str
    becomes: str
    is_reused: bool


@dataclass
class Settled:
    """The job as it will be here."""

    config: dict[str, Any]
    training_name: str
    datasets: list[PlacedDataset]
    control_images: PlacedDataset | None
    start_lora: str | None
    missing_datasets: list[str]
    changes: list[ChangedSetting] = field(default_factory=list)

    def change(self, path: str, now: Any, message: str) -> None:
        """Give a setting another value, and say so."""
        *parents, leaf = path.split(".")
        place: Any = self.config
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place[key]
        key: Any = int(leaf) if isinstance(place, list) else leaf
        if place[key] != now:
            entry = ChangedSetting(field=path, before=place[key], now=now, message=message)
            self.changes.append(entry)
            place[key] = now

    def keep(self, path: str, value: Any, message: str) -> None:
        """Leave a setting, and say what is the matter with it here."""
        entry = ChangedSetting(field=path, before=value, now=value, message=message)
        self.changes.append(entry)


def settle(
    manifest: Manifest,
    job: JobConfig,
    settings: Settings,
    *,
    name: str | None,
    is_taken: Callable[[str], bool],
    devices: tuple[str, ...],
) -> Settled:
    """Names and settings for this machine; nothing is written.

    name: a training name that was asked for. is_taken: whether a job has it. devices: ids that are
    known here, empty if none are. Raises Conflict if the name asked for is taken.
    """
    training_name = _training_name(manifest.training_name, name, is_taken)
    extensions = caption_extensions(job)
    memory = FileMemory(settings.cache_dir)
    used: set[str] = {dataset.name for dataset in manifest.datasets}
    datasets: list[PlacedDataset] = []
    for dataset in manifest.datasets:
        placed = _place(settings, memory, dataset.name, dataset.contents, extensions, used)
        used.add(placed.becomes)
        datasets.append(placed)
    control = None
    if manifest.control_images:
        contents = {image.name: image.sha256 for image in manifest.control_images}
        wanted = f"{training_name}-control-images"
        control = _place(settings, memory, wanted, contents, extensions, used)
    memory.save()
    settled = Settled(
        config=job.model_dump(mode="json"),
        training_name=training_name,
        datasets=datasets,
        control_images=control,
        start_lora=_start_lora(manifest),
        missing_datasets=_missing(manifest, settings),
    )
    _change_names(settled, manifest)
    _change_gpu(settled, devices)
    _name_paths(settled, settings)
    return settled


def _training_name(packed: str, asked: str | None, is_taken: Callable[[str], bool]) -> str:
    if asked is not None:
        if is_taken(asked):
            raise Conflict(
                "job_name_taken",
                f"There is a job or an output folder named {asked} already.",
                "Choose another name, or none: then a free one is taken.",
                field="name",
                params={"training_name": asked},
            )
        return asked
    return next(candidate for candidate in _numbered(packed, 64) if not is_taken(candidate))


def _numbered(name: str, longest: int) -> Iterator[str]:
    """name, name-2, name-3, … within a length."""
    yield name
    for number in itertools.count(2):
        suffix = f"-{number}"
        yield f"{name[: longest - len(suffix)]}{suffix}"


def _place(
    settings: Settings,
    memory: FileMemory,
    name: str,
    contents: dict[str, str],
    extensions: frozenset[str],
    used: set[str],
) -> PlacedDataset:
    for candidate in _numbered(name, 255):
        if candidate != name and candidate in used:
            continue
        folder = join_inside(settings.datasets_dir, candidate)
        if not os.path.lexists(folder):
            return PlacedDataset(name, candidate, is_reused=False)
        if folder.is_dir() and _contents(folder, extensions, memory) == contents:
            return PlacedDataset(name, candidate, is_reused=True)
    raise AssertionError("there are more numbers than folders")


def _contents(folder: Path, extensions: frozenset[str], memory: FileMemory) -> dict[str, str]:
    try:
        return {path.name: memory.sha256(path) for path in dataset_files(folder, extensions)}
    except OSError:
        return {}  # of a folder that cannot be read nobody can say that it is the same


def _start_lora(manifest: Manifest) -> str | None:
    """Where the start lies in the models folder: named by its content, so twice is once."""
    start = manifest.start_lora
    return None if start is None else f"{START_LORAS}/{start.sha256[:16]}/{start.name}"


def _missing(manifest: Manifest, settings: Settings) -> list[str]:
    def is_here(name: str) -> bool:
        return join_inside(settings.datasets_dir, name).is_dir()

    return [name for name in manifest.left_out_datasets if not is_here(name)]


def _change_names(settled: Settled, manifest: Manifest) -> None:
    if settled.training_name != manifest.training_name:
        message = f"There is a job or folder {manifest.training_name} here already."
        settled.change("job.training_name", settled.training_name, message)
    becomes = {placed.name: placed.becomes for placed in settled.datasets}
    message = "Another dataset has this name here."
    for number, dataset in enumerate(settled.config["datasets"]):
        place = f"datasets.{number}"
        for key in ("target_dataset", "mask_dataset"):
            settled.change(f"{place}.{key}", becomes.get(dataset[key], dataset[key]), message)
        for index, name in enumerate(dataset["control_datasets"]):
            settled.change(f"{place}.control_datasets.{index}", becomes.get(name, name), message)
    of_validation = settled.config["advanced"]["validation_dataset"]
    settled.change(
        "advanced.validation_dataset", becomes.get(of_validation, of_validation), message
    )
    if settled.start_lora is not None:
        message = "It came with the bundle and lies in the models folder."
        settled.change("training.start_from_lora", settled.start_lora, message)
    if settled.control_images is not None:
        folder = settled.control_images.becomes
        files = {image.named: f"{folder}/{image.name}" for image in manifest.control_images}
        for number, prompt in enumerate(settled.config["sample"]["prompts"]):
            for index, name in enumerate(prompt["control_images"]):
                field_path = f"sample.prompts.{number}.control_images.{index}"
                settled.change(field_path, files.get(name, name), "It came with the bundle.")


def _change_gpu(settled: Settled, devices: tuple[str, ...]) -> None:
    gpu = settled.config["job"]["gpu"]
    if gpu not in ("any", "cpu") and gpu not in devices:
        message = f"This machine has no GPU {gpu}: any free one is taken."
        settled.change("job.gpu", "any", message)


def _name_paths(settled: Settled, settings: Settings) -> None:
    """Say which files of the model are not here; the door refuses the job until they are."""
    for key in _MODEL_PATHS:
        value = settled.config["model"][key]
        is_hub_name = key == "name_or_path" and _HUB_NAME.match(value)
        if value and not _exists(value, settings) and not is_hub_name:
            message = f"{value} is not on this machine: choose the file or folder anew."
            settled.keep(f"model.{key}", value, message)
    start = settled.config["training"]["start_from_lora"]
    if start and settled.start_lora is None and not _exists(start, settings):
        message = f"{start} is not on this machine, and its checkpoint needs it no more."
        settled.change("training.start_from_lora", "", message)


def _exists(name: str, settings: Settings) -> bool:
    return (settings.models_dir / expanded(name)).exists()
