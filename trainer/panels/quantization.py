"""The panel Quantization: how the frozen weights are stored while training."""

from __future__ import annotations

from pathlib import Path

from trainer.panels.field import Panel, setting
from trainer.quantization_kinds import QuantizationKind

_CHOICES = {
    "none": "none: 2 bytes a weight",
    "float8": "float8: 1 byte, 2.6 % rounding error (default)",
    "int8": "int8: 1 byte, 0.8 %",
    "nf4": "NF4: 0.52 bytes, 9 %",
    "int4": "int4: 0.53 bytes, 10 %",
}


class QuantizationPanel(Panel):
    """Quantization: how the frozen weights are stored while training."""

    transformer: QuantizationKind = setting(
        "float8",
        label="Transformer",
        help="How the blocks' frozen weights are stored. 8 bits halve their memory and 4 bits "
        "quarter it: dev takes 64 GB unquantized, 33 GB in float8, 18 GB in NF4. Embedders, "
        "modulation, norms and the final layer stay as they are.",
        choices=_CHOICES,
        guides="float8; 4 bits where 16-24 GB do not suffice.",
        plain=True,
    )
    text_encoder: QuantizationKind = setting(
        "float8",
        label="Text Encoder",
        help="The same for the text encoder, which is in memory only while prompts are encoded. "
        "Its errors end up in every prompt: keep to 8 bits unless it does not fit.",
        choices=_CHOICES,
        guides="float8.",
    )
    keep_on_disk: bool = setting(
        True,
        label="Keep Quantized Weights",
        help="Keep the quantized weights in the cache folder, so that the next start reads them "
        "instead of quantizing anew: seconds in place of minutes. They take as much disk as "
        "memory: 33 GB for dev's transformer in float8 and 18 GB for its text encoder.",
        no_effect="Nothing is quantized.",
    )

    def weights_cache(self, cache: Path) -> Path | None:
        """The folder that keeps quantized weights, `cache`, or None."""
        return cache if self.keep_on_disk else None
