"""The panel Regularization: keep what the model already knew."""

from __future__ import annotations

from trainer.panels.field import Panel, setting


class RegularizationPanel(Panel):
    """Regularization: keep what the model already knew."""

    differential_output_preservation: bool = setting(
        False,
        label="Differential Output Preservation",
        help="Hold the LoRA's answer on the class caption (the caption with the trigger replaced "
        "by the class) to the base model's: the style stays with its trigger. Costs about 2.3 "
        "times the step. A caption without the trigger is skipped and counted.",
    )
    trigger: str | None = setting(
        None,
        label="Trigger",
        help="The word that is replaced by the class, on word boundaries.",
        placeholder="blank = the Trigger Word of the Job panel",
        no_effect="Differential Output Preservation is off.",
        max_length=64,
    )
    multiplier: float = setting(
        1.0,
        label="Multiplier",
        help="Weight of the preservation loss beside the training loss.",
        no_effect="Differential Output Preservation is off.",
        gt=0,
        le=1000,
    )
    preservation_class: str = setting(
        "photo",
        label="Preservation Class",
        help="What stands in the trigger's place in the class caption: what the trigger is one of.",
        no_effect="Differential Output Preservation is off.",
        max_length=200,
    )
