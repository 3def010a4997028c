"""The panel Target: what is trained."""

from __future__ import annotations

from typing import Literal

from trainer.panels.field import Panel, setting


class TargetPanel(Panel):
    """Target: what is trained."""

    target_type: Literal["lora"] = setting(
        "lora",
        label="Target Type",
        help="A LoRA on every linear layer of the transformer's blocks.",
        choices={"lora": "LoRA"},
    )
    linear_rank: int = setting(
        32,
        label="Linear Rank",
        help="Size of the LoRA's inner dimension. The guides take 16-32 for styles, 32-64 for "
        "characters and objects; 4-8 hardly moves FLUX.2.",
        ge=1,
        le=256,
    )
    linear_alpha: float | None = setting(
        None,
        label="Linear Alpha",
        help="The LoRA's output is scaled by alpha / rank. Equal to the rank, the scale is 1.",
        placeholder="blank = the rank",
        gt=0,
        le=1024,
    )
