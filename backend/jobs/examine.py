"""The door as the API sees it: the trainer's own judgement, and what is known only here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from backend.jobs.schemas import ProblemEntry, Verdict
from backend.settings import Settings
from trainer.config import JobConfig
from trainer.door import examine_job
from trainer.errors import Problem, Severity
from trainer.job_folder import JobFolder


@dataclass(frozen=True)
class Examined:
    """The job, if its schema is met, and every problem found."""

    job: JobConfig | None
    errors: list[Problem]
    warnings: list[Problem]


def examine(config: dict[str, Any], settings: Settings) -> Verdict:
    """What queueing this config as a new job would say."""
    found = examine_config(config, settings, is_new=True)
    return Verdict(
        valid=not found.errors,
        errors=problem_entries(found.errors),
        warnings=problem_entries(found.warnings),
    )


def examine_config(config: dict[str, Any], settings: Settings, *, is_new: bool) -> Examined:
    """Everything wrong with a config. Reads the datasets' headers: outside of any session."""
    verdict = examine_job(config, settings.folders)
    warnings = list(verdict.warnings)
    if is_new and verdict.job is not None:
        warnings += _goes_on_from_an_older_folder(verdict.job, settings)
    return Examined(verdict.job, verdict.errors, warnings)


def _goes_on_from_an_older_folder(job: JobConfig, settings: Settings) -> list[Problem]:
    name = job.job.training_name
    steps = JobFolder(settings.output_dir, name).checkpoint_steps()
    if not steps:
        return []
    return [
        Problem(
            code="goes_on_from_folder",
            message=f"The output folder {name} holds checkpoints up to step {steps[-1]} of an "
            "earlier training; this job goes on from there.",
            hint="Choose another training name to start from step 0.",
            field="job.training_name",
            severity=Severity.WARNING,
            params={"step": steps[-1]},
        )
    ]


def problem_entries(problems: Iterable[Problem]) -> list[ProblemEntry]:
    """Problems in the wire form."""
    return [ProblemEntry.model_validate(problem.as_dict()) for problem in problems]
