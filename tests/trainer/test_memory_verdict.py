"""The verdict on a card, and cures that really fit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.plan_jobs import judged, plan_of, planned_job
from trainer import memory_changes
from trainer.block_shares import num_streamed_blocks
from trainer.machine import Machine
from trainer.memory_sizes import GIB
from trainer.memory_verdict import Judged, Missing, helping_changes, judge
from trainer.memory_workload import workload_of
from trainer.model_shapes import known_shapes
from trainer.offload_shares import transformer_percent
from trainer.quantization_support import Obstacle
from trainer.variants import Architecture

SMALL_HOST: dict[str, Any] = {"vram_gib": 48, "ram_gib": 16}
DEV = known_shapes(Architecture.FLUX2_DEV)


def missing(found: Judged) -> set[tuple[Missing, str | None]]:
    return {(short.missing, short.phase) for short in found.shortfalls}


def test_a_large_card_takes_dev_as_it_is() -> None:
    found = judged(vram_gib=80)
    assert found.fits
    assert found.cures == ()


def test_what_does_not_fit_is_named_by_phase_with_both_numbers() -> None:
    found = judged(vram_gib=24)
    assert ("vram", "train") in missing(found)
    short = next(short for short in found.shortfalls if short.phase == "train")
    assert short.available_bytes == 24 * GIB
    assert short.needed_bytes == plan_of().phase("train").vram_bytes


@pytest.mark.parametrize(
    ("changes", "vram_gib", "ram_gib"),
    [
        ({}, 24, 64),
        ({}, 16, 32),
        ({"training.batch_size": 4}, 16, 64),
        ({"quantization.transformer": "none", "quantization.text_encoder": "none"}, 24, 96),
        ({"training.gradient_checkpointing": False}, 48, 64),
        ({"model.model_architecture": "klein-base-9b"}, 8, 32),
    ],
)
def test_every_cure_fits_when_it_is_made(
    changes: dict[str, Any], vram_gib: float, ram_gib: float
) -> None:
    found = judged(changes, vram_gib=vram_gib, ram_gib=ram_gib)
    assert found.cures
    machine = Machine(int(ram_gib * GIB), int(vram_gib * GIB))
    for cure in found.cures:
        changed = planned_job(changes)
        for change in cure.changes:
            changed = change.applied(changed)
        again = judge(changed, known_shapes(changed.model.model_architecture), [], machine)
        assert again.fits, cure.label
        assert again.plan.largest_vram.vram_bytes == cure.vram_bytes


def test_of_several_changes_none_is_superfluous() -> None:
    changes = {"training.batch_size": 4}
    (cure,) = judged(changes, vram_gib=16).cures
    assert len(cure.changes) > 1
    for left_out in cure.changes:
        job = planned_job(changes)
        for change in cure.changes:
            if change is not left_out:
                job = change.applied(job)
        assert not judge(job, DEV, [], Machine(64 * GIB, 16 * GIB)).fits


def test_without_gradient_checkpointing_the_first_cure_is_to_turn_it_on() -> None:
    found = judged({"training.gradient_checkpointing": False}, vram_gib=48)
    assert found.cures[0].settings == {"training.gradient_checkpointing": True}


def test_a_machine_that_nothing_helps_gets_no_cure() -> None:
    assert judged(vram_gib=3, ram_gib=8).cures == ()


def test_host_memory_is_judged_too() -> None:
    found = judged({"model.layer_offloading": "on"}, vram_gib=24, ram_gib=16)
    assert ("ram", "train") in missing(found)
    assert ("vram", "train") not in missing(found)


def test_low_vram_is_refused_where_ram_lacks_room_for_the_transformer_while_it_makes_way() -> None:
    found = judged({"model.low_vram": True}, vram_gib=48, ram_gib=28)
    assert missing(found) == {("ram", "sample")}
    assert judged({"model.low_vram": True}, vram_gib=48, ram_gib=38).fits


def test_the_share_that_stays_is_the_largest_that_fits() -> None:
    job = planned_job()
    workload = workload_of(job, [], on_gpu=True)
    for vram_gib in (12, 16, 20, 24, 32):
        percent = transformer_percent(job, DEV, workload, vram_gib * GIB)
        assert percent is not None
        num_streamed = num_streamed_blocks(56, percent)
        offloading = {"model.layer_offloading": "on"}

        def peak(count: int, offloading: dict[str, Any] = offloading) -> int:
            share = {"model.transformer_offload_percent": round(100 * count / 56, 1)}
            plan = plan_of(offloading | share)
            return max(
                phase.vram_bytes
                for phase in plan.phases
                if phase.phase in ("load", "train", "sample", "save")
            )

        assert peak(num_streamed) <= vram_gib * GIB
        assert peak(num_streamed - 1) > vram_gib * GIB


def test_changes_after_a_failure_are_those_that_lower_its_phase() -> None:
    job = planned_job()
    machine = Machine(64 * GIB, 24 * GIB)
    training = helping_changes(job, DEV, [], machine, ["train"])
    labels = [cure.label for cure in training.cures]
    assert labels[:3] == [
        "lower Resolutions to at most 896",
        "lower Resolutions to at most 768",
        "turn Low VRAM on",
    ]
    assert labels[-1] == "choose NF4 for the Transformer (Quantization)"
    assert not any("Text Encoder (Quantization)" in label for label in labels)
    for cure in training.cures:
        assert cure.phase_bytes is not None
        assert cure.phase_bytes < training.peak_bytes, cure.label
    encoding = helping_changes(job, DEV, [], machine, ["encode_texts"]).cures
    assert any("NF4 for the Text Encoder" in cure.label for cure in encoding)
    assert not any("Resolutions" in cure.label for cure in encoding)


@pytest.mark.parametrize(
    ("offloading", "vram_gib", "does", "least_percent"),
    [
        ({}, 80, "turn Layer Offloading on, with Transformer Offload 25 %", 25),
        (
            {"model.layer_offloading": "on", "model.transformer_offload_percent": 60},
            80,
            "raise Transformer Offload to 75 %",
            75,
        ),
        # The plan settles auto on 28.6 % there.
        (
            {"model.layer_offloading": "auto"},
            32,
            "set Layer Offloading to on, with Transformer Offload 50 %",
            50,
        ),
    ],
)
def test_a_job_that_was_let_in_and_ran_out_is_offered_larger_shares(
    offloading: dict[str, Any], vram_gib: int, does: str, least_percent: float
) -> None:
    job, machine = planned_job(offloading), Machine(96 * GIB, vram_gib * GIB)
    assert judge(job, DEV, [], machine).fits
    found = helping_changes(job, DEV, [], machine, ["train"])
    shares = [cure for cure in found.cures if "model.layer_offloading" in cure.settings]
    assert shares[0].label.startswith(does)
    percents = [cure.settings["model.transformer_offload_percent"] for cure in shares]
    assert percents == [share for share in (25, 50, 75, 100) if share >= least_percent]
    peaks = [found.peak_bytes, *(cure.phase_bytes or 0 for cure in shares)]
    assert peaks == sorted(peaks, reverse=True)
    encoding = helping_changes(job, DEV, [], machine, ["encode_texts"]).cures
    streamed = [c for c in encoding if "model.layer_offloading" in c.settings]
    if offloading.get("model.layer_offloading") == "on":  # all of it is streamed already
        assert streamed == []
    else:
        assert streamed[-1].settings["model.text_encoder_offload_percent"] == 100


def test_the_math_kernels_matrices_are_counted_and_another_kernel_is_a_cure() -> None:
    changes = {"model.attention_backend": "math"}
    matrices = 3 * 48 * (4096 + 512) ** 2 * 4
    train = plan_of(changes).phase("train").vram_bytes
    assert train > plan_of().phase("train").vram_bytes + matrices / 2
    assert judged(vram_gib=40).fits
    found = judged(changes, vram_gib=40)
    assert not found.fits
    assert {"model.attention_backend": "auto"} in [dict(cure.settings) for cure in found.cures]
    auto = judged(changes | {"model.layer_offloading": "auto"}, vram_gib=40)
    assert auto.job.model.transformer_offload_percent > 0


def test_on_a_cpu_no_share_is_offered() -> None:
    found = helping_changes(planned_job(), DEV, [], Machine(64 * GIB), ["train"])
    assert not any("model.layer_offloading" in cure.settings for cure in found.cures)


def test_after_a_failure_checkpointing_and_batch_size_come_before_what_moves_to_the_host() -> None:
    def tried(changes: dict[str, Any]) -> list[str]:
        job, machine = planned_job(changes), Machine(64 * GIB, 80 * GIB)
        found = helping_changes(job, DEV, [], machine, ["train"])
        return [next(iter(cure.settings)).split(".")[-1] for cure in found.cures]

    pairs = {"training.batch_size": 2}
    assert tried(pairs)[2:4] == ["batch_size", "low_vram"]
    # Without checkpointing no input of a block waits, so that Low VRAM does nothing for a step.
    unchecked = tried(pairs | {"training.gradient_checkpointing": False})
    assert unchecked[2:4] == ["gradient_checkpointing", "batch_size"]
    assert "low_vram" not in unchecked


def test_what_ran_out_in_host_memory_is_judged_by_host_memory() -> None:
    """Low VRAM frees the card at the host's expense: no help against a full host."""
    job, machine = planned_job(), Machine(16 * GIB, 24 * GIB)
    found = helping_changes(job, DEV, [], machine, ["load", "train"], place="ram")
    assert not any("Low VRAM" in cure.label for cure in found.cures)


def test_a_job_that_streams_more_than_it_has_to_is_cured_of_lacking_ram_by_streaming_less() -> None:
    """Everything is streamed, while the card has room for all of it."""
    found = judged({"model.layer_offloading": "on"}, vram_gib=48, ram_gib=32)
    assert {short.missing for short in found.shortfalls} == {"ram"}
    assert [cure.label for cure in found.cures][:2] == [
        "lower Transformer Offload to 0 % and Text Encoder Offload to 0 %",
        "set Layer Offloading to auto",
    ]
    assert all(cure.fits and cure.vram_bytes <= 48 * GIB for cure in found.cures)


def test_shares_are_lowered_no_further_than_the_card_has_room() -> None:
    streamed = {"model.layer_offloading": "on", "model.text_encoder_offload_percent": 0}
    found = judged(streamed, vram_gib=24, ram_gib=30)
    least = transformer_percent(
        planned_job(), DEV, workload_of(planned_job(), [], on_gpu=True), 24 * GIB
    )
    assert found.cures[0].label == f"lower Transformer Offload to {least:g} %"
    assert found.cures[0].vram_bytes <= 24 * GIB


def test_low_vram_is_turned_off_where_ram_lacks_and_the_card_has_room() -> None:
    found = judged({"model.low_vram": True}, vram_gib=48, ram_gib=28)
    assert found.cures[0].label == "turn Low VRAM off"
    # All of the text encoder is streamed with it, unless Layer Offloading says otherwise.
    reading = judged({"model.low_vram": True, "quantization.transformer": "nf4"}, **SMALL_HOST)
    assert missing(reading) == {("ram", "encode_texts"), ("ram", "sample")}
    assert reading.cures[0].label == "turn Low VRAM off"


def test_the_share_of_the_text_encoder_is_lowered_where_low_vram_has_to_stay() -> None:
    changes = {
        "model.low_vram": True,
        "quantization.transformer": "nf4",
        "datasets.0.resolutions": [1280],
        "sample.prompts": [],
    }
    found = judged(changes, vram_gib=24, ram_gib=12)
    assert missing(found) == {("ram", "encode_texts")}
    shares = "Transformer Offload 0 % and Text Encoder Offload 0 %"
    assert found.cures[0].label == f"turn Layer Offloading on, with {shares}"
    assert not any("turn Low VRAM off" in cure.label for cure in found.cures)


def test_after_host_memory_ran_out_what_goes_back_to_the_card_is_tried_first() -> None:
    job, machine = planned_job({"model.layer_offloading": "on"}), Machine(64 * GIB, 48 * GIB)
    found = helping_changes(job, DEV, [], machine, ["train"], place="ram")
    assert [cure.label for cure in found.cures][:2] == [
        "lower Transformer Offload to 0 % and Text Encoder Offload to 0 %",
        "set Layer Offloading to auto",
    ]
    on_card = helping_changes(job, DEV, [], machine, ["train"], place="vram").cures
    assert not any("lower Transformer" in cure.label for cure in on_card)


@pytest.mark.parametrize(("optimizer", "is_offered"), [("adamw", True), ("prodigy", False)])
def test_another_optimizer_is_offered_only_where_the_learning_rate_suits_it(
    optimizer: str, is_offered: bool
) -> None:
    """Prodigy's is 1, at which AdamW8bit trains nothing but noise."""
    job = planned_job({"training.optimizer": optimizer})
    found = helping_changes(job, DEV, [], Machine(64 * GIB, 48 * GIB), ["train"])
    assert any("training.optimizer" in cure.settings for cure in found.cures) == is_offered


@pytest.mark.parametrize(("accumulation", "raised"), [(64, 128), (65, None), (128, None)])
def test_a_smaller_batch_is_offered_only_where_a_step_can_keep_its_pictures(
    accumulation: int, raised: int | None
) -> None:
    job = planned_job({"training.batch_size": 4, "training.gradient_accumulation": accumulation})
    found = helping_changes(job, DEV, [], Machine(64 * GIB, 48 * GIB), ["train"])
    batches = [cure for cure in found.cures if "training.batch_size" in cure.settings]
    said = [cure.settings["training.gradient_accumulation"] for cure in batches]
    assert said == ([] if raised is None else [raised])
    assert all(cure.label.endswith(f"raise Gradient Accumulation to {raised}") for cure in batches)


@pytest.mark.parametrize("lacking", [("nf4",), ("nf4", "float8")])
def test_no_kind_is_offered_that_the_machine_cannot_run(
    monkeypatch: pytest.MonkeyPatch, lacking: tuple[str, ...]
) -> None:
    def on_a_card(kind: str, *, on_gpu: bool) -> Obstacle | None:
        return Obstacle("no library", "install it") if kind in lacking and on_gpu else None

    def offered(machine: Machine) -> set[object]:
        whole = {"quantization.transformer": "none", "quantization.text_encoder": "none"}
        found = helping_changes(planned_job(whole), DEV, [], machine, ["load", "encode_texts"])
        parts = ("quantization.transformer", "quantization.text_encoder")
        return {
            cure.settings[part] for cure in found.cures for part in parts if part in cure.settings
        }

    monkeypatch.setattr(memory_changes, "obstacle", on_a_card)
    assert offered(Machine(64 * GIB, 24 * GIB)) == {"nf4", "float8"} - {*lacking}
    assert offered(Machine(64 * GIB)) == {"nf4", "float8"}
