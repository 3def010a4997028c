"""Randomness as a function of (seed, step, purpose, index), not a stream that must be saved.

Noise, timesteps, caption dropout and the order of pictures each draw from a generator seeded by a
hash of what they are for. A resumed run therefore draws what the uninterrupted one would have
drawn, and sampling or validation in between cannot shift anything.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Purpose = Literal[
    "noise", "timestep", "dropout", "order", "flip", "lora_init", "model_dropout", "validation"
]


def derive_seed(seed: int, step: int, purpose: Purpose, index: int = 0) -> int:
    """A 63-bit seed; different arguments give independent ones (BLAKE2b)."""
    key = f"darkroom:{seed}:{step}:{purpose}:{index}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1


def generator(seed: int, step: int, purpose: Purpose, index: int = 0) -> torch.Generator:
    """A CPU generator for tensors; draws made on the CPU are the same on every device."""
    import torch

    return torch.Generator("cpu").manual_seed(derive_seed(seed, step, purpose, index))


def choices(seed: int, step: int, purpose: Purpose, index: int = 0) -> random.Random:
    """A generator for shuffles and coin tosses, without torch."""
    return random.Random(derive_seed(seed, step, purpose, index))
