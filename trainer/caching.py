"""Encoded pictures and prompts on disk, found again by what they were made from.

A FLUX.2 run needs each picture's latents and each prompt's embedding thousands of times, and they
never change while a LoRA trains. They are computed once and kept:

    <cache>/latents/3f/3f9a….safetensors      [C, h, w]
    <cache>/references/b1/b107….safetensors   [C, h, w]
    <cache>/masks/77/7713….safetensors        [h, w]
    <cache>/prompts/a0/a04c….safetensors      [T, D]
    <cache>/private/<run>/{latents,prompts,…} the same for a run whose caches are off

**Keys are contents.** The name of a file is the hash of everything that its numbers depend on: for
latents the picture's bytes, the size it was brought to, how it is mirrored, the autoencoder's
configuration and weights, the data type, the versions of the libraries, the kind of device; for
prompts the text, the encoder, its quantization, the tokenizer, the hidden states taken, the rows
padded to; for both how many are encoded in one pass. So a renamed picture is found again, an edited
one is not, a fine-tuned autoencoder never meets another's latents, two jobs with the same picture
share it, and nobody ever has to clear a cache. Peers that key by file name train on yesterday's
picture after an edit.

**Files prove themselves.** Each holds one tensor with its own key and a hash of the tensor. A file
that is cut short, flipped or renamed onto another's key fails that proof whenever it is read; it
counts as missing, is encoded again, and the run says so. Files are written through `durable_write`,
so a killed run leaves either a whole file or none.

**Off means gone.** With caching off, a run writes to a folder of its own, locked by its process.
The run removes it at its end; a run that was killed could not, so each run first removes every
private folder whose lock is free, which the system sees to however the holder died.

What else was possible: one archive a dataset (rewritten whole for one new picture; lost whole by
one damaged block), and a database of blobs (the same bytes through one more program). What this
costs: a run of 1,000 captions on dev keeps 16 GB of prompts. They are read once to prove them; a
file that has not changed since is taken to be whole at the next start (`file_memory.py`), and is
proved again whenever its tensor is read. Nothing is ever evicted; the folder may be deleted while
no run uses it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import struct
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from trainer import folder_lock
from trainer.durable_write import TEMPORARY_PREFIX, write_bytes
from trainer.errors import FolderInUse

if TYPE_CHECKING:
    import torch

Kind = Literal["latents", "references", "masks", "prompts"]
TENSOR_NAME = "tensor"
PRIVATE_FOLDER = "private"
# A temporary file of a run that is still writing is seconds old.
_STALE_AFTER_SECONDS = 3600


class DamagedCacheFile(Exception):
    """A cache file that does not prove to be what its name says."""


def content_key(**made_from: Any) -> str:
    """The hash of everything that a tensor depends on; the values are JSON's."""
    text = json.dumps(made_from, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class Slot:
    """The place of one tensor: a folder of one kind, and the tensor's key."""

    root: Path
    key: str

    @property
    def path(self) -> Path:
        # 256 sub-folders: file systems and people both tire of folders with 100,000 entries.
        return self.root / self.key[:2] / f"{self.key}.safetensors"

    @property
    def kind(self) -> str:
        """What the tensor is of: one of `Kind`."""
        return self.root.name

    @property
    def outlives_the_run(self) -> bool:
        """Whether it lies in the shared cache, and not in the folder of one run."""
        return self.root.parent.parent.name != PRIVATE_FOLDER

    def state(self) -> Literal["whole", "missing", "damaged"]:
        """Whether the tensor can be read, proved by its bytes; loads no torch."""
        try:
            self._proved_bytes()
        except FileNotFoundError:
            return "missing"
        except (DamagedCacheFile, OSError):
            return "damaged"
        return "whole"

    def read(self) -> torch.Tensor:
        """The tensor, on the CPU. Raises DamagedCacheFile, OSError."""
        from safetensors.torch import load

        return load(self._proved_bytes())[TENSOR_NAME]

    def write(self, tensor: torch.Tensor, about: dict[str, Any]) -> None:
        """Keep the tensor, with `about` for people who look into the file. Raises OSError."""
        from safetensors.torch import save

        kept = {TENSOR_NAME: tensor.detach().to("cpu").contiguous()}
        metadata = {"key": self.key, "about": json.dumps(about, ensure_ascii=False)}
        # Type and shape are proved with the bytes, and how the format writes those is its affair.
        header, values = _parsed(save(kept, metadata))
        metadata["sha256"] = _proof(header, values)
        write_bytes(self.path, save(kept, metadata))

    def _proved_bytes(self) -> bytes:
        data = self.path.read_bytes()
        try:
            header, values = _parsed(data)
            metadata = header["__metadata__"]
            key, sha256, found = metadata["key"], metadata["sha256"], _proof(header, values)
        except (struct.error, ValueError, KeyError, TypeError, OverflowError) as error:
            raise DamagedCacheFile(f"{self.path} is no cache file") from error
        if key != self.key:
            raise DamagedCacheFile(f"{self.path} holds the tensor {key}")
        if found != sha256 or set(header) != {"__metadata__", TENSOR_NAME}:
            raise DamagedCacheFile(f"{self.path} does not hold what was written")
        return data


def _parsed(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Header and values of a safetensors file: 8 bytes of header length, JSON, the numbers."""
    (header_bytes,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + header_bytes]), memoryview(data)[8 + header_bytes :]


def _proof(header: dict[str, Any], values: memoryview) -> str:
    """The hash of a tensor's type, shape and numbers."""
    digest = hashlib.sha256(json.dumps(header[TENSOR_NAME], sort_keys=True).encode())
    digest.update(values)
    return digest.hexdigest()


class CacheFolders:
    """The shared cache of all runs, and the folder that is this run's alone until `close`."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._private: Path | None = None
        self._closing = contextlib.ExitStack()
        _remove_abandoned(cache)

    def slot(self, kind: Kind, key: str, *, shared: bool) -> Slot:
        """Where a tensor lies or is to lie: in the shared cache, or in this run's own folder."""
        root = self._cache if shared else self._private_folder()
        return Slot(root / kind, key)

    def close(self) -> None:
        """Remove what is private to this run; calling it again does nothing."""
        self._closing.close()
        self._private = None

    def _private_folder(self) -> Path:
        if self._private is None:
            folder = self._cache / PRIVATE_FOLDER / uuid.uuid4().hex
            lock = folder.with_suffix(".lock")
            # Callbacks run in reverse: the folder goes while the lock still says that it is ours.
            self._closing.callback(lock.unlink, missing_ok=True)
            self._closing.enter_context(folder_lock.held(lock))
            self._closing.callback(shutil.rmtree, folder, ignore_errors=True)
            self._private = folder
        return self._private


def _remove_abandoned(cache: Path) -> None:
    """Remove what killed runs left: private folders nobody holds, temporary files of old."""
    for lock in (cache / PRIVATE_FOLDER).glob("*.lock"):
        with contextlib.suppress(FolderInUse), folder_lock.held(lock):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    stale_before = time.time() - _STALE_AFTER_SECONDS
    for kind in get_args(Kind):
        for temporary in (cache / kind).glob(f"*/{TEMPORARY_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                if temporary.stat().st_mtime < stale_before:
                    temporary.unlink()
