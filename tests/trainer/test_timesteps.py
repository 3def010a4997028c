"""Timestep maps, weights and rounding against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.randomness import generator
from trainer.timesteps import (
    apply_bias,
    as_model_sees,
    draw_timestep,
    loss_weight,
    shift,
    shift_mu,
)


def grid(count: int = 200_001) -> torch.Tensor:
    return torch.linspace(0, 1, count, dtype=torch.float64)


def test_the_weight_of_weighted_has_mean_one() -> None:
    t = grid()
    assert torch.trapezoid(loss_weight(t, "weighted"), t).item() == pytest.approx(1.0, abs=1e-9)


def test_the_weight_of_weighted_peaks_in_the_upper_middle() -> None:
    t = grid()
    weight = loss_weight(t, "weighted")
    assert t[weight.argmax()].item() == pytest.approx(2 / 3, abs=1e-5)
    assert weight.max().item() == pytest.approx(25 / 18, abs=1e-9)
    assert weight[0].item() == weight[-1].item() == 0.5


@pytest.mark.parametrize("kind", ["sigmoid", "linear", "shift"])
def test_other_types_weigh_all_timesteps_alike(kind: str) -> None:
    assert loss_weight(grid(11), kind).tolist() == [1.0] * 11  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("num_tokens", "mu"),
    [(256, 0.5), (4096, 1.15), (2176, 0.825), (1024, 0.5 + 768 * 0.65 / 3840)],
)
def test_the_shift_follows_the_line_over_packed_tokens(num_tokens: int, mu: float) -> None:
    assert shift_mu(num_tokens) == pytest.approx(mu, abs=1e-12)


def test_a_picture_of_1024_px_is_shifted_by_a_factor_of_3_16() -> None:
    # 1024 px / 16 = 64 tokens a side; odds t / (1 - t) are multiplied by e^1.15.
    t = torch.tensor(0.25, dtype=torch.float64)
    shifted = shift(t, mu=shift_mu(64 * 64)).item()
    assert math.exp(shift_mu(64 * 64)) == pytest.approx(3.158, abs=1e-3)
    assert shifted / (1 - shifted) == pytest.approx(math.exp(1.15) * 0.25 / 0.75, rel=1e-12)


def test_the_shift_keeps_both_ends() -> None:
    assert shift(torch.tensor([0.0, 1.0]), mu=1.0).tolist() == [0.0, 1.0]


def test_biases_are_the_root_the_square_and_nothing() -> None:
    t = torch.tensor([0.0, 0.25, 0.64, 1.0], dtype=torch.float64)
    assert apply_bias(t, "high_noise").tolist() == pytest.approx([0, 0.5, 0.8, 1])
    assert apply_bias(t, "low_noise").tolist() == pytest.approx([0, 0.0625, 0.4096, 1])
    assert apply_bias(t, "balanced").tolist() == t.tolist()


@pytest.mark.parametrize(
    ("kind", "expected_mean"),
    # sigmoid of a normal number is symmetric around 1/2; uniform has mean 1/2.
    [("weighted", 0.5), ("linear", 0.5), ("sigmoid", 0.5)],
)
def test_draws_have_the_mean_of_their_distribution(kind: str, expected_mean: float) -> None:
    draws = [
        draw_timestep(kind, "balanced", num_tokens=256, generator=generator(1, i, "timestep"))  # type: ignore[arg-type]
        for i in range(4000)
    ]
    values = torch.stack(draws)
    assert values.mean().item() == pytest.approx(expected_mean, abs=0.02)
    assert 0 < values.min() < values.max() < 1


def test_shifted_draws_are_the_sigmoid_draws_shifted() -> None:
    for i in range(20):
        plain = draw_timestep(
            "sigmoid", "balanced", num_tokens=64, generator=generator(1, i, "timestep")
        )
        shifted = draw_timestep(
            "shift", "balanced", num_tokens=64, generator=generator(1, i, "timestep")
        )
        assert shifted.item() == pytest.approx(shift(plain, mu=shift_mu(64)).item(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_noise_is_mixed_at_the_level_that_the_model_is_told(dtype: torch.dtype) -> None:
    t = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    passed, seen = as_model_sees(t, dtype)
    # What Flux2Transformer2DModel.forward does with its timestep before embedding it.
    inside = passed.to(dtype) * 1000
    assert torch.equal(inside.float(), (seen * 1000).to(dtype).float())
    assert (inside.float() / 1000 - seen).abs().max().item() == 0


def test_mixing_at_the_unrounded_timestep_would_be_off() -> None:
    t = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    _, seen = as_model_sees(t, torch.bfloat16)
    assert 0.001 < (seen - t).abs().max().item() < 0.005
