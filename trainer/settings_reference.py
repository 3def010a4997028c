"""docs/settings.md, generated from the job schema: `python -m trainer.settings_reference`.

The schema is the only place where a setting is described; this page is one of its readings. A test
keeps the committed page current.
"""

from __future__ import annotations

from typing import Any

from trainer.config import JobConfig
from trainer.durable_write import write_text
from trainer.folders import PROJECT_FOLDER

PAGE = PROJECT_FOLDER / "docs" / "settings.md"

_HEAD = """# Settings

Every setting of a job, panel by panel, as the form, the API and a job file know it. A job file has
the panels as top-level keys. This page is generated from `trainer/config.py` by `make types`.
"""


def settings_page() -> str:
    """The whole page as Markdown."""
    schema = JobConfig.model_json_schema()
    sections = [_HEAD]
    for key, panel in schema["properties"].items():
        is_list = panel.get("type") == "array"
        model = _model_of(panel["items"] if is_list else panel, schema)
        heading = f"## {panel['title']} (`{key}`)"
        if is_list:
            heading += "\n\nA list; each entry has these settings."
        sections.append(f"{heading}\n\n{_table(model, schema)}")
    prompt = schema["$defs"]["SamplePrompt"]
    sections.append(f"### A sample prompt (`sample.prompts`)\n\n{_table(prompt, schema)}")
    return "\n".join(sections)


def _table(model: dict[str, Any], schema: dict[str, Any]) -> str:
    rows = ["| Setting | Key | Default | Values | What it does |", "|---|---|---|---|---|"]
    for key, field in model["properties"].items():
        needed = key in model.get("required", [])
        text = field.get("description", "")
        if "guides" in field:
            text += f" *Guides:* {field['guides']}"
        if "no_effect" in field:
            text += f" *No effect:* {_lowered(field['no_effect'])}"
        cells = (
            field["title"],
            f"`{key}`",
            "needed" if needed else _default(field),
            _values(field, schema),
            text,
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None or value == "":
        return field.get("placeholder", "blank")
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`"


def _values(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if "choices" in field:
        named = (
            schema["$defs"][field["$ref"].removeprefix("#/$defs/")] if "$ref" in field else field
        )
        return ", ".join(f"`{value}`" for value in named.get("enum", field["choices"]))
    kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    text = _limits(kinds[0], schema)
    if "unit" in field:
        text += f" ({field['unit']})"
    return text


def _limits(kind: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in kind:
        return "see below"
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "on, off"}
    if kind["type"] == "array":
        return f"list of {_limits(kind['items'], schema)}"
    low = kind.get("minimum", kind.get("exclusiveMinimum"))
    high = kind.get("maximum", kind.get("exclusiveMaximum"))
    text = names[kind["type"]]
    if low is not None and high is not None:
        above = "above " if "exclusiveMinimum" in kind else ""
        below = "below " if "exclusiveMaximum" in kind else ""
        text += f", {above}{low} to {below}{high}"
    return text


def _model_of(reference: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][reference["$ref"].removeprefix("#/$defs/")]


def _lowered(sentence: str) -> str:
    words = sentence.split(" ")
    is_name = len(words) > 1 and words[1][:1].isupper()
    return sentence if is_name else sentence[0].lower() + sentence[1:]


if __name__ == "__main__":
    write_text(PAGE, settings_page())
