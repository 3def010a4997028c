"""Presets have the guides' values, pass their model's rules, and leave a person's own alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from trainer.config import JobConfig
from trainer.door import examine_job
from trainer.errors import Severity
from trainer.folders import PROJECT_FOLDER, Folders
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems
from trainer.machine import Machine
from trainer.presets import (
    GIB,
    KINDS,
    Kind,
    Tier,
    guide_variants,
    offers_for,
    preset_settings,
    presets_for,
    tier_for,
    tier_of_card,
    with_settings,
)
from trainer.variants import Architecture

OWN = {
    "job": {"training_name": "mine", "trigger_word": "zorvex", "seed": 7},
    "model": {"name_or_path": "my/model"},
    "datasets": [
        {"target_dataset": "one", "default_caption": "a [trigger]"},
        {"target_dataset": "two", "resolutions": [512]},
    ],
    "sample": {"prompts": [{"prompt": "[trigger] in the rain"}]},
}


def job_with(settings: dict[str, Any], architecture: Architecture) -> JobConfig:
    model = {"model.model_architecture": architecture.value}
    return parse_job(with_settings(with_settings(OWN, model), settings))


@pytest.mark.parametrize(
    ("gb", "tier"),
    [
        (15.6, Tier.SMALL),
        (24, Tier.SMALL),
        (27, Tier.SMALL),
        (28, Tier.MEDIUM),
        (31.8, Tier.MEDIUM),
        (48, Tier.MEDIUM),
        (56, Tier.LARGE),
        (80, Tier.LARGE),
        (141, Tier.LARGE),
    ],
)
def test_the_card_s_memory_chooses_the_tier(gb: float, tier: Tier) -> None:
    assert tier_of_card(int(gb * GIB)) == tier


def test_klein_takes_the_next_tier_s_values() -> None:
    assert tier_for(Architecture.FLUX2_DEV, 24 * GIB) == Tier.SMALL
    assert tier_for(Architecture.KLEIN_BASE_9B, 24 * GIB) == Tier.MEDIUM
    assert tier_for(Architecture.KLEIN_4B, 32 * GIB) == Tier.LARGE
    assert tier_for(Architecture.KLEIN_BASE_4B, 80 * GIB) == Tier.LARGE


@pytest.mark.parametrize(
    ("kind", "steps"), [("style", 1500), ("character", 2000), ("object", 2000), ("edit", 2500)]
)
def test_the_kind_sets_the_steps(kind: str, steps: int) -> None:
    job = job_with(
        preset_settings(Kind(kind), Tier.MEDIUM, Architecture.FLUX2_DEV), Architecture.FLUX2_DEV
    )
    assert job.training.steps == steps


@pytest.mark.parametrize(
    ("tier", "batch", "rank", "resolutions", "preserves", "low_vram", "offloading"),
    [
        ("small", 1, 16, [768, 896], False, True, "auto"),
        ("medium", 1, 32, [768, 896, 1024], False, True, "off"),
        ("large", 2, 32, [1024, 1152], True, False, "off"),
    ],
)
def test_the_tier_sets_size_and_memory(
    tier: str,
    batch: int,
    rank: int,
    resolutions: list[int],
    preserves: bool,
    low_vram: bool,
    offloading: str,
) -> None:
    settings = preset_settings(Kind.STYLE, Tier(tier), Architecture.FLUX2_DEV)
    job = job_with(settings, Architecture.FLUX2_DEV)
    assert (job.training.batch_size, job.target.linear_rank) == (batch, rank)
    assert [dataset.resolutions for dataset in job.datasets] == [resolutions, resolutions]
    assert job.regularization.differential_output_preservation is preserves
    assert (job.model.low_vram, job.model.layer_offloading) == (low_vram, offloading)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("tier", Tier)
def test_what_holds_everywhere_is_set_whatever_stood_there(kind: Kind, tier: Tier) -> None:
    other = {
        "training": {"learning_rate": 3e-4, "use_ema": True, "loss_type": "mae"},
        "advanced": {"scale": 2.0},
        "save": {"save_every": 7},
    }
    settings = preset_settings(kind, tier, Architecture.FLUX2_DEV)
    job = parse_job(with_settings({**OWN, **other}, settings))
    training = job.training
    assert (training.learning_rate, training.weight_decay) == (1e-4, 1e-4)
    assert training.optimizer == "adamw8bit"
    assert (training.timestep_type, training.timestep_bias) == ("weighted", "balanced")
    assert (training.loss_type, training.use_ema, training.data_type) == ("mse", False, "bf16")
    assert (job.advanced.do_differential_guidance, job.advanced.scale) == (True, 3.0)
    assert (job.save.save_every, job.sample_every) == (250, 250)
    assert job.save.max_step_saves_to_keep == 4
    assert job.quantization.transformer == job.quantization.text_encoder == "float8"


@pytest.mark.parametrize(
    ("architecture", "kind", "tier"), list(itertools.product(Architecture, Kind, Tier))
)
def test_every_preset_passes_the_rules_of_its_model(
    architecture: Architecture, kind: Kind, tier: Tier
) -> None:
    job = job_with(preset_settings(kind, tier, architecture), architecture)
    found = cross_field_problems(job)
    assert [problem for problem in found if problem.severity == Severity.ERROR] == []
    said = {problem.code for problem in found} - {"distilled_model"}
    assert said == set(), f"the preset itself is warned of: {said}"


@pytest.mark.parametrize("architecture", Architecture)
def test_every_variant_passes_the_rules_over_a_preset(architecture: Architecture) -> None:
    for variant in guide_variants(architecture):
        settings = preset_settings(Kind.STYLE, Tier.SMALL, architecture) | dict(variant.settings)
        found = cross_field_problems(job_with(settings, architecture))
        assert [problem for problem in found if problem.severity == Severity.ERROR] == []


def test_a_preset_leaves_alone_what_is_the_person_s_own() -> None:
    settings = preset_settings(Kind.EDIT, Tier.LARGE, Architecture.FLUX2_DEV)
    changed = with_settings(OWN, settings)
    assert changed["job"] == OWN["job"]
    assert changed["model"]["name_or_path"] == "my/model"
    assert changed["sample"]["prompts"] == OWN["sample"]["prompts"]
    names = [(one["target_dataset"], one.get("default_caption")) for one in changed["datasets"]]
    assert names == [("one", "a [trigger]"), ("two", None)]
    assert OWN["datasets"][1]["resolutions"] == [512], "the config given is not changed"


def test_dev_is_streamed_where_it_would_not_fit_otherwise() -> None:
    def offloading(architecture: Architecture, gb: int) -> set[str]:
        found = presets_for(architecture, gb * GIB)
        return {preset.settings["model.layer_offloading"] for preset in found}

    assert offloading(Architecture.FLUX2_DEV, 32) == {"auto"}
    assert offloading(Architecture.FLUX2_DEV, 48) == {"off"}
    assert offloading(Architecture.KLEIN_BASE_9B, 24) == {"off"}


def test_below_16_gb_four_bits_and_klein_are_offered_by_name() -> None:
    keys = [offer.key for offer in offers_for(Architecture.FLUX2_DEV, 12 * GIB)]
    assert keys == ["four_bits", "klein-base-9b", "klein-base-4b"]
    assert offers_for(Architecture.FLUX2_DEV, int(15.7 * GIB)) == [], "sold as 16 GB"
    for offer in offers_for(Architecture.FLUX2_DEV, 12 * GIB):
        parse_job(with_settings(OWN, dict(offer.settings)))


def test_without_a_card_the_tiny_model_is_offered_and_nothing_else() -> None:
    assert presets_for(Architecture.FLUX2_DEV, None) == []
    (offer,) = offers_for(Architecture.FLUX2_DEV, None)
    job = parse_job(with_settings(OWN, dict(offer.settings)))
    assert job.model.model_architecture == Architecture.TINY
    assert job.datasets[0].resolutions == [128]


def test_the_tiny_model_has_one_preset_and_no_variants() -> None:
    assert [preset.key for preset in presets_for(Architecture.TINY, 80 * GIB)] == ["tiny"]
    assert guide_variants(Architecture.TINY) == []


@pytest.mark.parametrize("kind", Kind)
def test_a_preset_lies_within_the_guides_ranges(kind: Kind) -> None:
    row = KINDS[kind]
    assert row.steps_range[0] <= row.steps <= row.steps_range[1]
    assert row.images[0] < row.images[1]


@pytest.mark.parametrize("gb", [16, 24, 28, 32, 36, 48, 56, 80])
@pytest.mark.parametrize("architecture", Architecture)
def test_a_preset_passes_the_door_on_the_card_that_it_is_for(
    architecture: Architecture, gb: int, tmp_path: Path
) -> None:
    folders = Folders(
        datasets=PROJECT_FOLDER / "datasets", models=tmp_path / "models", cache=tmp_path / "cache"
    )
    machine = Machine(64 * GIB, gb * GIB)
    own = {**OWN, "model": {"model_architecture": architecture.value}, "sample": {}}
    own["datasets"] = [{"target_dataset": "tiny-hatch"}]
    for preset in presets_for(architecture, gb * GIB):
        verdict = examine_job(with_settings(own, preset.settings), folders, lambda job: machine)
        found = verdict.job_problems + verdict.dataset_problems  # the model itself is not here
        assert [one for one in found if one.severity == Severity.ERROR] == [], preset.key
