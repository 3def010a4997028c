"""What of the transformer's blocks lies in the card's memory: weights, insides, inputs.

Three settings meet here. Layer Offloading takes the weights of some blocks to the host
(`offloading.py`), Gradient Checkpointing the insides of blocks (`checkpointing.py`), and Low VRAM
the inputs that checkpointing keeps (`host_keeper.py`). A streamed block is checkpointed in any
case: its weights are gone when the backward pass comes, so it is computed again where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from diffusers import Flux2Transformer2DModel
from torch import nn

from trainer.checkpointing import Itinerary, checkpoint_blocks
from trainer.host_keeper import HostKeeper
from trainer.model_loading import BLOCK_LISTS
from trainer.offloading import BlockStream


def transformer_blocks(transformer: Flux2Transformer2DModel) -> list[nn.Module]:
    """Double blocks, then single ones: the order in which they compute."""
    return [
        block for blocks in BLOCK_LISTS for block in transformer.get_submodule(blocks).children()
    ]


def home_of(
    streamed: Collection[int], *, num_double_blocks: int, device: str
) -> Callable[[str], str]:
    """Where the loader is to leave the tensors of a module, by the module's name.

    Those of streamed blocks never lie on the card together. streamed: places among
    `transformer_blocks`.
    """
    doubles, singles = BLOCK_LISTS
    on_host = tuple(
        f"{doubles}.{place}."
        if place < num_double_blocks
        else f"{singles}.{place - num_double_blocks}."
        for place in streamed
    )
    return lambda name: "cpu" if name.startswith(on_host) else device


def manage_blocks(
    transformer: Flux2Transformer2DModel,
    *,
    streamed: Collection[int],
    checkpointing: bool,
    keeper: HostKeeper | None,
    device: torch.device | str,
) -> BlockStream | None:
    """Arrange the blocks, once the LoRA is on them; the stream, if there are blocks to stream.

    streamed: places among `transformer_blocks`. checkpointing: of the blocks that stay. keeper: for
    the inputs of the checkpointed blocks; None leaves them on the card.
    """
    blocks = transformer_blocks(transformer)
    itinerary = Itinerary()
    stream = None
    if streamed:
        stream = BlockStream(blocks, streamed=streamed, device=device, itinerary=itinerary)
    if checkpointing or streamed:
        always = {id(blocks[place]) for place in streamed}
        checkpoint_blocks(
            transformer,
            itinerary,
            recomputed=lambda block: checkpointing or id(block) in always,
            keeper=keeper,
        )
    return stream
