"""Plans for an encoding child on the bundled model."""

from __future__ import annotations

from typing import Any

from trainer.encoding_plan import EncodingPlan
from trainer.variants import BUNDLED_TINY_FOLDER


def tiny_plan(**fields: Any) -> EncodingPlan:
    """A plan in float32 on the CPU with nothing to encode, but for the fields given."""
    plain: dict[str, Any] = {
        "architecture": "tiny",
        "autoencoder": BUNDLED_TINY_FOLDER / "vae",
        "text_encoder": BUNDLED_TINY_FOLDER / "text_encoder",
        "tokenizer": BUNDLED_TINY_FOLDER / "tokenizer",
        "device": "cpu",
        "data_type": "fp32",
        "vae_data_type": "fp32",
        "quantization": "none",
        "pictures": (),
        "prompts": (),
    }
    return EncodingPlan(**{**plain, **fields})
