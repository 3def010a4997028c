"""A training stage's state on disk, so that a killed recipe goes on where it was.

Noise, batches and crops are functions of `(seed, step)` and need no saving: the state is the
weights, the optimizers and the number of finished steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch


class Stateful(Protocol):
    """What a stage keeps: modules and optimizers both answer these two calls."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object: ...


def save_stage(file: Path, *, num_finished_steps: int, parts: Mapping[str, Stateful]) -> None:
    """Write the state beside `file`, then rename it: a kill leaves the old state whole."""
    state = {name: part.state_dict() for name, part in parts.items()}
    unfinished = file.with_suffix(".writing")
    torch.save({"num_finished_steps": num_finished_steps, "parts": state}, unfinished)
    unfinished.replace(file)


def load_stage(file: Path, parts: Mapping[str, Stateful]) -> int:
    """Load the state into `parts` and return the number of finished steps; 0 without a file."""
    if not file.exists():
        return 0
    saved = torch.load(file, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved["parts"][name])
    return saved["num_finished_steps"]


def learning_rate_factor(
    step: int, num_steps: int, *, num_warmup_steps: int, decay_from: float
) -> float:
    """Linearly up to 1, and from the share `decay_from` of all steps linearly down to 0."""
    warmup = min(1.0, (step + 1) / num_warmup_steps)
    decay = min(1.0, (1 - step / num_steps) / (1 - decay_from))
    return min(warmup, decay)
