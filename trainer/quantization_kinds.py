"""The kinds of quantization as a table: what each stores for a weight, and which layers it fits.

Panels, the memory plan and the loader read the same table, so that what is promised, reckoned and
stored is one thing. Imports no torch.

Legend: rows = output features, columns = input features of a linear layer's weight.

    none     rows x columns numbers of the compute type
    float8   1 byte a weight (e4m3), and a scale of the compute type for every row
    int8     1 byte a weight, and a scale of the compute type for every row
    nf4      half a byte a weight; for every 64 of a row one byte of scale, for every 256 of those
             a float32, and one float32 for the layer (bitsandbytes' double quantization)
    int4     half a byte a weight, and for every 128 of a row (or the largest of 96, 64 and 32 that
             divides it) a scale and a shift of the compute type

None of them multiplies in 8 or 4 bits: weights are multiplied up again just before use, so the
sizes that 8-bit matrix products ask for (`torch._int_mm` wants multiples of 16) do not matter here.
What matters is that a group of 4-bit weights lies within one row: a layer whose rows do not divide
into groups stays as it is, and the run's log says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

QuantizationKind = Literal["none", "float8", "int8", "nf4", "int4"]
QUANTIZATION_KINDS: tuple[QuantizationKind, ...] = get_args(QuantizationKind)

NF4_BLOCK = 64
NF4_SCALES_PER_SCALE = 256
INT4_GROUPS = (128, 96, 64, 32)
_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class KindFacts:
    """One kind.

    bytes_per_weight: with its scales, for a large layer at bf16; `stored_bytes` is exact.
    package: what has to be installed for it, beside torch. error: of a stored weight against the
    original, for normally distributed weights (docs/quantization.md).
    """

    label: str
    bytes_per_weight: float
    package: str | None
    error: str


KINDS: dict[QuantizationKind, KindFacts] = {
    "none": KindFacts("none", 2.0, None, "0"),
    "float8": KindFacts("float8", 1.0, "optimum-quanto", "2.6 %"),
    "int8": KindFacts("int8", 1.0, None, "0.8 %"),
    "nf4": KindFacts("NF4", 0.5 + 1 / 64 + 4 / (64 * 256), "bitsandbytes", "9 %"),
    "int4": KindFacts("int4", 0.5 + 2 * 2 / 128, "optimum-quanto", "10 %"),
}


def int4_group(columns: int) -> int | None:
    """How many weights of a row share a scale in int4; None where no group divides the row."""
    return next((group for group in INT4_GROUPS if columns % group == 0), None)


def fits(kind: QuantizationKind, *, rows: int, columns: int) -> bool:
    """Whether a layer of this size can be stored so; one that cannot stays as it is."""
    if kind == "none":
        return False
    if kind == "nf4":
        return columns % NF4_BLOCK == 0
    if kind == "int4":
        return int4_group(columns) is not None
    return rows > 1  # quanto takes a single row for one scale a tensor, another layout


def stored_bytes(kind: QuantizationKind, *, rows: int, columns: int, dtype_bytes: int) -> int:
    """The bytes of a linear layer's weight as stored, scales included.

    dtype_bytes: of one number of the compute type, 2 for bf16. A layer that does not fit the kind
    is counted as it stays.
    """
    weights = rows * columns
    if not fits(kind, rows=rows, columns=columns):
        return weights * dtype_bytes
    if kind == "nf4":
        blocks = weights // NF4_BLOCK
        scales_of_scales = -(-blocks // NF4_SCALES_PER_SCALE)
        return weights // 2 + blocks + (scales_of_scales + 1) * _FLOAT32_BYTES
    if kind == "int4":
        group = int4_group(columns)
        assert group is not None
        groups = weights // group
        return weights // 2 + groups * 2 * dtype_bytes
    return weights + rows * dtype_bytes
