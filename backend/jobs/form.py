"""What the form is drawn from: all of it follows from the fields in `trainer/config.py`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from backend.jobs.schemas import JobSchema, PanelEntry
from trainer.config import JobConfig
from trainer.folders import PROJECT_FOLDER
from trainer.job_file import read_job_file
from trainer.live_changes import changeable_settings
from trainer.panels.quantization import QuantizationPanel
from trainer.quantization_support import kinds_for_the_cpu_only, unavailable_kinds

EXAMPLE_FILE = PROJECT_FOLDER / "examples" / "tiny-style.yaml"


@lru_cache(maxsize=1)
def job_schema() -> JobSchema:
    """Schema, panels in order, defaults, the example that ships, and what changes in mid-run."""
    return JobSchema(
        schema=_schema_for_this_machine(),
        panels=[
            PanelEntry(key=name, title=field.title or name)
            for name, field in JobConfig.model_fields.items()
        ],
        defaults=_defaults(),
        example=read_job_file(EXAMPLE_FILE) if EXAMPLE_FILE.is_file() else None,
        changeable=changeable_settings(),
    )


def _schema_for_this_machine() -> dict[str, Any]:
    """The job's schema. Choices that this machine lacks something for say what, by value: under
    `unavailable` where it can run them nowhere, under `limited` where not on every device.
    """
    schema = JobConfig.model_json_schema()
    said = {"unavailable": unavailable_kinds(), "limited": kinds_for_the_cpu_only()}
    for field in schema["$defs"][QuantizationPanel.__name__]["properties"].values():
        for key, reasons in said.items():
            if reasons and set(reasons) <= set(field.get("enum", ())):
                field[key] = reasons
    return schema


def _defaults() -> dict[str, Any]:
    """A job with every default; the two settings that have none are blank."""
    named = {"job": {"training_name": "x"}, "datasets": [{"target_dataset": "x"}]}
    defaults = JobConfig.model_validate(named).model_dump(mode="json")
    defaults["job"]["training_name"] = ""
    defaults["datasets"][0]["target_dataset"] = ""
    return defaults
