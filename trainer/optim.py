"""Optimizers, their state as plain tensors, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import bitsandbytes
import torch
from torch import nn

OptimizerName = Literal["adamw8bit", "adamw"]
Schedule = Literal["constant", "constant_with_warmup", "cosine", "linear"]

BETAS = (0.9, 0.999)
EPSILON = 1e-8
# Tables that translate bitsandbytes' 8-bit codes to numbers: the same for every parameter, kept
# with the state so that a later version's tables cannot change what the codes mean.
SHARED_TABLES = ("qmap1", "qmap2")


def make_optimizer(
    name: OptimizerName,
    parameters: Mapping[str, nn.Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """AdamW with decoupled weight decay, its state in 32 or 8 bits, over float32 parameters."""
    make: Any = bitsandbytes.optim.AdamW8bit if name == "adamw8bit" else torch.optim.AdamW
    return make(
        list(parameters.values()),
        lr=learning_rate,
        betas=BETAS,
        eps=EPSILON,
        weight_decay=weight_decay,
    )


def learning_rate_factor(
    schedule: Schedule, *, steps_done: int, warmup_steps: int, total_steps: int
) -> float:
    """What the learning rate is multiplied by for the step after `steps_done` steps.

    The warm-up's k-th step has k / (warmup + 1), so none is spent at 0 and the first step after it
    has 1. cosine and linear would reach 0 at the step after the last.
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


@dataclass(frozen=True)
class OptimizerState:
    """An optimizer's memory by parameter name: tensors (`NAME/exp_avg`) and numbers.

    numbers: {parameter name: {key: value}}, as JSON takes them.
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
    return OptimizerState(tensors, numbers)


def import_state(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    state: OptimizerState,
) -> None:
    """Put an exported state back into a fresh optimizer of the same kind and parameters."""
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
                restored[table] = state.tensors[table].to(parameter.device)
        if restored:
            optimizer.state[parameter] = restored
