"""The panel Advanced: change the training signal, and watch the run."""

from __future__ import annotations

from typing import Literal

from trainer.panels.field import Panel, SeedNumber, setting

_MEASURES_NOTHING = "Validation and Preservation Probe are off."


class AdvancedPanel(Panel):
    """Advanced: change the training signal."""

    do_differential_guidance: bool = setting(
        False,
        label="Do Differential Guidance",
        help="Move the target away from the model's present answer v, taken without gradient: "
        "target' = v + scale x (target - v). With scale 3, v = 1 and a target of 0, it aims at -2. "
        "The curve still shows the loss against the true target.",
        guides="On for FLUX.2, as every preset has it.",
        plain=True,
    )
    scale: float = setting(
        3.0,
        label="Scale",
        help="Under MSE the training loss's gradient is multiplied by it, the preservation loss's "
        "is not: at 3, preservation weighs a third as much. AdamW and its like divide by the "
        "gradient's size, so without preservation it mostly makes Max Gradient Norm cut in "
        "earlier. Try 2 or 1 when early samples ring.",
        no_effect="Do Differential Guidance is off, or Loss Type is MAE.",
        gt=0,
        le=100,
        guides="3; then 2, then 1 when early samples ring.",
        plain=True,
    )
    stop_when_a_non_finite_loss_repeats: int = setting(
        5,
        label="Stop when a non-finite loss repeats",
        help="A step whose loss or gradients are not numbers is skipped: nothing is updated, and a "
        "warning takes the place of its point on the curve. This many in a row end the run as "
        "non_finite, with the checkpoints as they were: with 5, four accidents and a good step go "
        "on, five accidents stop.",
        unit="steps in a row",
        ge=1,
        le=1000,
    )
    compile: bool = setting(
        False,
        label="Compile",
        help="Run the transformer's blocks as compiled kernels (torch.compile). The first step "
        "takes minutes for it, and so does the first one of another picture or batch size; later "
        "ones can be faster. Losses agree with the uncompiled ones to about six digits; a resumed "
        "run may differ from an uninterrupted one in the last. Needs a C++ compiler on the "
        "machine.",
    )
    validation: Literal["off", "held_out", "dataset"] = setting(
        "off",
        label="Validation",
        help="Measure the loss on pictures that do not train: a share of the datasets' own, or a "
        "dataset for it. The mean squared error against the true target at fixed noise, with the "
        "average's weights where EMA is on; the same number each time for an unchanged model. "
        "While it falls the LoRA learns what the pictures have in common; once it rises, the "
        "pictures themselves. The checkpoint with the lowest is marked as the best and kept. "
        "Costs pictures x Noise Levels forward passes each time.",
        choices={"off": "off", "held_out": "held-out share", "dataset": "a dataset"},
    )
    held_out_share: float = setting(
        0.1,
        label="Held-out Share",
        help="Of the pictures of all datasets but regularization sets. A picture is held out if a "
        "number between 0 and 1 that its content and the job's Seed give is below this: adding "
        "pictures changes the side of none. At least one is held out.",
        no_effect="Validation is not a held-out share.",
        gt=0,
        le=0.5,
    )
    validation_dataset: str = setting(
        "",
        label="Validation Dataset",
        help="Name of a folder in the datasets folder. Captions and sizes are read as the first "
        "dataset's settings say.",
        no_effect="Validation is not a dataset.",
        widget="dataset",
        max_length=255,
    )
    validate_every: int | None = setting(
        None,
        label="Validate Every",
        help="Steps between measurements of validation and the Preservation Probe. Step 0 and the "
        "last step are always measured. Only checkpoints of measured steps can be the best: let "
        "Save Every be a multiple of this.",
        unit="steps",
        placeholder="blank = Save Every",
        no_effect=_MEASURES_NOTHING,
        ge=1,
        le=1_000_000,
    )
    validation_noise_levels: int = setting(
        4,
        label="Noise Levels",
        help="How many, spread evenly over 0 to 1: with n, t = (i + 1/2) / n. 4 gives 0.125, "
        "0.375, 0.625 and 0.875.",
        unit="levels",
        no_effect=_MEASURES_NOTHING,
        ge=1,
        le=32,
    )
    validation_seed: SeedNumber = setting(
        42,
        label="Validation Seed",
        help="Of the noise that every measurement uses.",
        no_effect=_MEASURES_NOTHING,
    )
    preservation_probe: bool = setting(
        False,
        label="Preservation Probe",
        help="Measure how far the LoRA moves the base model's answer on the same captions with the "
        "trigger and with the class in its place: the root mean square of the change as a share of "
        "the answer's own. With the trigger it should grow; without, stay near 0. Four pictures "
        "with the trigger in their captions stand for all: 8 x Noise Levels forward passes each "
        "time.",
    )
    early_stop: Literal["off", "validation_loss", "preservation_drift"] = setting(
        "off",
        label="Early Stop",
        help="End the run before its last Step, as completed: when validation has found no lower "
        "loss, or the probe's change without the trigger has been above Drift Limit, as many times "
        "in a row as Patience says. The result is then the best checkpoint: of the lowest "
        "validation loss, and under a Drift Limit of those within it.",
        choices={
            "off": "off",
            "validation_loss": "validation loss",
            "preservation_drift": "preservation drift",
        },
    )
    patience: int = setting(
        5,
        label="Patience",
        help="How many measurements in a row may be no better.",
        unit="measurements",
        no_effect="Early Stop is off.",
        ge=1,
        le=1000,
    )
    drift_limit: float = setting(
        0.1,
        label="Drift Limit",
        help="The largest change without the trigger that counts as preserved, as a share of the "
        "base model's answer: at 0.1, a tenth of its size.",
        no_effect="Early Stop is not on preservation drift.",
        gt=0,
        le=10,
    )
    changed_dataset: Literal["refuse", "go_on"] = setting(
        "refuse",
        label="Changed Dataset",
        help="When the job goes on from a checkpoint and pictures or captions are not those that "
        "it has trained on: refuse and name them, or go on with a warning. The order of the "
        "pictures then changes too.",
        no_effect="The run begins at step 0.",
        choices={"refuse": "refuse", "go_on": "go on"},
    )
    memory_plan: Literal["refuse", "go_on"] = setting(
        "refuse",
        label="Memory Plan",
        help="When the plan says that the job takes more than the card or the machine has: refuse "
        "it and say which settings would make it fit, or go on with a warning. The plan leaves a "
        "few percent of room, so a job that misses by little may run; one that does not ends as "
        "out_of_memory, with its last checkpoint intact. The same for a disk with too little room; "
        "a job that goes on waits before a save until there is some.",
        no_effect="The job fits.",
        choices={"refuse": "refuse", "go_on": "go on"},
    )
