"""Which of a model's blocks stay on the card, and which are streamed from host memory.

Layer offloading (`offloading.py`) takes a share of the blocks; the loader has to know which before
it reads the first weight, and the memory plan before there is a model at all. So the choice is made
here, from the number of blocks alone. Blocks are counted through: double blocks, then single ones.
Imports no torch.
"""

from __future__ import annotations

# Places on the card that streamed blocks take turns in: one computes while the next arrives.
NUM_SLOTS = 2
# Inputs of a block that Low VRAM keeps on the host: from this size on. At batch 1 dev has 35 MB a
# block at 768 px and 19 MB at 512 px, klein 4B 28 MB at 1024 px. Smaller ones free little.
MIN_KEPT_BYTES = 16 << 20


def num_streamed_blocks(num_blocks: int, percent: float) -> int:
    """How many of the blocks a percentage means, rounded to the nearest, halves up."""
    assert 0 <= percent <= 100
    return int(num_blocks * percent / 100 + 0.5)


def streamed_blocks(num_blocks: int, num_streamed: int) -> tuple[int, ...]:
    """The places of the streamed blocks, spread evenly between those that stay.

    While a block that stays computes, the link to the host is free for a streamed one: side by side
    the streamed ones would wait for it, and further on it would lie idle. 2 of 6: 1 and 4.
    """
    assert 0 <= num_streamed <= num_blocks
    return tuple((2 * turn + 1) * num_blocks // (2 * num_streamed) for turn in range(num_streamed))
