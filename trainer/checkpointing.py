"""Gradient checkpointing by blocks: keep each block's inputs, compute its inside a second time.

Legend: B = batch, L = image and text tokens together, H = hidden size.

A block's inside (attention, feed-forward, LoRA) takes some twenty tensors of [B, L, H] for the
backward pass, its inputs one or two. So the forward pass computes every block without a graph and
keeps the inputs; the backward pass computes the block again, now with a graph, differentiates it at
once and drops it. One block's inside is in memory at a time. It costs a third more arithmetic.

Why not `torch.utils.checkpoint`: layer offloading (`offloading.py`) has to know when the backward
pass needs a block's weights and when it is done with them. Here that is a bracket: recompute,
backward, end, within one function call. torch's own (non-reentrant) checkpoint has no end to hook
onto, and keeps the first forward's graph nodes, whose custom functions may still hold the place
where a weight *was* during the forward pass (bitsandbytes' 4-bit product does). Gradients are the
same to the bit, which a test holds against torch's.

A pass goes one of three ways, and whoever moves weights reads from `Itinerary` which:

    ONWARD   without gradient: after the last block comes the first block of another pass
    OUT      forward with gradient: after the last block the way back begins there
    BACK     recompute and backward, from the last block to the first

The graph of the whole must reach the first block although its inputs ask for no gradient (the
embedders are frozen): an anchor that asks for one goes into every block and gets none.

Random numbers: a block that draws (dropout) must draw the same again, so the generators' states are
kept with the inputs, as torch's checkpoint does.

The kept inputs may wait in host memory (`host_keeper.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from diffusers import Flux2Transformer2DModel
from torch import nn

from trainer.host_keeper import HostKeeper


class Way(Enum):
    """Which way a pass goes through the blocks, and what comes after its end."""

    ONWARD = "onward"
    OUT = "out"
    BACK = "back"


@dataclass
class Itinerary:
    """The way of the pass that is going on; ONWARD wherever nothing else was said."""

    way: Way = field(default=Way.ONWARD)

    @contextmanager
    def going(self, way: Way) -> Iterator[None]:
        """`way` within the block."""
        before, self.way = self.way, way
        try:
            yield
        finally:
            self.way = before


def checkpoint_blocks(
    transformer: Flux2Transformer2DModel,
    itinerary: Itinerary,
    *,
    recomputed: Callable[[nn.Module], bool] = lambda _block: True,
    keeper: HostKeeper | None = None,
) -> None:
    """Let the transformer's blocks be computed again in the backward pass, from now on.

    recomputed: says of a block whether it is; the others keep their insides. keeper: takes the
    blocks' inputs into host memory; None leaves them where they are.
    """
    anchor = torch.zeros((), requires_grad=True, device=transformer.device)

    def call(block: nn.Module, *args: Any) -> Any:
        with itinerary.going(Way.OUT):
            if not recomputed(block):
                return block(*args)
            if not _asks_for_gradients(block, args):
                with torch.no_grad():
                    return block(*args)
        return _Recomputed.apply(_Recomputation(block, itinerary, keeper), anchor, *args)

    transformer.enable_gradient_checkpointing(call)


@dataclass(frozen=True)
class _Recomputation:
    block: nn.Module
    itinerary: Itinerary
    keeper: HostKeeper | None


def _asks_for_gradients(block: nn.Module, args: tuple[Any, ...]) -> bool:
    """False for blocks before the first one that trains: nothing flows back through them."""
    tensors = (arg for arg in args if isinstance(arg, torch.Tensor))
    return any(t.requires_grad for t in tensors) or any(p.requires_grad for p in block.parameters())


class _Recomputed(torch.autograd.Function):
    """A block whose graph is made in the backward pass, used there and forgotten."""

    @staticmethod
    def forward(ctx: Any, plan: _Recomputation, anchor: torch.Tensor, *args: Any) -> Any:
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.device = next(arg.device for arg in args if isinstance(arg, torch.Tensor))
        ctx.generators = _generator_states(ctx.device)
        is_tensor = [isinstance(arg, torch.Tensor) for arg in args]
        keeper = plan.keeper
        ctx.away = [
            place
            for place, arg in enumerate(args)
            if keeper is not None and is_tensor[place] and keeper.wants(arg)
        ]
        ctx.kept = keeper.keep([args[place] for place in ctx.away]) if keeper and ctx.away else None
        # Through autograd's own store, which frees them and notices when one is changed in place.
        stays = [place for place in range(len(args)) if is_tensor[place] and place not in ctx.away]
        ctx.save_for_backward(*(args[place] for place in stays))
        ctx.stays = stays
        ctx.others = [None if is_tensor[place] else arg for place, arg in enumerate(args)]
        with plan.itinerary.going(Way.OUT):
            return plan.block(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        plan: _Recomputation = ctx.plan
        needs = ctx.needs_input_grad[2:]
        args: list[Any] = ctx.others
        for place, tensor in zip(ctx.stays, ctx.saved_tensors, strict=True):
            args[place] = tensor
        if plan.keeper is not None and ctx.kept is not None:
            for place, tensor in zip(ctx.away, plan.keeper.take(ctx.kept), strict=True):
                args[place] = tensor
        ctx.others = ctx.kept = None
        args = [
            arg.detach().requires_grad_(needs_it) if isinstance(arg, torch.Tensor) else arg
            for arg, needs_it in zip(args, needs, strict=True)
        ]
        with plan.itinerary.going(Way.BACK):
            with torch.enable_grad(), _generators_at(ctx.generators, ctx.device):
                outputs = plan.block(*args)
            if isinstance(outputs, torch.Tensor):
                outputs = (outputs,)
            pairs = [
                (output, gradient)
                for output, gradient in zip(outputs, gradients, strict=True)
                if gradient is not None and output.requires_grad
            ]
            torch.autograd.backward(
                [output for output, _ in pairs], [gradient for _, gradient in pairs]
            )
        own = (arg.grad if needs_it else None for arg, needs_it in zip(args, needs, strict=True))
        return None, None, *own


def _generator_states(device: torch.device) -> tuple[torch.Tensor, ...]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return tuple(states)


@contextmanager
def _generators_at(states: tuple[torch.Tensor, ...], device: torch.device) -> Iterator[None]:
    """torch's generators in the given states within the block, and as they were after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.set_rng_state(states[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(states[1], device)
        yield
