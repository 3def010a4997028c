"""Learning rates by hand, decoupled weight decay, the average, and state that survives a file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from trainer.ema import start_average, update_average
from trainer.optim import (
    OptimizerName,
    OptimizerState,
    Schedule,
    export_state,
    found_factor,
    import_state,
    learning_rate_factor,
    make_optimizer,
    set_learning_rate,
)
from trainer.panels.training import TrainingPanel


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


@given(
    total_steps=st.integers(1, 3000),
    warmup_steps=st.integers(0, 3000),
    schedule=st.sampled_from(get_args(Schedule)),
)
def test_no_step_is_spent_at_zero_and_none_above_the_learning_rate(
    total_steps: int, warmup_steps: int, schedule: Schedule
) -> None:
    assume(warmup_steps < total_steps)  # the door refuses the others
    factors = [
        learning_rate_factor(
            schedule, steps_done=k, warmup_steps=warmup_steps, total_steps=total_steps
        )
        for k in sorted({0, warmup_steps, (warmup_steps + total_steps) // 2, total_steps - 1})
    ]
    assert all(0 < factor <= 1 for factor in factors)
    after_warmup = learning_rate_factor(
        schedule, steps_done=warmup_steps, warmup_steps=warmup_steps, total_steps=total_steps
    )
    assert after_warmup == 1
    if schedule == "linear":
        assert factors[-1] == pytest.approx(1 / (total_steps - warmup_steps))


def test_the_help_of_lr_schedule_states_the_formulas_that_are_used() -> None:
    # The text's own words, evaluated: N = 10 steps, W = 3 of warm-up.
    steps, warmup = 10, 3
    text = TrainingPanel.model_fields["lr_schedule"].description or ""
    assert "p = (k - 1 - W) / (N - W)" in text
    assert "linear: 1 - p" in text
    assert "cosine: (1 + cos(pi p)) / 2" in text
    assert "k / (W + 1)" in (TrainingPanel.model_fields["warmup_steps"].description or "")
    for k in range(1, steps + 1):
        p = (k - 1 - warmup) / (steps - warmup)
        rising = k / (warmup + 1)
        expected = {
            "constant": 1.0,
            "constant_with_warmup": rising if k <= warmup else 1.0,
            "linear": rising if k <= warmup else 1 - p,
            "cosine": rising if k <= warmup else (1 + math.cos(math.pi * p)) / 2,
        }
        for schedule, factor in expected.items():
            assert learning_rate_factor(
                schedule,  # type: ignore[arg-type]
                steps_done=k - 1,
                warmup_steps=warmup,
                total_steps=steps,
            ) == pytest.approx(factor, abs=1e-12), (schedule, k)


@pytest.mark.parametrize("name", ["adamw", "adamw8bit", "adafactor", "lion8bit"])
def test_weight_decay_shrinks_by_learning_rate_times_itself(name: OptimizerName) -> None:
    # With a gradient of zero the optimizer's own move is zero: what is left is 1 - 0.1 * 0.5.
    parameter = nn.Parameter(torch.ones(64, 128))
    optimizer = make_optimizer(name, {"p": parameter}, learning_rate=0.1, weight_decay=0.5)
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.allclose(parameter, torch.full_like(parameter, 0.95))


@pytest.mark.parametrize("name", ["adamw", "adamw8bit", "adafactor", "lion8bit"])
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
        # As a LoRA's B begins, which Prodigy keeps less of.
        "zero": nn.Parameter(torch.zeros(8, 8)),
    }
    return parameters, make_optimizer(name, parameters, learning_rate=0.01, weight_decay=0.1)


def test_the_second_step_of_each_optimizer_follows_its_formula() -> None:
    # One number repeated, so that blocks, rows and columns all have the same statistics, with
    # gradients 1 and then -0.25; learning rate 0.01, no decay. Worked out by hand in float64.
    m = 0.9 * 0.1 + 0.1 * -0.25
    v = 0.999 * 0.001 + 0.001 * 0.0625
    adam = -0.01 * (m / (1 - 0.9**2)) / math.sqrt(v / (1 - 0.999**2))
    share = 2**-0.8  # Adafactor's running mean at step 2 keeps 1 - share
    adafactor = 0.01 * 0.25 / math.sqrt((1 - share) * 1 + share * 0.0625)
    lion = -0.01 * math.copysign(1, 0.9 * 0.01 * 1 + 0.1 * -0.25)
    expected: dict[OptimizerName, float] = {
        "adamw": adam,
        "adamw8bit": adam,
        "adafactor": adafactor,
        "lion8bit": lion,
    }
    for name, move in expected.items():
        parameter = nn.Parameter(torch.zeros(64, 128))
        optimizer = make_optimizer(name, {"p": parameter}, learning_rate=0.01, weight_decay=0.0)
        for gradient in (1.0, -0.25):
            before = parameter.detach().clone()
            parameter.grad = torch.full_like(parameter, gradient)
            optimizer.step()
        moved = parameter.detach() - before
        rel = 2e-2 if name == "adamw8bit" else 1e-4  # codes of 8 bits
        assert moved.flatten().tolist() == pytest.approx([move] * moved.numel(), rel=rel), name


def down_a_bowl(name: OptimizerName, learning_rate: float) -> tuple[float, float]:
    """(share of the height left, the factor found) after 200 steps."""
    goal = torch.rand(64, 128, generator=torch.Generator().manual_seed(3)) * 2 - 1
    parameter = nn.Parameter(torch.zeros(64, 128))
    optimizer = make_optimizer(
        name, {"p": parameter}, learning_rate=learning_rate, weight_decay=0.0
    )
    for _ in range(200):
        parameter.grad = parameter.detach() - goal
        optimizer.step()
    left = (parameter - goal).square().mean() / goal.square().mean()
    return left.item(), found_factor(optimizer)


@pytest.mark.parametrize(
    ("name", "learning_rate"),
    [
        ("adamw", 0.02),
        ("adamw8bit", 0.02),
        ("adafactor", 0.02),
        ("prodigy", 1.0),
        ("lion8bit", 0.01),
    ],
)
def test_every_optimizer_finds_the_bottom_of_a_bowl(
    name: OptimizerName, learning_rate: float
) -> None:
    left, _ = down_a_bowl(name, learning_rate)
    assert left < 0.05


def test_prodigy_finds_its_steps_at_learning_rate_1_and_stands_still_far_below() -> None:
    # What the rule `learning_rate_unusual` says of Prodigy.
    left, found = down_a_bowl("prodigy", 1.0)
    assert left < 0.05
    assert found > 1e-3
    left, found = down_a_bowl("prodigy", 1e-4)
    assert left > 0.99
    assert found == 1e-6


def test_other_optimizers_leave_the_learning_rate_as_it_is() -> None:
    for name in set(get_args(OptimizerName)) - {"prodigy"}:
        assert found_factor(fresh(name)[1]) == 1.0


def test_no_optimizer_prints(capsys: pytest.CaptureFixture[str]) -> None:
    for name in get_args(OptimizerName):
        parameters, optimizer = fresh(name)
        stepped(name, parameters, optimizer, 0)
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


@pytest.mark.parametrize("name", get_args(OptimizerName))
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
    numbers = json.loads(json.dumps(state.numbers, allow_nan=False))
    loaded = OptimizerState(load_file(tmp_path / "state.safetensors"), numbers)
    import_state(second, resumed, loaded)
    for seed in range(2, 4):
        stepped(name, resumed, second, seed)

    for key in parameters:
        assert torch.equal(parameters[key], resumed[key])
    uninterrupted, again = export_state(optimizer, parameters), export_state(second, resumed)
    assert uninterrupted.numbers == again.numbers
    assert uninterrupted.tensors.keys() == again.tensors.keys()
    for key, tensor in uninterrupted.tensors.items():
        assert torch.equal(tensor, again.tensors[key]), key


def test_adamw8bit_keeps_large_state_in_8_bits() -> None:
    parameters, optimizer = fresh("adamw8bit")
    stepped("adamw8bit", parameters, optimizer, 0)
    state = export_state(optimizer, parameters)
    assert state.tensors["a/large/state1"].dtype == torch.uint8
    assert state.tensors["small/state1"].dtype == torch.float32
    assert state.numbers == {name: {"step": 1} for name in parameters}


def test_lion8bit_keeps_half_of_that() -> None:
    parameters, optimizer = fresh("lion8bit")
    stepped("lion8bit", parameters, optimizer, 0)
    state = export_state(optimizer, parameters)
    assert state.tensors["a/large/state1"].dtype == torch.uint8
    assert "a/large/state2" not in state.tensors


def test_adafactor_keeps_a_row_and_a_column_of_each_matrix() -> None:
    parameters, optimizer = fresh("adafactor")
    stepped("adafactor", parameters, optimizer, 0)
    state = export_state(optimizer, parameters)
    sizes = {key: value.numel() for key, value in state.tensors.items() if "large" in key}
    assert sizes == {
        "a/large/exp_avg_sq_row": 64,
        "a/large/exp_avg_sq_col": 128,
        "a/large/RMS": 1,
    }


def test_the_average_keeps_its_decay_and_takes_the_rest() -> None:
    parameters = {"p": torch.tensor([1.0, 2.0], dtype=torch.float64)}
    average = start_average(parameters)
    parameters["p"] += 1.0  # in place: the average must not be a view of it
    update_average(average, parameters, decay=0.75)
    assert average["p"].tolist() == [1.25, 2.25]
    update_average(average, parameters, decay=0.75)
    assert average["p"].tolist() == [1.4375, 2.4375]
