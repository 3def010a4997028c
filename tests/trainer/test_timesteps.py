"""Timestep maps, weights and rounding against values worked out by hand."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.randomness import generator
from trainer.timesteps import (
    TimestepBias,
    TimestepType,
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


@pytest.mark.parametrize(
    ("bias", "mean"),
    # The integrals of w(sqrt(u)) = 1/2 + 6 (u - u^1.5) and w(u^2) = 1/2 + 6 (u^4 - u^6).
    [("balanced", 1.0), ("high_noise", 1.1), ("low_noise", 0.5 + 6 / 5 - 6 / 7)],
)
def test_the_mean_weight_under_each_bias(bias: TimestepBias, mean: float) -> None:
    u = grid()
    weight = loss_weight(apply_bias(u, bias), "weighted")
    assert torch.trapezoid(weight, u).item() == pytest.approx(mean, abs=1e-6)


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


@pytest.mark.parametrize(
    ("size_px", "factor"),
    # Packed tokens of a square: 256, 1024, 2304 and 4096; e^mu by hand from the line.
    [(256, 1.6487), (512, 1.8776), (768, 2.3319), (1024, 3.1582)],
)
def test_the_shift_counts_packed_tokens_of_16_px(size_px: int, factor: float) -> None:
    tokens = (size_px // 16) ** 2
    assert math.exp(shift_mu(tokens)) == pytest.approx(factor, abs=1e-4)
    draw = draw_timestep(
        "shift", "balanced", num_tokens=tokens, generator=generator(1, 0, "timestep")
    ).item()
    plain = draw_timestep(
        "sigmoid", "balanced", num_tokens=tokens, generator=generator(1, 0, "timestep")
    ).item()
    assert draw / (1 - draw) == pytest.approx(factor * plain / (1 - plain), rel=1e-4)


UNIT = st.floats(0, 1, width=32)


@given(
    st.lists(UNIT, min_size=2, max_size=50),
    st.floats(-3, 3),
    st.sampled_from(get_args(TimestepBias)),
)
def test_shift_and_bias_keep_the_range_and_the_order(
    values: list[float], mu: float, bias: TimestepBias
) -> None:
    t = torch.tensor(sorted(values), dtype=torch.float64)
    for mapped in (shift(t, mu=mu), apply_bias(t, bias), apply_bias(shift(t, mu=mu), bias)):
        assert ((mapped >= 0) & (mapped <= 1)).all()
        assert (mapped.diff() >= -1e-15).all()  # rounding may swap neighbours


@given(UNIT, st.integers(1, 20_000))
def test_larger_pictures_are_never_shifted_towards_less_noise(t: float, num_tokens: int) -> None:
    value = torch.tensor(t, dtype=torch.float64)
    smaller = shift(value, mu=shift_mu(num_tokens))
    larger = shift(value, mu=shift_mu(num_tokens + 1))
    assert larger >= smaller - 1e-15


@given(UNIT)
def test_high_and_low_noise_undo_each_other(t: float) -> None:
    value = torch.tensor(t, dtype=torch.float64)
    assert apply_bias(apply_bias(value, "high_noise"), "low_noise").item() == pytest.approx(t)
    assert apply_bias(value, "low_noise") <= value <= apply_bias(value, "high_noise")


@given(
    st.sampled_from(get_args(TimestepType)),
    st.sampled_from(get_args(TimestepBias)),
    st.integers(4, 16_384),
    st.integers(0, 2**32),
)
def test_every_draw_is_a_noise_level_with_a_weight(
    kind: TimestepType, bias: TimestepBias, num_tokens: int, seed: int
) -> None:
    t = draw_timestep(kind, bias, num_tokens=num_tokens, generator=generator(seed, 0, "timestep"))
    assert t.dtype == torch.float32
    assert t.shape == ()
    assert 0 <= t <= 1
    assert 0.5 <= loss_weight(t, kind) <= 25 / 18 + 1e-6


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


@given(UNIT)
def test_the_transformer_itself_sees_the_level_that_the_noise_is_mixed_at(t: float) -> None:
    passed, seen = as_model_sees(torch.tensor([t]), torch.bfloat16)
    # The timestep as its embedding takes it: cast and multiplied inside the model.
    assert seen.item() * 1000 == pytest.approx((passed.to(torch.bfloat16) * 1000).item(), rel=1e-7)
    assert 0 <= seen.item() <= 1
    assert abs(seen.item() - t) < 0.005


def test_mixing_at_the_unrounded_timestep_would_be_off() -> None:
    t = torch.rand(10_000, generator=torch.Generator().manual_seed(0))
    _, seen = as_model_sees(t, torch.bfloat16)
    assert 0.001 < (seen - t).abs().max().item() < 0.005
