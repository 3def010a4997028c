"""What an epoch is made of: the sizes at which a job's pictures train, and how many batches each
makes.

Counted as `batches.py` cuts them: pictures of one kind (size, references' sizes, Batch Size, LoRA
Weight) share batches, whichever dataset they are of, and what is left over makes a smaller one.
Imports no torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.batch_kinds import BatchKind, batch_kind
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.training_items import TrainingItem, training_items


@dataclass(frozen=True)
class BucketRow:
    """Pictures of one dataset that train at one size.

    resolution: the setting's side, None for pictures that keep their own size. num_turns: pictures
    x Num Repeats. num_batches: in an epoch, of all pictures of the kind; is_shared: other datasets'
    are among them.
    """

    dataset: int
    width_px: int
    height_px: int
    resolution: int | None
    batch_size: int
    num_pictures: int
    num_turns: int
    num_batches: int
    is_shared: bool


@dataclass(frozen=True)
class EpochSummary:
    """buckets: by dataset, the most pictures first. num_steps: of the optimizer, for one epoch."""

    buckets: list[BucketRow]
    num_turns: int
    num_batches: int
    num_steps: float


def summarize_epoch(job: JobConfig, indexes: Sequence[DatasetIndex]) -> EpochSummary:
    """One epoch of the job. indexes: one for each of its datasets, and maybe validation's."""
    items = training_items(job, indexes[: len(job.datasets)])
    kinds: dict[BatchKind, list[TrainingItem]] = defaultdict(list)
    for item in items:
        kinds[batch_kind(item, job.training.batch_size)].append(item)
    rows = [row for kind, of_kind in kinds.items() for row in _rows_of_kind(kind, of_kind)]
    num_batches = sum(_num_batches(kind, of_kind) for kind, of_kind in kinds.items())
    return EpochSummary(
        buckets=sorted(rows, key=lambda row: (row.dataset, -row.num_pictures, -row.width_px)),
        num_turns=sum(item.num_repeats for item in items),
        num_batches=num_batches,
        num_steps=num_batches / job.training.gradient_accumulation,
    )


def _rows_of_kind(kind: BatchKind, items: Sequence[TrainingItem]) -> list[BucketRow]:
    by_place: dict[tuple[int, int | None], list[TrainingItem]] = defaultdict(list)
    for item in items:
        by_place[item.dataset, item.bucket.resolution].append(item)
    return [
        BucketRow(
            dataset=dataset,
            width_px=kind.size_px[0],
            height_px=kind.size_px[1],
            resolution=resolution,
            batch_size=kind.batch_size,
            num_pictures=len(of_place),
            num_turns=sum(item.num_repeats for item in of_place),
            num_batches=_num_batches(kind, items),
            is_shared=len(by_place) > 1,
        )
        for (dataset, resolution), of_place in by_place.items()
    ]


def _num_batches(kind: BatchKind, items: Sequence[TrainingItem]) -> int:
    return -(-sum(item.num_repeats for item in items) // kind.batch_size)
