"""Advice is given where the guides have it, names the number, and keeps no job from running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.advice import advice_on
from trainer.caption_words import recurring_words
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex, DatasetItem
from trainer.errors import Problem, Severity
from trainer.presets import Kind, Tier, preset_settings, with_settings
from trainer.variants import Architecture


def config_of(**panels: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "job": {"training_name": "x", "trigger_word": "zorvex"},
        "datasets": [{"target_dataset": "ink"}],
        "sample": {"prompts": [{"prompt": "[trigger] here"}, {"prompt": "a house"}]},
    }
    for panel, values in panels.items():
        config[panel] = values if panel == "datasets" else config.get(panel, {}) | values
    return config


def index_of(*captions: str) -> DatasetIndex:
    items = [
        DatasetItem(Path(f"{number}.png"), caption, True, 1024, 1024)
        for number, caption in enumerate(captions)
    ]
    return DatasetIndex(Path("ink"), items)


def advised(
    kind: str | None = None, indexes: tuple[DatasetIndex, ...] = (), **panels: Any
) -> dict[str, Problem]:
    job = JobConfig.model_validate(config_of(**panels))
    found = advice_on(job, indexes, None if kind is None else Kind(kind))
    assert all(problem.severity == Severity.INFO for problem in found)
    return {problem.code: problem for problem in found}


def test_a_job_as_the_guides_have_it_is_not_advised_on() -> None:
    pictures = index_of(*(f"zorvex, scene{number}" for number in range(20)))
    for kind in (Kind.STYLE, Kind.CHARACTER, Kind.OBJECT):
        settings = preset_settings(kind, Tier.MEDIUM, Architecture.FLUX2_DEV)
        job = JobConfig.model_validate(with_settings(config_of(), settings))
        assert advice_on(job, [pictures], kind) == []


@pytest.mark.parametrize(
    ("model", "rate", "stored", "is_advised"),
    [
        ({"layer_offloading": "auto"}, 3e-5, "float8", True),
        ({"layer_offloading": "on"}, 3e-5, "nf4", True),
        ({"layer_offloading": "on"}, 5e-5, "float8", False),
        ({"layer_offloading": "off"}, 3e-5, "float8", False),
        ({"layer_offloading": "on"}, 3e-5, "none", False),
    ],
)
def test_a_low_rate_with_quantization_and_offloading_changes_nothing(
    model: dict[str, str], rate: float, stored: str, is_advised: bool
) -> None:
    found = advised(
        model=model, training={"learning_rate": rate}, quantization={"transformer": stored}
    )
    assert ("learning_rate_slow" in found) is is_advised
    if is_advised:
        assert found["learning_rate_slow"].field == "training.learning_rate"
        assert "3e-05" in found["learning_rate_slow"].message


def test_rank_and_steps_are_held_against_the_kind_that_was_named() -> None:
    outside = {"target": {"linear_rank": 64}, "training": {"steps": 3000}}
    assert {"rank_above_guides", "steps_outside_guides"} <= advised("style", **outside).keys()
    assert not {"rank_above_guides", "steps_outside_guides"} & advised("edit", **outside).keys()
    assert not {"rank_above_guides", "steps_outside_guides"} & advised(**outside).keys()


def test_the_effective_batch_is_told() -> None:
    found = advised(training={"batch_size": 2, "gradient_accumulation": 4})
    assert "Effective batch 8 = Batch Size 2 x Gradient Accumulation 4." in (
        found["effective_batch"].message
    )
    assert "effective_batch" not in advised(training={"batch_size": 2})


def test_samples_show_the_trigger_and_what_leaks() -> None:
    def prompts(*texts: str) -> dict[str, Any]:
        return {"sample": {"prompts": [{"prompt": text} for text in texts]}}

    assert "samples_without_trigger" in advised(**prompts("a house", "zorvexes"))
    assert "samples_show_no_leak" in advised(**prompts("[trigger]", "by zorvex"))
    said = advised(**prompts("[trigger]", "a house"))
    assert not {"samples_without_trigger", "samples_show_no_leak"} & said.keys()


def test_a_blank_trigger_is_advised_on_unless_the_lora_edits() -> None:
    blank: dict[str, Any] = {"job": {"trigger_word": ""}, "sample": {"prompts": []}}
    assert "no_trigger" in advised(**blank)
    assert "no_trigger" not in advised("edit", **blank)
    edits = [{"target_dataset": "ink", "control_datasets": ["before"]}]
    assert "no_trigger" not in advised(datasets=edits, **blank)


def test_flips_mirror_faces() -> None:
    flipped = [{"target_dataset": "ink", "flip_x": True}]
    assert advised(datasets=flipped)["flips_mirror_faces"].field == "datasets.0.flip_x"
    assert "flips_mirror_faces" in advised("character", datasets=flipped)
    assert "flips_mirror_faces" not in advised("style", datasets=flipped)


def test_dropouts_beyond_the_usual_are_advised_on() -> None:
    found = advised(
        target={"dropout": 0.4}, datasets=[{"target_dataset": "ink", "caption_dropout_rate": 0.5}]
    )
    assert found["dropout_unusual"].params["value"] == 0.4
    assert found["caption_dropout_unusual"].field == "datasets.0.caption_dropout_rate"


@pytest.mark.parametrize(
    ("kind", "count", "code"),
    [
        ("style", 10, "few_pictures_for_kind"),
        ("style", 31, "many_pictures_for_kind"),
        ("character", 61, "many_pictures_for_kind"),
        ("edit", 49, "few_pictures_for_kind"),
        ("edit", 200, None),
        (None, 3, None),
    ],
)
def test_pictures_are_counted_against_the_kind(
    kind: str | None, count: int, code: str | None
) -> None:
    found = advised(kind, (index_of(*map(str, range(count))),))
    codes = {"few_pictures_for_kind", "many_pictures_for_kind"} & found.keys()
    assert codes == ({code} if code else set())


def test_captions_that_describe_the_style_are_listed_by_their_words() -> None:
    captions = [f"zorvex, a pencil drawing of the thing{n}, cross-hatched" for n in range(10)]
    found = advised("style", (index_of(*captions),))["words_in_most_captions"]
    assert found.params["words"] == ["cross-hatched", "drawing", "pencil"]
    assert found.field == "datasets.0.target_dataset"
    assert "words_in_most_captions" not in advised("edit", (index_of(*captions),))


def test_a_regularization_set_is_neither_counted_nor_read() -> None:
    captions = ["the same words everywhere"] * 40
    datasets = [{"target_dataset": "ink", "is_regularization": True}]
    assert advised("style", (index_of(*captions),), datasets=datasets) == {}


def test_words_recur_in_most_captions_or_not_at_all() -> None:
    captions = ["Soft light, a cat"] * 6 + ["soft shadow, dog"] * 4
    assert recurring_words(captions) == ["soft", "cat", "light"]
    assert recurring_words(captions, leave_out=["soft cat"]) == ["light"]
    assert recurring_words(captions[:7]) == [], "too few to tell"
