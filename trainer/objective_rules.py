"""Rules of the objective and its optimizer: the panels Training, Regularization and Advanced."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainer.captions import contains_trigger
from trainer.config import JobConfig
from trainer.errors import Problem, Severity, without_effect
from trainer.panels.field import choice_label
from trainer.variants import Architecture

# (lowest, highest, advice) by (moves every number by the full rate, tiny model). The guides train
# FLUX.2 with AdamW at 1e-4; Lion's steps are as long as AdamW's longest, so it takes a fraction.
USUAL_RATES = {
    (False, False): (2e-5, 5e-4, "1e-4"),
    (False, True): (3e-4, 1e-2, "1e-3 to 3e-3"),
    (True, False): (4e-6, 1e-4, "1e-5 to 3e-5"),
    (True, True): (5e-5, 2e-3, "1e-4 to 1e-3"),
}
# Its estimate grows from the distance gone; at 0.1 it had not begun to after 200 steps.
PRODIGY_LOWEST_RATE = 0.5


def _preservation_needs_trigger_and_class(job: JobConfig) -> Iterator[Problem]:
    panel = job.regularization
    if not panel.differential_output_preservation:
        return
    trigger = job.preservation_trigger
    if not trigger:
        yield Problem(
            "preservation_without_trigger",
            "Differential Output Preservation compares captions with and without the trigger, but "
            "Trigger (Regularization) and Trigger Word (Job) are both blank.",
            "Fill in Trigger Word, or turn preservation off.",
            "regularization.trigger",
        )
    elif contains_trigger(panel.preservation_class, trigger):
        yield Problem(
            "class_contains_trigger",
            f"Preservation Class {panel.preservation_class!r} contains the trigger {trigger!r}, so "
            "class captions would call the LoRA.",
            "Name what the trigger is one of, such as photo, person or dog.",
            "regularization.preservation_class",
            params={"preservation_class": panel.preservation_class, "trigger": trigger},
        )
    if not panel.preservation_class.strip():
        yield Problem(
            "class_blank",
            "Preservation Class is blank: class captions are captions with the trigger cut out.",
            "Name what the trigger is one of, such as photo, person or dog.",
            "regularization.preservation_class",
            Severity.WARNING,
        )


def _one_preservation_at_a_time(job: JobConfig) -> Iterator[Problem]:
    panel = job.regularization
    if not panel.blank_prompt_preservation:
        return
    if panel.differential_output_preservation:
        yield Problem(
            "two_preservations",
            "Blank Prompt Preservation and Differential Output Preservation are both on, and a "
            "step has room for one.",
            "Keep Differential Output Preservation if there is a trigger, the other if not.",
            "regularization.blank_prompt_preservation",
        )
    for i, dataset in enumerate(job.datasets):
        if dataset.caption_dropout_rate > 0:
            yield Problem(
                "blank_prompt_pulled_both_ways",
                f"Caption Dropout Rate {dataset.caption_dropout_rate:g} trains the empty prompt "
                "towards the pictures while Blank Prompt Preservation holds it to the base model.",
                "Set Caption Dropout Rate to 0, or turn Blank Prompt Preservation off.",
                f"datasets.{i}.caption_dropout_rate",
                Severity.WARNING,
                params={"value": dataset.caption_dropout_rate},
            )


def _preservation_rests_in_most_steps(job: JobConfig) -> Iterator[Problem]:
    panel, steps = job.regularization, job.training.steps
    preserves = panel.differential_output_preservation or panel.blank_prompt_preservation
    if preserves and panel.every_n_steps >= steps > 1:
        yield Problem(
            "preservation_once",
            f"Every N steps ({panel.every_n_steps}) is not less than Steps ({steps}): preservation "
            "takes part in the first step only, where the LoRA has changed nothing yet.",
            "Lower Every N steps; 1 to 4 is usual.",
            "regularization.every_n_steps",
            Severity.WARNING,
            params={"every_n_steps": panel.every_n_steps, "steps": steps},
        )


def _learning_rate_in_its_band(job: JobConfig) -> Iterator[Problem]:
    rate, optimizer = job.training.learning_rate, job.training.optimizer
    is_tiny = job.model.model_architecture == Architecture.TINY
    if optimizer == "prodigy":
        if rate < PRODIGY_LOWEST_RATE:
            yield Problem(
                "learning_rate_unusual",
                f"Learning Rate {rate:g} keeps the factor that Prodigy finds by itself from "
                "growing: the LoRA hardly moves.",
                "Set Learning Rate to 1 with Prodigy, or choose AdamW8bit.",
                "training.learning_rate",
                Severity.WARNING,
                params={"value": rate, "optimizer": optimizer},
            )
        return
    lowest, highest, advice = USUAL_RATES[optimizer == "lion8bit", is_tiny]
    if lowest <= rate <= highest:
        return
    fate = "changes almost nothing" if rate < lowest else "usually destroys what the model knows"
    label = choice_label(job.training, "optimizer")
    yield Problem(
        "learning_rate_unusual",
        f"Learning Rate {rate:g} with {label} on {job.variant.label} {fate}.",
        f"Start with {advice}.",
        "training.learning_rate",
        Severity.WARNING,
        params={"value": rate, "optimizer": optimizer},
    )


def _warmup_ends_before_the_run(job: JobConfig) -> Iterator[Problem]:
    training = job.training
    if training.lr_schedule != "constant" and training.warmup_steps >= training.steps:
        yield Problem(
            "warmup_too_long",
            f"Warm-up Steps ({training.warmup_steps}) leaves none of the {training.steps} Steps at "
            "the full Learning Rate.",
            "Lower Warm-up Steps, or raise Steps.",
            "training.warmup_steps",
            params={"warmup_steps": training.warmup_steps, "steps": training.steps},
        )
    if training.lr_schedule == "constant_with_warmup" and training.warmup_steps == 0:
        yield without_effect(
            "training.lr_schedule",
            "LR Schedule constant with warm-up is the same as constant: Warm-up Steps is 0.",
            "Give Warm-up Steps, or choose constant.",
        )


def _differential_guidance_changes_the_loss(job: JobConfig) -> Iterator[Problem]:
    if not job.advanced.do_differential_guidance:
        return
    if job.training.loss_type == "mae":
        yield without_effect(
            "advanced.do_differential_guidance",
            "Do Differential Guidance has no effect with Loss Type MAE: moving the target along "
            "the same line leaves the sign of each error, which is all MAE's gradient knows.",
            "Choose MSE or Huber, or turn Differential Guidance off.",
        )
    elif job.advanced.scale == 1:
        yield without_effect(
            "advanced.scale",
            "At Scale 1 differential guidance is the plain loss.",
            "Give another Scale (3 is usual), or turn Do Differential Guidance off.",
        )


OBJECTIVE_RULES: tuple[Callable[[JobConfig], Iterator[Problem]], ...] = (
    _preservation_needs_trigger_and_class,
    _one_preservation_at_a_time,
    _preservation_rests_in_most_steps,
    _learning_rate_in_its_band,
    _warmup_ends_before_the_run,
    _differential_guidance_changes_the_loss,
)
