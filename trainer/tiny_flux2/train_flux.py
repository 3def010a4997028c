"""Stage 3: text encoder and transformer learn together to draw a scene from its caption.

Flow matching as FLUX.2 defines it: x_t = (1 - t) * x0 + t * noise, and the transformer predicts
noise - x0 from x_t, t, a guidance scale and the text. The text encoder has no other teacher than
this loss and one helper: nothing was trained on language before.

Two auxiliary losses shorten the way and fade out before the end. Both use linear heads
that are thrown away. From the text states at the prompt's last token one head names the coloured
shapes and the ground, so that a caption is understood long before the pictures alone would have
taught it. From the image tokens after the last block the other tells where the objects are, since a
shape's outline is a small part of the flow loss but is what the eye looks at.

There are two courses. The first takes the world as it is and ends with single objects drawn right.
Which colour belongs to which shape when there are two comes late, so the second course goes on with
fresh scenes that are mostly pairs; its learning rate starts anew and falls to 0 again.

Shapes: B batch, L = 64 image tokens of 128 channels, T = 48 text tokens, hidden 192; three text
states of 96 stacked to 288.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import Flux2Pipeline, Flux2Transformer2DModel
from diffusers.pipelines.flux2.pipeline_flux2 import format_input
from torch import Tensor, nn
from torch.nn import functional
from transformers import Mistral3ForConditionalGeneration, PreTrainedTokenizerFast

from trainer.tiny_flux2.architecture import (
    TEXT_ENCODER_OUT_LAYERS,
    TEXT_HIDDEN,
    build_text_encoder,
    build_transformer,
)
from trainer.tiny_flux2.captions import caption_at
from trainer.tiny_flux2.latent_cache import (
    CELLS_PER_TOKEN_SIDE,
    NUM_SHAPE_COLOUR_PAIRS,
    LatentCache,
)
from trainer.tiny_flux2.muon import Muon
from trainer.tiny_flux2.stage_state import learning_rate_factor, load_stage, save_stage
from trainer.tiny_flux2.tokenizer import MAX_SEQUENCE_LENGTH
from trainer.tiny_flux2.world import BACKGROUNDS, scene_at

_log = logging.getLogger(__name__)

NUM_WORLD_STEPS = 6000
NUM_PAIR_STEPS = 4000
NUM_STEPS = NUM_WORLD_STEPS + NUM_PAIR_STEPS
BATCH_SIZE = 16
MUON_LR = 0.01
ADAMW_LR = 1.5e-3
AVERAGE_DECAY = 0.99
EMPTY_CAPTION_SHARE = 0.08
UNIFORM_TIMESTEP_SHARE = 0.25
# Mean and deviation of the timestep's logit. First how pictures look (t around 0.6), then what is
# on them. These latents are so regular that a scene is settled above t = 0.85, where the sampler
# too spends half of its steps; and what a shape's name means is learnt fastest from noise alone.
NUM_LOOKS_STEPS = 500
LOOKS_TIMESTEPS = (0.4, 1.0)
CONTENT_TIMESTEPS = (2.6, 1.5)
TEXT_LOSS_WEIGHT = 0.1
MASK_LOSS_WEIGHT = 0.25
AUXILIARY_SHARE = 0.7  # of a course's steps; the weights fall linearly to 0 until there
GUIDANCE_RANGE = (1.0, 4.0)
SAVE_EVERY_STEPS = 150
LATENT_SIDE = 8


class TextToImage(nn.Module):
    """The two networks that learn together, called as the pipeline calls them."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder: Mistral3ForConditionalGeneration = build_text_encoder()
        self.transformer: Flux2Transformer2DModel = build_transformer()
        image_ids = Flux2Pipeline._prepare_latent_ids(torch.empty(1, 1, LATENT_SIDE, LATENT_SIDE))
        text_ids = Flux2Pipeline._prepare_text_ids(torch.empty(1, MAX_SEQUENCE_LENGTH, 1))
        self.register_buffer("image_ids", image_ids[0], persistent=False)  # (L, 4)
        self.register_buffer("text_ids", text_ids[0], persistent=False)  # (T, 4)

    def read(self, token_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Prompts (B, T) to the transformer's text input (B, T, 288)."""
        states = self.text_encoder.model(
            input_ids=token_ids,
            attention_mask=attention_mask,
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        return torch.cat([states[layer] for layer in TEXT_ENCODER_OUT_LAYERS], dim=-1)

    def velocity(self, noisy: Tensor, text: Tensor, timestep: Tensor, guidance: Tensor) -> Tensor:
        """Predicted noise - x0 for noisy latents, both (B, L, 128), at timesteps (B,) in 0..1."""
        return self.transformer(
            hidden_states=noisy,
            encoder_hidden_states=text,
            timestep=timestep,
            guidance=guidance,
            img_ids=self.image_ids,
            txt_ids=self.text_ids,
            return_dict=False,
        )[0]


class AuxiliaryHeads(nn.Module):
    """Linear read-outs for the auxiliary losses; no part of the model that is saved."""

    def __init__(self, image_hidden: int) -> None:
        super().__init__()
        self.text = nn.Linear(
            len(TEXT_ENCODER_OUT_LAYERS) * TEXT_HIDDEN, NUM_SHAPE_COLOUR_PAIRS + len(BACKGROUNDS)
        )
        self.mask = nn.Linear(image_hidden, CELLS_PER_TOKEN_SIDE**2)

    def text_loss(self, last_state: Tensor, pairs: Tensor, grounds: Tensor) -> Tensor:
        """Name coloured shapes (B, 64) and ground (B,) from the last token's states (B, 288)."""
        logits = self.text(last_state)
        named = functional.binary_cross_entropy_with_logits(
            logits[:, :NUM_SHAPE_COLOUR_PAIRS], pairs
        )
        # Summed over pairs, since at most two of the 64 are ever there.
        return named * NUM_SHAPE_COLOUR_PAIRS + functional.cross_entropy(
            logits[:, NUM_SHAPE_COLOUR_PAIRS:], grounds
        )

    def mask_loss(self, image_states: Tensor, masks: Tensor) -> Tensor:
        """Find the objects' cells (B, L, 16) from the image tokens (B, L, hidden)."""
        return functional.binary_cross_entropy_with_logits(self.mask(image_states), masks)


@dataclass(frozen=True)
class Batch:
    """One step's data: x0 and noise (B, L, 128), prompts (B, T), t and guidance (B,), and the
    auxiliary losses' targets as in `LatentCache`.
    """

    clean: Tensor
    noise: Tensor
    token_ids: Tensor
    attention_mask: Tensor
    timestep: Tensor
    guidance: Tensor
    has_caption: Tensor
    masks: Tensor
    pairs: Tensor
    grounds: Tensor


@dataclass(frozen=True)
class Course:
    """A part of the steps with its own scenes and its own rise and fall of the learning rate."""

    first_step: int
    num_steps: int
    scenes: LatentCache
    decay_from: float

    def learning_rate_factor(self, step: int) -> float:
        """What the learning rates are multiplied with at this step, counted over all courses."""
        return learning_rate_factor(
            step - self.first_step,
            self.num_steps,
            num_warmup_steps=60,
            decay_from=self.decay_from,
        )

    def auxiliary_weight(self, step: int) -> float:
        """What the auxiliary losses are multiplied with: from 1 to 0 until `AUXILIARY_SHARE`."""
        return max(0.0, 1 - (step - self.first_step) / (AUXILIARY_SHARE * self.num_steps))


def train_flux(
    work: Path,
    world: LatentCache,
    pairs: LatentCache,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int,
    on_save: Callable[[TextToImage, int], None] | None = None,
) -> TextToImage:
    """Train or resume; returns the weights' moving average. `work/flux.pt` holds the progress.

    `world` is the first course's scenes, `pairs` the second's.

    `on_save` receives the average and the number of finished steps after every save.
    """
    torch.manual_seed(seed)
    model, average = TextToImage(), TextToImage()
    average.load_state_dict(model.state_dict())
    average.eval().requires_grad_(False)
    heads = AuxiliaryHeads(model.transformer.inner_dim)
    optimizers = optimizers_for(model, heads.parameters())
    parts = {"model": model, "average": average, "heads": heads, **optimizers}
    first_step = load_stage(work / "flux.pt", parts)

    first = Course(0, NUM_WORLD_STEPS, world, decay_from=0.5)
    second = Course(NUM_WORLD_STEPS, NUM_PAIR_STEPS, pairs, decay_from=0.0)
    started, losses = time.monotonic(), torch.zeros(3)
    for step in range(first_step, NUM_STEPS):
        course = first if step < NUM_WORLD_STEPS else second
        batch = draw_batch(course.scenes, tokenizer, seed=seed, step=step)
        losses += _step(model, heads, optimizers, batch, course, step)
        follow(average, model, min(AVERAGE_DECAY, (step + 1) / (step + 10)))
        if (step + 1) % 50 == 0:
            flow, text, mask = (losses / 50).tolist()
            seconds = time.monotonic() - started
            _log.info(
                f"flux step {step + 1}/{NUM_STEPS} flow {flow:.4f} text {text:.3f} "
                f"mask {mask:.4f} {seconds:.0f} s"
            )
            losses.zero_()
        if (step + 1) % SAVE_EVERY_STEPS == 0 or step + 1 == NUM_STEPS:
            save_stage(work / "flux.pt", num_finished_steps=step + 1, parts=parts)
            if on_save:
                on_save(average, step + 1)
    return average


def tokenize(tokenizer: PreTrainedTokenizerFast, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (B, T), exactly as `Flux2Pipeline` makes them."""
    inputs = tokenizer.apply_chat_template(
        format_input(prompts),
        add_generation_prompt=False,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        padding="max_length",
        truncation=True,
        max_length=MAX_SEQUENCE_LENGTH,
    )
    return inputs["input_ids"], inputs["attention_mask"]


def add_noise(batch: Batch) -> Tensor:
    """Noisy latents x_t (B, L, 128) on the straight line from x0 to noise."""
    t = batch.timestep[:, None, None]
    return (1 - t) * batch.clean + t * batch.noise


def draw_batch(
    cache: LatentCache, tokenizer: PreTrainedTokenizerFast, *, seed: int, step: int
) -> Batch:
    """The batch of this step; a function of seed and step alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    rows = torch.randint(len(cache.latents), (BATCH_SIZE,), generator=generator)
    has_caption = torch.rand(BATCH_SIZE, generator=generator) >= EMPTY_CAPTION_SHARE
    # A scene is told in new words each time it is drawn.
    captions = [
        caption_at(seed + step, index, scene_at(seed, index)) if told else ""
        for index, told in zip(
            cache.scene_indices[rows].tolist(), has_caption.tolist(), strict=True
        )
    ]
    token_ids, attention_mask = tokenize(tokenizer, captions)
    clean = cache.latents[rows]
    low, high = GUIDANCE_RANGE
    guidance = low + (high - low) * torch.rand(BATCH_SIZE, generator=generator)
    # Half of the time the scale that LoRAs are trained at.
    guidance[torch.rand(BATCH_SIZE, generator=generator) < 0.5] = low
    return Batch(
        clean=clean,
        noise=torch.randn(clean.shape, generator=generator),
        token_ids=token_ids,
        attention_mask=attention_mask,
        timestep=_timesteps(step, generator),
        guidance=guidance,
        has_caption=has_caption,
        masks=cache.masks[rows],
        pairs=cache.pairs[rows],
        grounds=cache.grounds[rows],
    )


def _timesteps(step: int, generator: torch.Generator) -> Tensor:
    """Mostly logit-normal, around where this part of the training looks; the rest uniform. (B,)"""
    mean, deviation = LOOKS_TIMESTEPS if step < NUM_LOOKS_STEPS else CONTENT_TIMESTEPS
    chosen = torch.sigmoid(mean + deviation * torch.randn(BATCH_SIZE, generator=generator))
    uniform = torch.rand(BATCH_SIZE, generator=generator)
    is_uniform = torch.rand(BATCH_SIZE, generator=generator) < UNIFORM_TIMESTEP_SHARE
    return torch.where(is_uniform, uniform, chosen)


def _step(
    model: TextToImage,
    heads: AuxiliaryHeads,
    optimizers: dict[str, torch.optim.Optimizer],
    batch: Batch,
    course: Course,
    step: int,
) -> Tensor:
    auxiliary = course.auxiliary_weight(step)

    text = model.read(batch.token_ids, batch.attention_mask)
    with _last_block_output(model.transformer) as image_states:
        velocity = model.velocity(add_noise(batch), text, batch.timestep, batch.guidance)
    flow_loss = functional.mse_loss(velocity, batch.noise - batch.clean)
    mask_loss = heads.mask_loss(image_states[0], batch.masks)
    told = batch.has_caption
    last = batch.attention_mask.sum(dim=1) - 1
    last_state = text[torch.arange(len(text)), last]
    text_loss = heads.text_loss(last_state[told], batch.pairs[told], batch.grounds[told])
    loss = flow_loss + auxiliary * (MASK_LOSS_WEIGHT * mask_loss + TEXT_LOSS_WEIGHT * text_loss)
    factor = course.learning_rate_factor(step)
    update(optimizers, loss, muon_lr=MUON_LR * factor, adamw_lr=ADAMW_LR * factor)
    return torch.stack([flow_loss, text_loss, mask_loss]).detach()


class _last_block_output:
    """Catches the image tokens (B, L, hidden) that leave the last block, in a list of one."""

    def __init__(self, transformer: Flux2Transformer2DModel) -> None:
        self._block = transformer.single_transformer_blocks[-1]
        self._caught: list[Tensor] = []

    def __enter__(self) -> list[Tensor]:
        def catch(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._caught.append(output[:, MAX_SEQUENCE_LENGTH:])

        self._hook = self._block.register_forward_hook(catch)
        return self._caught

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def optimizers_for(
    model: TextToImage, extra: Iterable[nn.Parameter] = ()
) -> dict[str, torch.optim.Optimizer]:
    """Muon for the matrices inside blocks and layers, AdamW for the model's edges and `extra`."""
    matrices, rest = [], list(extra)
    for name, parameter in model.named_parameters():
        if "vision" in name or "multi_modal" in name:
            parameter.requires_grad_(False)
        elif parameter.ndim == 2 and ("blocks." in name or ".layers." in name):
            matrices.append(parameter)
        else:
            rest.append(parameter)
    return {
        "muon": Muon(matrices, lr=MUON_LR),
        "adamw": torch.optim.AdamW(rest, lr=ADAMW_LR, betas=(0.9, 0.98), weight_decay=0.0),
    }


def update(
    optimizers: dict[str, torch.optim.Optimizer], loss: Tensor, *, muon_lr: float, adamw_lr: float
) -> None:
    """One step of both optimizers down the gradient of `loss`."""
    optimizers["muon"].param_groups[0]["lr"] = muon_lr
    optimizers["adamw"].param_groups[0]["lr"] = adamw_lr
    loss.backward()
    # Muon's steps have a fixed length; only AdamW's are sensitive to a rare large gradient.
    nn.utils.clip_grad_norm_(optimizers["adamw"].param_groups[0]["params"], 1.0)
    for optimizer in optimizers.values():
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average's parameters towards the model's by the share 1 - decay."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
