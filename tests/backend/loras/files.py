"""Small LoRA files for the tiny model, written by hand."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

from trainer.model_shapes import known_shapes
from trainer.variants import Architecture

LAYER = "transformer_blocks.0.attn.to_q"


def lora_bytes(
    layer: str = LAYER, architecture_of_sizes: Architecture = Architecture.TINY, **metadata: str
) -> bytes:
    """A safetensors file with one layer of rank 1; metadata: ours, without its prefix."""
    rows, columns = known_shapes(architecture_of_sizes).transformer.linear(LAYER)
    shapes = {"A": [1, columns], "B": [rows, 1]}
    header: dict[str, object] = {}
    end = 0
    for factor, shape in shapes.items():
        begin, end = end, end + 4 * prod(shape)
        about = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
        header[f"transformer.{layer}.lora_{factor}.weight"] = about
    if metadata:
        header["__metadata__"] = {f"darkroom.{key}": value for key, value in metadata.items()}
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + bytes(end)


def write_lora(path: Path, **metadata: str) -> Path:
    """The same as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lora_bytes(**metadata))
    return path
