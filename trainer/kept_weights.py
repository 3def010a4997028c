"""Quantized weights kept on disk: the second start reads them instead of quantizing anew.

Quantizing dev reads 64 GB, encodes 31 billion weights and throws the result away at the end; every
start of every run does it again, for minutes. Kept, the next start maps 33 GB and is done:

    <cache>/weights/<what it is>-<how it was made>.safetensors     one file for one part
    <cache>/weights/writing.lock                                   held while one is written

**Keys are contents.** What it is: the source files' identity (`fingerprints.weights_fingerprint`,
which samples every tensor, so that two models that differ in one layer are told apart without
reading 64 GB), the part and where it is cut, the kind, the compute type, CPU or CUDA. How it was
made: the version of the recipe and of the packages in it. A file of the same thing made in another
way can never be read again by this installation; it is removed when its successor is complete, and
the log says how much that freed.

**Files prove themselves.** Every tensor has its hash in the file. A file that was once written or
proved, and has not changed since, is taken to be whole (`file_memory.py`), because hashing 33 GB
takes longer than reading them. A damaged file is made anew from the source, and the log says so.

**Nothing waits for it and nothing fails by it.** The file is written while the model loads, tensor
by tensor, and gets its name when it is whole. Without room on the disk, or with another run just
writing, the model loads as it would without a cache.

What this costs: the disk space, once for each kind and model that was trained with. Nothing else is
ever removed; the folder may be deleted while no run uses it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from trainer import folder_lock
from trainer.caching import content_key
from trainer.durable_write import remove_leftovers, replacing
from trainer.errors import FolderInUse
from trainer.file_memory import FileMemory
from trainer.fingerprints import weights_fingerprint
from trainer.model_filling import Keep, Progress, Storage, put_in_place
from trainer.quantization_kinds import KINDS, fits, stored_bytes
from trainer.quantized_linear import linear_over
from trainer.tensor_file import DamagedTensorFile, TensorFileReader, TensorFileWriter
from trainer.weight_codes import RAW_NAMES

WEIGHTS_FOLDER = "weights"
# A change to how weights are encoded or laid out makes every file anew.
RECIPE_VERSION = 1
_SPARE_BYTES = 2 << 30
_GB = 1e9

Model = TypeVar("Model", bound=nn.Module)
# Gives a model without memory its tensors, and passes each on as it is stored.
Fill = Callable[[nn.Module, Keep | None], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptWeights:
    """The place of one part's quantized weights in the cache."""

    cache: Path
    identity: str
    recipe: str

    @property
    def path(self) -> Path:
        return self.cache / WEIGHTS_FOLDER / f"{self.identity}-{self.recipe}.safetensors"

    @property
    def key(self) -> str:
        """What the file says of itself."""
        return f"{self.identity}-{self.recipe}"

    def read_into(self, model: nn.Module, storage: Storage, progress: Progress) -> None:
        """Give every parameter of `model`, on the meta device, its kept tensors.

        Raises DamagedTensorFile, which leaves the model half filled.
        """
        memory = FileMemory(self.cache)
        is_proved = memory.is_proved(self.path)
        names = [name for name, _ in model.named_parameters()]
        with TensorFileReader(self.path, prove=not is_proved) as reader:
            if reader.metadata.get("key") != self.key:
                raise DamagedTensorFile(f"{self.path} holds other weights than its name says")
            for done, name in enumerate(names, start=1):
                _read_parameter(model, name, reader, storage)
                progress(done, len(names))
        model.requires_grad_(False)
        if not is_proved:
            memory.prove(self.path, is_final=True)
            memory.save()

    def fill_and_write(self, model: nn.Module, storage: Storage, fill: Fill) -> None:
        """Fill the model from its source, and write what it is given, if that can be done."""
        folder, names = self.path.parent, [*_stored_names(model, storage)]
        of_fill: Exception | None = None
        of_writing: OSError | None = None
        is_filled = False
        try:
            with folder_lock.held(folder / "writing.lock"):
                remove_leftovers(folder)
                _refuse_full_disk(folder, model, storage)
                with replacing(self.path) as temporary, TensorFileWriter(temporary, names) as file:

                    def keep(name: str, tensor: torch.Tensor) -> None:
                        nonlocal of_writing
                        if of_writing is None:
                            try:
                                file.add(name, tensor)
                            except OSError as error:
                                of_writing = error

                    try:
                        fill(model, keep)
                    except Exception as error:
                        of_fill = error
                        raise
                    is_filled = True
                    if of_writing is not None:
                        raise of_writing
                    file.finish({"key": self.key})
                memory = FileMemory(self.cache)
                memory.prove(self.path, is_final=True)
                memory.save()
                self._remove_superseded()
        except (FolderInUse, OSError) as error:
            if error is of_fill:
                raise
            log.warning("the quantized weights are not kept on disk: %s", error)
            if not is_filled:
                fill(model, None)

    def _remove_superseded(self) -> None:
        """Remove what is the same in another make."""
        for other in self.path.parent.glob(f"{self.identity}-*.safetensors"):
            if other != self.path:
                with contextlib.suppress(OSError):
                    size_gb = other.stat().st_size / _GB
                    other.unlink()
                    log.warning(
                        "removed %s (%.1f GB): quantized weights made with other versions",
                        other,
                        size_gb,
                    )


def kept_weights(
    cache: Path, files: list[Path], storage: Storage, *, part: str, **cut: Any
) -> KeptWeights | None:
    """Where the weights of `files`, stored so, are kept; None for what is not quantized, and for
    files that cannot be read, which loading will say more about.

    part: "transformer" or "text_encoder". cut: what of it is loaded.
    """
    if storage.kind == "none":
        return None
    try:
        source = weights_fingerprint(files)
    except (OSError, ValueError, KeyError):
        return None
    identity = {
        "source": source,
        "part": part,
        "cut": cut,
        "kind": storage.kind,
        "data_type": str(storage.dtype),
        "device": torch.device(storage.device).type,
    }
    package = KINDS[storage.kind].package
    recipe = {
        "recipe": RECIPE_VERSION,
        "versions": {name: version(name) for name in ("torch", package) if name is not None},
    }
    return KeptWeights(cache, content_key(**identity), content_key(**recipe)[:16])


def load_kept(
    build: Callable[[], Model],
    fill: Fill,
    storage: Storage,
    *,
    kept: KeptWeights | None,
    progress: Progress,
) -> Model:
    """The model from its kept weights; where there are none, or damaged ones, from its source, and
    kept for the next time.

    build: the model without memory. fill: gives it its tensors and passes on what is to be kept.
    kept: None to keep nothing.
    """
    if kept is not None and kept.path.exists():
        model = build()
        try:
            kept.read_into(model, storage, progress)
        except DamagedTensorFile as error:
            log.warning("%s: the weights are quantized anew", error)
        else:
            return model
    model = build()
    if kept is None:
        fill(model, None)
    else:
        kept.fill_and_write(model, storage, fill)
    return model


def _read_parameter(
    model: nn.Module, name: str, reader: TensorFileReader, storage: Storage
) -> None:
    module_name, _, leaf = name.rpartition(".")
    module = model.get_submodule(module_name)
    home = storage.home(module_name)
    if leaf == "weight" and _is_coded(module_name, module, storage):
        assert isinstance(module, nn.Linear)
        raw = {
            part: reader.read(f"{module_name}.{part}").to(home) for part in RAW_NAMES[storage.kind]
        }
        put_in_place(model, module_name, linear_over(module, storage.kind, raw))
        return
    tensor = reader.read(name)
    expected = model.get_parameter(name)
    if tensor.shape != expected.shape:
        raise DamagedTensorFile(f"{name} has the shape {list(tensor.shape)} in the cache")
    setattr(module, leaf, nn.Parameter(tensor.to(home), requires_grad=False))


def _is_coded(module_name: str, module: nn.Module, storage: Storage) -> bool:
    """Whether the module's weight is stored as codes."""
    return (
        storage.quantizes(module_name, module)
        and isinstance(module, nn.Linear)
        and fits(storage.kind, rows=module.out_features, columns=module.in_features)
    )


def _stored_names(model: nn.Module, storage: Storage) -> Iterator[str]:
    for name, _ in model.named_parameters():
        module_name, _, leaf = name.rpartition(".")
        if leaf == "weight" and _is_coded(module_name, model.get_submodule(module_name), storage):
            yield from (f"{module_name}.{part}" for part in RAW_NAMES[storage.kind])
        else:
            yield name


def _refuse_full_disk(folder: Path, model: nn.Module, storage: Storage) -> None:
    """Raises OSError where the file would leave less than 2 GiB free."""
    wanted = 0
    for name, parameter in model.named_parameters():
        module_name, _, leaf = name.rpartition(".")
        if leaf == "weight" and _is_coded(module_name, model.get_submodule(module_name), storage):
            rows, columns = parameter.shape
            wanted += stored_bytes(
                storage.kind, rows=rows, columns=columns, dtype_bytes=storage.dtype.itemsize
            )
        else:
            wanted += parameter.numel() * storage.dtype.itemsize
    free = shutil.disk_usage(folder).free
    if free < wanted + _SPARE_BYTES:
        raise OSError(
            errno.ENOSPC,
            f"they take {wanted / _GB:.1f} GB, and {free / _GB:.1f} GB are free on the disk",
            str(folder),
        )
