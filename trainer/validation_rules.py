"""Rules of validation, the preservation probe and early stop: the panel Advanced."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from trainer.captions import contains_trigger
from trainer.config import JobConfig
from trainer.early_stop import measures
from trainer.errors import Problem, Severity


def _validation_has_its_dataset(job: JobConfig) -> Iterator[Problem]:
    panel = job.advanced
    if panel.validation != "dataset":
        return
    name = panel.validation_dataset
    if not name:
        yield Problem(
            "validation_dataset_missing",
            "Validation is on a dataset, but Validation Dataset is blank.",
            "Name a dataset that does not train, or choose a held-out share.",
            "advanced.validation_dataset",
        )
    elif name in [dataset.target_dataset for dataset in job.datasets]:
        yield Problem(
            "validation_dataset_trains",
            f"Validation Dataset {name!r} is one of the datasets that train: its loss would say "
            "how well the pictures are known by heart.",
            "Name another dataset, or choose a held-out share.",
            "advanced.validation_dataset",
            params={"name": name},
        )
    if job.datasets[0].control_datasets:
        yield Problem(
            "validation_dataset_without_references",
            "The first dataset has Control Datasets, and a Validation Dataset has no references to "
            "show the model.",
            "Choose a held-out share: it brings each picture's references along.",
            "advanced.validation",
        )


def _probe_needs_trigger_and_class(job: JobConfig) -> Iterator[Problem]:
    if not job.advanced.preservation_probe:
        return
    trigger, of_class = job.preservation_trigger, job.regularization.preservation_class
    if not trigger:
        yield Problem(
            "probe_without_trigger",
            "Preservation Probe compares captions with and without the trigger, but Trigger "
            "(Regularization) and Trigger Word (Job) are both blank.",
            "Fill in Trigger Word, or turn the probe off.",
            "advanced.preservation_probe",
        )
    elif contains_trigger(of_class, trigger) and not (
        job.regularization.differential_output_preservation  # which says so itself
    ):
        yield Problem(
            "class_contains_trigger",
            f"Preservation Class {of_class!r} contains the trigger {trigger!r}, so class captions "
            "would call the LoRA.",
            "Name what the trigger is one of, such as photo, person or dog.",
            "regularization.preservation_class",
            params={"preservation_class": of_class, "trigger": trigger},
        )


def _early_stop_has_something_to_watch(job: JobConfig) -> Iterator[Problem]:
    panel = job.advanced
    if panel.early_stop == "validation_loss" and panel.validation == "off":
        yield Problem(
            "early_stop_without_validation",
            "Early Stop watches the validation loss, but Validation is off.",
            "Choose a held-out share or a dataset for Validation, or turn Early Stop off.",
            "advanced.early_stop",
        )
    if panel.early_stop == "preservation_drift" and not panel.preservation_probe:
        yield Problem(
            "early_stop_without_probe",
            "Early Stop watches preservation drift, but Preservation Probe is off.",
            "Turn Preservation Probe on, or turn Early Stop off.",
            "advanced.early_stop",
        )


def _checkpoints_are_measured(job: JobConfig) -> Iterator[Problem]:
    every, save_every = job.validate_every, job.save.save_every
    if not measures(job) or save_every % every == 0:
        return
    both = math.lcm(every, save_every)
    yield Problem(
        "checkpoints_not_measured",
        f"Save Every ({save_every}) is no multiple of Validate Every ({every}): only checkpoints "
        f"at multiples of {both} steps, and the last, can be marked as the best.",
        "Leave Validate Every blank, or let it divide Save Every.",
        "advanced.validate_every",
        Severity.WARNING,
        params={"validate_every": every, "save_every": save_every},
    )


VALIDATION_RULES: tuple[Callable[[JobConfig], Iterator[Problem]], ...] = (
    _validation_has_its_dataset,
    _probe_needs_trigger_and_class,
    _early_stop_has_something_to_watch,
    _checkpoints_are_measured,
)
