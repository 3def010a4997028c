"""A safetensors file written one tensor after another, and read back with proof.

The library's own writer takes all tensors of a file at once, and copies each: a part of 33 GB would
want as much memory beside the model. But the format is plain: the length of a header, the header as
JSON, the numbers. So room is left for the header, the numbers are written as they come, and the
header goes in front at the end; spaces fill what it does not need, as the format allows.

Every tensor begins at a multiple of 64 bytes: read from a mapped file it can be computed with where
it lies, whatever its type. The format knows no gaps, so what lies between is a tensor of its own,
named `_padding.<number>`.

Each tensor's proof, the hash of its bytes with its type and shape, stands in the file's metadata.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

_TYPE_NAMES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int8: "I8",
    torch.uint8: "U8",
}
_ALIGNMENT_BYTES = 64
_LENGTH_BYTES = 8
# For a tensor's entry, its padding's entry and its proof, beside its name: JSON's signs, type,
# shape, two offsets of 12 digits each, and 64 digits of hash.
_HEADER_BYTES_A_TENSOR = 400
_PROOFS = "proofs"
_PADDING = "_padding."


class DamagedTensorFile(Exception):
    """A file that does not hold what was written to it."""


class TensorFileWriter:
    """Writes tensors to a new file; it is a safetensors file once `finish` was called."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        """names: at least those of all tensors to come. Raises OSError."""
        room = _LENGTH_BYTES + 4096 + sum(2 * len(n) + _HEADER_BYTES_A_TENSOR for n in names)
        self._start = -(-room // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
        self._offset = 0
        self._header: dict[str, Any] = {}
        self._proofs: dict[str, str] = {}
        self._file = path.open("wb")
        self._file.seek(self._start)

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Write a tensor's numbers, wherever it lies. Raises OSError."""
        values = _bytes_of(tensor)
        self._append(name, _TYPE_NAMES[tensor.dtype], list(tensor.shape), values)
        self._proofs[name] = _proof(tensor, values)
        gap = -self._offset % _ALIGNMENT_BYTES
        if gap:
            self._append(f"{_PADDING}{len(self._header)}", "U8", [gap], memoryview(bytes(gap)))

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Put the header in front, with `metadata` in it. Raises OSError."""
        own = {**metadata, _PROOFS: json.dumps(self._proofs)}
        header = json.dumps({"__metadata__": own, **self._header}).encode("utf-8")
        room = self._start - _LENGTH_BYTES
        assert len(header) <= room, "tensors came that were not named beforehand"
        self._file.seek(0)
        self._file.write(struct.pack("<Q", room) + header.ljust(room))

    def __enter__(self) -> TensorFileWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def _append(self, name: str, type_name: str, shape: list[int], values: memoryview) -> None:
        self._file.write(values)
        end = self._offset + len(values)
        self._header[name] = {
            "dtype": type_name,
            "shape": shape,
            "data_offsets": [self._offset, end],
        }
        self._offset = end


class TensorFileReader:
    """Reads tensors of a file that `TensorFileWriter` wrote, proving each unless told not to."""

    def __init__(self, path: Path, *, prove: bool) -> None:
        """Raises DamagedTensorFile, also where the file is not there."""
        self._path = path
        self._prove = prove
        try:
            self._tensors = safe_open(path, framework="pt", device="cpu").__enter__()
            self.metadata: dict[str, str] = self._tensors.metadata() or {}
            self._proofs: dict[str, str] = json.loads(self.metadata[_PROOFS])
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise DamagedTensorFile(f"{path} cannot be read: {error}") from error

    def read(self, name: str) -> torch.Tensor:
        """The tensor, as a view of the mapped file. Raises DamagedTensorFile."""
        try:
            tensor = self._tensors.get_tensor(name)
            proof = self._proofs[name]
        except (OSError, SafetensorError, KeyError) as error:
            raise DamagedTensorFile(f"{self._path} lacks {name}: {error}") from error
        if self._prove and _proof(tensor, _bytes_of(tensor)) != proof:
            raise DamagedTensorFile(f"{self._path} does not hold {name} as it was written")
        return tensor

    def __enter__(self) -> TensorFileReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tensors.__exit__(kind, error, traceback)


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    flat = tensor.detach().to("cpu").contiguous().flatten()
    values: Any = flat.view(torch.uint8).numpy()
    return memoryview(values)


def _proof(tensor: torch.Tensor, values: memoryview) -> str:
    """The hash of a tensor's type, shape and numbers."""
    about = f"{_TYPE_NAMES[tensor.dtype]}{list(tensor.shape)}"
    digest = hashlib.sha256(about.encode("ascii"))
    digest.update(values)
    return digest.hexdigest()
