"""YAML text into a config, with the line of every setting; and back.

The text comes from an editor, so that whatever is wrong with it is a problem with its line. Aliases
are refused: a few lines of them can stand for more text than memory holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from backend.db.values import is_storable
from trainer.errors import JobRefused, Problem
from trainer.job_file import parse_yaml


@dataclass(frozen=True)
class YamlJob:
    """config: None where the text cannot be read. lines: of each setting by path, from 1."""

    config: dict[str, Any] | None
    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)


def read_yaml_text(text: str) -> YamlJob:
    """The config in a text and the line of each of its settings, or why there is none."""
    try:
        alias = _line_of_first_alias(text)
        if alias is not None:
            return YamlJob(None, [_no_aliases(alias)])
        config = _as_json(parse_yaml(text, name="The text"))
        return YamlJob(config, lines=dict(_lines(yaml.compose(text, yaml.SafeLoader), "")))
    except JobRefused as refusal:
        return YamlJob(None, list(refusal.problems))
    except (ValueError, TypeError, RecursionError) as error:
        return YamlJob(None, [_no_job(error)])


def written_as_yaml(config: dict[str, Any]) -> str:
    """The config as a text, its keys in their order."""
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)


def _line_of_first_alias(text: str) -> int | None:
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                return event.start_mark.line + 1
    except yaml.YAMLError:
        pass  # parse_yaml says it with its line
    return None


def _as_json(data: dict[str, Any]) -> dict[str, Any]:
    """As it would arrive in a request: dates are texts, keys too. Raises ValueError."""
    config = json.loads(json.dumps(data, default=str, allow_nan=False))
    if not is_storable(config):
        raise ValueError(
            "it holds text that is no UTF-8, a number too large, or is nested too deep"
        )
    return config


def _lines(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = f"{path}.{key.value}" if path else str(key.value)
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            inner = f"{path}.{place}"
            yield inner, value.start_mark.line + 1
            yield from _lines(value, inner)


def _no_aliases(line: int) -> Problem:
    return Problem(
        "yaml_alias",
        f"Line {line} refers to another place with an alias.",
        "Write the value out.",
        params={"line": line},
    )


def _no_job(error: Exception) -> Problem:
    return Problem(
        "bad_yaml",
        f"The text cannot be a job: {error}.",
        "Numbers must be finite and nesting moderate.",
        params={"line": None},
    )
