"""Streamed weights on a real card: the same numbers, in the memory that was promised.

The transfers run beside the computing there, ordered by events alone: what the CPU tests cannot
show is that no kernel reads a slot too early or too late.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import torch
from diffusers import Flux2Transformer2DModel
from optimum.quanto import WeightQBytesTensor

import trainer.change_taking
from scripts.parity_matrix import batch, digest, stack
from tests.trainer.short_runs import job_with
from trainer.aside import set_aside
from trainer.block_memory import manage_blocks, transformer_blocks
from trainer.change_taking import room_for_encoder
from trainer.host_keeper import HostKeeper
from trainer.job_file import parse_job
from trainer.lora import add_lora
from trainer.model_loading import BLOCK_LISTS
from trainer.offloading import BlockStream, frozen_linears, host_bytes
from trainer.quantization import quantize_linears
from trainer.quantization_kinds import QuantizationKind
from trainer.trainee import load_trainee
from trainer.training_step import Objective, StepResult, training_step
from trainer.variants import BUNDLED_TINY_FOLDER
from trainer.vram_limit import cap_vram

# Read when cuBLAS is first used; without it, its results may differ from run to run.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# torch says of every operation that cannot promise the same numbers that it cannot.
pytestmark = pytest.mark.filterwarnings("ignore:.*deterministic.*")

GIB = 1 << 30
OBJECTIVE = Objective(
    seed=3,
    batch_size=1,
    timestep_type="weighted",
    timestep_bias="balanced",
    loss_type="mse",
    training_guidance=1.0,
    guidance_scale=None,
    preservation_multiplier=1.0,
)


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> Iterator[None]:
    """Attention's backward adds up in any order unless told not to."""
    before = torch.are_deterministic_algorithms_enabled()
    flash = torch.backends.cuda.flash_sdp_enabled()
    efficient = torch.backends.cuda.mem_efficient_sdp_enabled()
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before)
    torch.backends.cuda.enable_flash_sdp(flash)
    torch.backends.cuda.enable_mem_efficient_sdp(efficient)


def model(kind: QuantizationKind = "none", *, heads: int = 16) -> Flux2Transformer2DModel:
    """4 double and 12 single blocks; at 16 heads 270 M parameters, large enough to take time."""
    transformer = stack(num_double=4, num_single=12, heads=heads, dtype=torch.bfloat16).cuda()
    if kind != "none":
        quantize_linears(transformer, inside=BLOCK_LISTS, kind=kind)
    return transformer


Training = Callable[[], tuple[list[StepResult], str]]


def training(
    transformer: Flux2Transformer2DModel,
    *,
    streamed: tuple[int, ...] = (),
    keeper: HostKeeper | None = None,
    num_steps: int = 4,
) -> Training:
    """Arrange the blocks; what is returned takes steps with preservation, and gives their results
    and a digest of the LoRA after them.
    """
    lora = add_lora(transformer, rank=4, alpha=4.0, seed=1)
    manage_blocks(transformer, streamed=streamed, checkpointing=True, keeper=keeper, device="cuda")
    assert {parameter.device.type for parameter in lora.parameters.values()} == {"cuda"}
    optimizer = torch.optim.AdamW(list(lora.parameters.values()), lr=3e-3)

    def steps() -> tuple[list[StepResult], str]:
        results = [
            training_step(
                transformer,
                lora,
                optimizer,
                [batch(step, 0, transformer)],
                step=step,
                objective=OBJECTIVE,
                max_gradient_norm=1.0,
            )
            for step in range(num_steps)
        ]
        return results, digest(parameter.cpu() for parameter in lora.parameters.values())

    return steps


def trained(
    transformer: Flux2Transformer2DModel,
    *,
    streamed: tuple[int, ...] = (),
    keeper: HostKeeper | None = None,
) -> tuple[list[StepResult], str]:
    """The same at once; the copies meet a card that has work waiting."""
    steps = training(transformer, streamed=streamed, keeper=keeper)
    busy_card()
    return steps()


def busy_card() -> None:
    """Give the compute stream work for a while: copies run ahead of it as far as they may."""
    a = torch.randn(4096, 4096, device="cuda")
    for _ in range(50):
        a = a @ a / 64


@pytest.mark.parametrize("kind", ["none", "float8", "int8", "nf4", "int4"])
@pytest.mark.parametrize("streamed", [tuple(range(16)), (1, 4, 7, 9, 12, 15)], ids=["all", "some"])
def test_offloaded_equals_resident(kind: QuantizationKind, streamed: tuple[int, ...]) -> None:
    resident = trained(model(kind))
    assert trained(model(kind)) == resident, "the card itself is not repeatable"
    assert trained(model(kind), streamed=streamed) == resident


def test_inputs_that_wait_on_the_host_change_nothing() -> None:
    resident = trained(model())
    assert trained(model(), keeper=HostKeeper(min_bytes=0)) == resident
    everything = HostKeeper(min_bytes=0)
    assert trained(model(), streamed=tuple(range(16)), keeper=everything) == resident


def test_a_copy_waits_for_the_block_whose_slot_it_takes() -> None:
    """Each block adds up its slot late, behind work for the card; a copy too early would show."""
    values = [torch.nn.Linear(1024, 1024, bias=False) for _ in range(8)]
    for value, linear in enumerate(values):
        torch.nn.init.constant_(linear.weight, float(value))
        linear.requires_grad_(False)
    blocks = [torch.nn.Sequential(linear) for linear in values]
    stream = BlockStream(blocks, streamed=range(8), device="cuda")
    sums = []
    for _ in range(3):
        for place in range(8):
            stream.visit(place)
            busy_card()
            sums.append(values[place].weight.mean())
    torch.cuda.synchronize()
    assert [int(total) for total in sums] == list(range(8)) * 3


def test_host_memory_is_page_locked_and_not_rounded_up() -> None:
    flat = host_bytes(300_000_000, pin=True)
    assert flat.is_pinned()
    assert flat.untyped_storage().nbytes() == 300_000_000


def test_memory_that_could_not_be_locked_does_not_fail_the_next_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flat = host_bytes(1 << 20, pin=True)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "empty", lambda *_args, **_kwargs: flat)
        again = host_bytes(1 << 20, pin=True)  # CUDA refuses to lock the same memory twice
    assert again.data_ptr() == flat.data_ptr()
    assert torch.ones(1, device="cuda").item() == 1


def test_when_no_more_memory_can_be_locked_torch_says_so_in_the_words_that_the_keeper_knows() -> (
    None
):
    with pytest.raises(RuntimeError, match="out of memory"):
        torch.empty(1 << 44, dtype=torch.uint8, pin_memory=True)
    assert torch.ones(1, device="cuda").item() == 1


def peak_bytes(steps: Training) -> int:
    """The most that is allocated during the steps."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    steps()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def test_streaming_takes_all_blocks_but_two_off_the_card() -> None:
    transformer = model()
    sizes = [
        sum(layer.weight.nbytes for layer in frozen_linears(block))
        for block in transformer_blocks(transformer)
    ]
    resident = peak_bytes(training(transformer))
    del transformer
    offloaded = peak_bytes(training(model(), streamed=tuple(range(16))))
    assert resident - offloaded == pytest.approx(sum(sizes) - 2 * max(sizes), rel=0.1)


def test_a_run_keeps_below_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    monkeypatch.setenv("DARKROOM_VRAM_CAP_GB", "2")
    try:
        assert cap_vram("cuda") == 2 * GIB
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(3 * GIB, dtype=torch.uint8, device="cuda")
        torch.empty(GIB, dtype=torch.uint8, device="cuda")
        monkeypatch.setenv("DARKROOM_VRAM_CAP_GB", "100000")
        assert cap_vram("cuda") == total
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_weights_that_made_way_come_back_without_the_kernel_that_needs_a_compiler() -> None:
    transformer = model("float8", heads=4)
    expected = trained(model("float8", heads=4))
    with set_aside(transformer, transformer_blocks(transformer), None):
        held = torch.cuda.memory_allocated()
    assert torch.cuda.memory_allocated() > held
    classes = {
        type(layer.weight.data)
        for block in transformer_blocks(transformer)
        for layer in frozen_linears(block)
    }
    assert classes == {WeightQBytesTensor}
    assert trained(transformer) == expected


def test_streamed_float8_is_never_the_kernel_that_needs_a_compiler() -> None:
    transformer = model("float8", heads=4)
    trained(transformer, streamed=tuple(range(16)))
    classes = {
        type(layer.weight.data)
        for block in transformer_blocks(transformer)
        for layer in frozen_linears(block)
    }
    assert classes == {WeightQBytesTensor}


@pytest.mark.parametrize("offloading", ["off", "on"])
def test_the_transformer_makes_way_for_a_text_encoder_that_does_not_fit_beside_it(
    offloading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = parse_job(
        job_with({"model.layer_offloading": offloading, "model.transformer_offload_percent": 50.0})
    )
    trainee = load_trainee(
        job, BUNDLED_TINY_FOLDER / "transformer", device="cuda", progress=lambda *_: None
    )
    frozen = frozen_linears(trainee.transformer)
    homes = [layer.weight.device.type for layer in frozen]
    assert homes.count("cuda") > 10
    monkeypatch.setattr(trainer.change_taking, "free_bytes", lambda _device: 0)
    with room_for_encoder(trainee, encoder_bytes=1):
        assert {layer.weight.device.type for layer in frozen} == {"cpu"}
        assert {p.device.type for p in trainee.lora.parameters.values()} == {"cuda"}
    assert [layer.weight.device.type for layer in frozen] == homes
