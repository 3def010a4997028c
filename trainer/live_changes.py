"""Settings that change while a run goes on: which may, and what a change makes of the job.

The command `change` carries settings by dotted path. A run takes it between two steps: the whole
change or nothing of it, so that a mistake in one setting never leaves the job half-way between two
states. The API judges with the same function before it passes a change on.

What may change is what no weight depends on: how long the run trains, when it saves and how many
checkpoints it keeps, and everything about its samples. A changed total also moves the end of the
LR Schedule, from the next step on. Learning rate, batch size, preservation and guidance can change
too, but at a resume (see `resume.py`): they change what is learnt, and there the record shows from
which checkpoint on they held.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.config import JobConfig
from trainer.errors import JobRefused, Problem, Severity
from trainer.job_file import parse_job
from trainer.job_rules import cross_field_problems
from trainer.panels.sample import SamplePanel

CHANGEABLE_SETTINGS = ("training.steps", "save.save_every", "save.max_step_saves_to_keep")
CHANGEABLE_PANEL = "sample"


def changeable_settings() -> list[str]:
    """Each setting that may change, by dotted path."""
    return [
        *CHANGEABLE_SETTINGS,
        *(f"{CHANGEABLE_PANEL}.{name}" for name in SamplePanel.model_fields),
    ]


def changed_job(job: JobConfig, settings: Mapping[str, Any], *, step: int) -> JobConfig:
    """The job with the settings changed, for a run that has taken `step` steps.

    Raises JobRefused with everything wrong with the change: a setting that has to stay, a value
    outside its limits, settings that contradict each other, fewer Steps than are done.
    """
    refused = _that_have_to_stay(settings)
    if refused:
        raise JobRefused.from_problems(refused)
    changed = parse_job(with_settings(job.model_dump(mode="json"), settings))
    problems = [p for p in cross_field_problems(changed) if p.severity == Severity.ERROR]
    if changed.training.steps < step:
        problems.append(_steps_are_done(changed.training.steps, step))
    if problems:
        raise JobRefused.from_problems(problems)
    return changed


def new_warnings(before: JobConfig, after: JobConfig) -> list[Problem]:
    """What the changed job is warned of and the one before was not."""
    known = cross_field_problems(before)
    return [problem for problem in cross_field_problems(after) if problem not in known]


def with_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a job's mapping with settings put in, each at `panel.name`."""
    changed = {panel: dict(v) if isinstance(v, dict) else v for panel, v in config.items()}
    for path, value in settings.items():
        panel, _, name = path.partition(".")
        changed.setdefault(panel, {})[name] = value
    return changed


def _that_have_to_stay(settings: Mapping[str, Any]) -> list[Problem]:
    if not settings:
        return [
            Problem(
                "nothing_to_change",
                "The change names no setting.",
                f"Name one of {', '.join(CHANGEABLE_SETTINGS)}, or of the panel Sample.",
            )
        ]
    return [_has_to_stay(path) for path in settings if not _is_changeable(path)]


def _is_changeable(path: str) -> bool:
    panel, _, name = path.partition(".")
    return path in CHANGEABLE_SETTINGS or (panel == CHANGEABLE_PANEL and bool(name))


def _has_to_stay(path: str) -> Problem:
    return Problem(
        "not_while_running",
        f"{path} cannot change while the run goes on.",
        "Stop the job, change the setting, and queue it again: it goes on from where it stopped. "
        f"Without a stop, {', '.join(CHANGEABLE_SETTINGS)} and the panel Sample can change.",
        path,
        params={"changeable": [*CHANGEABLE_SETTINGS, f"{CHANGEABLE_PANEL}.*"]},
    )


def _steps_are_done(steps: int, step: int) -> Problem:
    return Problem(
        "steps_are_done",
        f"Steps cannot become {steps}: {step} are done already.",
        f"Give {step} to end now with the result, or stop the job.",
        "training.steps",
        params={"value": steps, "done": step},
    )
