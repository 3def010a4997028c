"""What is minimised: flow matching, differential guidance, output preservation.

Legend: B = batch, L = image tokens, C = 128 channels. Every function gives one number per sample,
[B], computed in float32 or better, so that a step can average over all samples of all its
micro-batches alike.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

LossType = Literal["mse", "mae", "huber"]


def per_sample_loss(
    prediction: torch.Tensor,
    target: torch.Tensor,
    loss_type: LossType,
    token_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over tokens and channels of the error between [B, L, C] and [B, L, C]: [B].

    token_weights: [B, L], a picture's mask; the mean over tokens is then weighted,
    sum(m * error) / sum(m). A mask of ones changes nothing, and a small one does not make its
    picture count less. The door refuses masks that are black throughout.

    huber is half the square below an error of 1 and the error minus 1/2 above.
    """
    prediction = _at_least_float32(prediction)
    target = target.to(prediction.dtype)
    if loss_type == "mse":
        error = functional.mse_loss(prediction, target, reduction="none")
    elif loss_type == "mae":
        error = functional.l1_loss(prediction, target, reduction="none")
    else:
        error = functional.huber_loss(prediction, target, reduction="none", delta=1.0)
    if token_weights is None:
        return error.flatten(1).mean(1)
    weights = token_weights.to(error)
    return (error.mean(2) * weights).sum(1) / weights.sum(1)


def guided_target(prediction: torch.Tensor, target: torch.Tensor, *, scale: float) -> torch.Tensor:
    """Differential guidance: v + scale * (target - v), with v the present prediction, not traced.

    Under a squared error the gradient is `scale` times the plain one and the loss scale^2 times;
    under an absolute error nothing changes.
    """
    present = _at_least_float32(prediction.detach())
    return present + scale * (_at_least_float32(target) - present)


def preservation_loss(with_lora: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of the LoRA's answer on class captions to the base model's: [B]."""
    return per_sample_loss(with_lora, base.detach(), "mse")


def _at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
