"""Which noise level each sample trains at, and how much its loss counts.

x_t = (1 - t) * x0 + t * noise, so t = 0 is the picture and t = 1 is noise; the target is
v = noise - x0. All formulas take and give float tensors of any shape, values in 0..1.

    type       t                                    weight
    weighted   u                                    w(t), below
    linear     u                                    1
    sigmoid    s = 1 / (1 + e^-z)                   1
    shift      s * e^mu / (1 + (e^mu - 1) * s)      1

u is drawn evenly from 0..1, z from the normal distribution. `shift` multiplies the odds s / (1 - s)
by e^mu, as FLUX.2 does it: mu lies on the line through (256 tokens, 0.5) and (4096 tokens, 1.15),
tokens being the *packed* latent's h * w: 16 px a side, so 4096 for a picture of 1024 px and a
factor of e^1.15 = 3.16. (Counting latents before the 2x2 packing would give four times as many, a
mu of 3.2 and next to nothing but noise.)

The bias then takes t^(1/2) (high noise), t^2 (low noise) or t. In terms of a type that draws
evenly: high noise has the density 2t, so half of all draws lie above 0.71; low noise has the
density 1 / (2 sqrt(t)), so half lie below 0.25. A power keeps 0, 1 and the order of any two
timesteps, and needs no knowledge of how t was drawn.

`weighted` weighs the loss by

    w(t) = 1/2 + 6 * t^2 * (1 - t)

a cubic with mean 1 over 0..1 (the integral of t^2 - t^3 is 1/12), 1/2 at both ends and its peak of
25/18 = 1.39 at t = 2/3. Why this shape: near t = 1 the input is all noise and the best answer is
the noise minus the average picture, whatever the caption; near t = 0 the answer is mostly the noise
that was just added, detail that no eye can tell. What a LoRA has to learn is settled in between, in
the upper middle. Mean 1 keeps learning rates comparable with the other types. Weighing instead of
drawing unevenly keeps every noise level in each epoch. The weight is that of the timestep after the
bias, so that a noise level counts the same however it was come by; its mean is then 1.1 under high
noise and 0.84 under low noise.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

TimestepType = Literal["weighted", "sigmoid", "linear", "shift"]
TimestepBias = Literal["balanced", "high_noise", "low_noise"]

# FLUX.2's training line through (tokens, mu): packed latent tokens, h * w.
SHIFT_LINE = ((256, 0.5), (4096, 1.15))


def draw_timestep(
    timestep_type: TimestepType,
    bias: TimestepBias,
    *,
    num_tokens: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """One timestep, float32 [].

    num_tokens: h * w of the picture's packed latents, which only `shift` looks at.
    """
    if timestep_type in ("weighted", "linear"):
        t = torch.rand((), generator=generator)
    else:
        t = torch.sigmoid(torch.randn((), generator=generator))
    if timestep_type == "shift":
        t = shift(t, mu=shift_mu(num_tokens))
    return apply_bias(t, bias)


def shift_mu(num_tokens: int) -> float:
    """mu on the line through SHIFT_LINE; 4096 tokens (1024 x 1024 px) give 1.15."""
    (few, mu_few), (many, mu_many) = SHIFT_LINE
    return mu_few + (num_tokens - few) * (mu_many - mu_few) / (many - few)


def shift(t: torch.Tensor, *, mu: float) -> torch.Tensor:
    """t * e^mu / (1 + (e^mu - 1) * t): moves t towards noise for mu > 0; 0 and 1 stay.

    Written so that no rounding leaves 0..1: the divisor is the dividend and something positive.
    """
    scaled = t * math.exp(mu)
    return scaled / (scaled + (1 - t))


def apply_bias(t: torch.Tensor, bias: TimestepBias) -> torch.Tensor:
    """high_noise: the square root of t; low_noise: its square; balanced: t."""
    if bias == "high_noise":
        return t.sqrt()
    if bias == "low_noise":
        return t.square()
    return t


def loss_weight(t: torch.Tensor, timestep_type: TimestepType) -> torch.Tensor:
    """w(t) of the module's text for `weighted`, 1 for the others."""
    if timestep_type != "weighted":
        return torch.ones_like(t)
    return 0.5 + 6 * t.square() * (1 - t)


def as_model_sees(t: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """What to pass to the transformer for t, and the noise level it then believes in.

    The transformer casts its timestep to the compute type and multiplies it by 1000 there, which
    rounds twice. Passing t in that type and mixing the noise at the product / 1000 leaves no
    difference between the noise that is there and the noise that the model is told of; mixing at t
    itself would be off by up to 0.004 in bfloat16.
    """
    passed = t.to(dtype)
    seen = (passed * 1000).float() / 1000
    return passed, seen
