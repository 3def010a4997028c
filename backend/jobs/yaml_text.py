"""YAML text into a config, with the line of every setting; and back.

The text comes from an editor, so that whatever is wrong with it is a problem with its line. What
would cost far more than a job does is refused before anything is built: aliases, a few lines of
which can stand for more text than memory holds; deep nesting (100,000 brackets kept the scanner for
minutes); long numbers (`1:1:1...` is one in base 60 to YAML, and took 20 s); and more values than
any job has (200,000 took 36 s).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from backend.db.values import DEEPEST, is_storable
from trainer.errors import JobRefused, Problem
from trainer.job_file import parse_yaml

MOST_PARTS = (
    20_000  # keys, values, beginnings and ends; 64 prompts with all they can say have 2,000
)
LONGEST_NUMBER = 100  # characters; 64 bits have 20 digits, and a float no more than 25 in use
_NUMBER = re.compile(r"[-+]?[0-9][0-9_:.]*")


@dataclass(frozen=True)
class YamlJob:
    """config: None where the text cannot be read. lines: of each setting by path, from 1."""

    config: dict[str, Any] | None
    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)


def read_yaml_text(text: str) -> YamlJob:
    """The config in a text and the line of each of its settings, or why there is none."""
    try:
        costly = _first_costly(text)
        if costly is not None:
            return YamlJob(None, [costly])
        config = _as_json(parse_yaml(text, name="The text"))
        return YamlJob(config, lines=dict(_lines(yaml.compose(text, yaml.SafeLoader), "")))
    except JobRefused as refusal:
        return YamlJob(None, list(refusal.problems))
    except (ValueError, TypeError, RecursionError) as error:
        return YamlJob(None, [_no_job(error)])


def written_as_yaml(config: dict[str, Any]) -> str:
    """The config as a text, its keys in their order."""
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)


def _first_costly(text: str) -> Problem | None:
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
            line = event.start_mark.line + 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                return _no_aliases(line)
            if count > MOST_PARTS:
                return _too_many(line)
            if depth > DEEPEST:
                return _too_deep(line)
            if isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
                return _too_long_a_number(line)
    except yaml.YAMLError:
        pass  # parse_yaml says it with its line
    return None


def _is_long_number(event: yaml.ScalarEvent) -> bool:
    may_be_number = (
        event.implicit[0] or event.tag is not None
    )  # quoted ones without a tag are texts
    return (
        may_be_number and len(event.value) > LONGEST_NUMBER and bool(_NUMBER.fullmatch(event.value))
    )


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


def _too_deep(line: int) -> Problem:
    return Problem(
        "bad_yaml",
        f"Line {line} is nested more than {DEEPEST} levels deep.",
        "No setting of a job is: take brackets or indentation away.",
        params={"line": line},
    )


def _too_many(line: int) -> Problem:
    return Problem(
        "bad_yaml",
        f"The text has more than {MOST_PARTS} keys and values by line {line}.",
        "The largest job has some thousand: take out what belongs to none.",
        params={"line": line},
    )


def _too_long_a_number(line: int) -> Problem:
    return Problem(
        "bad_yaml",
        f"Line {line} holds a number of more than {LONGEST_NUMBER} digits.",
        "Shorten it, or put quotes around it if it is a text.",
        params={"line": line},
    )


def _no_job(error: Exception) -> Problem:
    return Problem(
        "bad_yaml",
        f"The text cannot be a job: {error}.",
        "Numbers must be finite and nesting moderate.",
        params={"line": None},
    )
