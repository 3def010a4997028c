"""The loss on pictures that do not train: what tells learning from learning by heart.

Legend: C = 128 channels, h and w = latent sides, L = h * w image tokens.

The training loss cannot tell. It jumps with each step's noise levels (an error near t = 1 is
several times one near t = 0.5), and goes on falling while the LoRA learns the very pictures. Here
pictures, captions, noise levels and noise are the same every time, so two numbers differ by what
the LoRA has become and by nothing else; an unchanged model has the same number to the last bit.

    loss = mean over pictures and levels of mean((v - (noise - x0))^2)

against the true target, without the weights, guidance and preservation of the objective: numbers of
runs with other settings of those can be compared. A mask weights the tokens, as it does in steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers import Flux2Transformer2DModel

from trainer.encoded_run import EncodedRun
from trainer.fixed_noise import FixedNoise
from trainer.losses import per_sample_loss
from trainer.training_items import TrainingItem


@dataclass(frozen=True)
class Validation:
    """items: what it measures on; none of them trains. contents: each picture's hash.

    guidance: the embedding that training uses; None for models without one.
    """

    items: Sequence[TrainingItem]
    contents: Sequence[str]
    encoded: EncodedRun
    noise: FixedNoise
    guidance: float | None

    @torch.no_grad()
    def loss(
        self, transformer: Flux2Transformer2DModel, *, tick: Callable[[], bool]
    ) -> float | None:
        """The loss of the model as it is; None if `tick`, asked after each picture, is True."""
        total = 0.0
        for item, content in zip(self.items, self.contents, strict=True):
            total += self._loss_of(transformer, item, content)
            if tick():
                return None
        return total / len(self.items)

    def _loss_of(
        self, transformer: Flux2Transformer2DModel, item: TrainingItem, content: str
    ) -> float:
        latents, mask = self.encoded.latents(item), self.encoded.mask(item)
        masks = None if mask is None else mask.flatten()[None].to(transformer.device)  # [1, L]
        embeds, references = self.encoded.prompt(item.caption), self.encoded.references(item)
        total = 0.0
        for picture in self.noise.noised(latents, content=content, transformer=transformer):
            velocity = picture.predict(
                transformer, embeds, guidance=self.guidance, references=references
            )
            total += float(per_sample_loss(velocity, picture.target, "mse", masks))
        return total / self.noise.num_levels
