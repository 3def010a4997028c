"""Which pictures train together at which step: a function of (seed, step, micro), not a stream.

Legend: B = pictures of a micro-batch, C = 128 latent channels, h and w = the bucket's sides / 16,
T = text rows, D = width of a text row.

An epoch is a list of micro-batches, each of one kind: a tensor has one size, a forward pass one
LoRA strength. Pictures of one kind share their bucket, their references' sizes, the LoRA Weight and
the Batch Size. Within a kind the pictures are shuffled and cut into batches of B; what is left over
makes one smaller batch, so that every picture trains exactly as often as its Num Repeats says an
epoch; then the batches are shuffled among each other. Epochs
all have the same number of batches, so the m-th micro-batch of a run lies in epoch m // length at
place m % length, and a resumed run needs no loader state: it asks for the next step. Batches of a
step may come from two epochs. Orders are drawn by (seed, epoch), dropout and flips by (seed, step,
micro and place in the batch).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trainer.batch_kinds import BatchKind, batch_kind
from trainer.panels.field import SIDE_MULTIPLE_PX
from trainer.pictures import Flip
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

    references: for each place in the prompt, [B, C, h, w] of its own h and w. masks: [B, h, w] in
    0..1, ones where a picture has none; None when no picture has one. towards_base: bool [B], which
    samples train towards the base model's prediction; None when none does. lora_weight: how much of
    the LoRA acts while this batch trains.
    """

    latents: torch.Tensor
    prompt_embeds: torch.Tensor
    class_embeds: torch.Tensor | None
    has_class: torch.Tensor
    names: list[str]
    references: tuple[torch.Tensor, ...] = ()
    masks: torch.Tensor | None = None
    towards_base: torch.Tensor | None = None
    lora_weight: float = 1.0


class Encoded(Protocol):
    """What a batch is put together from; `encoding.EncodedRun` is one."""

    def latents(self, item: TrainingItem, flip: Flip = "") -> torch.Tensor: ...

    def references(self, item: TrainingItem, flip: Flip = "") -> list[torch.Tensor]: ...

    def mask(self, item: TrainingItem, flip: Flip = "") -> torch.Tensor | None: ...

    def prompt(self, text: str) -> torch.Tensor: ...


class BatchSource:
    """The run's micro-batches.

    items: the pictures (`encoded.items`). batch_size: pictures in the largest micro-batch, and in
    a full one of pictures without a batch size of their own. gradient_accumulation: micro-batches
    of a step. seed: the job's.
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
        flips: list[Flip] = [
            self._flip(item, step, micro, place) for place, item in enumerate(chosen)
        ]
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
            latents=torch.stack(
                [self._encoded.latents(*pair) for pair in zip(chosen, flips, strict=True)]
            ),
            prompt_embeds=prompt_embeds,
            class_embeds=class_embeds,
            has_class=torch.tensor([text is not None for text in class_prompts]),
            names=[item.name for item in chosen],
            references=self._references(chosen, flips),
            masks=self._masks(chosen, flips),
            towards_base=torch.tensor([item.is_regularization for item in chosen])
            if any(item.is_regularization for item in chosen)
            else None,
            lora_weight=chosen[0].lora_weight,
        )

    def _references(
        self, chosen: Sequence[TrainingItem], flips: Sequence[Flip]
    ) -> tuple[torch.Tensor, ...]:
        import torch

        of_pictures = [
            self._encoded.references(item, flip) for item, flip in zip(chosen, flips, strict=True)
        ]
        return tuple(torch.stack(column) for column in zip(*of_pictures, strict=True))

    def _masks(self, chosen: Sequence[TrainingItem], flips: Sequence[Flip]) -> torch.Tensor | None:
        import torch

        masks = [self._encoded.mask(item, flip) for item, flip in zip(chosen, flips, strict=True)]
        if all(mask is None for mask in masks):
            return None
        width_px, height_px = chosen[0].bucket.size
        ones = torch.ones(height_px // SIDE_MULTIPLE_PX, width_px // SIDE_MULTIPLE_PX)
        return torch.stack([ones if mask is None else mask for mask in masks])

    def items_of(self, step: int, micro: int) -> list[TrainingItem]:
        """The pictures of a micro-batch, before captions are dropped."""
        number = step * self._gradient_accumulation + micro
        epoch, place = divmod(number, self.batches_per_epoch)
        return self.epoch(epoch)[place]

    def epoch(self, epoch: int) -> list[list[TrainingItem]]:
        """An epoch's micro-batches in order; each picture is there Num Repeats times."""
        if self._order_of_epoch is None or self._order_of_epoch[0] != epoch:
            self._order_of_epoch = (epoch, self._draw_epoch(epoch))
        return self._order_of_epoch[1]

    def _draw_epoch(self, epoch: int) -> list[list[TrainingItem]]:
        draw = choices(self._seed, epoch, "order")
        by_kind: dict[BatchKind, list[TrainingItem]] = defaultdict(list)
        for item in self._items:
            by_kind[batch_kind(item, self._batch_size)] += [item] * item.num_repeats
        batches: list[list[TrainingItem]] = []
        for kind in sorted(by_kind):
            pictures, batch_size = by_kind[kind], kind.batch_size
            draw.shuffle(pictures)
            batches.extend(
                pictures[start : start + batch_size]
                for start in range(0, len(pictures), batch_size)
            )
        draw.shuffle(batches)
        return batches

    def _is_dropped(self, item: TrainingItem, step: int, micro: int, place: int) -> bool:
        index = micro * self._batch_size + place
        toss = choices(self._seed, step, "dropout", index).random()
        return toss < item.caption_dropout_rate

    def _flip(self, item: TrainingItem, step: int, micro: int, place: int) -> Flip:
        if item.flips == ("",):
            return ""
        return choices(self._seed, step, "flip", micro * self._batch_size + place).choice(
            item.flips
        )
