"""The panel Model: which FLUX.2 is trained on."""

from __future__ import annotations

from trainer.panels.field import Panel, setting
from trainer.variants import VARIANTS, Architecture


class ModelPanel(Panel):
    """Model: which FLUX.2 is trained on."""

    model_architecture: Architecture = setting(
        Architecture.FLUX2_DEV,
        label="Model Architecture",
        help="The kind of FLUX.2. The tiny one is bundled and trains on any CPU; the distilled "
        "klein models are made for inference and train badly: take their base models.",
        choices={v.architecture.value: v.label for v in VARIANTS.values()},
    )
    name_or_path: str = setting(
        "",
        label="Name or Path",
        help="A local folder in Diffusers layout (it holds model_index.json), absolute or relative "
        "to the models folder.",
        placeholder="blank = the bundled model, for the tiny architecture",
        max_length=1024,
    )
