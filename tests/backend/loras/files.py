"""Small LoRA files for the tiny model, written by hand."""

from __future__ import annotations

import json
from pathlib import Path

LAYER = "transformer.transformer_blocks.0.attn.to_q"


def lora_bytes(layer: str = LAYER, **metadata: str) -> bytes:
    """A safetensors file with one layer of rank 1; metadata: ours, without its prefix."""
    header: dict[str, object] = {
        f"{layer}.lora_{factor}.weight": {
            "dtype": "F32",
            "shape": [1, 4] if factor == "A" else [4, 1],
            "data_offsets": [16 * place, 16 * (place + 1)],
        }
        for place, factor in enumerate("AB")
    }
    if metadata:
        header["__metadata__"] = {f"darkroom.{key}": value for key, value in metadata.items()}
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + bytes(32)


def write_lora(path: Path, **metadata: str) -> Path:
    """The same as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lora_bytes(**metadata))
    return path
