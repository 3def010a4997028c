"""Which of PyTorch's attention kernels the transformer uses.

Attention is the one place of a step where the same formula has kernels of very different speed and
memory: softmax(Q K^T / sqrt(d)) V either with the whole matrix of tokens by tokens written out
(math), or in tiles that never leave the chip (flash, efficient, cudnn). PyTorch chooses by device,
type and sizes; a person may know better for a card, or want to compare. All of them have a
backward pass and come with PyTorch: nothing is to be compiled or installed. They round differently,
so results agree to about the last digits of the data type and not to the bit. Where each one runs
is in `attention_rules.py`.
"""

from __future__ import annotations

from diffusers import Flux2Transformer2DModel
from diffusers.models.attention import AttentionModuleMixin

from trainer.panels.model import AttentionBackend

# What Diffusers calls them; auto is what its processors do when they are told nothing.
NAMES_IN_DIFFUSERS: dict[AttentionBackend, str] = {
    "flash": "_native_flash",
    "efficient": "_native_efficient",
    "cudnn": "_native_cudnn",
    "math": "_native_math",
}


def set_attention(transformer: Flux2Transformer2DModel, backend: AttentionBackend) -> None:
    """Let every attention of the transformer use this kernel, in steps and in samples alike.

    Set on each attention and not on the model: that would change what every other model of the
    process does where it was told nothing, the autoencoder included.
    """
    if backend == "auto":
        return
    for module in transformer.modules():
        if isinstance(module, AttentionModuleMixin):
            module.set_attention_backend(NAMES_IN_DIFFUSERS[backend])
