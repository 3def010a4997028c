"""The transformer's blocks as compiled kernels (torch.compile), and what a machine needs for it.

Only the blocks are compiled, each kind once: all of a kind share their code, so compiling takes
the time of two blocks and not of 56. The embedders and the final layer run once a step and gain
nothing. PEFT's switches are Python values, so a block is compiled anew for each state that a run
brings up: with the LoRA and without, with gradients and without, and once more for all picture
sizes together when a second size comes. That is more than Dynamo's limit of eight, past which it
falls back to the uncompiled block and only logs that it did; hence MAX_VARIANTS.

A fused kernel rounds less often than the operations it replaces, so losses agree with the
uncompiled ones to about six digits and not to the bit. Which kernel a picture size meets depends on
the sizes before it: a resumed run may differ from an uninterrupted one in the last bits.

The kernels are C++ on a CPU and Triton on a GPU, whose launchers are C again: both need a compiler
on the machine, which the door looks for before anything loads. What else can go wrong shows when a
block is first called and gets its name in `failures.py`.
"""

from __future__ import annotations

from diffusers import Flux2Transformer2DModel

from trainer.model_loading import BLOCK_LISTS

MAX_VARIANTS = 64


def compile_blocks(transformer: Flux2Transformer2DModel, *, backend: str = "inductor") -> None:
    """Let every block run compiled from its next call on.

    Comes after the LoRA and checkpointing are in place. backend: of torch.compile.
    """
    import torch._dynamo

    torch._dynamo.config.recompile_limit = MAX_VARIANTS
    for blocks in BLOCK_LISTS:
        for block in transformer.get_submodule(blocks).children():
            # Its forward and not the whole call: the hook that brings its weights to the card
            # (offloading.py) stays outside. A weight that lies elsewhere is no other kernel.
            block.forward = torch.compile(block.forward, backend=backend)
