"""How far the LoRA moves the base model's answers: where it is called, and where it is not.

A LoRA that has learnt its trigger changes what the trigger draws and nothing else. The probe asks
both at once: a few pictures at fixed noise, each with its caption, and with the class in the
trigger's place. For either it compares the velocity with the LoRA to the base model's:

    change = sqrt( mean((v - v0)^2) / mean(v0^2) )

over pictures, noise levels, tokens and channels. 0 is the base model itself; 0.1 is a change of a
tenth of its answer's size. With the trigger it should rise and level off; without, it is drift, and
the nearer to 0 the better the base is preserved. Unlike the preservation loss of a step it is there
without preservation being trained, does not jump with the step's noise, and has a scale.

The base model's answers never change: they are computed once and kept in host memory, some 1 MB
for a picture of 1024 x 1024 px and level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from diffusers import Flux2Transformer2DModel

from trainer.encoded_run import EncodedRun
from trainer.fixed_noise import FixedNoise
from trainer.lora import Lora
from trainer.validation_items import ProbePair


@dataclass(frozen=True)
class Change:
    """What the LoRA does on captions, and on class captions."""

    with_trigger: float
    without_trigger: float


@dataclass
class PreservationProbe:
    """pairs: what it asks. contents: each picture's hash.

    guidance: the embedding that training uses; None for models without one.
    """

    pairs: Sequence[ProbePair]
    contents: Sequence[str]
    encoded: EncodedRun
    noise: FixedNoise
    guidance: float | None
    _base: dict[tuple[int, str], list[torch.Tensor]] = field(default_factory=dict)

    @torch.no_grad()
    def change(
        self, transformer: Flux2Transformer2DModel, lora: Lora, *, tick: Callable[[], bool]
    ) -> Change | None:
        """What the LoRA changes as it is now; None if `tick`, asked after each picture, is True."""
        with_trigger, without_trigger = _Ratio(), _Ratio()
        for number, pair in enumerate(self.pairs):
            for text, ratio in (
                (pair.with_trigger, with_trigger),
                (pair.without_trigger, without_trigger),
            ):
                with lora.off():
                    base = self._base_answers(transformer, number, text)
                for answer, of_base in zip(
                    self._answers(transformer, number, text), base, strict=True
                ):
                    ratio.add(answer, of_base)
            if tick():
                return None
        return Change(with_trigger.root(), without_trigger.root())

    def _base_answers(
        self, transformer: Flux2Transformer2DModel, number: int, text: str
    ) -> list[torch.Tensor]:
        key = (number, text)
        if key not in self._base:
            self._base[key] = [answer.cpu() for answer in self._answers(transformer, number, text)]
        return self._base[key]

    def _answers(
        self, transformer: Flux2Transformer2DModel, number: int, text: str
    ) -> list[torch.Tensor]:
        """v [1, L, C] at each noise level."""
        item, content = self.pairs[number].item, self.contents[number]
        latents, references = self.encoded.latents(item), self.encoded.references(item)
        embeds = self.encoded.prompt(text)
        return [
            picture.predict(transformer, embeds, guidance=self.guidance, references=references)
            for picture in self.noise.noised(latents, content=content, transformer=transformer)
        ]


class _Ratio:
    """Sums of squares of change and base, in double precision over means of each answer."""

    def __init__(self) -> None:
        self._change = self._base = 0.0

    def add(self, answer: torch.Tensor, base: torch.Tensor) -> None:
        base = base.to(answer.device).float()
        self._change += float((answer.float() - base).square().mean())
        self._base += float(base.square().mean())

    def root(self) -> float:
        return math.sqrt(self._change / self._base)
