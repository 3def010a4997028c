"""Stage 1: the autoencoder learns to draw pictures from latents.

Crops of 64 px come first, because a step on them is four times cheaper and teaches the same
strokes; the last third sees whole pictures, since group norms and the middle attention depend on
the size. Noise is added to the normalised latents and grows over the first half: the decoder then
forgives the small errors of the transformer, and neighbouring latents come to mean similar
pictures, which makes them easier to learn.

Shapes: B batch, H = W picture side in pixels, 32 latent channels at H/8, 128 channels at H/16 once
2x2 neighbours are packed.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2, Flux2Pipeline
from torch import Tensor, nn

from trainer.tiny_flux2.architecture import build_autoencoder
from trainer.tiny_flux2.muon import Muon
from trainer.tiny_flux2.stage_state import learning_rate_factor, load_stage, save_stage
from trainer.tiny_flux2.textures import texture_at
from trainer.tiny_flux2.world import PICTURE_SIZE_PX, render, scene_at

_log = logging.getLogger(__name__)

NUM_STEPS = 2700
CROP_SIZE_PX = 64
CROPS_SHARE = 0.68  # of all steps
BATCH_SIZE_CROPS = 12
BATCH_SIZE_WHOLE = 3
NUM_SCENES = 2800
NUM_TEXTURES = 1200
MUON_LR = 0.02
ADAMW_LR = 2e-3
LATENT_NOISE = 0.12
SAVE_EVERY_STEPS = 200
# Scenes of this seed are never trained on.
HELD_OUT_SEED = 1_000_003


def train_autoencoder(work: Path, *, seed: int) -> AutoencoderKLFlux2:
    """Train or resume the autoencoder; `work/autoencoder.pt` holds its progress."""
    torch.manual_seed(seed)
    autoencoder = build_autoencoder().to(memory_format=torch.channels_last)  # pyright: ignore
    optimizers = _optimizers(autoencoder)
    parts = {"autoencoder": autoencoder, **optimizers}
    state_file = work / "autoencoder.pt"
    first_step = load_stage(state_file, parts)
    if first_step < NUM_STEPS:
        pictures = _training_pictures(seed)
        started = time.monotonic()
        for step in range(first_step, NUM_STEPS):
            loss = _step(autoencoder, optimizers, pictures, seed=seed, step=step)
            if step % 50 == 0:
                seconds = time.monotonic() - started
                _log.info(f"autoencoder step {step}/{NUM_STEPS} loss {loss:.4f} {seconds:.0f} s")
            if (step + 1) % SAVE_EVERY_STEPS == 0:
                save_stage(state_file, num_finished_steps=step + 1, parts=parts)
        _settle_batch_norm(autoencoder, pictures)
        save_stage(state_file, num_finished_steps=NUM_STEPS, parts=parts)
        _log.info(f"autoencoder done: PSNR {reconstruction_psnr(autoencoder):.2f} dB")
    return autoencoder.eval().requires_grad_(False)


def encode(autoencoder: AutoencoderKLFlux2, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in -1..1 to the transformer's latents (B, 128, H/16, W/16), normalised.

    The posterior's mean is packed 2x2 and normalised with the running statistics, as FLUX.2 does.
    """
    mean = autoencoder.encode(pictures).latent_dist.mean
    return autoencoder.bn(Flux2Pipeline._patchify_latents(mean.contiguous()))


def decode(autoencoder: AutoencoderKLFlux2, latents: Tensor) -> Tensor:
    """The inverse of `encode`: latents (B, 128, H/16, W/16) to pictures (B, 3, H, W)."""
    variance, mean = autoencoder.bn.running_var, autoencoder.bn.running_mean
    assert variance is not None
    assert mean is not None
    deviation = torch.sqrt(variance + autoencoder.bn.eps)
    latents = latents * deviation.view(1, -1, 1, 1) + mean.view(1, -1, 1, 1)
    return autoencoder.decode(Flux2Pipeline._unpatchify_latents(latents)).sample


def scene_pixels(seed: int, indices: range) -> Tensor:
    """Rendered scenes as uint8 (N, 3, H, W)."""
    return _stack([np.asarray(render(scene_at(seed, index))) for index in indices])


def to_unit_range(pixels: Tensor) -> Tensor:
    """uint8 pixels to floats in -1..1, channels last in memory."""
    return (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def reconstruction_psnr(autoencoder: AutoencoderKLFlux2, num_scenes: int = 64) -> float:
    """Peak signal-to-noise ratio in dB of held-out scenes after encoding and decoding."""
    autoencoder.eval()
    pictures = to_unit_range(scene_pixels(HELD_OUT_SEED, range(num_scenes)))
    rebuilt = torch.cat(
        [decode(autoencoder, encode(autoencoder, part)) for part in pictures.split(8)]
    )
    error = ((rebuilt.clamp(-1, 1) - pictures) / 2).square().mean()
    return -10 * math.log10(error.item())


def _step(
    autoencoder: AutoencoderKLFlux2,
    optimizers: dict[str, torch.optim.Optimizer],
    pictures: Tensor,
    *,
    seed: int,
    step: int,
) -> float:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    batch = _batch(pictures, generator, whole=step >= NUM_STEPS * CROPS_SHARE)
    factor = learning_rate_factor(step, NUM_STEPS, num_warmup_steps=30, decay_from=0.4)
    for optimizer, rate in zip(optimizers.values(), (MUON_LR, ADAMW_LR), strict=True):
        optimizer.param_groups[0]["lr"] = rate * factor

    autoencoder.train()
    mean = autoencoder.encode(batch).latent_dist.mean
    packed = Flux2Pipeline._patchify_latents(mean.contiguous())
    # Noise in units of each channel's spread; its statistics here follow the batch, as in
    # BatchNorm.
    autoencoder.bn(packed.detach())
    spread = packed.detach().std(dim=(0, 2, 3), keepdim=True)
    noise_share = LATENT_NOISE * min(1.0, 2 * step / NUM_STEPS)
    packed = packed + noise_share * spread * torch.randn(packed.shape, generator=generator)
    rebuilt = autoencoder.decode(Flux2Pipeline._unpatchify_latents(packed)).sample
    difference = rebuilt - batch
    loss = difference.abs().mean() + difference.square().mean()
    loss.backward()
    nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
    for optimizer in optimizers.values():
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def _optimizers(autoencoder: AutoencoderKLFlux2) -> dict[str, torch.optim.Optimizer]:
    matrices, rest = [], []
    for name, parameter in autoencoder.named_parameters():
        if name.startswith("quant_conv"):
            # Its log-variance rows stay pinned, and its mean rows would only repeat the layer
            # before it.
            parameter.requires_grad_(False)
        elif parameter.ndim >= 2 and "conv_in" not in name and "conv_out" not in name:
            matrices.append(parameter)
        else:
            rest.append(parameter)
    return {
        "muon": Muon(matrices, lr=MUON_LR),
        "adamw": torch.optim.AdamW(rest, lr=ADAMW_LR, betas=(0.9, 0.98), weight_decay=0.0),
    }


def _training_pictures(seed: int) -> Tensor:
    scenes = scene_pixels(seed, range(NUM_SCENES))
    textures = _stack([np.asarray(texture_at(seed, index)) for index in range(NUM_TEXTURES)])
    return torch.cat([scenes, textures])


def _batch(pictures: Tensor, generator: torch.Generator, *, whole: bool) -> Tensor:
    size = BATCH_SIZE_WHOLE if whole else BATCH_SIZE_CROPS
    chosen = torch.randint(len(pictures), (size,), generator=generator)
    if whole:
        return to_unit_range(pictures[chosen])
    corners = torch.randint(PICTURE_SIZE_PX - CROP_SIZE_PX + 1, (size, 2), generator=generator)
    crops = [
        pictures[index, :, top : top + CROP_SIZE_PX, left : left + CROP_SIZE_PX]
        for index, (top, left) in zip(chosen.tolist(), corners.tolist(), strict=True)
    ]
    return to_unit_range(torch.stack(crops))


@torch.no_grad()
def _settle_batch_norm(autoencoder: AutoencoderKLFlux2, pictures: Tensor) -> None:
    """Replace the running statistics by exact ones over scenes, which the transformer will see."""
    autoencoder.eval()
    packed = torch.cat(
        [
            Flux2Pipeline._patchify_latents(
                autoencoder.encode(to_unit_range(part)).latent_dist.mean.contiguous()
            )
            for part in pictures[:512].split(32)
        ]
    )
    autoencoder.bn.running_mean = packed.mean(dim=(0, 2, 3))
    autoencoder.bn.running_var = packed.var(dim=(0, 2, 3))


def _stack(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
