"""The memory plan against numbers worked out by hand, and against what the real parts keep."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.plan_jobs import plan_of, planned_job
from trainer.lora import add_lokr, add_lora, block_linears
from trainer.memory_disk import disk_bytes, plan_disk
from trainer.memory_plan import MemoryPlan, PhaseName
from trainer.memory_sizes import (
    lokr_tensors,
    optimizer_bytes,
    resident_weight_bytes,
    trained_tensors,
)
from trainer.memory_workload import workload_of
from trainer.model_shapes import known_shapes
from trainer.optim import SHARED_TABLES, make_optimizer
from trainer.variants import Architecture

DEV = known_shapes(Architecture.FLUX2_DEV)
LOW_VRAM = {"model.low_vram": True}


def part(plan: MemoryPlan, phase: PhaseName, key: str) -> int:
    return sum(part.num_bytes for part in plan.phase(phase).parts if part.key == key)


@pytest.mark.parametrize(
    ("kind", "gigabytes"), [("none", 64.4), ("float8", 33.0), ("int8", 33.0), ("nf4", 18.0)]
)
def test_devs_weights_take_what_its_parameters_say(kind: Any, gigabytes: float) -> None:
    # 31.4 of 32.2 billion parameters are in linear layers of blocks; the rest has 2 bytes each.
    found = resident_weight_bytes(DEV.transformer, kind, 2, ()) / 1e9
    assert found == pytest.approx(gigabytes, rel=0.01)


def test_a_lora_of_rank_32_on_all_of_dev_has_201_million_numbers() -> None:
    tensors = trained_tensors(planned_job(), DEV.transformer)
    assert round(sum(rows * columns for rows, columns in tensors) / 1e6) == 201


def test_the_inputs_of_devs_blocks_at_1024_px_take_3_gigabytes() -> None:
    # 56 blocks x (4096 + 512) tokens x 6144 numbers x 2 bytes.
    assert part(plan_of(), "train", "inputs") == 56 * 4608 * 6144 * 2


@pytest.mark.parametrize("rank", [4, 16])
@pytest.mark.parametrize("factor", [None, 2, 8])
def test_a_loras_and_a_lokrs_matrices_are_the_real_ones(rank: int, factor: int | None) -> None:
    transformer = mini_transformer(torch.float32)
    sizes = {
        name: tuple(transformer.get_submodule(name).weight.shape)
        for name in block_linears(transformer)
    }
    real = add_lokr(transformer, rank=rank, alpha=rank, factor=factor, seed=0)
    found = [
        shape
        for rows, columns in sizes.values()
        for shape in lokr_tensors(rows, columns, rank=rank, factor=factor)
    ]
    assert sorted(found) == sorted(tuple(p.shape) for p in real.parameters.values())


@pytest.mark.parametrize("optimizer", ["adamw8bit", "adamw", "adafactor", "prodigy", "lion8bit"])
def test_an_optimizer_keeps_what_the_plan_says(optimizer: Any) -> None:
    transformer = mini_transformer(torch.float32)
    parameters = dict(add_lora(transformer, rank=64, alpha=64, seed=0).parameters)
    real = make_optimizer(optimizer, parameters, learning_rate=1e-4, weight_decay=0)
    for parameter in parameters.values():
        parameter.grad = torch.full_like(parameter, 1e-3)
    real.step()
    kept = sum(
        tensor.nbytes
        for parameter in parameters.values()
        for name, tensor in real.state[parameter].items()
        if isinstance(tensor, torch.Tensor) and name not in SHARED_TABLES and tensor.numel() > 1
    )
    said = optimizer_bytes(optimizer, [(p.shape[0], p.shape[1]) for p in parameters.values()])
    # Prodigy keeps nothing of where a matrix of zeros began: half of a fresh LoRA.
    assert said == pytest.approx(kept, rel=0.2 if optimizer == "prodigy" else 0.02)


def test_what_costs_only_time_costs_no_memory() -> None:
    plain = plan_of()
    for changes in (
        {"regularization.differential_output_preservation": True},
        {"training.gradient_accumulation": 8},
        {"advanced.do_differential_guidance": True},
    ):
        assert plan_of(changes).largest_vram.vram_bytes == plain.largest_vram.vram_bytes


@pytest.mark.parametrize(
    "changes",
    [
        {"training.batch_size": 2},
        {"training.use_ema": True},
        {"training.gradient_checkpointing": False},
        {"training.optimizer": "adamw"},
        {"training.data_type": "fp32"},
        {"target.linear_rank": 64},
        {"target.dropout": 0.1, "training.gradient_checkpointing": False},
        {"quantization.transformer": "none"},
        {"datasets.0.resolutions": [1408]},
        {"datasets.0.control_datasets": ["sources"]},
    ],
    ids=str,
)
def test_what_costs_memory_raises_the_peak_of_training(changes: dict[str, Any]) -> None:
    base = {key: False for key in changes if key == "training.gradient_checkpointing"}
    before = plan_of(base if len(changes) > 1 else None).phase("train").vram_bytes
    assert plan_of(changes).phase("train").vram_bytes > before


def test_layers_that_do_not_train_leave_the_blocks_before_them_without_a_graph() -> None:
    last = {"target.layers": "pattern", "target.layer_pattern": "single_transformer_blocks.4?.*"}
    # Single blocks 40 to 47 of 48: 8 blocks have inputs to keep.
    assert part(plan_of(last), "train", "inputs") * 56 == part(plan_of(), "train", "inputs") * 8


def test_streamed_blocks_move_from_the_card_to_the_host_and_leave_two_places() -> None:
    here = plan_of({"model.layer_offloading": "off"})
    away = plan_of({"model.layer_offloading": "on", "model.transformer_offload_percent": 100})
    streamed = part(away, "train", "streamed")
    assert part(away, "train", "weights") + streamed == part(here, "train", "weights")
    # Two places of the largest block, a double one: 26 x 6144^2 weights of one byte.
    assert part(away, "train", "slots") == pytest.approx(2 * 26 * 6144**2, rel=0.001)


def test_low_vram_keeps_the_blocks_inputs_on_the_host() -> None:
    low = plan_of(LOW_VRAM)
    one = 4608 * 6144 * 2
    # The texts of the 8 double blocks come apart from the pictures, and are too small to go.
    assert part(low, "train", "inputs") == 3 * one + 8 * 512 * 6144 * 2
    # Locked host memory comes in powers of two: 54 MiB take 64, and so do 48 of a double block.
    assert part(low, "train", "kept_inputs") == 56 * (64 << 20)


def test_of_small_pictures_only_the_joined_inputs_of_single_blocks_wait() -> None:
    low = plan_of(LOW_VRAM | {"datasets.0.resolutions": [512]})
    one = (1024 + 512) * 6144 * 2
    # A double block's picture has 12 MiB there, under the 16 from which on one waits.
    assert part(low, "train", "inputs") == (8 + 3) * one
    assert part(low, "train", "kept_inputs") == 48 * (32 << 20)


@pytest.mark.parametrize(
    ("architecture", "smallest_px"),
    [("flux2-dev", 512), ("klein-base-9b", 768), ("klein-base-4b", 768)],
)
def test_inputs_wait_from_the_sizes_on_that_the_documentation_names(
    architecture: str, smallest_px: int
) -> None:
    sides = (256, 512, 768, 1024)
    job = LOW_VRAM | {"model.model_architecture": architecture}
    waits = [plan_of(job | {"datasets.0.resolutions": [side]}) for side in sides]
    found = [side for side, plan in zip(sides, waits, strict=True) if kept(plan)]
    assert found == [side for side in sides if side >= smallest_px]


def kept(plan: MemoryPlan) -> int:
    return part(plan, "train", "kept_inputs")


def test_low_vram_keeps_no_inputs_on_the_host_where_nothing_is_computed_again() -> None:
    off = {"training.gradient_checkpointing": False}
    assert plan_of(off | LOW_VRAM).phase("train").parts == plan_of(off).phase("train").parts
    half = {"model.layer_offloading": "on", "model.transformer_offload_percent": 50}
    # Streamed blocks are computed again in any case: 28 of the 56.
    assert kept(plan_of(off | LOW_VRAM | half)) == 28 * (64 << 20)


def test_locked_memory_for_inputs_is_there_to_the_end() -> None:
    """torch keeps it, one piece for each power of two; another size of pictures takes its own."""
    several = LOW_VRAM | {"datasets.0.resolutions": [1024, 1408]}
    one, both = (plan_of(job | {"training.batch_size": 1}) for job in (LOW_VRAM, several))
    assert kept(both) > kept(one) > 0
    for phase in ("sample", "save"):
        assert part(both, phase, "kept_inputs") == kept(both)
    here = plan_of(LOW_VRAM, on_gpu=False)
    assert "kept_inputs" not in {one.key for one in here.phase("save").parts}


def test_while_a_sample_is_decoded_the_transformer_waits_in_ram() -> None:
    low, plain = plan_of(LOW_VRAM), plan_of()
    weights = part(plain, "sample", "weights")
    assert weights > 30 << 30
    waiting = weights + kept(low)
    assert low.phase("sample").ram_bytes == plain.phase("sample").ram_bytes + waiting
    # The card's largest moment is denoising, which has it there, as without Low VRAM.
    assert low.phase("sample").vram_bytes == plain.phase("sample").vram_bytes
    # On a CPU it makes way from one place in RAM to another.
    here = [plan_of(job, on_gpu=False).phase("sample").ram_bytes for job in (LOW_VRAM, {})]
    assert here[0] == here[1]


@pytest.mark.parametrize("low_vram", [False, True])
@pytest.mark.parametrize("architecture", ["flux2-dev", "klein-base-9b", "klein-base-4b"])
@pytest.mark.parametrize("sides", [(512, 768), (512, 1024), (768, 1408), (256, 512, 640, 1024)])
def test_pictures_of_several_sizes_take_no_less_than_those_of_one(
    architecture: str, sides: tuple[int, ...], low_vram: bool
) -> None:
    common = {"model.model_architecture": architecture, "model.low_vram": low_vram}
    datasets = [{"target_dataset": f"pictures {side}", "resolutions": [side]} for side in sides]
    together = plan_of(common | {"datasets": datasets})
    for dataset in datasets:
        alone = plan_of(common | {"datasets": [dataset]})
        for phase in alone.phases:
            assert together.phase(phase.phase).vram_bytes >= phase.vram_bytes, phase.phase
            assert together.phase(phase.phase).ram_bytes >= phase.ram_bytes, phase.phase


def test_on_a_cpu_everything_is_host_memory() -> None:
    plan = plan_of({"model.model_architecture": "tiny"}, on_gpu=False)
    assert all(phase.vram_bytes == 0 for phase in plan.phases)
    assert all(part.key != "cuda" for phase in plan.phases for part in phase.parts)


def test_the_disk_takes_prompts_checkpoints_and_downloads() -> None:
    job = planned_job({"training.steps": 1000, "save.save_every": 100})
    workload = workload_of(job, [], on_gpu=True)
    parts = {
        part.key: part.num_bytes for part in plan_disk(job, DEV, workload, has_to_download=True)
    }
    assert parts["prompts"] == workload.num_prompts * 512 * 15360 * 2  # 15.7 MB each
    # bf16 file, float32 state, AdamW8bit's two moments: 2 + 4 + 2.03 bytes a number; 4 kept + 1.
    assert parts["checkpoints"] == pytest.approx(5 * 201e6 * 8.03, rel=0.01)
    assert parts["transformer"] == pytest.approx(64.4e9, rel=0.01)
    here = plan_disk(job, DEV, workload, has_to_download=False)
    assert disk_bytes(here, "models") == 0
