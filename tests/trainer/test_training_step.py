"""One step on a mini transformer in float64, against direct calls and against itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import Flux2Pipeline

from tests.trainer.mini_transformer import JOINT_DIM, mini_transformer
from trainer.batches import Batch
from trainer.lora import Lora, add_lora
from trainer.randomness import generator
from trainer.timesteps import as_model_sees, draw_timestep, loss_weight
from trainer.tokens import image_ids, pack, text_ids
from trainer.training_step import Objective, StepResult, predict_velocity, training_step

OBJECTIVE = Objective(
    seed=3,
    batch_size=2,
    timestep_type="weighted",
    timestep_bias="balanced",
    loss_type="mse",
    training_guidance=1.0,
    guidance_scale=None,
    preservation_multiplier=None,
)
STEP = 5


def samples(count: int, *, has_class: list[bool] | None = None) -> Batch:
    """A micro-batch of random pictures of 2 x 3 tokens with prompts of 4 rows."""
    draw = torch.Generator().manual_seed(11)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    # Drawn for four samples whatever is asked for, so that the first ones are always the same.
    latents, prompts, classes = randn(4, 128, 2, 3), randn(4, 4, JOINT_DIM), randn(4, 4, JOINT_DIM)
    flags = torch.tensor(has_class or [False] * count)
    return Batch(
        latents=latents[:count],
        prompt_embeds=prompts[:count],
        class_embeds=torch.where(flags[:, None, None], classes[:count], prompts[:count])
        if flags.any()
        else None,
        has_class=flags,
        names=[f"{i}.png" for i in range(count)],
    )


def rows(batch: Batch, *places: int) -> Batch:
    """Some samples of a batch as a batch of their own."""
    keep = list(places)
    flags = batch.has_class[keep]
    with_class = batch.class_embeds is not None and bool(flags.any())
    return Batch(
        batch.latents[keep],
        batch.prompt_embeds[keep],
        batch.class_embeds[keep] if batch.class_embeds is not None and with_class else None,
        flags,
        [batch.names[place] for place in keep],
    )


def trained_lora(transformer: torch.nn.Module) -> Lora:
    """A LoRA in float64 that changes the model: B is not zero."""
    lora = add_lora(transformer, rank=2, alpha=1.0, seed=1)  # type: ignore[arg-type]
    draw = torch.Generator().manual_seed(2)
    for name, parameter in lora.parameters.items():
        parameter.data = parameter.data.double()
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * 0.3)
    return lora


def gradients_of(
    batches: list[Batch],
    objective: Objective = OBJECTIVE,
    *,
    checkpointing: bool = False,
    max_gradient_norm: float = 0.0,
) -> tuple[StepResult, dict[str, torch.Tensor]]:
    """A step's result and gradients; the optimizer is SGD at 1, so p moves by its gradient."""
    transformer = mini_transformer(guidance_embeds=objective.training_guidance is not None)
    lora = trained_lora(transformer)
    if checkpointing:
        transformer.enable_gradient_checkpointing()
    before = {name: p.detach().clone() for name, p in lora.parameters.items()}
    result = training_step(
        transformer,
        lora,
        torch.optim.SGD(list(lora.parameters.values()), lr=1.0),
        batches,
        step=STEP,
        objective=objective,
        max_gradient_norm=max_gradient_norm,
    )
    return result, {name: before[name] - p.detach() for name, p in lora.parameters.items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], atol: float = 1e-9) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=1e-6, atol=atol), name


def expected_of(batch: Batch, objective: Objective) -> tuple[float, float]:
    """(loss, objective) from direct calls of the model, sample by sample."""
    transformer = mini_transformer()
    lora = trained_lora(transformer)
    losses, objectives = [], []
    for place in range(len(batch.latents)):
        latents = batch.latents[place]
        noise = torch.randn(
            latents.shape, generator=generator(objective.seed, STEP, "noise", place)
        )
        t = draw_timestep(
            objective.timestep_type,
            objective.timestep_bias,
            num_tokens=6,
            generator=generator(objective.seed, STEP, "timestep", place),
        )
        passed, seen = as_model_sees(t, torch.float64)
        x_t = (1 - seen) * latents.float() + seen * noise
        target = pack((noise - latents.float())[None])

        def velocity(
            embeds: torch.Tensor, x_t: torch.Tensor = x_t, passed: torch.Tensor = passed
        ) -> torch.Tensor:
            with torch.no_grad():
                return predict_velocity(
                    transformer,
                    pack(x_t[None]).double(),
                    timestep=passed[None],
                    embeds=embeds[None],
                    size=(2, 3),
                    guidance=1.0,
                )

        v = velocity(batch.prompt_embeds[place])
        squared = (v - target).square().mean().item()
        aim = squared * (objective.guidance_scale or 1.0) ** 2
        weight = loss_weight(t, objective.timestep_type).item()
        held = 0.0
        if objective.preservation_multiplier is not None and batch.has_class[place]:
            assert batch.class_embeds is not None
            with lora.off():
                v0 = velocity(batch.class_embeds[place])
            vp = velocity(batch.class_embeds[place])
            held = objective.preservation_multiplier * (vp - v0).square().mean().item()
        losses.append(squared)
        objectives.append(weight * (aim + held))
    return sum(losses) / len(losses), sum(objectives) / len(objectives)


@pytest.mark.parametrize(
    ("objective", "has_class"),
    [
        (OBJECTIVE, [False, False]),
        (replace(OBJECTIVE, timestep_type="linear", timestep_bias="low_noise"), [False, False]),
        (replace(OBJECTIVE, guidance_scale=3.0), [False, False]),
        (replace(OBJECTIVE, preservation_multiplier=0.7), [True, True]),
        (replace(OBJECTIVE, preservation_multiplier=0.7, guidance_scale=2.0), [False, True]),
    ],
    ids=["weighted", "linear", "guided", "preserved", "guided, one of two preserved"],
)
def test_a_step_reports_the_loss_and_objective_of_its_formula(
    objective: Objective, has_class: list[bool]
) -> None:
    batch = samples(2, has_class=has_class)
    result, _ = gradients_of([batch], objective)
    loss, total = expected_of(batch, objective)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    assert result.objective == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("has_class", [[True, True], [True, False], [False, False]])
def test_two_micro_batches_of_one_are_one_of_two(has_class: list[bool]) -> None:
    batch = samples(2, has_class=has_class)
    objective = replace(OBJECTIVE, preservation_multiplier=1.0, guidance_scale=3.0)
    whole_result, whole = gradients_of([batch], objective)
    cut_result, cut = gradients_of(
        [rows(batch, 0), rows(batch, 1)], replace(objective, batch_size=1)
    )
    assert_same(whole, cut)
    assert cut_result.loss == pytest.approx(whole_result.loss, rel=1e-6)
    assert cut_result.objective == pytest.approx(whole_result.objective, rel=1e-6)


def test_every_picture_counts_the_same_when_a_micro_batch_is_smaller() -> None:
    # Three samples as 2 + 1 against the mean of each alone, at its place in the step.
    batch = samples(3)
    _, step = gradients_of([rows(batch, 0, 1), rows(batch, 2)])
    alone = []
    for place in range(3):
        draws = samples(3)
        # The sample keeps its noise: its place in the step is its micro-batch's number here.
        micro = [rows(draws, place)] * (place + 1)
        _, up_to = gradients_of(micro, replace(OBJECTIVE, batch_size=1))
        _, before = (
            gradients_of(micro[:-1], replace(OBJECTIVE, batch_size=1)) if place else (None, {})
        )
        alone.append(
            {n: g * (place + 1) - (before[n] * place if place else 0) for n, g in up_to.items()}
        )
    mean = {name: sum(g[name] for g in alone) / 3 for name in step}
    assert_same(step, mean, atol=1e-7)  # type: ignore[arg-type]


def test_gradient_checkpointing_changes_memory_and_not_gradients() -> None:
    batch = samples(2, has_class=[True, True])
    objective = replace(OBJECTIVE, preservation_multiplier=1.0)
    plain_result, plain = gradients_of([batch], objective)
    checkpointed_result, checkpointed = gradients_of([batch], objective, checkpointing=True)
    assert plain_result == checkpointed_result
    for name in plain:
        assert torch.equal(plain[name], checkpointed[name]), name


def test_differential_guidance_multiplies_the_gradients_by_its_scale() -> None:
    _, plain = gradients_of([samples(2)])
    _, guided = gradients_of([samples(2)], replace(OBJECTIVE, guidance_scale=3.0))
    assert_same({name: 3 * gradient for name, gradient in plain.items()}, guided)


def test_the_gradient_norm_is_reported_before_it_is_clipped() -> None:
    free, gradients = gradients_of([samples(2)])
    norm = torch.stack([g.norm() for g in gradients.values()]).norm().item()
    assert free.gradient_norm == pytest.approx(norm, rel=1e-5)
    clipped_result, clipped = gradients_of([samples(2)], max_gradient_norm=norm / 10)
    assert clipped_result.gradient_norm == pytest.approx(norm, rel=1e-5)
    clipped_norm = torch.stack([g.norm() for g in clipped.values()]).norm().item()
    assert clipped_norm == pytest.approx(norm / 10, rel=1e-3)


def test_a_step_whose_loss_is_not_a_number_changes_nothing() -> None:
    batch = samples(1)
    batch.latents[0, 0, 0, 0] = float("nan")
    result, moved = gradients_of([batch])
    assert not result.is_finite
    assert all(not difference.any() for difference in moved.values())


def test_an_infinite_gradient_changes_nothing() -> None:
    batch = samples(1)
    result, moved = gradients_of([batch], replace(OBJECTIVE, guidance_scale=1e308))
    assert not result.is_finite
    assert all(not difference.any() for difference in moved.values())


def test_preservation_is_zero_before_the_lora_has_learned_anything() -> None:
    transformer = mini_transformer()
    lora = add_lora(transformer, rank=2, alpha=1.0, seed=1)
    result = training_step(
        transformer,
        lora,
        torch.optim.SGD(list(lora.parameters.values()), lr=1.0),
        [samples(2, has_class=[True, False])],
        step=0,
        objective=replace(OBJECTIVE, preservation_multiplier=1.0),
        max_gradient_norm=0.0,
    )
    assert result.preservation_loss == pytest.approx(0.0, abs=1e-12)


def test_preservation_is_reported_as_missing_when_no_caption_has_the_trigger() -> None:
    result, _ = gradients_of([samples(2)], replace(OBJECTIVE, preservation_multiplier=1.0))
    assert result.preservation_loss is None


def test_tokens_and_their_places_are_those_of_the_pipeline() -> None:
    latents = torch.arange(2 * 128 * 3 * 5, dtype=torch.float32).reshape(2, 128, 3, 5)
    assert torch.equal(pack(latents), Flux2Pipeline._pack_latents(latents))
    assert torch.equal(image_ids(3, 5), Flux2Pipeline._prepare_latent_ids(latents)[0])
    assert torch.equal(text_ids(7), Flux2Pipeline._prepare_text_ids(torch.zeros(1, 7, 4))[0])
