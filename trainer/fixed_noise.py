"""One picture at one noise level, always the same: what measurements show the model.

Legend: C = 128 channels, h and w = latent sides, L = h * w image tokens, T = text rows, D = width
of a text row.

The noise belongs to (seed, level, the picture's content). It does not depend on the step, on the
other pictures or on their order, and is drawn on the CPU, so a number measured with it moves only
if the model does. Pictures pass one at a time: the rounding of a batched product can depend on who
else is in the batch, and a measurement then needs no more memory than a step at batch 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from diffusers import Flux2Transformer2DModel

from trainer.randomness import generator
from trainer.timesteps import as_model_sees
from trainer.tokens import pack
from trainer.training_step import predict_velocity


@dataclass(frozen=True)
class FixedNoise:
    """num_levels: noise levels, spread evenly. seed: of the noise."""

    num_levels: int
    seed: int

    def levels(self) -> list[float]:
        """t = (i + 1/2) / n."""
        return [(i + 0.5) / self.num_levels for i in range(self.num_levels)]

    def noised(
        self, latents: torch.Tensor, *, content: str, transformer: Flux2Transformer2DModel
    ) -> Iterator[NoisedPicture]:
        """The picture at each level. latents: [C, h, w]. content: the hash of its file."""
        device, dtype = transformer.device, transformer.dtype
        clean = pack(latents[None]).to(device, torch.float32)  # [1, L, C]
        picture = int(content[:15], 16)
        for number, level in enumerate(self.levels()):
            draw = generator(self.seed, number, "validation", picture)
            noise = pack(torch.randn(latents.shape, generator=draw)[None]).to(device)
            passed, seen = as_model_sees(torch.tensor([level]), dtype)
            mix = seen.to(device)[:, None, None]
            yield NoisedPicture(
                noisy=((1 - mix) * clean + mix * noise).to(dtype),
                target=noise - clean,
                timestep=passed.to(device),
                size=(latents.shape[1], latents.shape[2]),
            )


@dataclass(frozen=True)
class NoisedPicture:
    """noisy: [1, L, C] in the model's type. target: the true velocity [1, L, C], float32.

    timestep: [1], as the model takes it. size: (h, w).
    """

    noisy: torch.Tensor
    target: torch.Tensor
    timestep: torch.Tensor
    size: tuple[int, int]

    def predict(
        self,
        transformer: Flux2Transformer2DModel,
        embeds: torch.Tensor,
        *,
        guidance: float | None,
        references: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """v [1, L, C] on a prompt [T, D] with reference latents [C, h, w] each."""
        return predict_velocity(
            transformer,
            self.noisy,
            timestep=self.timestep,
            embeds=embeds[None].to(self.noisy),
            size=self.size,
            guidance=guidance,
            references=[latents[None] for latents in references],
        )
