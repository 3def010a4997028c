"""`.env.example` explains every variable that the settings read, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from backend.settings import Settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"
VARIABLE = re.compile(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def variables_of_settings() -> dict[str, str]:
    """Name of the variable -> name of the field."""
    prefix = Settings.model_config.get("env_prefix", "")
    return {
        str(field.validation_alias or f"{prefix}{name}".upper()): name
        for name, field in Settings.model_fields.items()
    }


def test_the_example_lists_exactly_the_variables_that_are_read() -> None:
    explained = [name for name, _ in VARIABLE.findall(EXAMPLE.read_text())]
    assert sorted(explained) == sorted(variables_of_settings()), (
        "Explain each variable of backend/settings.py in .env.example, once, and no other."
    )


def test_every_variable_has_a_comment_before_it_and_is_off() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if not VARIABLE.match(line):
            continue
        assert line.startswith("#"), f"{line}: a copied example must change nothing by itself."
        group = lines[: number + 1]
        while group and VARIABLE.match(group[-1]):
            group.pop()
        named_after_itself = line.startswith("#DARKROOM_PORT")
        assert named_after_itself or group[-1].startswith("# "), f"{line}: say what it does."


def test_the_shown_defaults_are_the_defaults() -> None:
    fields = variables_of_settings()
    shown = dict(VARIABLE.findall(EXAMPLE.read_text()))
    for variable in ("DARKROOM_HOST", "DARKROOM_PORT", "DARKROOM_WORKER_POLL_SECONDS"):
        assert shown[variable] == str(Settings.model_fields[fields[variable]].default)
    for variable in (
        "DARKROOM_STOP_PATIENCE_SECONDS",
        "DARKROOM_KILL_PATIENCE_SECONDS",
        "DARKROOM_TRASH_DAYS",
        "DARKROOM_STALL_SECONDS",
        "DARKROOM_LOW_DISK_GIB",
    ):
        assert float(shown[variable]) == Settings.model_fields[fields[variable]].default
