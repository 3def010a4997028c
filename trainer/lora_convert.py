"""A LoRA file under other names: `python -m trainer convert IN OUT --format diffusers|comfyui`."""

from __future__ import annotations

from pathlib import Path

import torch

from trainer.durable_write import replacing
from trainer.errors import BadLora
from trainer.lora_file import WrittenLora, write_lora_file
from trainer.lora_keys import KeyFormat
from trainer.lora_reading import LoraFile, read_lora

_STORED_TYPES = (torch.bfloat16, torch.float16, torch.float32)


def convert_lora(source: Path, target: Path, *, key_format: KeyFormat) -> WrittenLora:
    """Write `source` to `target` in the format's names, in its own type, metadata and all.

    alpha is multiplied in, so the new file carries none. Raises BadLora if the source cannot be
    used, cannot have those names, or the target exists.
    """
    refuse_existing(target)
    if target.suffix != ".safetensors":
        raise BadLora(
            f"{target} does not end in .safetensors.",
            "LoRA files are read by that ending.",
            code="bad_target",
            params={"path": str(target)},
        )
    file = read_lora(source)
    if file.kind == "lokr" and key_format == "comfyui":
        raise BadLora(
            f"{source} is a LoKr: its q, k and v cannot become the one layer that they are in "
            "these names.",
            "ComfyUI reads a LoKr in Diffusers' names: use --format diffusers.",
            code="lokr_has_diffusers_names",
        )
    values = file.values()
    with replacing(target) as temporary:
        return write_lora_file(
            temporary,
            values,
            scale=1.0,
            dtype=_stored_type(file),
            key_format=key_format,
            metadata={key: text for key, text in file.metadata.items() if key != "format"},
        )


def refuse_existing(target: Path) -> None:
    """Raises BadLora if there is something at `target`."""
    if target.exists():
        raise BadLora(
            f"{target} exists.",
            "Give another name, or remove it first.",
            code="target_exists",
            params={"path": str(target)},
        )


def _stored_type(file: LoraFile) -> torch.dtype:
    """The type that all tensors share, or float32, which holds all others."""
    types = {dtype for layer in file.layers for dtype in layer.dtypes}
    only = types.pop() if len(types) == 1 else torch.float32
    return only if only in _STORED_TYPES else torch.float32
