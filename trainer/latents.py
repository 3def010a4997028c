"""Pictures to latents, as the pipeline's own image path does it.

Legend: B = batch, H and W = picture sides in px, C = 128 channels, h = H / 16, w = W / 16.

The autoencoder gives 32 channels at 1/8. Training takes the mean of its posterior, not a draw; 2x2
neighbours become channels ("c (h ph) (w pw) -> (c ph pw) h w"); and each of the 128 channels is
normalised by the running mean and variance of the autoencoder's BatchNorm. FLUX.2 has no other
scale or shift. `_encode_vae_image` of Diffusers' Flux2Pipeline is the reference; a test compares
bit for bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2, Flux2Pipeline
from PIL import Image
from safetensors import SafetensorError

from trainer.errors import BadModel
from trainer.model_parts import part_of
from trainer.original_autoencoder import load_original_autoencoder
from trainer.variants import Architecture


def load_autoencoder(
    path: Path,
    *,
    dtype: torch.dtype,
    device: str,
    architecture: Architecture = Architecture.FLUX2_DEV,
) -> AutoencoderKLFlux2:
    """The frozen autoencoder in `path`. Raises BadModel.

    path: its folder in Diffusers layout, a pipeline's folder, or a single file in the original
    layout, whose configuration is the architecture's.
    """
    if path.is_file():
        return load_original_autoencoder(
            path, architecture=architecture, dtype=dtype, device=device
        )
    folder = part_of(path, "vae")
    try:
        loaded: Any = AutoencoderKLFlux2.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise BadModel(
            f"The autoencoder in {folder} cannot be loaded: {error}",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
        ) from error
    autoencoder, report = loaded
    # Diffusers fills what a file lacks with random numbers, and says so in a log line only.
    if lacking := sorted(report["missing_keys"]):
        raise BadModel(
            f"The autoencoder in {folder} lacks {len(lacking)} tensors, the first is "
            f"{lacking[0]!r}.",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
            params={"missing": lacking},
        )
    return autoencoder.to(device).requires_grad_(False).eval()


def picture_to_pixels(picture: Image.Image) -> torch.Tensor:
    """An RGB picture as float32 [1, 3, H, W] in -1..1.

    In memory the channels lie innermost, as they come from the picture and as the pipeline leaves
    them: another order is another convolution kernel, which rounds differently.
    """
    values = np.asarray(picture, dtype=np.float32)[None] / 255.0
    return 2.0 * torch.from_numpy(values).permute(0, 3, 1, 2) - 1.0


@torch.no_grad()
def encode_pictures(autoencoder: AutoencoderKLFlux2, pixels: torch.Tensor) -> torch.Tensor:
    """[B, 3, H, W] in -1..1 -> normalised latents [B, C, h, w], in the autoencoder's data type."""
    pixels = pixels.to(device=autoencoder.device, dtype=autoencoder.dtype)
    posterior = autoencoder.encode(pixels).latent_dist  # pyright: ignore[reportAttributeAccessIssue]
    patches = Flux2Pipeline._patchify_latents(posterior.mode())
    mean, deviation = _channel_statistics(autoencoder, patches)
    return (patches - mean) / deviation


def _channel_statistics(
    autoencoder: AutoencoderKLFlux2, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each latent channel, [1, C, 1, 1] each."""
    running_mean, running_variance = autoencoder.bn.running_mean, autoencoder.bn.running_var
    assert running_mean is not None
    assert running_variance is not None
    deviation = torch.sqrt(running_variance + autoencoder.config["batch_norm_eps"])
    return running_mean.view(1, -1, 1, 1).to(like), deviation.view(1, -1, 1, 1).to(like)
