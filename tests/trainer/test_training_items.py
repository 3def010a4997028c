"""Which texts a run needs, and what each picture trains with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.trainer.short_runs import job_with
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex, DatasetItem
from trainer.job_file import parse_job
from trainer.texts import texts_of_run
from trainer.training_items import training_items

FOLDER = Path("cats")
JOB: dict[str, Any] = {
    "job": {"training_name": "cats", "trigger_word": "zorvex"},
    "model": {"model_architecture": "tiny"},
    "datasets": [{"target_dataset": "cats", "resolutions": [64, 128], "caption_dropout_rate": 0.0}],
    "sample": {"prompts": [{"prompt": "[trigger], a dog"}, {"prompt": "a dog"}]},
}
INDEX = DatasetIndex(
    FOLDER,
    [
        DatasetItem(FOLDER / "a.png", "[trigger], a cat", True, 200, 128),
        DatasetItem(FOLDER / "b.png", "a cat", True, 64, 64),
        DatasetItem(FOLDER / "c.png", "a cat", False, 500, 500),
    ],
)


def _texts(job: JobConfig) -> list[str]:
    return texts_of_run(job, training_items(job, [INDEX]))


def _job(**changes: Any) -> JobConfig:
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return parse_job(job_with(dotted, base=JOB))


def test_each_picture_has_its_bucket_and_its_caption_with_the_trigger() -> None:
    items = training_items(_job(), [INDEX])
    assert [item.name for item in items] == ["a.png", "b.png", "c.png"]
    assert [item.caption for item in items] == ["zorvex, a cat", "a cat", "a cat"]
    assert [item.bucket.resolution for item in items] == [128, 64, 128]
    assert [item.class_caption for item in items] == [None, None, None]


def test_class_captions_are_there_under_preservation_where_the_trigger_is() -> None:
    job = _job(
        regularization__differential_output_preservation=True,
        regularization__preservation_class="drawing",
    )
    items = training_items(job, [INDEX])
    assert [item.class_caption for item in items] == ["drawing, a cat", None, None]


def test_under_blank_prompt_preservation_every_picture_holds_the_empty_prompt() -> None:
    job = _job(regularization__blank_prompt_preservation=True)
    assert [item.class_caption for item in training_items(job, [INDEX])] == [""] * 3
    assert "" in _texts(job)


def test_settings_of_a_dataset_reach_its_pictures_only() -> None:
    datasets = [
        {"target_dataset": "cats", "resolutions": [64], "cache_latents": False},
        {"target_dataset": "cats", "resolutions": [64], "caption_dropout_rate": 0.5},
    ]
    items = training_items(_job(datasets=datasets), [INDEX, INDEX])
    assert [item.cache_latents for item in items] == [False] * 3 + [True] * 3
    assert [item.caption_dropout_rate for item in items] == [0.05] * 3 + [0.5] * 3


def test_a_run_needs_each_distinct_text_once() -> None:
    assert _texts(_job()) == ["zorvex, a cat", "a cat", "zorvex, a dog", "a dog"]


def test_class_captions_are_needed_under_preservation() -> None:
    assert "photo, a cat" in _texts(_job(regularization__differential_output_preservation=True))


def test_the_empty_prompt_is_needed_only_where_a_caption_can_be_dropped() -> None:
    assert "" not in _texts(_job())
    assert "" in _texts(_job(datasets__0__caption_dropout_rate=0.01))


def test_the_empty_prompt_is_needed_by_kleins_real_guidance() -> None:
    klein = {"model__model_architecture": "klein-base-4b", "model__name_or_path": "klein"}
    assert "" in _texts(_job(**klein))  # klein base draws at 4 by default
    assert "" not in _texts(_job(**klein, sample__guidance_scale=1.0))
    prompts = [{"prompt": "a", "guidance_scale": 2.0}]
    assert "" in _texts(_job(**klein, sample__guidance_scale=1.0, sample__prompts=prompts))
    assert "" not in _texts(_job(sample__guidance_scale=4.0))  # the tiny model has an embedding
