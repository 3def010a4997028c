"""Layer offloading: a model's blocks in host memory, streamed through two places on the card.

Legend: block = a double or single block of the transformer, or a layer of the text encoder, counted
through in the order in which they compute; slot = a place on the card that holds one block's
weights at a time; resident = a block that stays on the card.

A FLUX.2-dev has 32 GB of weights in 8 bits, and a 16 GB card has to train it. But one block
computes at a time, and takes tens of milliseconds for it at 1024 px: time to bring the next one
over. So the weights of the streamed blocks lie in host memory, and two slots on the card take
turns: while a block computes out of one, the next arrives in the other.

What makes it cheap:

* The weights are frozen. They never go back to the host; the host's copy is always the true one,
  and a slot is simply written over.
* A block's weights lie in one flat piece of host memory, and a slot is a flat piece too: one copy a
  block. The layers' tensors are views into either. On CUDA the host's piece is page-locked, without
  which a copy would stop the program instead of running beside it.
* The order is known. Forward it is 0, 1, 2 ..., and with gradient checkpointing, which computes
  every streamed block a second time, the way back is ... 2, 1, 0. A visit to any block starts the
  copies of the nearest two streamed blocks ahead. At the far end those are the two that are there
  already, and so they are at the near end, where the next pass begins: nothing moves at either.
  Each weight goes over twice a step, less four blocks.
* Resident blocks stand evenly between the streamed ones (`block_shares.py`): the link works while
  they compute.

What makes it safe. A slot that is overwritten while its block still computes does not crash; it
trains on wrong weights, and has done so in other programs. Here:

* The copies have a stream of their own. Before it writes into a slot it waits for an event that
  stands behind every kernel given to the compute stream so far, and before a block computes the
  compute stream waits for the event behind its copy. The program itself waits for neither.
* A slot is taken only from a block that is not among the next two. On the way back a block's
  backward pass has been given to the card, whole, before the next block is visited: checkpointing
  is our own (`checkpointing.py`) and works as a bracket around recompute and backward. Without that
  bracket "the block is done" cannot be known: its backward reads the weights long after its forward
  has ended.
* A block that is not in a slot has its layers point at host memory: computing with them on a card
  fails at once.
* Guessing the order only saves time. A visit to a block that is not there fetches it, so passes in
  any order (preservation's three, a sample in between, an interrupted one) give the same numbers.

The numbers are those of the resident model, to the bit: the same kernels read the same bytes. On a
CPU the same code runs with ordinary copies, and the tests overwrite every slot with NaN as soon as
its block is put out.

What moves is the raw tensors of the frozen linear layers, whatever they are quantized to
(`quantized_linear.py`). Norms (128 numbers each) and the LoRA stay on the card: the LoRA is what
trains, and its optimizer works on it every step.

What else was possible. Moving modules with `.to()` costs a pass over the allocator for every
tensor, moves frozen weights back, and turns quanto's float8 weights into another class. Unified
memory pages in 2 MB steps, at half the link's speed. Offloading whole parts of the model (the
pipeline's own way) does not help when one part is larger than the card. A third slot would hide
more jitter and costs 1 GB (dev's double block in 8 bits).
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from trainer.block_shares import NUM_SLOTS
from trainer.checkpointing import Itinerary, Way
from trainer.host_memory import give_back_freed_memory
from trainer.quantized_linear import raw_tensors, set_raw_tensors

logger = logging.getLogger(__name__)

# Where a tensor may begin within a flat piece: what cuBLAS likes best, and any type divides.
ALIGNMENT_BYTES = 256


class BlockWeights:
    """The raw tensors of linear layers, as views into one flat piece of memory.

    They are gathered into host memory here, and from then on lie where `point_at` says.
    """

    def __init__(self, layers: Sequence[nn.Linear], *, pin: bool) -> None:
        self._layers = layers
        self._layout: list[dict[str, _Place]] = []
        self.num_bytes = 0
        for layer in self._layers:
            places = {}
            for name, tensor in raw_tensors(layer).items():
                places[name] = _Place(self.num_bytes, tensor.shape, tensor.dtype)
                self.num_bytes += -(-tensor.nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
            self._layout.append(places)
        self.host = host_bytes(self.num_bytes, pin=pin)
        for layer, views in self._views(self.host):
            for name, tensor in raw_tensors(layer).items():
                views[name].copy_(tensor)
        self.point_at(self.host)

    def point_at(self, flat: torch.Tensor) -> None:
        """Let the layers compute with the bytes in `flat`, on whichever device it is."""
        for layer, views in self._views(flat):
            set_raw_tensors(layer, views)

    def _views(self, flat: torch.Tensor) -> Iterator[tuple[nn.Linear, dict[str, torch.Tensor]]]:
        for layer, places in zip(self._layers, self._layout, strict=True):
            yield layer, {name: place.view(flat) for name, place in places.items()}


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in a flat piece of bytes."""

    offset: int
    shape: torch.Size
    dtype: torch.dtype

    def view(self, flat: torch.Tensor) -> torch.Tensor:
        num_bytes = self.shape.numel() * self.dtype.itemsize
        return flat[self.offset : self.offset + num_bytes].view(self.dtype).view(self.shape)


class Slot:
    """A place on the card. holds: the block in it, or on its way into it."""

    def __init__(self, num_bytes: int, device: torch.device) -> None:
        self.flat = torch.empty(num_bytes, dtype=torch.uint8, device=device)
        self.holds: int | None = None
        self.arrived: torch.cuda.Event | None = None


class BlockStream:
    """Streams the weights of some of a model's blocks; the others stay as they are.

    blocks: in the order in which they compute. streamed: which of them. Their frozen linear layers
    are gathered on the host, wherever they are now; all else in them goes to `device`. From then on
    every call of a block sees to its weights. itinerary: which way the passes go; None for a model
    that only ever computes forward.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        *,
        streamed: Collection[int],
        device: torch.device | str,
        itinerary: Itinerary | None = None,
    ) -> None:
        self._device = torch.device(device)
        self._itinerary = itinerary or Itinerary()
        self._order = sorted(streamed)
        on_card = self._device.type == "cuda"
        self._copies = torch.cuda.Stream(self._device) if on_card else None
        self._weights: dict[int, BlockWeights] = {}
        for place in self._order:
            self._weights[place] = BlockWeights(frozen_linears(blocks[place]), pin=on_card)
            move_others(blocks[place], self._device)
            give_back_freed_memory()  # so that gathering takes one block more than the weights
        self._slots: list[Slot] = []
        self._hooks = [
            block.register_forward_pre_hook(self._visitor(place))
            for place, block in enumerate(blocks)
        ]

    @property
    def streamed(self) -> tuple[int, ...]:
        """The places of the streamed blocks."""
        return tuple(self._order)

    @property
    def host_bytes(self) -> int:
        """What the streamed blocks take in host memory."""
        return sum(weights.num_bytes for weights in self._weights.values())

    @property
    def slot_bytes(self) -> int:
        """What the slots take on the card: each can hold the largest streamed block."""
        largest = max((weights.num_bytes for weights in self._weights.values()), default=0)
        return largest * min(NUM_SLOTS, len(self._order))

    def visit(self, place: int) -> None:
        """Before a block computes: its weights are there, and those of the next ones come."""
        ahead = self._ahead(place)
        for wanted in ahead:
            self._fetch(wanted, keep=ahead)
        if place in self._weights:
            self._take_up(place)

    def release(self) -> None:
        """Give the slots' memory back; the next visit takes it anew."""
        for slot in self._slots:
            self._put_out(slot)
            if slot.arrived is not None:
                # Whoever gets the memory next must not be written into by a copy on its way.
                torch.cuda.current_stream(self._device).wait_event(slot.arrived)
        self._slots = []

    def detach(self) -> None:
        """End the streaming: the streamed blocks' weights stay in host memory."""
        self.release()
        for hook in self._hooks:
            hook.remove()

    def _visitor(self, place: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _block, _args: self.visit(place)

    def _ahead(self, place: int) -> list[int]:
        """The streamed blocks that will be visited next, the nearest first, one for each slot."""
        order, way = self._order, self._itinerary.way
        if way is Way.BACK:
            before = order[: bisect_right(order, place)]
            path = before[::-1] + order
        else:
            after = order[bisect_left(order, place) :]
            path = after + (order[::-1] if way is Way.OUT else order)
        return list(dict.fromkeys(path))[:NUM_SLOTS]

    def _fetch(self, place: int, *, keep: Sequence[int]) -> None:
        """Start the copy of a block that is in no slot, into one whose block is not in `keep`."""
        if not self._slots:
            size = max(weights.num_bytes for weights in self._weights.values())
            count = min(NUM_SLOTS, len(self._order))
            self._slots = [Slot(size, self._device) for _ in range(count)]
        if any(slot.holds == place for slot in self._slots):
            return
        slot = next(slot for slot in self._slots if slot.holds not in keep)
        self._put_out(slot)
        self._copy(self._weights[place].host, slot)
        slot.holds = place

    def _copy(self, host: torch.Tensor, slot: Slot) -> None:
        """Start a copy that waits for all that was given to the card so far."""
        if self._copies is None:
            slot.flat[: len(host)].copy_(host)
            return
        computed = torch.cuda.current_stream(self._device).record_event()
        with torch.cuda.stream(self._copies):
            self._copies.wait_event(computed)
            slot.flat[: len(host)].copy_(host, non_blocking=True)
            slot.arrived = torch.cuda.Event()
            slot.arrived.record(self._copies)

    def _take_up(self, place: int) -> None:
        """Let the block compute out of its slot, from the moment its copy has arrived."""
        slot = next(slot for slot in self._slots if slot.holds == place)
        if slot.arrived is not None:
            torch.cuda.current_stream(self._device).wait_event(slot.arrived)
        self._weights[place].point_at(slot.flat)

    def _put_out(self, slot: Slot) -> None:
        """The slot's block has computed: its layers point at the host again."""
        if slot.holds is not None:
            weights = self._weights[slot.holds]
            weights.point_at(weights.host)
        slot.holds = None


def frozen_linears(module: nn.Module) -> list[nn.Linear]:
    """The linear layers of a module, itself included, but for the LoRA's own.

    By their place and not by what asks for a gradient: a LoRA that is switched off does not either.
    """
    trained = {
        id(part)
        for layer in module.modules()
        if isinstance(layer, BaseTunerLayer)
        for name in layer.adapter_layer_names
        for part in getattr(layer, name).modules()
    }
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Linear) and id(layer) not in trained
    ]


def move_others(module: nn.Module, device: torch.device) -> None:
    """Bring all of a module but the weights of its frozen linear layers to a device, in place."""
    weights = {
        id(tensor)
        for layer in frozen_linears(module)
        for tensor in (layer.weight, *raw_tensors(layer).values())
    }
    for tensor in [*module.parameters(), *module.buffers()]:
        if id(tensor) not in weights:
            tensor.data = tensor.data.to(device)


def host_bytes(num_bytes: int, *, pin: bool) -> torch.Tensor:
    """Uninitialised host memory, page-locked where asked and granted.

    The system's own memory, registered with CUDA, and not torch's pinned allocator: that one rounds
    up to a power of two, which for a block of 280 MB is 230 MB lost.
    """
    flat = torch.empty(num_bytes, dtype=torch.uint8)
    if not pin or num_bytes == 0:
        return flat
    cuda = torch.cuda.cudart()
    assert cuda is not None, "there is a card, so there is its library"
    address = flat.data_ptr()
    refused = int(cuda.cudaHostRegister(address, num_bytes, 0))
    if refused:
        _take_pending_error()
        logger.warning(
            "CUDA would not lock %d MB of host memory (error %d): copies to the card will not run "
            "beside its work.",
            num_bytes >> 20,
            refused,
        )
        return flat
    weakref.finalize(flat.untyped_storage(), cuda.cudaHostUnregister, address)
    return flat


def _take_pending_error() -> None:
    """Let a kernel of our own raise what CUDA keeps of a refused call.

    CUDA hands the error of any call to whoever asks for the last one, and torch asks after every
    kernel: the run would end at its next one. torch does not lend out `cudaGetLastError`, and
    another copy of the library than its own keeps errors of its own.
    """
    with contextlib.suppress(RuntimeError):
        torch.ones(1, device="cuda")
