"""What a job's datasets hold and how they train: pictures, sizes, batches, problems.

The same index, sizes and batches that the trainer has; nothing here judges for itself.
"""

from __future__ import annotations

from typing import Any

from backend.datasets.listing import picture_url
from backend.datasets.schemas import BucketEntry, DatasetContents, JobDatasets, PictureEntry
from backend.errors import Unusable
from backend.jobs.blanks import NO_FOLDER, with_blanks_filled
from backend.jobs.examine import problem_entries
from backend.settings import Settings
from trainer.config import JobConfig
from trainer.dataset_checks import examine_datasets
from trainer.dataset_index import DatasetIndex, DatasetItem
from trainer.dataset_summary import BucketRow, summarize_epoch
from trainer.errors import JobRefused, Problem
from trainer.job_file import parse_job
from trainer.panels.datasets import Dataset

MOST_PICTURES = 48  # that a form shows; the dataset's own page has them all


def job_datasets(config: dict[str, Any], settings: Settings) -> JobDatasets:
    """The datasets of a config, in its order. Reads headers: call it outside of sessions.

    Raises Unusable for a config that the schema refuses; blank names are no reason to.
    """
    try:
        job = parse_job(with_blanks_filled(config))
    except JobRefused as refusal:
        raise Unusable("bad_job", refusal.message, problems=refusal.problems) from None
    indexes, problems = examine_datasets(job, settings.folders)
    epoch = summarize_epoch(job, indexes)
    return JobDatasets(
        datasets=[
            _contents(number, dataset, index, epoch.buckets, problems)
            for number, (dataset, index) in enumerate(zip(job.datasets, indexes, strict=False))
        ],
        num_turns=epoch.num_turns,
        num_batches=epoch.num_batches,
        num_steps=epoch.num_steps,
        num_epochs=job.training.steps / epoch.num_steps if epoch.num_steps else None,
        held_out_share=_held_out_share(job),
    )


def _held_out_share(job: JobConfig) -> float:
    return job.advanced.held_out_share if job.advanced.validation == "held_out" else 0.0


def _contents(
    number: int,
    dataset: Dataset,
    index: DatasetIndex,
    buckets: list[BucketRow],
    problems: list[Problem],
) -> DatasetContents:
    is_chosen = dataset.target_dataset != NO_FOLDER
    prefix = f"datasets.{number}"
    own = [one for one in problems if (one.field or "").split(".")[:2] == prefix.split(".")]
    return DatasetContents(
        name=dataset.target_dataset if is_chosen else "",
        num_pictures=len(index.items),
        num_captioned=sum(item.has_own_caption for item in index.items),
        pictures=[_picture(dataset.target_dataset, item) for item in index.items[:MOST_PICTURES]],
        buckets=[_bucket(row) for row in buckets if row.dataset == number],
        problems=problem_entries(own) if is_chosen else [],
    )


def _picture(dataset: str, item: DatasetItem) -> PictureEntry:
    return PictureEntry(
        name=item.name,
        url=picture_url(dataset, item),
        width=item.width,
        height=item.height,
        caption=item.caption,
        has_own_caption=item.has_own_caption,
    )


def _bucket(row: BucketRow) -> BucketEntry:
    return BucketEntry(
        width=row.width_px,
        height=row.height_px,
        resolution=row.resolution,
        batch_size=row.batch_size,
        num_pictures=row.num_pictures,
        num_turns=row.num_turns,
        num_batches=row.num_batches,
        is_shared=row.is_shared,
    )
