"""Losses against values worked out by hand, in float64."""

from __future__ import annotations

import pytest
import torch

from trainer.losses import guided_target, per_sample_loss, preservation_loss


def numbers(*rows: list[float]) -> torch.Tensor:
    """[B, L, 1] from one list a sample."""
    return torch.tensor(rows, dtype=torch.float64)[..., None]


def test_losses_are_means_over_a_samples_tokens_and_channels() -> None:
    prediction, target = numbers([1.0, 3.0], [0.0, 0.5]), numbers([0.0, 0.0], [0.0, 0.0])
    assert per_sample_loss(prediction, target, "mse").tolist() == [5.0, 0.125]
    assert per_sample_loss(prediction, target, "mae").tolist() == [2.0, 0.25]
    # Huber: 1 - 1/2 and 3 - 1/2 above an error of 1 (equal at 1), 0 and 0.5^2 / 2 below it.
    assert per_sample_loss(prediction, target, "huber").tolist() == [1.5, 0.0625]


def test_losses_are_computed_in_float32_at_least() -> None:
    # 1000^2 has no exact bfloat16, and 300.5 would be rounded to 300 or 302 there.
    prediction = torch.full((1, 1, 1), 1000.0, dtype=torch.bfloat16)
    target = torch.full((1, 1, 1), 699.5)
    loss = per_sample_loss(prediction, target, "mse")
    assert loss.dtype == torch.float32
    assert loss.item() == 300.5**2


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_differential_guidance_multiplies_the_gradient_of_mse_by_its_scale(scale: float) -> None:
    target = numbers([0.3, -1.2, 2.0])
    plain = numbers([1.0, 0.5, -0.25]).requires_grad_()
    per_sample_loss(plain, target, "mse").sum().backward()
    guided = plain.detach().clone().requires_grad_()
    loss = per_sample_loss(guided, guided_target(guided, target, scale=scale), "mse").sum()
    loss.backward()
    assert plain.grad is not None
    assert guided.grad is not None
    assert torch.allclose(guided.grad, scale * plain.grad, atol=1e-15)
    plain_loss = per_sample_loss(plain.detach(), target, "mse").sum()
    assert loss.item() == pytest.approx(scale**2 * plain_loss.item(), rel=1e-12)


def test_differential_guidance_has_no_effect_on_mae() -> None:
    target = numbers([0.3, -1.2, 2.0])
    prediction = numbers([1.0, 0.5, -0.25]).requires_grad_()
    per_sample_loss(prediction, target, "mae").sum().backward()
    guided = prediction.detach().clone().requires_grad_()
    per_sample_loss(guided, guided_target(guided, target, scale=3.0), "mae").sum().backward()
    assert prediction.grad is not None
    assert guided.grad is not None
    assert torch.allclose(guided.grad, prediction.grad, atol=1e-15)


def test_the_guided_target_by_hand() -> None:
    # v = 1, target = 0, scale 3: 1 + 3 * (0 - 1) = -2.
    assert guided_target(numbers([1.0]), numbers([0.0]), scale=3.0).item() == -2.0


def test_preservation_is_computed_in_float32_at_least() -> None:
    # The difference of two bfloat16 numbers and its square, neither of them rounded: 3^2 - 2 * 3 /
    # 256 + 1 / 256^2 has no bfloat16.
    with_lora = torch.full((1, 1, 1), 3.0, dtype=torch.bfloat16)
    base = torch.full((1, 1, 1), 1 / 256, dtype=torch.bfloat16)
    distance = preservation_loss(with_lora, base)
    assert distance.dtype == torch.float32
    assert distance.item() == pytest.approx((3 - 1 / 256) ** 2, rel=1e-7)
    assert float(torch.tensor(distance.item()).bfloat16()) != distance.item()


def test_preservation_pulls_the_lora_and_never_the_base() -> None:
    with_lora, base = numbers([1.0, 2.0]).requires_grad_(), numbers([0.0, 4.0]).requires_grad_()
    distance = preservation_loss(with_lora, base)
    assert distance.tolist() == [2.5]
    distance.sum().backward()
    assert base.grad is None
    assert with_lora.grad is not None
    assert with_lora.grad.flatten().tolist() == [1.0, -2.0]
