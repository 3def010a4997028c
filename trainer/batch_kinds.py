"""Which pictures may share a forward pass. Apart from `batches.py`, since the door asks too and
must not reach torch.
"""

from __future__ import annotations

from typing import NamedTuple

from trainer.training_items import TrainingItem


class BatchKind(NamedTuple):
    """What the pictures of one micro-batch have in common."""

    size_px: tuple[int, int]
    reference_sizes_px: tuple[tuple[int, int], ...]
    batch_size: int
    lora_weight: float


def batch_kind(item: TrainingItem, batch_size: int) -> BatchKind:
    """The kind of an item's batches; `batch_size` is for items without one of their own."""
    return BatchKind(
        size_px=item.bucket.size,
        reference_sizes_px=tuple(reference.size for reference in item.references),
        batch_size=item.batch_size or batch_size,
        lora_weight=item.lora_weight,
    )
