"""Job files: YAML to JobConfig and back, with every fault named at its field."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from trainer.config import JobConfig
from trainer.durable_write import write_text
from trainer.errors import JobRefused
from trainer.panels.field import Panel
from trainer.schema_refusals import schema_problem


def read_job_file(path: Path) -> JobConfig:
    """The job in a YAML file. Raises JobRefused with everything that is wrong with it."""
    return parse_job(read_yaml(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, unchecked. Raises JobRefused."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise JobRefused(
            f"There is no job file {path}.", "Check the path.", code="no_job_file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise JobRefused(
            f"The job file {path} cannot be read: {error}.",
            "It must be a UTF-8 text file.",
            code="bad_job_file",
        ) from error
    return parse_yaml(text, name=str(path))


def parse_yaml(text: str, *, name: str = "the job") -> dict[str, Any]:
    """The mapping in a YAML text, unchecked. Raises JobRefused with the line of a fault."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise JobRefused(
            f"{name} is not valid YAML{where}: {problem}.",
            "Check indentation and quotes there.",
            code="bad_yaml",
            params={"line": mark.line + 1 if mark else None},
        ) from error
    # What the loader lets through of its own: a 13th month is a ValueError, `!!bool x` a KeyError,
    # a long number in base 60 an OverflowError.
    except (
        *(ValueError, TypeError, LookupError, AttributeError),
        *(OverflowError, RecursionError),
    ) as error:
        raise JobRefused(
            f"{name} holds a value that is none: {type(error).__name__}: {error}.",
            "Put quotes around texts that look like a date or a number; nesting must be moderate.",
            code="bad_yaml",
            params={"line": None},
        ) from error
    if not isinstance(data, dict):
        raise JobRefused(
            f"{name} holds {type(data).__name__ if data is not None else 'nothing'}, not a job.",
            "A job file has the panels as top-level keys: job, model, quantization, target, "
            "training, save, regularization, advanced, datasets, sample.",
            code="bad_job_file",
        )
    return cast(dict[str, Any], data)


def parse_job(data: Mapping[str, Any]) -> JobConfig:
    """The job in a mapping. Raises JobRefused with one Problem for each field at fault."""
    try:
        return JobConfig.model_validate(data)
    except ValidationError as error:
        problems = [
            schema_problem(details, _job_schema()) for details in error.errors(include_url=False)
        ]
        raise JobRefused.from_problems(problems) from error


def job_yaml(job: Panel) -> str:
    """The job as a YAML text, panels and fields in the form's order; or a drawing."""
    data = job.model_dump(mode="json")
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)


def write_job_file(path: Path, job: Panel) -> None:
    """Write the job, or a drawing, as YAML, whole or not at all."""
    write_text(path, job_yaml(job))


@cache
def _job_schema() -> dict[str, Any]:
    return JobConfig.model_json_schema()
