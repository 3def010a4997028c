"""What stays in memory through a phase: weights, what is trained, and the room around them.

Bytes as they are allocated, from the sizes of the layers (`model_shapes.py`) and what each kind of
quantization stores (`quantization_kinds.py`). What comes and goes with a forward pass is in
`activation_memory.py`. Imports no torch.

Legend: n = numbers of the LoRA, all float32.

    weights          each block's linear layers as stored, and all else in the compute type
    LoRA             4 n for the values, 4 n for their gradients, which stay until the next step
    optimizer        adamw 8 n, adamw8bit 2 n + 8 bytes for every 256 (8 n for tensors below 4096
                     numbers), lion8bit half of adamw8bit, prodigy 16 n (12 n
                     for matrices that began at 0), adafactor 4 bytes for each row and column
    moving average   4 n
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isqrt, prod

from trainer.block_shares import NUM_SLOTS, num_streamed_blocks, streamed_blocks
from trainer.config import JobConfig
from trainer.model_shapes import BlockShapes, Matrix, TextEncoderShapes, TransformerShapes
from trainer.quantization_kinds import QuantizationKind, stored_bytes
from trainer.target_layers import chosen_layers

GIB = 1 << 30
MIB = 1 << 20

FLOAT32_BYTES = 4
DTYPE_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}

# bitsandbytes' 8-bit states: a float32 scale for every so many numbers, and none for small tensors.
_STATE_BLOCK = 256
_SMALLEST_8BIT_STATE = 4096


def block_bytes(block: BlockShapes, kind: QuantizationKind, dtype_bytes: int) -> int:
    """The weights of one block as stored."""
    linears = sum(
        stored_bytes(kind, rows=rows, columns=columns, dtype_bytes=dtype_bytes)
        for rows, columns in block.linears.values()
    )
    return linears + block.other_parameters * dtype_bytes


def streamed_places(shapes: TransformerShapes, percent: float) -> tuple[int, ...]:
    """Which blocks are streamed when `percent` of them are."""
    return streamed_blocks(shapes.num_blocks, num_streamed_blocks(shapes.num_blocks, percent))


def resident_weight_bytes(
    shapes: TransformerShapes, kind: QuantizationKind, dtype_bytes: int, streamed: Iterable[int]
) -> int:
    """The transformer's weights that stay where it computes."""
    away = list(streamed)
    doubles = sum(place < shapes.double.count for place in away)
    return (
        (shapes.double.count - doubles) * block_bytes(shapes.double, kind, dtype_bytes)
        + (shapes.single.count - len(away) + doubles)
        * block_bytes(shapes.single, kind, dtype_bytes)
        + shapes.outside_parameters * dtype_bytes
    )


def streamed_weight_bytes(
    shapes: TransformerShapes, kind: QuantizationKind, dtype_bytes: int, streamed: Sequence[int]
) -> tuple[int, int]:
    """(bytes of the slots where it computes, bytes in host memory) of the streamed blocks."""
    double = block_bytes(shapes.double, kind, dtype_bytes)
    single = block_bytes(shapes.single, kind, dtype_bytes)
    sizes = [double if place < shapes.double.count else single for place in streamed]
    return max(sizes, default=0) * min(NUM_SLOTS, len(sizes)), sum(sizes)


def largest_tensor_bytes(matrices: Iterable[Matrix], dtype_bytes: int) -> int:
    """The largest single tensor in the compute type: what loading holds beside what is finished."""
    return max(map(prod, matrices)) * dtype_bytes


def text_encoder_bytes(shapes: TextEncoderShapes, kind: QuantizationKind, dtype_bytes: int) -> int:
    """The text encoder's layers that are read, and its embedding."""
    layers = shapes.layer.count * block_bytes(shapes.layer, kind, dtype_bytes)
    return layers + prod(shapes.embedding) * dtype_bytes


def trained_layers(job: JobConfig, shapes: TransformerShapes) -> list[str]:
    """Full names of the layers that the Target panel chooses, in the model's order."""
    return chosen_layers(shapes.linear_names(), job.target.layers, job.target.layer_pattern)


def trained_tensors(job: JobConfig, shapes: TransformerShapes) -> list[Matrix]:
    """The shapes of everything that is trained."""
    matrices = [shapes.linear(name) for name in trained_layers(job, shapes)]
    target = job.target
    if target.target_type == "lora":
        rank = target.linear_rank
        return [shape for rows, columns in matrices for shape in ((rank, columns), (rows, rank))]
    rank = None if target.lokr_full_rank else target.linear_rank
    return [
        shape
        for rows, columns in matrices
        for shape in lokr_tensors(rows, columns, rank=rank, factor=target.lokr_factor)
    ]


def lokr_tensors(rows: int, columns: int, *, rank: int | None, factor: int | None) -> list[Matrix]:
    """The matrices of a LoKr on a layer: w1, and w2 whole or as two of `rank` between them."""
    out_few, out_many = _factored(rows, factor)
    in_few, in_many = _factored(columns, factor)
    first = (out_few, in_few)
    if rank is None or 2 * rank >= max(out_many, in_many):
        return [first, (out_many, in_many)]
    return [first, (out_many, rank), (rank, in_many)]


def numbers_kept(
    job: JobConfig, shapes: TransformerShapes
) -> tuple[dict[str, int], dict[str, int]]:
    """({layer: numbers}, {layer: numbers}) of double and of single blocks' trained layers.

    What a trained layer keeps for a token beside its input: A x of a LoRA; of a LoKr what w2 has
    made of the pieces, and the thin products before it.
    """
    target = job.target
    kept: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for name in trained_layers(job, shapes):
        rows, columns = shapes.linear(name)
        stem, _, layer = name.split(".", 2)
        if target.target_type == "lora":
            numbers = target.linear_rank
        else:
            in_few, _ = _factored(columns, target.lokr_factor)
            _, out_many = _factored(rows, target.lokr_factor)
            thin = 0 if target.lokr_full_rank else target.linear_rank
            numbers = in_few * (out_many + thin)
        kept[stem != "transformer_blocks"][layer] = numbers
    return kept


def _factored(size: int, factor: int | None) -> Matrix:
    """The size as a product: the factor first, else the smaller of those nearest to the root.

    PEFT's rule, which is LyCORIS's.
    """
    if factor is not None and size % factor == 0:
        return factor, size // factor
    most = min(isqrt(size), factor or size)
    small = max(number for number in range(1, most + 1) if size % number == 0)
    return small, size // small


def optimizer_bytes(optimizer: str, tensors: Iterable[Matrix]) -> int:
    """What the optimizer keeps between steps."""
    return sum(_state_bytes(optimizer, *shape) for shape in tensors)


def optimizer_work_bytes(optimizer: str, tensors: Sequence[Matrix]) -> int:
    """What a step of the optimizer takes and gives back.

    AdamW and Prodigy work on many tensors at once, with a copy of them all; the others go tensor by
    tensor.
    """
    total = sum(map(prod, tensors)) * FLOAT32_BYTES
    if optimizer in ("adamw", "prodigy"):
        return total
    return max((prod(shape) for shape in tensors), default=0) * FLOAT32_BYTES


def _state_bytes(optimizer: str, rows: int, columns: int) -> int:
    count = rows * columns
    if optimizer == "adamw":
        return 2 * FLOAT32_BYTES * count
    if optimizer == "prodigy":
        return 4 * FLOAT32_BYTES * count
    if optimizer == "adafactor":
        return (rows + columns) * FLOAT32_BYTES
    num_moments = {"adamw8bit": 2, "lion8bit": 1}[optimizer]
    if count < _SMALLEST_8BIT_STATE:
        return num_moments * FLOAT32_BYTES * count
    scales = -(-count // _STATE_BLOCK) * FLOAT32_BYTES
    return num_moments * (count + scales)
