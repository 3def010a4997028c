"""A model's frozen weights out of the card for a while, and back: to make room for another one.

A changed prompt needs the text encoder in mid-run, a sample's decoding needs room for the picture's
features; on a small card the transformer has to make way. What leaves is the raw tensors of the
frozen linear layers, block by block, into ordinary host memory; the LoRA, its optimizer's state and
the norms stay (for dev at rank 32 under 2 GB with 8-bit state). Streamed blocks lie on the host
already, so only their slots are given back.

Not `model.to("cpu")` and back: the way back would bring the streamed blocks onto the card, and turn
quanto's float8 weights into another class, whose kernel needs a compiler (`quantization.py`).

The host needs room for the resident weights in the meantime. It takes about as long as the link
needs for them, twice.

On the way back the card may be full of what failed meanwhile: an exception holds its frames, and
these the decoder's features. So they are let go first. Weights that do not come back all the same
leave a model that cannot compute: `StrandedWeights` ends the run, whatever else may fail and be
survived.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trainer.failures import let_go_of_frames
from trainer.offloading import BlockStream, BlockWeights, frozen_linears


class StrandedWeights(Exception):
    """Weights that made way did not come back. Its cause says why."""


@contextmanager
def set_aside(
    model: nn.Module, groups: list[nn.Module], stream: BlockStream | None
) -> Iterator[None]:
    """The model's frozen weights in host memory within the block; it cannot compute there.

    groups: submodules whose weights leave together, as one piece: the blocks. stream: the model's,
    if it has one. Raises StrandedWeights.
    """
    if stream is not None:
        stream.release()
    homes: list[tuple[BlockWeights, torch.device]] = []
    try:
        # The host may refuse room for a block when others have left: those come back too.
        for layers in _groups_on_card(model, groups, stream):
            homes.append(_leave(layers))
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        yield
    except BaseException as error:
        let_go_of_frames(error)
        raise
    finally:
        _bring_back(homes)


def _groups_on_card(
    model: nn.Module, groups: list[nn.Module], stream: BlockStream | None
) -> Iterator[list[nn.Linear]]:
    """The layers of each group that is not streamed, then what is in no group."""
    streamed = set() if stream is None else set(stream.streamed)
    seen: set[int] = set()
    for place, group in enumerate(groups):
        layers = frozen_linears(group)
        seen |= {id(layer) for layer in layers}
        if place not in streamed and layers:
            yield layers
    rest = [layer for layer in frozen_linears(model) if id(layer) not in seen]
    if rest:
        yield rest


def _bring_back(homes: list[tuple[BlockWeights, torch.device]]) -> None:
    try:
        while homes:
            weights, device = homes.pop()
            weights.point_at(weights.host.to(device))
    except Exception as error:
        raise StrandedWeights("The transformer's weights could not come back.") from error


def _leave(layers: list[nn.Linear]) -> tuple[BlockWeights, torch.device]:
    device = layers[0].weight.device
    return BlockWeights(layers, pin=False), device
