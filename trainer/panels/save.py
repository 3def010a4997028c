"""The panel Save: checkpoints on the way."""

from __future__ import annotations

from typing import Literal

from trainer.panels.field import Panel, setting


class SavePanel(Panel):
    """Save: checkpoints on the way."""

    data_type: Literal["bf16", "fp16", "fp32"] = setting(
        "bf16",
        label="Data Type",
        help="Precision of the LoRA file. The state to resume from is always full precision.",
        choices={"bf16": "BF16", "fp16": "FP16", "fp32": "FP32"},
    )
    save_every: int = setting(
        250,
        label="Save Every",
        help="Steps between checkpoints. The last step is always saved.",
        unit="steps",
        ge=1,
        le=1_000_000,
        guides="250.",
        plain=True,
    )
    max_step_saves_to_keep: int = setting(
        4,
        label="Max Step Saves to Keep",
        help="Older checkpoints are removed beyond this number; pinned, starred and best ones "
        "never.",
        unit="checkpoints",
        ge=1,
        le=10_000,
        guides="4.",
    )
    key_format: Literal["diffusers", "comfyui"] = setting(
        "diffusers",
        label="Key Format",
        help="The names in the LoRA file. Diffusers: transformer_blocks.0.attn.to_q; ComfyUI of "
        "today reads them too. ComfyUI: the reference code's, double_blocks.0.img_attn.qkv, for "
        "other programs; q, k and v become one layer at three times the rank. `python -m trainer "
        "convert` turns either into the other.",
        no_effect="Target Type is LoKr: its q, k and v cannot be one layer, so its names are "
        "Diffusers' always.",
        choices={"diffusers": "Diffusers", "comfyui": "ComfyUI"},
    )
