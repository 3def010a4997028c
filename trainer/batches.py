"""Which pictures train together at which step: a function of (seed, step, micro), not a stream.

Legend: B = pictures of a micro-batch, C = 128 latent channels, h and w = the bucket's sides / 16,
T = text rows, D = width of a text row.

An epoch is a list of micro-batches, each of one bucket (a tensor has one size). Within a bucket the
pictures are shuffled and cut into batches of B; what is left over makes one smaller batch, so that
every picture trains exactly once an epoch; then the batches are shuffled among each other. Epochs
all have the same number of batches, so the m-th micro-batch of a run lies in epoch m // length at
place m % length, and a resumed run needs no loader state: it asks for the next step. Batches of a
step may come from two epochs. Orders are drawn by (seed, epoch), dropout by (seed, step, micro and
place in the batch).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trainer.randomness import choices
from trainer.training_items import TrainingItem

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Batch:
    """One micro-batch, on the CPU, in the job's data type.

    latents: [B, C, h, w], normalised. prompt_embeds: [B, T, D]. has_class: bool [B], which samples
    have a class caption at this turn. class_embeds: [B, T, D]; None when no sample has one, and in
    the rows of samples without one it repeats their prompt. names: the pictures' file names.
    """

    latents: torch.Tensor
    prompt_embeds: torch.Tensor
    class_embeds: torch.Tensor | None
    has_class: torch.Tensor
    names: list[str]


class Encoded(Protocol):
    """What a batch is put together from; `encoding.EncodedRun` is one."""

    def latents(self, item: TrainingItem) -> torch.Tensor: ...

    def prompt(self, text: str) -> torch.Tensor: ...


class BatchSource:
    """The run's micro-batches.

    items: the pictures (`encoded.items`). batch_size: pictures in a full micro-batch.
    gradient_accumulation: micro-batches of a step. seed: the job's.
    """

    def __init__(
        self,
        items: Sequence[TrainingItem],
        encoded: Encoded,
        *,
        batch_size: int,
        gradient_accumulation: int,
        seed: int,
    ) -> None:
        assert items, "a job without pictures passed the door"
        self._items = list(items)
        self._encoded = encoded
        self._batch_size = batch_size
        self._gradient_accumulation = gradient_accumulation
        self._seed = seed
        self._order_of_epoch: tuple[int, list[list[TrainingItem]]] | None = None
        self.batches_per_epoch = len(self.epoch(0))

    def batch(self, step: int, micro: int) -> Batch:
        """The micro-batch `micro` (0 .. gradient_accumulation - 1) of optimizer step `step`.

        Steps count from 0: `step` steps are done before it.
        """
        import torch

        assert 0 <= micro < self._gradient_accumulation
        chosen = self.items_of(step, micro)
        prompts: list[str] = []
        class_prompts: list[str | None] = []
        for place, item in enumerate(chosen):
            dropped = self._is_dropped(item, step, micro, place)
            prompts.append("" if dropped else item.caption)
            class_prompts.append(None if dropped else item.class_caption)

        prompt_embeds = torch.stack([self._encoded.prompt(text) for text in prompts])
        class_embeds = None
        if any(text is not None for text in class_prompts):
            texts = [
                own if of_class is None else of_class
                for own, of_class in zip(prompts, class_prompts, strict=True)
            ]
            class_embeds = torch.stack([self._encoded.prompt(text) for text in texts])
        return Batch(
            latents=torch.stack([self._encoded.latents(item) for item in chosen]),
            prompt_embeds=prompt_embeds,
            class_embeds=class_embeds,
            has_class=torch.tensor([text is not None for text in class_prompts]),
            names=[item.name for item in chosen],
        )

    def items_of(self, step: int, micro: int) -> list[TrainingItem]:
        """The pictures of a micro-batch, before captions are dropped."""
        number = step * self._gradient_accumulation + micro
        epoch, place = divmod(number, self.batches_per_epoch)
        return self.epoch(epoch)[place]

    def epoch(self, epoch: int) -> list[list[TrainingItem]]:
        """An epoch's micro-batches in order; each picture is in exactly one."""
        if self._order_of_epoch is None or self._order_of_epoch[0] != epoch:
            self._order_of_epoch = (epoch, self._draw_epoch(epoch))
        return self._order_of_epoch[1]

    def _draw_epoch(self, epoch: int) -> list[list[TrainingItem]]:
        draw = choices(self._seed, epoch, "order")
        by_size: dict[tuple[int, int], list[TrainingItem]] = defaultdict(list)
        for item in self._items:
            by_size[item.bucket.width_px, item.bucket.height_px].append(item)
        batches: list[list[TrainingItem]] = []
        for size in sorted(by_size):
            pictures = by_size[size]
            draw.shuffle(pictures)
            batches.extend(
                pictures[start : start + self._batch_size]
                for start in range(0, len(pictures), self._batch_size)
            )
        draw.shuffle(batches)
        return batches

    def _is_dropped(self, item: TrainingItem, step: int, micro: int, place: int) -> bool:
        index = micro * self._batch_size + place
        toss = choices(self._seed, step, "dropout", index).random()
        return toss < item.caption_dropout_rate
