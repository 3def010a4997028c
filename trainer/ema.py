"""A moving average of the LoRA's weights, which samples and saves use when it is on."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def start_average(parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The average before the first step: the parameters as they are."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


@torch.no_grad()
def update_average(
    average: Mapping[str, torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    *,
    decay: float,
) -> None:
    """average <- decay * average + (1 - decay) * parameters, in place, after a step."""
    for name, parameter in parameters.items():
        average[name].lerp_(parameter, 1 - decay)
