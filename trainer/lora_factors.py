"""A layer's factors: what they add to its weight, and q, k and v as one layer or as three.

Legend: R = rank, in and out = the layer's features, a x b and c x d = the two parts of a LoKr.

    LoRA    lora_A [R, in], lora_B [out, R]                  adds B A
    LoKr    lokr_w1 [a, b], lokr_w2 [c, d]                   adds w1 (x) w2, out = ac and in = bd;
            either may be a product: lokr_w2_a [c, R] lokr_w2_b [R, d]

The reference code's `qkv` of a double block is three layers in Diffusers. Three LoRAs become one
only side by side: A is theirs on top of each other, and B has each one's in its own rows and
columns and zeros elsewhere, so the rank is three times as large. That pattern of zeros is also how
such a layer is told from one that was trained fused, where q, k and v share A. Both are split
without any loss: the first into what it was made of, the second into three with the same A.

Three Kronecker products do not become one, so a LoKr keeps Diffusers' names. One over `qkv` can be
split where w1's rows can be cut in three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from trainer.lora_keys import (
    LORA_FACTORS,
    by_layer,
    has_halves_swapped,
    original_layer,
)

LORA_A, LORA_B = LORA_FACTORS
# Which of q, k and v a fused layer may have been made of, the usual first.
_PRESENT = ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,))


def added_weight(factors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """[out, in] float32: what the factors add to their layer's weight, alpha folded in already."""
    if LORA_A in factors:
        return factors[LORA_B].float() @ factors[LORA_A].float()
    return torch.kron(_whole(factors, "lokr_w1"), _whole(factors, "lokr_w2").contiguous())


def added_norm(factors: Mapping[str, torch.Tensor]) -> float:
    """The Frobenius norm of `added_weight`, without building it.

    |B A|^2 is the sum over B'B * AA' (elementwise, R x R), and |w1 (x) w2| = |w1| |w2|.
    """
    values = {name: value.double() for name, value in factors.items()}
    if LORA_A in values:
        return _product_norm(values[LORA_B], values[LORA_A])
    return _part_norm(values, "lokr_w1") * _part_norm(values, "lokr_w2")


def to_original(values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A LoRA by `layer.factor` in Diffusers' names, as the reference code names and fuses it."""
    parts: dict[str, dict[int | None, dict[str, torch.Tensor]]] = {}
    for layer, factors in by_layer(values).items():
        original, third = original_layer(layer)
        if has_halves_swapped(layer):
            factors = with_swapped_halves(factors)
        parts.setdefault(original, {})[third] = factors
    named: dict[str, torch.Tensor] = {}
    for original, thirds in parts.items():
        factors = thirds[None] if None in thirds else _fuse([thirds.get(i) for i in range(3)])
        named |= {f"{original}.{factor}": value for factor, value in factors.items()}
    return named


def split_in_three(
    factors: Mapping[str, torch.Tensor],
) -> list[dict[str, torch.Tensor] | None] | None:
    """q, k and v out of the factors of a `qkv`; None in place of one that is absent.

    None for a LoKr whose first part cannot be cut in three.
    """
    if LORA_A in factors:
        return _split(factors[LORA_A], factors[LORA_B])
    cut = "lokr_w1" if "lokr_w1" in factors else "lokr_w1_a"
    if factors[cut].shape[0] % 3:
        return None
    return [{**factors, cut: rows.clone()} for rows in factors[cut].chunk(3)]


def with_swapped_halves(factors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A LoRA whose output has its halves the other way round."""
    return {
        name: torch.cat(value.chunk(2)[::-1]) if name == LORA_B else value
        for name, value in factors.items()
    }


def scaled(factors: Mapping[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """The factors with `scale` multiplied into what they add."""
    names = (LORA_B, "lokr_w1", "lokr_w1_a")
    name = next(name for name in names if name in factors)
    return {**factors, name: factors[name] * scale}


def balanced(factors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The factors with powers of two moved between them until each fits `dtype`, where that helps.

    Their product is the same to the bit: a power of two moves the exponent only. Factors that fit
    are left alone.
    """
    limit = torch.finfo(dtype).max
    largest = {name: float(value.abs().max()) for name, value in factors.items()}
    if not all(map(math.isfinite, largest.values())):
        return dict(factors)
    room = {
        name: math.floor(math.log2(limit / value)) if value else 1024
        for name, value in largest.items()
    }
    tight = {name: bits for name, bits in room.items() if bits < 0}
    roomiest = max(room, key=lambda name: room[name])
    needed = -sum(tight.values())
    if not tight or room[roomiest] < needed:
        return dict(factors)
    moved = {**tight, roomiest: needed}
    return {
        name: value * 2.0 ** moved[name] if name in moved else value
        for name, value in factors.items()
    }


def rank_of(factors: Mapping[str, torch.Tensor]) -> int | None:
    """The rank of a layer's factors; None for a LoKr of two full matrices."""
    for name in (LORA_A, "lokr_w2_b", "lokr_w1_b"):
        if name in factors:
            return factors[name].shape[0]
    return None


def _whole(factors: Mapping[str, torch.Tensor], part: str) -> torch.Tensor:
    if part in factors:
        return factors[part].float()
    return factors[f"{part}_a"].float() @ factors[f"{part}_b"].float()


def _part_norm(factors: Mapping[str, torch.Tensor], part: str) -> float:
    if part in factors:
        return float(factors[part].norm())
    return _product_norm(factors[f"{part}_a"], factors[f"{part}_b"])


def _product_norm(left: torch.Tensor, right: torch.Tensor) -> float:
    squared = ((left.T @ left) * (right @ right.T)).sum()
    # Rounding can leave the square of a tiny norm just below zero; NaN is to stay NaN.
    return math.sqrt(max(float(squared), 0.0)) if squared.isfinite() else float(squared)


def _fuse(thirds: Sequence[Mapping[str, torch.Tensor] | None]) -> dict[str, torch.Tensor]:
    """q, k, v, of which some may be absent, as one: A [sum of R, in], B [3 out, sum of R]."""
    present = [third for third in thirds if third is not None]
    num_rows = present[0][LORA_B].shape[0]
    blocks = [
        present[0][LORA_B].new_zeros(num_rows, 0) if third is None else third[LORA_B]
        for third in thirds
    ]
    return {
        LORA_A: torch.cat([third[LORA_A] for third in present]),
        LORA_B: torch.block_diag(*blocks),
    }


def _split(a: torch.Tensor, b: torch.Tensor) -> list[dict[str, torch.Tensor] | None]:
    """q, k, v out of A [R, in] and B [3 out, R]; None for one that is absent."""
    rows = b.chunk(3)
    for present in _PRESENT:
        blocks = _blocks(rows, present)
        if blocks is not None:
            own_a = dict(zip(present, a.chunk(len(present)), strict=True))
            return [
                {LORA_A: own_a[third].clone(), LORA_B: blocks[third].clone()}
                if third in present
                else None
                for third in range(3)
            ]
    return [{LORA_A: a.clone(), LORA_B: own.clone()} for own in rows]


def _blocks(rows: Sequence[torch.Tensor], present: Sequence[int]) -> dict[int, torch.Tensor] | None:
    """Each present third's own columns, if there is nothing but zeros outside of them."""
    rank = rows[0].shape[1]
    if rank % len(present):
        return None
    width = rank // len(present)
    blocks: dict[int, torch.Tensor] = {}
    for third, own in enumerate(rows):
        rest = own
        if third in present:
            start = present.index(third) * width
            blocks[third] = own[:, start : start + width]
            rest = torch.cat([own[:, :start], own[:, start + width :]], dim=1)
        if rest.any():
            return None
    return blocks
