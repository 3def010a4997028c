"""The table of buckets counts batches as the trainer's own batch source cuts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from trainer.batches import BatchSource, Encoded
from trainer.config import JobConfig
from trainer.dataset_checks import examine_datasets
from trainer.dataset_summary import summarize_epoch
from trainer.folders import Folders
from trainer.training_items import training_items

SIZES = [(200, 200), (200, 200), (200, 200), (256, 128), (64, 96)]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number, size in enumerate(SIZES):
            Image.new("RGB", size).save(tmp_path / name / f"{number}.png")
    return Folders(datasets=tmp_path, cache=tmp_path / "c", models=tmp_path / "m")


def job_of(*datasets: dict[str, Any], **training: int) -> JobConfig:
    common = {"resolutions": [96, 128], "default_caption": "x"}
    return JobConfig.model_validate(
        {
            "job": {"training_name": "x"},
            "model": {"model_architecture": "tiny"},
            "training": training,
            "datasets": [{**common, **dataset} for dataset in datasets],
        }
    )


@pytest.mark.parametrize(
    ("datasets", "training"),
    [
        ([{"target_dataset": "one"}], {"batch_size": 2}),
        ([{"target_dataset": "one", "num_repeats": 3}], {"batch_size": 4}),
        ([{"target_dataset": "one"}, {"target_dataset": "two"}], {"batch_size": 4}),
        (
            [{"target_dataset": "one", "lora_weight": 0.5}, {"target_dataset": "two"}],
            {"batch_size": 3, "gradient_accumulation": 2},
        ),
        ([{"target_dataset": "one", "batch_size": 5}, {"target_dataset": "two"}], {}),
    ],
)
def test_an_epoch_has_as_many_batches_as_the_trainer_cuts(
    folders: Folders, datasets: list[dict[str, Any]], training: dict[str, int]
) -> None:
    job = job_of(*datasets, **training)
    indexes, _ = examine_datasets(job, folders)
    source = BatchSource(
        training_items(job, indexes),
        cast(Encoded, None),  # an order needs nothing encoded
        batch_size=job.largest_batch_size,
        gradient_accumulation=job.training.gradient_accumulation,
        seed=0,
    )
    summary = summarize_epoch(job, indexes)
    assert summary.num_batches == source.batches_per_epoch
    assert summary.num_turns == sum(len(batch) for batch in source.epoch(0))
    assert summary.num_steps == source.batches_per_epoch / job.training.gradient_accumulation


def test_rows_name_each_size_of_each_dataset(folders: Folders) -> None:
    job = job_of({"target_dataset": "one", "num_repeats": 2}, {"target_dataset": "two"})
    indexes, _ = examine_datasets(job, folders)
    rows = summarize_epoch(job, indexes).buckets
    largest = rows[0]
    assert (largest.dataset, largest.width_px, largest.height_px) == (0, 128, 128)
    assert (largest.resolution, largest.num_pictures, largest.num_turns) == (128, 3, 6)
    assert largest.is_shared, "the other dataset's squares are in the same batches"
    assert largest.num_batches == 9
    kept = next(row for row in rows if row.resolution is None)
    assert (kept.width_px, kept.height_px) == (64, 96)
