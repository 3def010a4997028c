"""Optimizers, their state as plain tensors, and the learning rate as a function of the step.

All take float32 parameters, decouple weight decay (a step shrinks a weight by learning rate x
decay, beside the gradient's own move) and run on a CPU as on a GPU. What they keep of a parameter
of n numbers, and how a step of learning rate r moves it, g being the gradient:

    adamw       8n bytes  r * m / (sqrt(v) + 1e-8): m, v running means of g and g^2
    adamw8bit   2n bytes  the same, m and v in 8 bits by blocks of 256 (bitsandbytes)
    adafactor   few       r * g / sqrt(v), the root mean square of a matrix's move cut to r; v is
                          rebuilt from the means over rows and columns of g^2 (transformers)
    lion8bit    1n bytes  r * sign(0.9 m + 0.1 g), m in 8 bits; every number moves by r
                          (bitsandbytes)
    prodigy    16n bytes  as adamw with r * d for r; d grows from 1e-6 to an estimate of how far the
                          weights must go (prodigyopt, by the method's author)

bitsandbytes keeps tensors of fewer than 4096 numbers in 32 bits. Adafactor runs without its two
habits from pretraining: a step scaled by the size of the weights would stand still on a LoRA's B,
which begins at 0, and a learning rate of its own would ignore Learning Rate and LR Schedule.
Prodigy runs with Adam's bias correction and its safeguard for warm-ups (the learning rate is left
out of what d is divided by), as its author advises for diffusion models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import bitsandbytes
import torch
from prodigyopt import Prodigy
from torch import nn
from transformers import Adafactor

OptimizerName = Literal["adamw8bit", "adamw", "adafactor", "prodigy", "lion8bit"]
Schedule = Literal["constant", "constant_with_warmup", "cosine", "linear"]

BETAS = (0.9, 0.999)
LION_BETAS = (0.9, 0.99)
EPSILON = 1e-8
# Tables that translate bitsandbytes' 8-bit codes to numbers: the same for every parameter, kept
# with the state so that a later version's tables cannot change what the codes mean.
SHARED_TABLES = ("qmap1", "qmap2")
# Prodigy's estimate and the sums it comes from belong to no parameter: they stand under this name,
# which no parameter has.
WHOLE_MODEL = "*"
PRODIGY_NUMBERS = ("d", "d_max", "d_numerator", "d_denom", "d_hat", "k")


def make_optimizer(
    name: OptimizerName,
    parameters: Mapping[str, nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """A fresh optimizer over float32 parameters."""
    optimizer = _MAKERS[name](list(parameters.values()), learning_rate)
    # Set here rather than in the constructors, one of which prints when it is given one.
    for group in optimizer.param_groups:
        group["weight_decay"] = weight_decay
    return optimizer


_MAKERS: dict[OptimizerName, Callable[[list[nn.Parameter], float], torch.optim.Optimizer]] = {
    "adamw8bit": lambda of, rate: bitsandbytes.optim.AdamW8bit(
        of, lr=rate, betas=BETAS, eps=EPSILON
    ),
    "adamw": lambda of, rate: torch.optim.AdamW(of, lr=rate, betas=BETAS, eps=EPSILON),
    "adafactor": lambda of, rate: Adafactor(
        of, lr=rate, scale_parameter=False, relative_step=False, warmup_init=False
    ),
    "prodigy": lambda of, rate: Prodigy(
        of, lr=rate, betas=BETAS, eps=EPSILON, use_bias_correction=True, safeguard_warmup=True
    ),
    "lion8bit": lambda of, rate: bitsandbytes.optim.Lion8bit(of, lr=rate, betas=LION_BETAS),
}


def learning_rate_factor(
    schedule: Schedule, *, steps_done: int, warmup_steps: int, total_steps: int
) -> float:
    """What the learning rate is multiplied by for the step after `steps_done` steps.

    For the step k = steps_done + 1 of N = total_steps, W = warmup_steps:

        warm-up   k <= W   k / (W + 1)
        linear    k > W    1 - p                  p = (k - 1 - W) / (N - W)
        cosine    k > W    (1 + cos(pi * p)) / 2

    No step is spent at 0: the first step after the warm-up has 1, the last step of `linear` has
    1 / (N - W), and 0 would come at the step N + 1, which is not taken.
    """
    if schedule == "constant":
        return 1.0
    if steps_done < warmup_steps:
        return (steps_done + 1) / (warmup_steps + 1)
    if schedule == "constant_with_warmup":
        return 1.0
    progress = (steps_done - warmup_steps) / max(1, total_steps - warmup_steps)
    if schedule == "linear":
        return 1 - progress
    return (1 + math.cos(math.pi * progress)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Use this learning rate at the next step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def found_factor(optimizer: torch.optim.Optimizer) -> float:
    """What the optimizer itself multiplies the learning rate by: Prodigy's d, 1 for the others."""
    return optimizer.param_groups[0]["d"] if isinstance(optimizer, Prodigy) else 1.0


@dataclass(frozen=True)
class OptimizerState:
    """An optimizer's memory by parameter name: tensors (`NAME/exp_avg`) and numbers.

    numbers: {parameter name: {key: value}}, as JSON takes them; under WHOLE_MODEL, what belongs to
    all parameters together.
    """

    tensors: dict[str, torch.Tensor]
    numbers: dict[str, dict[str, float | int]]


def export_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> OptimizerState:
    """The state on the CPU. Parameters that were never stepped have none."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, float | int]] = {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if key in SHARED_TABLES:
                tensors[key] = value.detach().cpu()
            elif isinstance(value, torch.Tensor):
                tensors[f"{name}/{key}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(name, {})[key] = value
    if isinstance(optimizer, Prodigy):
        group = optimizer.param_groups[0]
        # The last two are there from the first step on.
        numbers[WHOLE_MODEL] = {key: group[key] for key in PRODIGY_NUMBERS if key in group}
    return OptimizerState(tensors, numbers)


def import_state(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    state: OptimizerState,
) -> None:
    """Put an exported state back into a fresh optimizer of the same kind and parameters."""
    for group in optimizer.param_groups:
        group.update(state.numbers.get(WHOLE_MODEL, {}))
    for name, parameter in parameters.items():
        own = dict(state.numbers.get(name, {}))
        prefix = f"{name}/"
        restored: dict[str, Any] = own
        for key, value in state.tensors.items():
            if not key.startswith(prefix):
                continue
            leaf = key.removeprefix(prefix)
            # torch.optim keeps its step count on the CPU whatever the parameter's device.
            restored[leaf] = value.clone() if leaf == "step" else value.to(parameter.device).clone()
        if restored.get("state1") is not None and restored["state1"].dtype == torch.uint8:
            for table in SHARED_TABLES:
                if table in state.tensors:  # Lion has no second moment
                    restored[table] = state.tensors[table].to(parameter.device)
        if restored:
            optimizer.state[parameter] = restored
