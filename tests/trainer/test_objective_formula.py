"""The objective against its formula, worked out in float64 with none of the trainer's own code.

Given x0, noise and the number that a timestep is made of, every combination of timestep type, bias
and loss is written out here once more, sample by sample, from the help texts: from text alone and
with reference pictures, with dev's guidance embedding and without one as in klein. The model is
called as Diffusers' own signature has it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import get_args

import pytest
import torch

from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.test_masks_and_references import references
from tests.trainer.test_training_step import OBJECTIVE, STEP, gradients_of, samples, trained_lora
from trainer.batches import Batch
from trainer.losses import LossType
from trainer.randomness import generator
from trainer.timesteps import TimestepBias, TimestepType
from trainer.training_step import Objective

HEIGHT, WIDTH = 2, 3  # of the latents in `samples`
TOKENS = HEIGHT * WIDTH


def timestep_of(objective: Objective, place: int) -> tuple[float, float]:
    """(t, weight) of a sample from the raw draw."""
    draw = generator(objective.seed, STEP, "timestep", place)
    if objective.timestep_type in ("weighted", "linear"):
        t = torch.rand((), generator=draw).item()
    else:
        t = 1 / (1 + math.exp(-torch.randn((), generator=draw).item()))
    if objective.timestep_type == "shift":
        mu = 0.5 + (TOKENS - 256) / (4096 - 256) * (1.15 - 0.5)
        odds = t / (1 - t) * math.exp(mu)
        t = odds / (1 + odds)
    t = {"balanced": t, "high_noise": math.sqrt(t), "low_noise": t**2}[objective.timestep_bias]
    weight = 0.5 + 6 * t**2 * (1 - t) if objective.timestep_type == "weighted" else 1.0
    return t, weight


def error_of(difference: torch.Tensor, loss_type: LossType) -> float:
    size = difference.abs()
    if loss_type == "mse":
        return (size**2).mean().item()
    if loss_type == "mae":
        return size.mean().item()
    return torch.where(size <= 1, size**2 / 2, size - 0.5).mean().item()


def places_of(time: int, height: int, width: int) -> torch.Tensor:
    """(time, row, column, 0) of each token."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    rows, columns = rows.flatten().float(), columns.flatten().float()
    return torch.stack([torch.full_like(rows, time), rows, columns, torch.zeros_like(rows)], dim=1)


def by_the_formula(batch: Batch, objective: Objective) -> tuple[float, float, float | None]:
    """(loss, objective, preservation loss) of a step of one micro-batch."""
    is_klein = objective.training_guidance is None
    transformer = mini_transformer(guidance_embeds=not is_klein)
    lora = trained_lora(transformer)
    # The picture at time 0, reference n = 0, 1, ... at time 10 + 10 n.
    image_ids = torch.cat(
        [places_of(0, HEIGHT, WIDTH)]
        + [places_of(10 + 10 * n, *r.shape[2:]) for n, r in enumerate(batch.references)]
    )
    text_ids = torch.tensor([[0.0, 0.0, 0.0, k] for k in range(batch.prompt_embeds.shape[1])])
    losses: list[float] = []
    objectives: list[float] = []
    distances: list[float] = []
    for place in range(len(batch.latents)):
        t, weight = timestep_of(objective, place)
        draw = generator(objective.seed, STEP, "noise", place)
        noise = torch.randn(128, HEIGHT, WIDTH, generator=draw).double().flatten(1).T  # [L, C]
        clean = batch.latents[place].flatten(1).T
        noisy = (1 - t) * clean + t * noise
        shown = [reference[place].flatten(1).T for reference in batch.references]

        tokens = torch.cat([noisy, *shown])  # [L and those of references, C]

        def velocity(
            embeds: torch.Tensor, tokens: torch.Tensor = tokens, t: float = t
        ) -> torch.Tensor:
            with torch.no_grad():
                return transformer(
                    hidden_states=tokens[None],
                    encoder_hidden_states=embeds[None],
                    timestep=torch.tensor([t], dtype=torch.float64),
                    img_ids=image_ids,
                    txt_ids=text_ids,
                    guidance=None if is_klein else torch.tensor([1.0]),
                ).sample[0, :TOKENS]

        difference = velocity(batch.prompt_embeds[place]) - (noise - clean)
        # target' = v + s (target - v), so v - target' = s (v - target).
        scale = 1.0 if objective.guidance_scale is None else objective.guidance_scale
        aim = error_of(scale * difference, objective.loss_type)
        if objective.preservation_multiplier is not None and batch.has_class[place]:
            assert batch.class_embeds is not None
            with_lora = velocity(batch.class_embeds[place])
            with lora.off():
                base = velocity(batch.class_embeds[place])
            distances.append(((with_lora - base) ** 2).mean().item())
            aim += objective.preservation_multiplier * distances[-1]
        losses.append(error_of(difference, objective.loss_type))
        objectives.append(weight * aim)
    count = len(losses)
    preservation = sum(distances) / len(distances) if distances else None
    return sum(losses) / count, sum(objectives) / count, preservation


# All types, biases and losses with each other; the extras run through them. There are seven, which
# three does not divide, so that each meets every loss.
COMBINATIONS = list(
    zip(
        itertools.product(get_args(TimestepType), get_args(TimestepBias), get_args(LossType)),
        itertools.cycle(
            [
                "plain",
                "guided",
                "preserved",
                "guided and preserved",
                "edit",
                "edit, guided and preserved",
                "klein edit, preserved",
            ]
        ),
        strict=False,
    )
)


@pytest.mark.parametrize(
    ("timestep_type", "bias", "loss_type", "extra"),
    [(*kinds, extra) for kinds, extra in COMBINATIONS],
)
def test_a_step_is_its_formula(
    timestep_type: TimestepType, bias: TimestepBias, loss_type: LossType, extra: str
) -> None:
    objective = replace(
        OBJECTIVE,
        timestep_type=timestep_type,
        timestep_bias=bias,
        loss_type=loss_type,
        guidance_scale=3.0 if "guided" in extra else None,
        preservation_multiplier=0.7 if "preserved" in extra else None,
        training_guidance=None if "klein" in extra else 1.0,
    )
    batch = samples(2, has_class=[True, False])
    if "edit" in extra:
        batch = replace(batch, references=references((2, 2), (1, 3)))
    result, _ = gradients_of([batch], objective)
    loss, total, preservation = by_the_formula(batch, objective)
    # The step draws and mixes in float32.
    assert result.loss == pytest.approx(loss, rel=1e-5)
    assert result.objective == pytest.approx(total, rel=1e-5)
    assert result.preservation_loss == (
        None if preservation is None else pytest.approx(preservation, rel=1e-5)
    )


def test_the_loss_is_against_the_true_target_whatever_the_guidance() -> None:
    batch = samples(2)
    plain, _ = gradients_of([batch])
    guided, _ = gradients_of([batch], replace(OBJECTIVE, guidance_scale=3.0))
    assert guided.loss == plain.loss
    assert guided.objective == pytest.approx(9 * plain.objective, rel=1e-6)


def test_preservation_takes_part_in_the_first_step_and_every_so_many_after() -> None:
    objective = replace(OBJECTIVE, preservation_multiplier=1.0, preservation_every_steps=3)
    assert [objective.preserves_at(step) for step in range(7)] == [
        True, False, False, True, False, False, True,
    ]  # fmt: skip
    assert not replace(objective, preservation_multiplier=None).preserves_at(0)
    batch = samples(2, has_class=[True, True])
    assert STEP == 5
    resting, gradients = gradients_of([batch], objective)
    plain, plain_gradients = gradients_of([batch])
    assert resting == plain
    for name, gradient in gradients.items():
        assert torch.equal(gradient, plain_gradients[name])
    held, _ = gradients_of([batch], replace(objective, preservation_every_steps=5))
    assert held.preservation_loss is not None
