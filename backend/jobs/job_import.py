"""A job file from elsewhere into a config: ours of any machine, or AI Toolkit's.

Every key is accounted for: what was carried over, and what was not with its reason. A text that is
no job is an answer with its errors, as in the YAML editor.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from backend.errors import error_responses
from backend.jobs.blanks import with_blanks_filled
from backend.jobs.examine import problem_entries
from backend.jobs.schemas import ProblemEntry
from backend.jobs.yaml_routes import YamlText
from backend.jobs.yaml_text import read_yaml_text
from trainer.ai_toolkit import Imported, LeftOutKey, from_ai_toolkit, is_ai_toolkit
from trainer.config import JobConfig
from trainer.config_paths import take_out
from trainer.errors import JobRefused, Problem
from trainer.job_file import parse_job

router = APIRouter(tags=["jobs"])

_UNKNOWN_KEY = "extra_forbidden"  # the schema's word for a setting that it does not have


class CarriedSetting(BaseModel):
    """A value of the file and the setting that it became."""

    theirs: str
    ours: str = Field(description="Dotted path of our setting.")
    value: Any
    note: str


class SettingLeftOut(BaseModel):
    """A value of the file that became nothing."""

    theirs: str
    value: Any
    reason: str
    matters: bool = Field(description="The training, or what is seen of it, is another without.")


class ImportedJob(BaseModel):
    """What a file says, as a config; None with `errors` where it is no job file.

    `config` has only what the file says; the rest is for the defaults to fill in.
    """

    source: Literal["darkroom", "ai_toolkit"] | None
    config: dict[str, Any] | None
    errors: list[ProblemEntry]
    carried: list[CarriedSetting]
    left_out: list[SettingLeftOut]


@router.post("/jobs/import", responses=error_responses())
def import_job(body: YamlText) -> ImportedJob:
    """Translate a job file, YAML or JSON. Creates nothing."""
    read = read_yaml_text(body.text)
    if read.config is None:
        return _no_job(read.problems)
    if is_ai_toolkit(read.config):
        try:
            return _answer("ai_toolkit", from_ai_toolkit(read.config))
        except JobRefused as refusal:
            return _no_job(list(refusal.problems))
    if not set(read.config) & set(JobConfig.model_fields):
        return _no_job([_of_nobody(list(read.config))])
    return _answer("darkroom", _of_ours(read.config))


def _of_ours(config: dict[str, Any]) -> Imported:
    """The config without settings that this version does not know; what else is wrong stays."""
    found = Imported(config=config)
    while unknown := _unknown_settings(found.config):
        for problem in unknown:
            reason = f"{problem.message} {problem.hint}"
            found.leave_out(problem.field or "", problem.params.get("value"), reason)
        if not all([take_out(found.config, problem.field or "") for problem in unknown]):
            break
    return found


def _unknown_settings(config: dict[str, Any]) -> list[Problem]:
    try:
        parse_job(with_blanks_filled(config))
    except JobRefused as refusal:
        return [problem for problem in refusal.problems if problem.code == _UNKNOWN_KEY]
    return []


def _answer(source: Literal["darkroom", "ai_toolkit"], found: Imported) -> ImportedJob:
    return ImportedJob(
        source=source,
        config=found.config,
        errors=[],
        carried=[
            CarriedSetting(theirs=one.theirs, ours=one.ours, value=one.value, note=one.note)
            for one in found.carried
        ],
        left_out=[_left_out(one) for one in found.left_out],
    )


def _left_out(one: LeftOutKey) -> SettingLeftOut:
    return SettingLeftOut(
        theirs=one.theirs, value=one.value, reason=one.reason, matters=one.matters
    )


def _no_job(problems: list[Problem]) -> ImportedJob:
    errors = problem_entries(problems)
    return ImportedJob(source=None, config=None, errors=errors, carried=[], left_out=[])


def _of_nobody(keys: list[str]) -> Problem:
    named = ", ".join(keys[:5])
    return Problem(
        "no_job_file",
        f"This is neither a job file of Darkroom nor one of AI Toolkit: it begins with {named}.",
        "A job of Darkroom has panels such as job and training; one of AI Toolkit has config with "
        "a process.",
        params={"keys": keys[:5]},
    )
