"""The panel Quantization: how the frozen weights are stored while training."""

from __future__ import annotations

from typing import Literal

from trainer.panels.field import Panel, setting


class QuantizationPanel(Panel):
    """Quantization: how the frozen weights are stored while training."""

    transformer: Literal["none", "float8"] = setting(
        "float8",
        label="Transformer",
        help="float8 stores the blocks' frozen weights in 8 bits with a scale per row, halving "
        "their memory; embedders, modulation, norms and the final layer stay as they are.",
        choices={"none": "none", "float8": "float8 (default)"},
    )
    text_encoder: Literal["none", "float8"] = setting(
        "float8",
        label="Text Encoder",
        help="The same for the text encoder, which is in memory only while prompts are encoded.",
        choices={"none": "none", "float8": "float8 (default)"},
    )
