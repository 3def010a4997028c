"""What a job makes its model do, as far as memory cares: sizes of passes, and what goes to disk.

Taken from the datasets' headers where they can be read: each picture's bucket and references, how
many of a kind there are to share a pass. Where they cannot, a square of the largest resolution
stands for all. Imports no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trainer.activation_memory import Tokens
from trainer.batch_kinds import BatchKind, batch_kind
from trainer.buckets import REFERENCE_AREA_PX
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.encoding_passes import pictures_per_pass, prompts_per_pass
from trainer.panels.field import SIDE_MULTIPLE_PX
from trainer.texts import texts_of_run
from trainer.training_items import TrainingItem
from trainer.validation_items import all_items

LATENT_CHANNELS = 128
_REFERENCE_TOKENS = REFERENCE_AREA_PX // SIDE_MULTIPLE_PX**2


@dataclass(frozen=True)
class SampleSize:
    """One picture to draw. reference_area_px: of the largest of its references; 0 without one."""

    tokens: Tokens
    area_px: int
    reference_area_px: int


@dataclass(frozen=True)
class Workload:
    """training: every distinct micro-batch. samples: every distinct size to draw.

    encoded_area_px: of the largest pass of pictures through the autoencoder. text_rows: of a pass
    of prompts. latent_numbers, mask_numbers: that the caches keep of all pictures. num_prompts:
    distinct texts.
    """

    training: tuple[Tokens, ...]
    samples: tuple[SampleSize, ...]
    encoded_area_px: int
    text_rows: int
    latent_numbers: int
    mask_numbers: int
    num_prompts: int


def workload_of(job: JobConfig, indexes: Sequence[DatasetIndex], *, on_gpu: bool) -> Workload:
    """The job's workload. indexes: the door's; none, or none with pictures: see above."""
    text = job.variant.max_sequence_length
    items = all_items(job, indexes) if indexes else []
    sizes = _encoded_sizes(items) if items else _assumed_sizes(job)
    setting, device = job.training.encoding_batch_size, "cuda" if on_gpu else "cpu"
    return Workload(
        training=tuple(dict.fromkeys(_micro_batches(job, items, text))),
        samples=tuple(dict.fromkeys(_samples(job, text))),
        encoded_area_px=max(
            width * height * pictures_per_pass(setting, (width, height), device=device)
            for width, height in sizes
        ),
        text_rows=text * prompts_per_pass(setting, text, device=device),
        latent_numbers=sum(count * num_tokens(*size) for size, count in sizes.items())
        * LATENT_CHANNELS,
        mask_numbers=sum(num_tokens(*item.bucket.size) for item in items if item.mask is not None),
        num_prompts=len(texts_of_run(job, items)),
    )


def num_tokens(width_px: int, height_px: int) -> int:
    """Image tokens of a picture."""
    return (width_px // SIDE_MULTIPLE_PX) * (height_px // SIDE_MULTIPLE_PX)


def _micro_batches(job: JobConfig, items: Sequence[TrainingItem], text: int) -> Iterator[Tokens]:
    if not items:
        for dataset in job.datasets:
            side = max(dataset.resolutions)
            yield Tokens(
                batch=dataset.batch_size or job.training.batch_size,
                image=num_tokens(side, side),
                text=text,
                references=len(dataset.control_datasets) * _REFERENCE_TOKENS,
            )
        return
    kinds: Counter[BatchKind] = Counter()
    for item in items:
        kinds[batch_kind(item, job.training.batch_size)] += item.num_repeats
    for kind, count in kinds.items():
        yield Tokens(
            batch=min(kind.batch_size, count),
            image=num_tokens(*kind.size_px),
            text=text,
            references=sum(num_tokens(*size) for size in kind.reference_sizes_px),
        )


def _samples(job: JobConfig, text: int) -> Iterator[SampleSize]:
    side = job.variant.sample_side_px
    for prompt in job.sample.prompts:
        width = prompt.width or job.sample.width or side
        height = prompt.height or job.sample.height or side
        num_references = len(prompt.control_images)
        yield SampleSize(
            Tokens(1, num_tokens(width, height), text, num_references * _REFERENCE_TOKENS),
            area_px=width * height,
            reference_area_px=REFERENCE_AREA_PX if num_references else 0,
        )


def _encoded_sizes(items: Sequence[TrainingItem]) -> Counter[tuple[int, int]]:
    """Every picture and reference that is encoded, each way it may lie, by its size."""
    sizes: Counter[tuple[int, int]] = Counter()
    for item in items:
        for size in (item.bucket.size, *(reference.size for reference in item.references)):
            sizes[size] += len(item.flips)
    return sizes


def _assumed_sizes(job: JobConfig) -> Counter[tuple[int, int]]:
    return Counter({(side, side): 1 for dataset in job.datasets for side in dataset.resolutions})
