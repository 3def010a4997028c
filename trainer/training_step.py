"""One optimizer step: what a micro-batch adds to the gradients, and when a step is taken at all.

Legend: B = pictures of the micro-batch, C = 128 channels, h and w = latent sides, L = h * w image
tokens, T = text rows, D = width of a text row.

Every sample of a step counts the same. Gradients are summed over the samples of all micro-batches
and divided once by their number, so two micro-batches of one picture give what one of two gives,
also where a bucket's last batch is smaller. The objective of a sample is

    weight(t) * [ loss(v, target') + multiplier * mean((vp - v0)^2) ]

v: the prediction on the caption. vp: on the class caption, which under blank-prompt preservation is
the empty prompt. v0: the base model's on the class caption (adapters off, no gradient), all three
from one draw of noise and t. target' is the true target, or under differential guidance the one
moved away from v; for a picture of a regularization set it is the base model's prediction on the
same caption. A sample without a class caption has no second term. A mask weights the tokens of the
first term. The LoRA Weight of a batch's dataset scales the LoRA throughout. The two terms are
differentiated one after the other, so that only one graph is in memory at a time.

Noise and t belong to (seed, step, place of the sample in the step), so they do not depend on how
the step is cut into micro-batches, nor on the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import torch
from diffusers import Flux2Transformer2DModel

from trainer.batches import Batch
from trainer.lora import Lora
from trainer.losses import LossType, guided_target, per_sample_loss, preservation_loss
from trainer.randomness import generator
from trainer.timesteps import (
    TimestepBias,
    TimestepType,
    as_model_sees,
    draw_timestep,
    loss_weight,
)
from trainer.tokens import image_ids, pack, reference_ids, text_ids

# Forward passes of a micro-batch, at most: each has a dropout of its own.
MAX_PASSES = 16


@dataclass(frozen=True)
class Objective:
    """What a step minimises.

    batch_size: pictures in the largest micro-batch, which fixes each sample's place in the step.
    training_guidance: the guidance embedding; None for models without one.
    guidance_scale: of differential guidance; None when it is off.
    preservation_multiplier: weight of output or blank-prompt preservation; None when both are off.
    preservation_every_steps: it takes part in the first step and every so many after it.
    """

    seed: int
    batch_size: int
    timestep_type: TimestepType
    timestep_bias: TimestepBias
    loss_type: LossType
    training_guidance: float | None
    guidance_scale: float | None
    preservation_multiplier: float | None
    preservation_every_steps: int = 1

    def preserves_at(self, step: int) -> bool:
        """Whether the step after `step` steps has the preservation term."""
        return self.preservation_multiplier is not None and (
            step % self.preservation_every_steps == 0
        )


@dataclass(frozen=True)
class StepResult:
    """Means over the step's samples.

    loss: against the true target, unweighted. objective: what was differentiated.
    preservation_loss: unweighted, over the samples that had a class caption; None without any, and
    at steps that preservation leaves out.
    gradient_norm: before clipping. is_finite: False means that no update was made.
    """

    loss: float
    objective: float
    preservation_loss: float | None
    gradient_norm: float
    is_finite: bool


def training_step(
    transformer: Flux2Transformer2DModel,
    lora: Lora,
    optimizer: torch.optim.Optimizer,
    micro_batches: Iterable[Batch],
    *,
    step: int,
    objective: Objective,
    max_gradient_norm: float,
) -> StepResult:
    """Take the step after `step` steps, unless its loss or gradients are not finite.

    max_gradient_norm: 0 leaves the gradients as they are.
    """
    optimizer.zero_grad(set_to_none=True)
    sums = _Sums(transformer.device)
    for micro, batch in enumerate(micro_batches):
        with lora.weighted(batch.lora_weight), lora.training():
            _accumulate(transformer, lora, batch, sums, step=step, micro=micro, objective=objective)

    parameters = list(lora.parameters.values())
    for parameter in parameters:
        assert parameter.grad is not None, "a LoRA parameter took no part in the step"
        parameter.grad.div_(sums.num_samples)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_gradient_norm or float("inf"))
    result = sums.result(float(norm))
    if result.is_finite:
        optimizer.step()
    return result


class _Sums:
    """Sums over samples, kept on the device so that a step waits for it once."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), device=device)
        self.objective = torch.zeros((), device=device)
        self.preservation = torch.zeros((), device=device)
        self.num_samples = 0
        self.num_preserved = 0

    def result(self, gradient_norm: float) -> StepResult:
        loss = float(self.loss) / self.num_samples
        objective = float(self.objective) / self.num_samples
        preservation = float(self.preservation) / self.num_preserved if self.num_preserved else None
        numbers = torch.tensor([loss, objective, preservation or 0.0, gradient_norm])
        return StepResult(
            loss=loss,
            objective=objective,
            preservation_loss=preservation,
            gradient_norm=gradient_norm,
            is_finite=bool(numbers.isfinite().all()),
        )


def _accumulate(
    transformer: Flux2Transformer2DModel,
    lora: Lora,
    batch: Batch,
    sums: _Sums,
    *,
    step: int,
    micro: int,
    objective: Objective,
) -> None:
    """Add one micro-batch's gradients (summed over samples) and its share of the sums."""
    device, dtype = transformer.device, transformer.dtype
    clean = pack(batch.latents).to(device, torch.float32)  # [B, L, C]
    noise, t = _draws(batch, step=step, micro=micro, objective=objective)
    noise, t = noise.to(device), t.to(device)
    passed, seen = as_model_sees(t, dtype)
    mix = seen[:, None, None]
    noisy = ((1 - mix) * clean + mix * noise).to(dtype)
    target = noise - clean
    weight = loss_weight(t, objective.timestep_type)
    size = (batch.latents.shape[2], batch.latents.shape[3])

    passes = count(micro * MAX_PASSES)

    def predict(rows: torch.Tensor | slice, embeds: torch.Tensor) -> torch.Tensor:
        lora.begin_pass(seed=objective.seed, step=step, index=next(passes))
        return predict_velocity(
            transformer,
            noisy[rows],
            timestep=passed[rows],
            embeds=embeds.to(device, dtype),
            size=size,
            guidance=objective.training_guidance,
            references=[reference[rows] for reference in batch.references],
        )

    multiplier = objective.preservation_multiplier if objective.preserves_at(step) else None
    class_embeds = batch.class_embeds
    preserved = base = None
    if multiplier is not None and class_embeds is not None:
        preserved = batch.has_class.nonzero().squeeze(1)
        with torch.no_grad(), lora.off():
            base = predict(preserved, class_embeds[preserved])

    prediction = predict(slice(None), batch.prompt_embeds)
    aim = target
    if objective.guidance_scale is not None:
        aim = guided_target(prediction, target, scale=objective.guidance_scale)
    if batch.towards_base is not None:
        rows = batch.towards_base.nonzero().squeeze(1)
        with torch.no_grad(), lora.off():
            aim = aim.index_copy(
                0, rows.to(device), predict(rows, batch.prompt_embeds[rows]).to(aim)
            )
    masks = None if batch.masks is None else batch.masks.flatten(1).to(device)  # [B, L]
    training = (weight * per_sample_loss(prediction, aim, objective.loss_type, masks)).sum()
    training.backward()
    with torch.no_grad():
        sums.loss += per_sample_loss(prediction, target, objective.loss_type, masks).sum()
        sums.objective += training.detach()
        sums.num_samples += len(t)
    del prediction

    if multiplier is None or class_embeds is None or preserved is None or base is None:
        return
    distance = preservation_loss(predict(preserved, class_embeds[preserved]), base)
    held = multiplier * (weight[preserved] * distance).sum()
    held.backward()
    sums.preservation += distance.detach().sum()
    sums.objective += held.detach()
    sums.num_preserved += len(preserved)


def _draws(
    batch: Batch, *, step: int, micro: int, objective: Objective
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise [B, L, C] and timesteps [B] of a micro-batch, float32 on the CPU."""
    channels, height, width = batch.latents.shape[1:]
    noise, timesteps = [], []
    for place in range(len(batch.latents)):
        index = micro * objective.batch_size + place
        draw = generator(objective.seed, step, "noise", index)
        noise.append(torch.randn(channels, height, width, generator=draw))
        timesteps.append(
            draw_timestep(
                objective.timestep_type,
                objective.timestep_bias,
                num_tokens=height * width,
                generator=generator(objective.seed, step, "timestep", index),
            )
        )
    return pack(torch.stack(noise)), torch.stack(timesteps)


def predict_velocity(
    transformer: Flux2Transformer2DModel,
    noisy: torch.Tensor,
    *,
    timestep: torch.Tensor,
    embeds: torch.Tensor,
    size: tuple[int, int],
    guidance: float | None,
    references: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """v [B, L, C] for noisy latents [B, L, C] at timesteps [B] with prompts [B, T, D].

    size: (h, w) of the latents. references: normalised latents of reference pictures, [B, C, h, w]
    each; their tokens come after the picture's, unnoised, share its timestep, and are cut off the
    prediction. The call is the pipeline's own.
    """
    device = noisy.device
    reference_sizes = [(latents.shape[2], latents.shape[3]) for latents in references]
    tokens = torch.cat([noisy, *(pack(latents).to(noisy) for latents in references)], dim=1)
    ids = torch.cat([image_ids(*size), reference_ids(reference_sizes)])
    return transformer(
        hidden_states=tokens,
        timestep=timestep,
        guidance=None
        if guidance is None
        else torch.full((len(noisy),), guidance, device=device, dtype=torch.float32),
        encoder_hidden_states=embeds,
        txt_ids=text_ids(embeds.shape[1]).to(device),
        img_ids=ids.to(device),
        return_dict=False,
    )[0][:, : noisy.shape[1]]
