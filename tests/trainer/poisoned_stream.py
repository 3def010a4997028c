"""Layer offloading that makes every late or missing copy visible, on any device."""

from __future__ import annotations

from typing import Any

import torch

from trainer.offloading import BlockStream, Slot

# All bits set is NaN in float32, bfloat16, float16 and e4m3 alike; int8 and 4-bit codes, which have
# no NaN, have scales that do.
NAN_BYTE = 255


class PoisonedStream(BlockStream):
    """As BlockStream, but a slot that was put out is full of NaN, and so is a block in no slot.

    A slot moves to other memory when its block is put out: whoever still reads where the block was
    reads NaN, and not the next block's weights.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetched: list[int] = []
        self.visited: list[int] = []
        self.most_in_slots = 0
        for place in self._weights:
            self._poison(place)

    def visit(self, place: int) -> None:
        self.visited.append(place)
        super().visit(place)

    def _fetch(self, place: int, *, keep: Any) -> None:
        was_there = any(slot.holds == place for slot in self._slots)
        super()._fetch(place, keep=keep)
        if not was_there:
            self.fetched.append(place)
        self.most_in_slots = max(self.most_in_slots, len(self._slots))

    def _put_out(self, slot: Slot) -> None:
        place = slot.holds
        super()._put_out(slot)
        slot.flat.fill_(NAN_BYTE)
        slot.flat = torch.full_like(slot.flat, NAN_BYTE)
        if place is not None:
            self._poison(place)

    def _poison(self, place: int) -> None:
        weights = self._weights[place]
        weights.point_at(
            torch.full((weights.num_bytes,), NAN_BYTE, dtype=torch.uint8, device=self._device)
        )
