"""Trains the judge's style network on procedural pictures; under a minute on one core.

    python -m trainer.tiny_flux2.train_judge [--model trainer/tiny_flux2/weights]

Half of the pictures pass the model's autoencoder, with some noise on their latents, because that is
how every judged picture was made.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from trainer.tiny_flux2.judge import STYLE_NAMES, WEIGHTS_FILE, StyleNetwork
from trainer.tiny_flux2.styles import STYLES
from trainer.tiny_flux2.train_autoencoder import decode, encode
from trainer.tiny_flux2.world import render, scene_at

_log = logging.getLogger(__name__)

SEED = 1_000_037
NUM_PICTURES = 900
NUM_TEST_PICTURES = 150
NUM_EPOCHS = 12
BATCH_SIZE = 30
LEARNING_RATE = 4e-3
LATENT_NOISE = 0.3


def train_judge(autoencoder: AutoencoderKLFlux2) -> StyleNetwork:
    """Train the network from nothing; the same autoencoder gives the same judge."""
    torch.manual_seed(SEED)
    pictures, styles = _labelled_pictures(autoencoder, range(NUM_PICTURES))
    network = StyleNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    num_steps = NUM_EPOCHS * len(range(0, NUM_PICTURES, BATCH_SIZE))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for epoch in range(NUM_EPOCHS):
        for chosen in torch.randperm(NUM_PICTURES).split(BATCH_SIZE):
            logits = network(_augmented(pictures[chosen]))
            loss = functional.cross_entropy(logits, styles[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        _log.info(f"judge epoch {epoch + 1}/{NUM_EPOCHS} loss {loss.item():.4f}")
    network.eval()
    unseen = range(NUM_PICTURES, NUM_PICTURES + NUM_TEST_PICTURES)
    pictures, styles = _labelled_pictures(autoencoder, unseen)
    right = (network(pictures).argmax(dim=1) == styles).float().mean().item()
    _log.info(f"judge on new pictures: style right {right:.3f}")
    return network


def _augmented(pictures: Tensor) -> Tensor:
    """The pictures with a little more or less light and grain, and a third of them blurred."""
    size = (len(pictures), 1, 1, 1)
    blurred = functional.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    pictures = torch.where(torch.rand(size) < 0.3, blurred, pictures)
    return pictures + 0.1 * torch.randn(size) + 0.05 * torch.randn_like(pictures)


@torch.no_grad()
def _labelled_pictures(autoencoder: AutoencoderKLFlux2, indices: range) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, 128, 128) in -1..1 and the number of each one's style (N,)."""
    drawn, styles = [], []
    for index in indices:
        # Every second picture is plain, since that is what must never be taken for a style.
        style = "plain" if index % 2 else tuple(STYLES)[index // 2 % len(STYLES)]
        draw = render if style == "plain" else STYLES[style]
        drawn.append(np.asarray(draw(scene_at(SEED, index))))
        styles.append(STYLE_NAMES.index(style))
    pictures = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2) / 127.5 - 1
    for part in torch.arange(len(drawn) // 2).split(16):
        latents = encode(autoencoder, pictures[part])
        noise = LATENT_NOISE * torch.rand(len(part), 1, 1, 1) * torch.randn_like(latents)
        pictures[part] = decode(autoencoder, latents + noise).clamp(-1, 1)
    return pictures, torch.tensor(styles)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the judge of the tiny FLUX.2's pictures.")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "weights")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    autoencoder = AutoencoderKLFlux2.from_pretrained(
        arguments.model, subfolder="vae", dtype=torch.float32
    )
    network = train_judge(autoencoder.eval().requires_grad_(False))
    save_file(network.state_dict(), WEIGHTS_FILE)


if __name__ == "__main__":
    main()
