"""Attention kernels: the one that was chosen is the one that runs, and all answer alike."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName

from tests.trainer.mini_transformer import JOINT_DIM, mini_transformer
from tests.trainer.short_runs import job_with, run_here
from trainer.attention import NAMES_IN_DIFFUSERS, set_attention
from trainer.attention_rules import GPU_ONLY, refuse_attention_on
from trainer.config import JobConfig
from trainer.errors import JobRefused
from trainer.events import RunFinished
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems
from trainer.panels.model import AttentionBackend
from trainer.training_step import predict_velocity

ON_A_CPU = ("auto", "flash", "math")
FLASH = "aten::_scaled_dot_product_flash_attention_for_cpu"
MATH = "aten::_scaled_dot_product_attention_math"


def answer_and_kernels(backend: AttentionBackend) -> tuple[torch.Tensor, torch.Tensor, set[str]]:
    """(prediction, its gradient at the prompt, the attention kernels that ran)."""
    transformer = mini_transformer(torch.float32)
    set_attention(transformer, backend)
    draw = torch.Generator().manual_seed(4)
    embeds = torch.randn(1, 5, JOINT_DIM, generator=draw).requires_grad_()
    noisy = torch.randn(1, 24, 128, generator=draw)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        velocity = predict_velocity(
            transformer,
            noisy,
            timestep=torch.tensor([0.5]),
            embeds=embeds,
            size=(4, 6),
            guidance=1.0,
        )
        velocity.square().sum().backward()
    assert embeds.grad is not None
    kernels = {event.key for event in profile.key_averages()} & {FLASH, MATH}
    return velocity.detach(), embeds.grad, kernels


def test_the_kernel_that_was_chosen_runs_and_answers_as_the_others_do() -> None:
    found = {backend: answer_and_kernels(backend) for backend in ON_A_CPU}
    assert found["flash"][2] == {FLASH}
    assert found["math"][2] == {MATH}
    velocity, gradient, _ = found["auto"]
    for other_velocity, other_gradient, _ in found.values():
        assert torch.allclose(other_velocity, velocity, rtol=1e-4, atol=1e-5)
        assert torch.allclose(other_gradient, gradient, rtol=1e-3, atol=1e-5)


def test_a_choice_is_the_transformers_own() -> None:
    """Another model of the process, told nothing, still computes as PyTorch prefers."""
    answer_and_kernels("math")
    assert answer_and_kernels("auto")[2] == {FLASH}


def test_every_choice_is_a_backend_of_diffusers() -> None:
    names = {backend.value for backend in AttentionBackendName}
    assert set(NAMES_IN_DIFFUSERS.values()) <= names
    assert {"auto", *NAMES_IN_DIFFUSERS} == set(get_args(AttentionBackend))


def refusals(gpu: str, backend: str, data_type: str) -> list[str]:
    job = job_with(
        {"job.gpu": gpu, "model.attention_backend": backend, "training.data_type": data_type}
    )
    problems = cross_field_problems(parse_job(job))
    return [p.code for p in problems if p.field == "model.attention_backend"]


def test_a_kernel_that_the_device_lacks_is_refused() -> None:
    for backend in get_args(AttentionBackend):
        expected = ["attention_needs_gpu"] if backend in ("efficient", "cudnn") else []
        assert refusals("cpu", backend, "fp32") == expected
        assert refusals("any", backend, "bf16") == []
    assert refusals("any", "flash", "fp32") == ["attention_needs_bf16"]
    assert refusals("any", "cudnn", "fp32") == ["attention_needs_bf16"]
    assert refusals("any", "efficient", "fp32") == []
    assert refusals("any", "math", "fp32") == []


def test_those_for_a_gpu_have_no_kernel_on_a_cpu() -> None:
    for backend in GPU_ONLY:
        with pytest.raises(RuntimeError, match="kernel"):
            answer_and_kernels(backend)


def job_of(backend: str) -> JobConfig:
    return parse_job(job_with({"job.gpu": "any", "model.attention_backend": backend}))


def test_any_gpu_that_turns_out_to_be_none_is_refused_before_anything_is_encoded() -> None:
    for backend in get_args(AttentionBackend):
        refuse_attention_on("cuda", job_of(backend).model)
    refuse_attention_on("cpu", job_of("math").model)
    with pytest.raises(JobRefused, match="cudnn has no kernel for a CPU"):
        refuse_attention_on("cpu", job_of("cudnn").model)


@pytest.mark.slow
def test_a_run_computes_with_the_kernel_of_its_job(
    short_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[bool] = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def noting(*arguments: object, **options: object) -> torch.Tensor:
        used.append(torch.backends.cuda.flash_sdp_enabled())
        return plain(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noting)
    losses = {}
    for backend in ("auto", "math"):
        used.clear()
        job = job_with({"training.steps": 2, "model.attention_backend": backend})
        run = run_here(job, short_folders, tmp_path / backend)
        assert run.of_type(RunFinished)[0].outcome == "completed"
        # math is PyTorch's choice with flash switched off.
        assert set(used) == {backend == "auto"}
        losses[backend] = [loss for loss, _, _ in run.losses.values()]
    assert losses["math"] == pytest.approx(losses["auto"], rel=1e-4)
