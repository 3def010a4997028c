"""The panel Regularization: keep what the model already knew."""

from __future__ import annotations

from trainer.panels.field import Panel, setting


class RegularizationPanel(Panel):
    """Regularization: keep what the model already knew."""

    differential_output_preservation: bool = setting(
        False,
        label="Differential Output Preservation",
        help="Hold the LoRA's answer on the class caption (the caption with the trigger replaced "
        "by the class) to the base model's, at the same noise: the style stays with its trigger. "
        "Costs about 2.3 times the step. A caption without the trigger is skipped and counted.",
        guides="Off on 16-24 GB, possible on 32-48 GB, on from 64 GB on.",
        plain=True,
    )
    trigger: str | None = setting(
        None,
        label="Trigger",
        help="The word that is replaced by the class, on word boundaries.",
        placeholder="blank = the Trigger Word of the Job panel",
        no_effect="Differential Output Preservation and Preservation Probe are off.",
        max_length=64,
    )
    multiplier: float = setting(
        1.0,
        label="Multiplier",
        help="Weight of the preservation loss beside the training loss: loss + this x mean((LoRA's "
        "answer - base model's answer)^2), both times the timestep's weight.",
        no_effect="Both preservations are off.",
        gt=0,
        le=1000,
    )
    preservation_class: str = setting(
        "photo",
        label="Preservation Class",
        help="What stands in the trigger's place in the class caption: what the trigger is one of.",
        no_effect="Differential Output Preservation and Preservation Probe are off, and no dataset "
        "is for regularization.",
        max_length=200,
        guides="The plainest word for it: person, dog, building; photo for a style of photographs.",
        plain=True,
    )
    every_n_steps: int = setting(
        1,
        label="Every N steps",
        help="Preservation takes part in the first step and every so many after it: with 4, in "
        "steps 1, 5, 9. It then adds a quarter of its cost, and holds a quarter as strongly "
        "unless Multiplier is raised.",
        unit="steps",
        no_effect="Both preservations are off.",
        ge=1,
        le=1000,
    )
    blank_prompt_preservation: bool = setting(
        False,
        label="Blank Prompt Preservation",
        help="Hold the LoRA's answer on the empty prompt to the base model's: what it draws "
        "unasked, and under real guidance (klein) draws away from, stays as it was. Needs no "
        "trigger; costs what Differential Output Preservation costs and excludes it. A turn whose "
        "caption was dropped is skipped.",
    )
