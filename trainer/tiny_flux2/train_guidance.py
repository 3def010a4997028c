"""Stage 4: the guidance embedding gets its meaning.

FLUX.2-dev is guidance-distilled: one forward pass with a guidance scale stands for the two passes
of classifier-free guidance. Stage 3 showed the transformer all scales but rewarded none, so it
ignores them. Here half of each batch goes on as before at scale 1, the scale that LoRAs are trained
at. The other half has a scale g between 1 and 4, and its target is what the frozen teacher, the
average of stage 3, answers with real guidance: v_empty + g * (v_caption - v_empty).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from trainer.tiny_flux2.latent_cache import LatentCache
from trainer.tiny_flux2.stage_state import learning_rate_factor, load_stage, save_stage
from trainer.tiny_flux2.train_flux import (
    BATCH_SIZE,
    GUIDANCE_RANGE,
    Batch,
    TextToImage,
    add_noise,
    draw_batch,
    follow,
    optimizers_for,
    tokenize,
    update,
)

_log = logging.getLogger(__name__)

NUM_STEPS = 200
MUON_LR = 0.004
ADAMW_LR = 5e-4
AVERAGE_DECAY = 0.99
SAVE_EVERY_STEPS = 50
NUM_AT_SCALE_1 = BATCH_SIZE // 2
# Batches must not repeat those of stage 3, which counted its steps from 0.
FIRST_BATCH = 500_000


def train_guidance(
    work: Path,
    cache: LatentCache,
    tokenizer: PreTrainedTokenizerFast,
    teacher: TextToImage,
    *,
    seed: int,
    on_save: Callable[[TextToImage, int], None] | None = None,
) -> TextToImage:
    """Train or resume; returns the moving average. `work/guidance.pt` holds the progress."""
    teacher.eval().requires_grad_(False)
    model, average = TextToImage(), TextToImage()
    model.load_state_dict(teacher.state_dict())
    average.load_state_dict(teacher.state_dict())
    average.eval().requires_grad_(False)
    optimizers = optimizers_for(model)
    parts = {"model": model, "average": average, **optimizers}
    first_step = load_stage(work / "guidance.pt", parts)
    empty = tokenize(tokenizer, [""])

    started, total = time.monotonic(), 0.0
    for step in range(first_step, NUM_STEPS):
        batch = draw_batch(cache, tokenizer, seed=seed, step=FIRST_BATCH + step)
        batch = _with_scales(batch, seed=seed, step=step)
        text = model.read(batch.token_ids, batch.attention_mask)
        velocity = model.velocity(add_noise(batch), text, batch.timestep, batch.guidance)
        loss = functional.mse_loss(velocity, _target(teacher, batch, empty))
        factor = learning_rate_factor(step, NUM_STEPS, num_warmup_steps=20, decay_from=0.3)
        update(optimizers, loss, muon_lr=MUON_LR * factor, adamw_lr=ADAMW_LR * factor)
        follow(average, model, AVERAGE_DECAY)
        total += loss.item()
        if (step + 1) % 50 == 0:
            seconds = time.monotonic() - started
            _log.info(f"guidance step {step + 1}/{NUM_STEPS} loss {total / 50:.4f} {seconds:.0f} s")
            total = 0.0
        if (step + 1) % SAVE_EVERY_STEPS == 0 or step + 1 == NUM_STEPS:
            save_stage(work / "guidance.pt", num_finished_steps=step + 1, parts=parts)
            if on_save:
                on_save(average, step + 1)
    return average


def _with_scales(batch: Batch, *, seed: int, step: int) -> Batch:
    """The first half of the batch at scale 1, the second at uniformly drawn scales."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + FIRST_BATCH * 2 + step)
    low, high = GUIDANCE_RANGE
    guidance = low + (high - low) * torch.rand(BATCH_SIZE, generator=generator)
    guidance[:NUM_AT_SCALE_1] = 1.0
    batch.guidance.copy_(guidance)
    return batch


@torch.no_grad()
def _target(teacher: TextToImage, batch: Batch, empty: tuple[Tensor, Tensor]) -> Tensor:
    """noise - x0 for the first half (B/2, L, 128); the teacher's guided velocity for the second."""
    second = slice(NUM_AT_SCALE_1, None)
    noisy, timestep = add_noise(batch)[second], batch.timestep[second]
    scale_1 = torch.ones_like(timestep)
    told = teacher.velocity(
        noisy,
        teacher.read(batch.token_ids[second], batch.attention_mask[second]),
        timestep,
        scale_1,
    )
    untold_text = teacher.read(*empty).expand(len(timestep), -1, -1)
    untold = teacher.velocity(noisy, untold_text, timestep, scale_1)
    guided = untold + batch.guidance[second, None, None] * (told - untold)
    return torch.cat([(batch.noise - batch.clean)[:NUM_AT_SCALE_1], guided])
