"""A LoRA file of ours under the other program's names, without torch, while it is sent.

The server offers each checkpoint in Diffusers' names and in ComfyUI's, and may not load torch for
it. Nothing has to be computed: renaming copies, fusing q, k and v puts rows and columns beside each
other and zeros between them, and zero is zero bits in every float type. So the numbers are handled
as unsigned integers of their width, read through a memory map, one layer at a time: memory holds
one layer, however large the file is.

The same rules with torch, for files of any program, are in lora_factors.py and lora_convert.py;
`tests/trainer/test_lora_renaming.py` holds the two equal to the bit.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.errors import BadLora
from trainer.lora_header import refuse_unreadable
from trainer.lora_keys import (
    ALPHA,
    DIFFUSERS_PREFIX,
    LORA_FACTORS,
    ORIGINAL_PREFIX,
    KeyFormat,
    LayerKey,
    adapter_kind,
    has_halves_swapped,
    key_style,
    original_layer,
    parse_key,
)

Bits = npt.NDArray[np.unsignedinteger[Any]]

LORA_A, LORA_B = LORA_FACTORS
_WIDTHS = {"BF16": np.uint16, "F16": np.uint16, "F32": np.uint32}
# Which of q, k and v a fused layer may have been made of, the usual first.
_PRESENT = ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,))


@dataclass(frozen=True)
class _Tensor:
    """A tensor to be written: its bits are read when its turn has come."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], Bits]


@dataclass(frozen=True)
class RenamedLora:
    """The file as it will be sent. size_bytes: of all its parts."""

    size_bytes: int
    parts: Iterator[bytes]


def key_format_of(path: Path) -> KeyFormat | None:
    """Whose names the file has; None for another program's. Raises BadLora for no LoRA file."""
    refuse_unreadable(path)
    style = key_style(_parsed(_read_header(path)[0]).values())
    return style if style == "diffusers" or style == "comfyui" else None


def renamed_lora(path: Path, key_format: KeyFormat) -> RenamedLora:
    """A file that a run has written, in the names of `key_format`. Raises BadLora."""
    refuse_unreadable(path)
    entries, metadata, start = _read_header(path)
    keys = _parsed(entries)
    if adapter_kind(keys.values()) != "lora":
        raise BadLora(
            f"{path.name} is a LoKr: its q, k and v cannot become the one layer that they are in "
            "ComfyUI's names.",
            "ComfyUI reads a LoKr in Diffusers' names: take it as it is.",
            code="lokr_has_diffusers_names",
        )
    odd = [name for name, entry in entries.items() if not _is_plain(keys.get(name), entry)]
    if odd:
        raise BadLora(
            f"{path.name} was not written by Darkroom: {odd[0]!r} is nothing that it writes.",
            "Convert it with: python -m trainer convert IN OUT --format diffusers|comfyui",
            code="not_our_lora",
            params={"key": odd[0]},
        )
    stored = np.memmap(path, dtype=np.uint8, mode="r", offset=start)
    layers: dict[tuple[str, ...], dict[str, tuple[str, Bits]]] = {}
    for name, key in keys.items():
        entry = entries[name]
        first, end = entry["data_offsets"]
        bits = stored[first:end].view(_WIDTHS[entry["dtype"]]).reshape(entry["shape"])
        layers.setdefault(key.layers, {})[key.factor] = (entry["dtype"], bits)
    to_original = key_format == "comfyui"
    tensors = list(_to_original(layers) if to_original else _to_diffusers(layers))
    header = _header(tensors, {**metadata, "format": "pt"})
    size = len(header) + sum(_num_bytes(tensor) for tensor in tensors)
    return RenamedLora(size, _parts(header, tensors))


def _parts(header: bytes, tensors: list[_Tensor]) -> Iterator[bytes]:
    yield header
    for tensor in tensors:
        yield np.ascontiguousarray(tensor.read()).tobytes()


def _header(tensors: list[_Tensor], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for tensor in tensors:
        begin, end = end, end + _num_bytes(tensor)
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin aligned
    return struct.pack("<Q", len(text)) + text


def _num_bytes(tensor: _Tensor) -> int:
    return prod(tensor.shape) * np.dtype(_WIDTHS[tensor.dtype]).itemsize


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, str], int]:
    """Entries by name, the metadata, and where the numbers begin."""
    with path.open("rb") as file:
        (num_bytes,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(num_bytes))
    return header, header.pop("__metadata__", {}), 8 + num_bytes


def _parsed(entries: Mapping[str, Any]) -> dict[str, LayerKey]:
    parsed = {name: parse_key(name) for name in entries}
    return {name: key for name, key in parsed.items() if key is not None}


def _is_plain(key: LayerKey | None, entry: Mapping[str, Any]) -> bool:
    return (
        key is not None
        and key.factor != ALPHA
        and entry["dtype"] in _WIDTHS
        and len(entry["shape"]) == 2
    )


_Layers = dict[tuple[str, ...], dict[str, tuple[str, Bits]]]


def _to_original(layers: _Layers) -> Iterator[_Tensor]:
    """Diffusers' layers under the reference code's names, q, k and v as one."""
    by_original: dict[str, dict[int | None, dict[str, tuple[str, Bits]]]] = {}
    for (layer, *_), factors in layers.items():
        original, third = original_layer(layer)
        by_original.setdefault(original, {})[third] = (
            _with_swapped_halves(factors) if has_halves_swapped(layer) else factors
        )
    for original, thirds in by_original.items():
        if None in thirds:
            yield from _named(f"{ORIGINAL_PREFIX}{original}", thirds[None])
            continue
        present = [thirds[third] for third in range(3) if third in thirds]
        dtype = present[0][LORA_A][0]
        rank = sum(third[LORA_A][1].shape[0] for third in present)
        num_in = present[0][LORA_A][1].shape[1]
        num_out = present[0][LORA_B][1].shape[0]

        def read_a(present: list[dict[str, tuple[str, Bits]]] = present) -> Bits:
            return np.concatenate([third[LORA_A][1] for third in present])

        def read_b(
            thirds: dict[int | None, dict[str, tuple[str, Bits]]] = thirds,
            shape: tuple[int, int] = (3 * num_out, rank),
        ) -> Bits:
            return _fused(thirds, shape)

        name = f"{ORIGINAL_PREFIX}{original}"
        yield _Tensor(f"{name}.{LORA_A}", dtype, (rank, num_in), read_a)
        yield _Tensor(f"{name}.{LORA_B}", dtype, (3 * num_out, rank), read_b)


def _fused(
    thirds: Mapping[int | None, dict[str, tuple[str, Bits]]], shape: tuple[int, int]
) -> Bits:
    """B of q, k and v as one: each in its own rows and columns, zeros elsewhere."""
    some = next(iter(thirds.values()))[LORA_B][1]
    fused = np.zeros(shape, dtype=some.dtype)
    column, num_rows = 0, shape[0] // 3
    for third in range(3):
        if third in thirds:
            own = thirds[third][LORA_B][1]
            fused[third * num_rows : (third + 1) * num_rows, column : column + own.shape[1]] = own
            column += own.shape[1]
    return fused


def _to_diffusers(layers: _Layers) -> Iterator[_Tensor]:
    """The reference code's layers under Diffusers' names, q, k and v apart."""
    for names, factors in layers.items():
        if len(names) == 1:
            name = names[0]
            swapped = _with_swapped_halves(factors) if has_halves_swapped(name) else factors
            yield from _named(f"{DIFFUSERS_PREFIX}{name}", swapped)
            continue
        dtype, a = factors[LORA_A]
        for name, own in zip(names, _split(a, factors[LORA_B][1]), strict=True):
            if own is not None:
                pair = {LORA_A: (dtype, own[0]), LORA_B: (dtype, own[1])}
                yield from _named(f"{DIFFUSERS_PREFIX}{name}", pair)


def _split(a: Bits, b: Bits) -> list[tuple[Bits, Bits] | None]:
    """(A, B) of q, k and v; None for one that is absent. See `lora_factors.split_in_three`."""
    rows = np.split(b, 3)
    rank = b.shape[1]
    for present in _PRESENT:
        if rank % len(present):
            continue
        width = rank // len(present)
        places = {third: slice(i * width, (i + 1) * width) for i, third in enumerate(present)}
        if all(_is_zero_beside(rows[third], places.get(third)) for third in range(3)):
            return [
                (a[places[third]], rows[third][:, places[third]]) if third in places else None
                for third in range(3)
            ]
    return [(a, own) for own in rows]


def _is_zero_beside(rows: Bits, place: slice | None) -> bool:
    """Whether there is nothing but zeros outside of these columns."""
    sign = rows.dtype.type(1 << (8 * rows.dtype.itemsize - 1))
    without_sign = rows & ~sign  # minus zero is zero too
    if place is not None:
        without_sign[:, place] = 0
    return not without_sign.any()


def _with_swapped_halves(factors: dict[str, tuple[str, Bits]]) -> dict[str, tuple[str, Bits]]:
    dtype, b = factors[LORA_B]
    return {**factors, LORA_B: (dtype, np.concatenate(np.split(b, 2)[::-1]))}


def _named(stem: str, factors: Mapping[str, tuple[str, Bits]]) -> Iterator[_Tensor]:
    for factor, (dtype, bits) in factors.items():
        yield _Tensor(f"{stem}.{factor}", dtype, bits.shape, lambda bits=bits: bits)
