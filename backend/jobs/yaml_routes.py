"""A job as YAML text, both ways, for an editor: a text that is no job is an answer, no error."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from backend.errors import error_responses
from backend.jobs.examine import problem_entries
from backend.jobs.schemas import JobToExamine, ProblemEntry
from backend.jobs.yaml_text import read_yaml_text, written_as_yaml

router = APIRouter(tags=["jobs"])

LONGEST_TEXT = 500_000  # characters; a job with 64 prompts has some 20,000


class YamlText(BaseModel):
    """A job as YAML."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"text": "job:\n  training_name: style\n"}}
    )
    text: str = Field(max_length=LONGEST_TEXT)


class JobInYaml(BaseModel):
    """What a text says. `config` is None where it cannot be read, and then `errors` says why."""

    config: dict[str, Any] | None
    errors: list[ProblemEntry] = Field(description="`params.line` is the line, where there is one.")
    lines: dict[str, int] = Field(description="The line of each setting, by dotted path, from 1.")


@router.post("/jobs/from-yaml", responses=error_responses())
def job_from_yaml(body: YamlText) -> JobInYaml:
    """The config that a text holds, and where in it each setting stands. Nothing is judged."""
    found = read_yaml_text(body.text)
    return JobInYaml(config=found.config, errors=problem_entries(found.problems), lines=found.lines)


@router.post("/jobs/to-yaml", responses=error_responses())
def job_to_yaml(body: JobToExamine) -> YamlText:
    """The config as a text, however incomplete it is."""
    return YamlText(text=written_as_yaml(body.config))
