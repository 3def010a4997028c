"""Weights of linear layers as 8- and 4-bit codes: encoded once, decoded just before use.

Legend: R = rows (output features), C = columns (input features), G = weights that share a scale.

    int8     code = round(w / scale), scale = a row's largest magnitude / 127
    nf4      the nearest of 16 values that cut a normal distribution into equal shares, times the
             largest magnitude of 64 neighbours; those magnitudes are codes of 8 bits themselves
    int4     code = round((w + shift) / scale): 16 even steps from a group's smallest to its largest

The arithmetic of nf4 is bitsandbytes' and that of int4 is optimum-quanto's. What is done here is
the way there and back. *There* goes by rows, a few at a time, because every one of these formulas
wants float32 in between: done at once, the largest layer of dev (340 million weights) takes 4 GB
beside the 0.7 GB that it is. *Back* decodes in place: one matrix of the compute type is made, and
no second one.

Packing of int4 is our own, two codes to a byte, the first half of a group in the low bits. quanto's
unpacks through an extension which it compiles with g++ at the first use on a CPU. bitsandbytes has
a path that torch compiles too, for rows of odd length; rows that do not divide into blocks of 64
are never stored as nf4 (`quantization_kinds.fits`), so it is not reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from optimum.quanto import qint4
from optimum.quanto.tensor.optimizers import MaxOptimizer

from trainer.quantization_kinds import (
    NF4_BLOCK,
    NF4_SCALES_PER_SCALE,
    QuantizationKind,
    int4_group,
)

CodedKind = Literal["int8", "nf4", "int4"]
# float32 in between takes 0.5 MB for this many and fits into a CPU's caches; a GPU wants more at
# once, 32 MB, to be busy.
WEIGHTS_AT_ONCE = 1 << 17
WEIGHTS_AT_ONCE_ON_GPU = 1 << 23
_INT8_LARGEST = 127

# What each kind keeps for a layer, by the name of the buffer and of the tensor on disk.
RAW_NAMES: dict[QuantizationKind, tuple[str, ...]] = {
    "none": ("weight",),
    "float8": ("weight", "scale"),
    "int8": ("weight", "scale"),
    "nf4": ("weight", "scale", "scale_of_scale", "scale_offset"),
    "int4": ("weight", "scale", "shift"),
}


def encode(kind: CodedKind, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """[R, C] to the tensors named in RAW_NAMES, on the weight's device."""
    if kind == "int8":
        return _encode_int8(weight)
    if kind == "nf4":
        return _encode_nf4(weight)
    return _encode_int4(weight)


def decode(
    kind: CodedKind, raw: dict[str, torch.Tensor], *, columns: int, dtype: torch.dtype
) -> torch.Tensor:
    """What `encode` was given, to rounding: [R, C] in `dtype`."""
    if kind == "int8":
        return raw["weight"].to(dtype).mul_(raw["scale"])
    if kind == "nf4":
        return _decode_nf4(raw, columns=columns, dtype=dtype)
    return _decode_int4(raw, columns=columns, dtype=dtype)


def row_slices(weight: torch.Tensor) -> Iterator[slice]:
    """Rows to take at once, of a weight [R, C]."""
    at_once = WEIGHTS_AT_ONCE if weight.device.type == "cpu" else WEIGHTS_AT_ONCE_ON_GPU
    rows = max(1, at_once // weight.shape[1])
    for start in range(0, weight.shape[0], rows):
        yield slice(start, min(start + rows, weight.shape[0]))


def _encode_int8(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """weight int8 [R, C], scale [R, 1] in the weight's type."""
    codes = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    scale = torch.empty(weight.shape[0], 1, dtype=weight.dtype, device=weight.device)
    for rows in row_slices(weight):
        exact = weight[rows].float()
        largest = exact.abs().amax(dim=1, keepdim=True)
        # Rounded to its stored type first, so that the codes are of the scale that they will meet.
        scale[rows] = _not_zero(largest / _INT8_LARGEST, weight.dtype)
        steps = (exact / scale[rows].float()).round_()
        codes[rows] = steps.clamp_(-_INT8_LARGEST, _INT8_LARGEST).to(torch.int8)
    return {"weight": codes, "scale": scale}


def _encode_nf4(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """weight uint8 [R, C / 2], scale uint8 [R * C / 64], scale_of_scale float32 [that / 256],
    scale_offset float32 [1]: the mean, which is taken off the scales before they become codes.
    """
    from bitsandbytes import functional as bnb

    num_rows, columns = weight.shape
    codes = torch.empty(num_rows, columns // 2, dtype=torch.uint8, device=weight.device)
    largest = torch.empty(num_rows, columns // NF4_BLOCK, device=weight.device)
    for rows in row_slices(weight):
        packed, state = bnb.quantize_4bit(
            weight[rows].contiguous(), blocksize=NF4_BLOCK, quant_type="nf4"
        )
        codes[rows] = packed.view(-1, columns // 2)
        largest[rows] = state.absmax.view(-1, columns // NF4_BLOCK)
    offset = largest.mean()
    scale, of_scale = bnb.quantize_blockwise(
        (largest - offset).flatten(), blocksize=NF4_SCALES_PER_SCALE
    )
    return {
        "weight": codes,
        "scale": scale,
        "scale_of_scale": of_scale.absmax,
        "scale_offset": offset.reshape(1),
    }


def _decode_nf4(raw: dict[str, torch.Tensor], *, columns: int, dtype: torch.dtype) -> torch.Tensor:
    ops = torch.ops.bitsandbytes
    scale = raw["scale"]
    largest = ops.dequantize_blockwise(
        scale,
        raw["scale_of_scale"],
        _scale_values(scale.device),
        NF4_SCALES_PER_SCALE,
        torch.float32,
    ).add_(raw["scale_offset"])
    codes = raw["weight"]
    shape = (codes.shape[0], columns)
    return ops.dequantize_4bit(codes.view(-1, 1), largest, NF4_BLOCK, "nf4", shape, dtype)


_values_of_scales: dict[torch.device, torch.Tensor] = {}


def _scale_values(device: torch.device) -> torch.Tensor:
    """[256]: the numbers between -1 and 1 that the 8-bit codes of scales stand for."""
    if device not in _values_of_scales:
        from bitsandbytes import functional as bnb

        _values_of_scales[device] = bnb.create_dynamic_map().to(device)
    return _values_of_scales[device]


def _encode_int4(weight: torch.Tensor) -> dict[str, torch.Tensor]:
    """weight uint8 [R * C / G, G / 2], scale and shift [R * C / G, 1] in the weight's type."""
    num_rows, columns = weight.shape
    group = int4_group(columns)
    assert group is not None, f"rows of {columns} do not divide into groups"
    groups, half = columns // group, group // 2
    codes = torch.empty(num_rows * groups, half, dtype=torch.uint8, device=weight.device)
    scale = torch.empty(num_rows * groups, 1, dtype=weight.dtype, device=weight.device)
    shift = torch.empty_like(scale)
    for rows in row_slices(weight):
        own = slice(rows.start * groups, rows.stop * groups)
        exact = weight[rows].float()
        found, shift[own] = MaxOptimizer()(exact, qtype=qint4, axis=0, group_size=group)
        scale[own] = _not_zero(found, weight.dtype)
        whole = torch.ops.quanto.quantize_affine(
            exact, 4, 0, group, scale[own].float(), shift[own].float()
        )
        codes[own] = whole[:, :half] | (whole[:, half:] << 4)
    return {"weight": codes, "scale": scale, "shift": shift}


def _decode_int4(raw: dict[str, torch.Tensor], *, columns: int, dtype: torch.dtype) -> torch.Tensor:
    codes = raw["weight"]
    half = codes.shape[1]
    weight = torch.empty(codes.shape[0], 2 * half, dtype=dtype, device=codes.device)
    weight[:, :half] = codes & 0xF
    weight[:, half:] = codes >> 4
    return weight.mul_(raw["scale"]).sub_(raw["shift"]).view(-1, columns)


def _not_zero(scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The scale in `dtype`: a row of zeros has none to divide by, and 0 / 0 would store NaN."""
    return scale.to(dtype).clamp_(min=torch.finfo(dtype).tiny)
