"""Each picture of a job as it trains: its bucket, its caption, its class caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.buckets import Bucket, assign_resolution
from trainer.captions import class_caption, replace_trigger_placeholder
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex


@dataclass(frozen=True)
class TrainingItem:
    """One picture with everything that its steps need to know of it.

    caption: with [trigger] replaced. class_caption: the caption with the preservation trigger
    replaced by the class, None if the caption lacks the trigger; under blank-prompt preservation
    the empty prompt; None when both preservations are off.
    caption_dropout_rate: share of its turns with the empty prompt instead.
    cache_latents: whether its latents outlive the run.
    """

    path: Path
    bucket: Bucket
    caption: str
    class_caption: str | None
    caption_dropout_rate: float
    cache_latents: bool

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self.path.name


def training_items(job: JobConfig, indexes: Sequence[DatasetIndex]) -> list[TrainingItem]:
    """The pictures of all datasets in the job's order, within a dataset by name.

    `indexes` holds one index for each entry of `job.datasets`, as `door.examine_job` returns them.
    """
    # Without a trigger there is nothing to replace; job_rules.py refuses that job, but the door
    # looks at its pictures all the same, to say everything that is wrong at once.
    preserves = bool(
        job.regularization.differential_output_preservation and job.preservation_trigger
    )
    items: list[TrainingItem] = []
    for dataset, index in zip(job.datasets, indexes, strict=True):
        for picture in index.items:
            caption = replace_trigger_placeholder(picture.caption, job.job.trigger_word)
            of_class = (
                class_caption(
                    caption, job.preservation_trigger, job.regularization.preservation_class
                )
                if preserves
                else None
            )
            if job.regularization.blank_prompt_preservation:
                of_class = ""
            items.append(
                TrainingItem(
                    path=picture.path,
                    bucket=assign_resolution(picture.width, picture.height, dataset.resolutions),
                    caption=caption,
                    class_caption=of_class,
                    caption_dropout_rate=dataset.caption_dropout_rate,
                    cache_latents=dataset.cache_latents,
                )
            )
    return items
