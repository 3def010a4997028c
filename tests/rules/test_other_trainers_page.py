"""docs/other-trainers.md names settings that exist, and every dataset and training setting known
elsewhere has a row.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from trainer.config import JobConfig

PAGE = (Path(__file__).parents[2] / "docs" / "other-trainers.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\|.*\|.*\| ([A-Z][^|:]*): ([^|]+) \|$", re.MULTILINE)
PANELS = {
    "Job": "JobPanel",
    "Model": "ModelPanel",
    "Quantization": "QuantizationPanel",
    "Target": "TargetPanel",
    "Training": "TrainingPanel",
    "Save": "SavePanel",
    "Regularization": "RegularizationPanel",
    "Advanced": "AdvancedPanel",
    "Datasets": "Dataset",
    "Sample": "SamplePanel",
    "Sample prompt": "SamplePrompt",
}


def labels(panel: str) -> set[str]:
    definitions: dict[str, Any] = JobConfig.model_json_schema()["$defs"]
    return {field["title"] for field in definitions[PANELS[panel]]["properties"].values()}


@pytest.mark.parametrize(("panel", "label"), ROW.findall(PAGE))
def test_a_setting_that_the_page_names_is_there(panel: str, label: str) -> None:
    assert label in labels(panel), f"docs/other-trainers.md: {panel} has no {label!r}"


def test_every_row_names_a_setting_once() -> None:
    rows = ROW.findall(PAGE)
    assert len(rows) == len(set(rows)) == PAGE.count("\n| ") - 1  # the heading names none


def test_what_is_left_out_is_said_with_its_reason() -> None:
    left_out = PAGE.partition("## Left out on purpose")[2]
    for name in ("Epochs", "--no_resize_control", "xformers"):
        assert name in left_out
