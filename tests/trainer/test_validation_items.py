"""Which pictures a run measures on, and the rules and checks around it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.short_runs import job_with
from trainer.buckets import Bucket
from trainer.config import JobConfig
from trainer.door import examine_job
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems
from trainer.training_items import TrainingItem
from trainer.validation_items import number_of, probe_pairs, sides_of


def item(name: str, caption: str = "zorvex, a square", **more: Any) -> TrainingItem:
    return TrainingItem(
        path=Path(name),
        bucket=Bucket(64, 64, 64),
        caption=caption,
        class_caption=None,
        caption_dropout_rate=0.0,
        cache_latents=True,
        **more,
    )


def sha256_of(of: TrainingItem) -> str:
    return hashlib.sha256(of.name.encode()).hexdigest()


def job(**advanced: Any) -> JobConfig:
    return parse_job(job_with({f"advanced.{name}": value for name, value in advanced.items()}))


HELD_OUT = {"validation": "held_out", "held_out_share": 0.3}
MANY = [item(f"{number}.png") for number in range(400)]


def held_out_of(items: list[TrainingItem], **changes: Any) -> set[str]:
    sides = sides_of(job(**HELD_OUT, **changes), items, sha256_of)
    assert {i.name for i in sides.training} | {i.name for i in sides.validation} == {
        i.name for i in items
    }
    assert not {i.name for i in sides.training} & {i.name for i in sides.validation}
    return {i.name for i in sides.validation}


def test_about_the_share_is_held_out_and_the_seed_says_which() -> None:
    found = held_out_of(MANY)
    assert 0.24 < len(found) / len(MANY) < 0.36
    other_seed = parse_job(
        job_with({f"advanced.{name}": v for name, v in HELD_OUT.items()} | {"job.seed": 7})
    )
    assert {i.name for i in sides_of(other_seed, MANY, sha256_of).validation} != found


@given(st.sets(st.integers(0, 399), min_size=30))
def test_a_pictures_side_does_not_depend_on_the_others(kept: set[int]) -> None:
    some = [MANY[number] for number in sorted(kept)]
    assert held_out_of(some) == held_out_of(MANY) & {i.name for i in some}


def test_neither_side_is_ever_empty() -> None:
    by_number = sorted(MANY, key=lambda i: number_of(sha256_of(i), 42))
    assert held_out_of(by_number[-3:]) == {by_number[-3].name}
    assert held_out_of(by_number[:3]) == {i.name for i in by_number[:2]}


def test_regularization_sets_are_not_held_out() -> None:
    items = [item(f"{n}.png", is_regularization=n % 2 == 0) for n in range(40)]
    assert all(int(name.removesuffix(".png")) % 2 for name in held_out_of(items))


def test_without_validation_everything_trains_and_nothing_is_measured() -> None:
    sides = sides_of(job(), MANY, sha256_of)
    assert (len(sides.training), sides.validation) == (400, [])


def test_a_validation_datasets_pictures_are_measured_and_never_train() -> None:
    own = job(validation="dataset", validation_dataset="others")
    items = [item("a.png"), item("b.png", dataset=1)]
    sides = sides_of(own, items, sha256_of)
    assert [i.name for i in sides.training] == ["a.png"]
    assert [i.name for i in sides.validation] == ["b.png"]


def test_the_probe_asks_the_same_captions_with_the_trigger_and_with_the_class() -> None:
    items = [item(f"{n}.png", f"zorvex, picture {n}") for n in range(9)]
    items += [item("bare.png", "a square"), item("r.png", is_regularization=True)]
    pairs = probe_pairs(job(preservation_probe=True), items)
    assert len(pairs) == 4
    for pair in pairs:
        assert pair.with_trigger == pair.item.caption
        assert pair.without_trigger == pair.item.caption.replace("zorvex", "photo")
    more = [*items, item("bare2.png", "another square")]
    assert probe_pairs(job(preservation_probe=True), more) == pairs
    assert probe_pairs(job(), items) == []


# ------------------------------------------------------------------------------- rules and the door


def codes(changes: dict[str, Any]) -> dict[str, str | None]:
    """Code to field of the problems of a job with changes."""
    return {p.code: p.field for p in cross_field_problems(parse_job(job_with(changes)))}


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        (
            {"advanced.validation": "dataset"},
            "validation_dataset_missing",
            "advanced.validation_dataset",
        ),
        (
            {"advanced.validation": "dataset", "advanced.validation_dataset": "squares"},
            "validation_dataset_trains",
            "advanced.validation_dataset",
        ),
        (
            {
                "advanced.validation": "dataset",
                "advanced.validation_dataset": "others",
                "datasets.0.control_datasets": ["references"],
            },
            "validation_dataset_without_references",
            "advanced.validation",
        ),
        (
            {"advanced.preservation_probe": True, "job.trigger_word": ""},
            "probe_without_trigger",
            "advanced.preservation_probe",
        ),
        (
            {
                "advanced.preservation_probe": True,
                "regularization.preservation_class": "a zorvex",
            },
            "class_contains_trigger",
            "regularization.preservation_class",
        ),
        (
            {"advanced.early_stop": "validation_loss"},
            "early_stop_without_validation",
            "advanced.early_stop",
        ),
        (
            {"advanced.early_stop": "preservation_drift"},
            "early_stop_without_probe",
            "advanced.early_stop",
        ),
        (
            {"advanced.validation": "held_out", "advanced.validate_every": 30},
            "checkpoints_not_measured",
            "advanced.validate_every",
        ),
        ({"advanced.patience": 3}, "no_effect", "advanced.patience"),
        ({"advanced.drift_limit": 0.3}, "no_effect", "advanced.drift_limit"),
        ({"advanced.held_out_share": 0.3}, "no_effect", "advanced.held_out_share"),
        ({"advanced.validation_seed": 1}, "no_effect", "advanced.validation_seed"),
        ({"advanced.validation_dataset": "x"}, "no_effect", "advanced.validation_dataset"),
    ],
)
def test_what_contradicts_itself_is_named_at_its_field(
    changes: dict[str, Any], code: str, field: str
) -> None:
    assert codes(changes).get(code) == field


def test_a_class_for_the_probe_alone_has_an_effect() -> None:
    changes = {"regularization.preservation_class": "picture"}
    assert codes(changes)["no_effect"] == "regularization.preservation_class"
    assert "no_effect" not in codes({**changes, "advanced.preservation_probe": True})


def test_the_door_looks_at_the_validation_dataset(short_folders: Folders) -> None:
    missing = job_with({"advanced.validation": "dataset", "advanced.validation_dataset": "no-such"})
    (problem,) = examine_job(missing, short_folders).errors
    assert (problem.code, problem.field) == ("dataset_missing", "advanced.validation_dataset")


def test_a_probe_needs_a_caption_with_the_trigger(short_folders: Folders) -> None:
    changes = {"advanced.preservation_probe": True, "regularization.trigger": "nowhere"}
    (problem,) = examine_job(job_with(changes), short_folders).errors
    assert problem.code == "probe_without_captions"
