"""Each picture of a job as it trains: its bucket, its caption, its class caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.buckets import Bucket, assign_resolution, reference_size
from trainer.captions import class_caption, replace_trigger_placeholder
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.panels.datasets import Dataset
from trainer.panels.field import TRIGGER_PLACEHOLDER
from trainer.pictures import Flip


@dataclass(frozen=True)
class ReferenceItem:
    """A reference picture at the size, (width, height) in px, that the model is shown it at."""

    path: Path
    size: tuple[int, int]


@dataclass(frozen=True)
class TrainingItem:
    """One picture with everything that its steps need to know of it.

    caption: with [trigger] replaced. class_caption: the text on which preservation holds the LoRA
    to the base model: the caption with the preservation trigger replaced by the class, None if it
    lacks the trigger; under blank-prompt preservation the empty prompt; None when both are off.
    caption_dropout_rate: share of its turns with the empty prompt instead. cache_latents: whether
    its latents outlive the run.

    size: (width, height) in px as it lies on the disk, upright. dataset: its place in the job's
    list. batch_size: of its dataset, None for the batch source's. num_repeats: turns in an epoch.
    lora_weight: factor on the LoRA while it trains. is_regularization: it trains towards the base
    model's prediction. flips: what is drawn from at each turn. mask: brightness weights its tokens.
    references: what the model is shown beside the prompt, in order.
    """

    path: Path
    bucket: Bucket
    caption: str
    class_caption: str | None
    caption_dropout_rate: float
    cache_latents: bool
    size: tuple[int, int] = (0, 0)
    dataset: int = 0
    batch_size: int | None = None
    num_repeats: int = 1
    lora_weight: float = 1.0
    is_regularization: bool = False
    flips: tuple[Flip, ...] = ("",)
    mask: Path | None = None
    references: tuple[ReferenceItem, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.path.name


def training_items(job: JobConfig, indexes: Sequence[DatasetIndex]) -> list[TrainingItem]:
    """The pictures of all datasets in the job's order, within a dataset by name.

    `indexes` holds one index for each entry of `job.datasets`, as `door.examine_job` returns them.
    """
    return [
        item
        for number, (dataset, index) in enumerate(zip(job.datasets, indexes, strict=True))
        for item in items_of_dataset(job, dataset, number, index)
    ]


def items_of_dataset(
    job: JobConfig, dataset: Dataset, number: int, index: DatasetIndex
) -> list[TrainingItem]:
    """The pictures of one dataset, by name. number: its place in the job's list."""
    items: list[TrainingItem] = []
    for picture in index.items:
        caption = caption_of(job, dataset, picture.caption)
        items.append(
            TrainingItem(
                path=picture.path,
                bucket=assign_resolution(
                    picture.width,
                    picture.height,
                    dataset.resolutions,
                    allow_upscaling=dataset.allow_upscaling,
                ),
                caption=caption,
                class_caption=_class_caption(job, dataset, caption),
                caption_dropout_rate=dataset.caption_dropout_rate,
                cache_latents=dataset.cache_latents,
                size=(picture.width, picture.height),
                dataset=number,
                batch_size=dataset.batch_size or job.training.batch_size,
                num_repeats=dataset.num_repeats,
                lora_weight=dataset.lora_weight,
                is_regularization=dataset.is_regularization,
                flips=flips_of(dataset),
                mask=picture.mask,
                references=tuple(
                    ReferenceItem(reference.path, reference_size(reference.width, reference.height))
                    for reference in picture.references
                ),
            )
        )
    return items


def caption_of(job: JobConfig, dataset: Dataset, written: str) -> str:
    """What a picture trains with, of what is written for it.

    A regularization set trains without the trigger: the class stands in its place, for [trigger]
    and for the word itself. Under Unload TE the trigger, or the class, is all there is.
    """
    trigger, of_class = job.job.trigger_word, job.regularization.preservation_class
    if job.training.unload_te:
        written = TRIGGER_PLACEHOLDER
    if not dataset.is_regularization:
        return replace_trigger_placeholder(written, trigger)
    caption = replace_trigger_placeholder(written, of_class)
    replaced = class_caption(caption, trigger, of_class) if trigger else None
    return caption if replaced is None else replaced


def flips_of(dataset: Dataset) -> tuple[Flip, ...]:
    """How a dataset's pictures may lie at a turn, each as likely as the others."""
    if dataset.flip_x and dataset.flip_y:
        return "", "x", "y", "xy"
    if dataset.flip_x:
        return "", "x"
    return ("", "y") if dataset.flip_y else ("",)


def _class_caption(job: JobConfig, dataset: Dataset, caption: str) -> str | None:
    panel = job.regularization
    if panel.blank_prompt_preservation and not dataset.is_regularization:
        return ""
    # Without a trigger there is nothing to replace; job_rules.py refuses that job, but the door
    # looks at its pictures all the same, to say everything that is wrong at once.
    if not (panel.differential_output_preservation and job.preservation_trigger):
        return None
    if dataset.is_regularization:
        return None  # it is held to the base model as it is
    return class_caption(caption, job.preservation_trigger, panel.preservation_class)
