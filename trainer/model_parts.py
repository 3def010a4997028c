"""Where each part of a job's model lies, whatever mixture the Model panel names.

    Name or Path     blank             the architecture's own model: its hub repository, or bundled
                     a folder          a pipeline in Diffusers layout
                     a file            the transformer in the original layout; what it lacks comes
                                       from the architecture's own model
                     owner/name        a hub repository, if no folder of that name is there
    Autoencoder Path, Text Encoder Path   take the place of that part

So there is one *base* (a folder or a hub repository) and what replaces parts of it. Only what is
not replaced is ever looked for there, or downloaded: a single file with both other paths needs no
base at all, since the scheduler's settings are the same for every FLUX.2 and stand in variants.py.
Imports no torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import BadModel
from trainer.folders import Folders, located
from trainer.hub import HubRepository, cached_snapshot
from trainer.panels.model import ModelPanel
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
INDEX_NAME = "model_index.json"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class ModelSource:
    """What the Model panel means.

    base: the folder or repository that the parts in `needed` come from. The others say where a part
    lies that does not: `transformer` is a single file.
    """

    architecture: Architecture
    base: Path | HubRepository
    transformer: Path | None
    autoencoder: Path | None
    text_encoder: Path | None
    tokenizer: Path | None

    @property
    def needed(self) -> tuple[str, ...]:
        """The parts of the base that the job uses, by their folders' names."""
        elsewhere = {
            "transformer": self.transformer,
            "scheduler": self.transformer,
            "vae": self.autoencoder,
            "text_encoder": self.text_encoder,
            "tokenizer": self.tokenizer,
        }
        return tuple(part for part in PARTS if elsewhere[part] is None)

    @property
    def base_folder(self) -> Path | None:
        """The base on this machine; None if it has to be downloaded, as far as can be seen."""
        return self.base if isinstance(self.base, Path) else cached_snapshot(self.base)


@dataclass(frozen=True)
class ModelParts:
    """The parts' places on this machine.

    transformer: a folder in Diffusers layout or a single file; autoencoder: likewise. scheduler,
    index: None with a single file, where variants.py has their settings.
    """

    architecture: Architecture
    transformer: Path
    autoencoder: Path
    text_encoder: Path
    tokenizer: Path
    scheduler: Path | None
    index: Path | None


def model_source(panel: ModelPanel, folders: Folders) -> ModelSource:
    """What the panel's fields mean on this machine. Raises JobRefused for a path that leads out of
    the models folder.
    """
    variant = VARIANTS[panel.model_architecture]
    own: Path | HubRepository = (
        BUNDLED_TINY_FOLDER
        if variant.hub_id is None
        else HubRepository(variant.hub_id, panel.revision)
    )
    base, transformer = own, None
    if panel.name_or_path:
        path = _local_path(panel.name_or_path, folders, field="model.name_or_path")
        if path.is_file():
            transformer = path
        elif _REPOSITORY.fullmatch(panel.name_or_path) and not path.exists():
            base = HubRepository(panel.name_or_path, panel.revision)
        else:
            base = path
    autoencoder = text_encoder = tokenizer = None
    if panel.autoencoder_path:
        path = _local_path(panel.autoencoder_path, folders, field="model.autoencoder_path")
        autoencoder = part_of(path, "vae")
    if panel.text_encoder_path:
        path = _local_path(panel.text_encoder_path, folders, field="model.text_encoder_path")
        text_encoder = part_of(path, "text_encoder")
        # A model in Diffusers layout brings its tokenizer, the very one that inference uses.
        if transformer is not None:
            tokenizer = tokenizer_beside(text_encoder)
    return ModelSource(
        architecture=panel.model_architecture,
        base=base,
        transformer=transformer,
        autoencoder=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
    )


def parts_from(source: ModelSource, base: Path | None) -> ModelParts:
    """The parts, with those in `source.needed` from the folder `base`."""

    def part(name: str, elsewhere: Path | None) -> Path:
        if elsewhere is not None:
            return elsewhere
        assert base is not None, f"{name} has to come from the base"
        return base / name

    whole = base if source.transformer is None else None
    return ModelParts(
        architecture=source.architecture,
        transformer=part("transformer", source.transformer),
        autoencoder=part("vae", source.autoencoder),
        text_encoder=part("text_encoder", source.text_encoder),
        tokenizer=part("tokenizer", source.tokenizer),
        scheduler=None if whole is None else whole / "scheduler",
        index=None if whole is None else whole / INDEX_NAME,
    )


def local_parts(panel: ModelPanel, folders: Folders) -> ModelParts:
    """The parts as they lie on this machine. Raises BadModel if some have to be downloaded."""
    source = model_source(panel, folders)
    base = source.base_folder
    if base is None and source.needed:
        raise BadModel(
            f"{source.base} is not on this machine.",
            "Run the job, which downloads it first.",
            code="model_not_downloaded",
            field="model.name_or_path",
        )
    return parts_from(source, base)


def parts_of_pipeline(folder: Path, architecture: Architecture) -> ModelParts:
    """The parts of a pipeline in Diffusers layout."""
    return parts_from(ModelSource(architecture, folder, None, None, None, None), folder)


def part_of(path: Path, name: str) -> Path:
    """The part's folder in a pipeline's, or the path itself: both are natural to give."""
    return path / name if (path / INDEX_NAME).is_file() else path


def tokenizer_beside(text_encoder: Path) -> Path | None:
    """Where the tokenizer of a text encoder lies: in its folder, or beside it in a pipeline's."""
    for folder in (text_encoder, text_encoder.parent / "tokenizer"):
        if any((folder / name).is_file() for name in _TOKENIZER_FILES):
            return folder
    return None


def _local_path(name: str, folders: Folders, *, field: str) -> Path:
    return located(folders.models, name, field=field)
