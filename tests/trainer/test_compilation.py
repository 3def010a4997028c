"""Compiled blocks compute what the blocks compute, and a machine without a compiler hears so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import trainer.block_memory
from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.poisoned_stream import PoisonedStream
from tests.trainer.short_runs import job_with
from tests.trainer.test_training_step import OBJECTIVE, samples
from trainer.block_memory import manage_blocks
from trainer.compilation import compile_blocks
from trainer.compiler_check import compiler_problems
from trainer.job_file import parse_job
from trainer.lora import add_lora
from trainer.model_loading import BLOCK_LISTS
from trainer.quantization import quantize_linears
from trainer.training_step import StepResult, training_step

# torch warns of its own code while it traces.
pytestmark = pytest.mark.filterwarnings("ignore")


def two_steps(
    *, backend: str | None, float8: bool = False, offloaded: bool = False
) -> list[StepResult]:
    """With output preservation, which switches the LoRA off and on again within a step."""
    torch._dynamo.reset()
    transformer = mini_transformer(torch.float32)
    if float8:
        quantize_linears(transformer, inside=BLOCK_LISTS)
    lora = add_lora(transformer, rank=2, alpha=1.0, seed=1)
    if offloaded:
        manage_blocks(transformer, streamed=(0, 1), checkpointing=True, keeper=None, device="cpu")
    if backend is not None:
        compile_blocks(transformer, backend=backend)
    optimizer = torch.optim.SGD(list(lora.parameters.values()), lr=100.0)
    return [
        training_step(
            transformer,
            lora,
            optimizer,
            [samples(2, has_class=[True, True])],
            step=step,
            objective=replace(OBJECTIVE, preservation_multiplier=1.0),
            max_gradient_norm=0.0,
        )
        for step in range(2)
    ]


@pytest.mark.slow  # tracing takes seconds
@pytest.mark.timeout(900)
@pytest.mark.parametrize("float8", [pytest.param(False, marks=pytest.mark.long), True])
def test_traced_blocks_compute_the_same_to_the_bit(float8: bool) -> None:
    # All of torch.compile but the fusing: `aot_eager` runs the traced operations as they are.
    plain = two_steps(backend=None, float8=float8)
    assert two_steps(backend="aot_eager", float8=float8) == plain


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("float8", [pytest.param(False, marks=pytest.mark.long), True])
def test_traced_blocks_take_their_weights_from_the_slots(
    float8: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = two_steps(backend=None, float8=float8)
    monkeypatch.setattr(trainer.block_memory, "BlockStream", PoisonedStream)
    assert two_steps(backend="aot_eager", float8=float8, offloaded=True) == plain


@pytest.mark.long  # a C++ compiler runs once for each fused kernel
@pytest.mark.timeout(1800)
def test_losses_with_compile_on_are_those_with_it_off() -> None:
    plain, compiled = two_steps(backend=None), two_steps(backend="inductor")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 4  # it was not skipped
    for expected, result in zip(plain, compiled, strict=True):
        assert result.loss == pytest.approx(expected.loss, rel=1e-5)
        assert result.objective == pytest.approx(expected.objective, rel=1e-5)
        assert result.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-4)
        assert result.preservation_loss == pytest.approx(
            expected.preservation_loss, rel=1e-3, abs=1e-9
        )
    assert plain[1].preservation_loss
    assert plain[1].preservation_loss > 1e-6  # the second step tells LoRA from base


def test_a_machine_without_a_compiler_refuses_compile_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    wanting = parse_job(job_with({"advanced.compile": True}))
    (problem,) = compiler_problems(wanting)
    assert (problem.code, problem.field) == ("compiler_missing", "advanced.compile")
    assert "g++" in problem.message
    assert "turn Compile off" in problem.hint
    assert compiler_problems(parse_job(job_with())) == []

    compiler = tmp_path / "clang++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    assert compiler_problems(wanting) == []
    monkeypatch.setenv("CXX", "icpx")
    (problem,) = compiler_problems(wanting)
    assert "'icpx'" in problem.message
