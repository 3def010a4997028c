"""Learning rates by hand, decoupled weight decay, the average, and state that survives a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from trainer.ema import start_average, update_average
from trainer.optim import (
    OptimizerName,
    OptimizerState,
    Schedule,
    export_state,
    import_state,
    learning_rate_factor,
    make_optimizer,
    set_learning_rate,
)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("constant_with_warmup", [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ("linear", [1 / 3, 2 / 3, 1, 3 / 4, 2 / 4, 1 / 4]),
        # (1 + cos(pi * k / 4)) / 2 for k = 0 .. 3
        ("cosine", [1 / 3, 2 / 3, 1, 0.8535533905932737, 0.5, 0.14644660940672627]),
    ],
)
def test_learning_rates_of_six_steps_with_a_warm_up_of_two(
    schedule: Schedule, expected: list[float]
) -> None:
    factors = [
        learning_rate_factor(schedule, steps_done=k, warmup_steps=2, total_steps=6)
        for k in range(6)
    ]
    assert factors == pytest.approx(expected)


def test_a_warm_up_longer_than_the_training_only_rises() -> None:
    factors = [
        learning_rate_factor("cosine", steps_done=k, warmup_steps=9, total_steps=3)
        for k in range(3)
    ]
    assert factors == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", ["adamw", "adamw8bit"])
def test_weight_decay_shrinks_by_learning_rate_times_itself(name: OptimizerName) -> None:
    # With a gradient of zero AdamW's own move is zero: what is left is 1 - 0.1 * 0.5.
    parameter = nn.Parameter(torch.ones(64, 128))
    optimizer = make_optimizer(name, {"p": parameter}, learning_rate=0.1, weight_decay=0.5)
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.allclose(parameter, torch.full_like(parameter, 0.95))


@pytest.mark.parametrize("name", ["adamw", "adamw8bit"])
def test_the_first_step_moves_by_the_learning_rate_against_the_gradient(
    name: OptimizerName,
) -> None:
    parameter = nn.Parameter(torch.zeros(64, 128))
    optimizer = make_optimizer(name, {"p": parameter}, learning_rate=1.0, weight_decay=0.0)
    set_learning_rate(optimizer, 0.01)
    parameter.grad = torch.full_like(parameter, -2.0)
    optimizer.step()
    assert torch.allclose(parameter, torch.full_like(parameter, 0.01), rtol=1e-3)


def stepped(
    name: OptimizerName,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    seed: int,
) -> None:
    draw = torch.Generator().manual_seed(seed)
    for parameter in parameters.values():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()


def fresh(name: OptimizerName) -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
    # One large enough for 8-bit state, one that bitsandbytes keeps in 32 bits.
    parameters = {
        "a/large": nn.Parameter(torch.ones(64, 128)),
        "small": nn.Parameter(torch.ones(8, 8)),
    }
    return parameters, make_optimizer(name, parameters, learning_rate=0.01, weight_decay=0.1)


@pytest.mark.parametrize("name", ["adamw", "adamw8bit"])
def test_state_through_a_file_goes_on_bit_for_bit(name: OptimizerName, tmp_path: Path) -> None:
    parameters, optimizer = fresh(name)
    for seed in range(4):
        stepped(name, parameters, optimizer, seed)

    halfway, first = fresh(name)
    for seed in range(2):
        stepped(name, halfway, first, seed)
    state = export_state(first, halfway)
    save_file(state.tensors, tmp_path / "state.safetensors")
    resumed, second = fresh(name)
    for key, parameter in resumed.items():
        parameter.data.copy_(halfway[key].data)
    loaded = OptimizerState(load_file(tmp_path / "state.safetensors"), state.numbers)
    import_state(second, resumed, loaded)
    for seed in range(2, 4):
        stepped(name, resumed, second, seed)

    for key in parameters:
        assert torch.equal(parameters[key], resumed[key])


def test_adamw8bit_keeps_large_state_in_8_bits() -> None:
    parameters, optimizer = fresh("adamw8bit")
    stepped("adamw8bit", parameters, optimizer, 0)
    state = export_state(optimizer, parameters)
    assert state.tensors["a/large/state1"].dtype == torch.uint8
    assert state.tensors["small/state1"].dtype == torch.float32
    assert state.numbers == {"a/large": {"step": 1}, "small": {"step": 1}}


def test_the_average_keeps_its_decay_and_takes_the_rest() -> None:
    parameters = {"p": torch.tensor([1.0, 2.0], dtype=torch.float64)}
    average = start_average(parameters)
    parameters["p"] += 1.0  # in place: the average must not be a view of it
    update_average(average, parameters, decay=0.75)
    assert average["p"].tolist() == [1.25, 2.25]
    update_average(average, parameters, decay=0.75)
    assert average["p"].tolist() == [1.4375, 2.4375]
