"""What the job's schema refuses, as problems: the value, what is wrong with it, what would do.

The validator knows the one limit that a value broke; whoever mends it wants all of them, or the
next try breaks another. So the cure is written from the field's own schema.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from trainer.errors import Problem

_CURES = {
    "missing": "Fill it in.",
    "extra_forbidden": "Remove it, or check its spelling; docs/settings.md lists every setting.",
    "string_pattern_mismatch": "Use only what the field's help allows.",
    "literal_error": "Choose one of these.",
    "enum": "Choose one of these.",
    "too_short": "Add what is missing.",
    "too_long": "Remove what is too much.",
    "string_too_long": "Shorten it.",
    "bool_parsing": "Give true or false.",
    "bool_type": "Give true or false.",
}
_NUMBER_KINDS = {
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "multiple_of": "is not a multiple of {multiple_of}",
    "greater_than": "is not above {gt}",
    "greater_than_equal": "is below {ge}",
    "less_than": "is not below {lt}",
    "less_than_equal": "is above {le}",
}


def schema_problem(details: ErrorDetails, schema: Mapping[str, Any]) -> Problem:
    """One fault that pydantic found. schema: the whole job's JSON schema, for the limits."""
    field = ".".join(str(part) for part in details["loc"]) or None
    value = details["input"]
    kind = "missing" if value == "" else details["type"]
    context = {k: v for k, v in details.get("ctx", {}).items() if isinstance(v, int | float | str)}
    hint = _CURES.get(kind, "Give a value that the field's help allows.")
    if kind == "missing":
        message = "This setting is needed."
    elif kind == "extra_forbidden":
        message = f"There is no setting {field!r}."
    elif kind == "string_pattern_mismatch":
        message = f"{value!r} is not allowed here."
    elif kind in _NUMBER_KINDS:
        limit = {k: _plain(v) if isinstance(v, int | float) else v for k, v in context.items()}
        message = f"{_shortened(value)} {_NUMBER_KINDS[kind].format(**limit)}."
        hint = _number_cure(value, _limits(details["loc"], schema))
    else:
        message = f"{_shortened(value)}: {details['msg'][0].lower()}{details['msg'][1:]}."
    params = context | ({"value": value} if isinstance(value, int | float | str) else {})
    return Problem(code=kind, message=message, hint=hint, field=field, params=params)


def _number_cure(value: Any, limits: Mapping[str, Any]) -> str:
    """All limits of a number, and the nearest to `value` where only multiples will do."""
    step = limits.get("multipleOf")
    bounds = {
        "from": limits.get("minimum"),
        "above": limits.get("exclusiveMinimum"),
        "up to": limits.get("maximum"),
        "below": limits.get("exclusiveMaximum"),
    }
    if step is not None:
        kind = f"a multiple of {_plain(step)}"
    else:
        kind = "a whole number" if limits.get("type") == "integer" else "a number"
    words = [f"{word} {_plain(bound)}" for word, bound in bounds.items() if bound is not None]
    cure = " ".join(["Give", kind, *words])
    if isinstance(value, str) and "," in value:
        # "1,500" is 1500 to one person and 1.5 to another.
        return f"{cure}, with a point before decimals and nothing between thousands."
    near = _nearest_multiples(value, limits) if step is not None else []
    return f"{cure}, such as {' or '.join(map(str, near))}." if near else f"{cure}."


def _nearest_multiples(value: Any, limits: Mapping[str, Any]) -> list[int]:
    """The allowed multiples on either side of a number; one if it lies beyond the limits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return []
    step = limits["multipleOf"]
    lowest, highest = limits.get("minimum", -math.inf), limits.get("maximum", math.inf)
    around = {math.floor(value / step) * step, math.ceil(value / step) * step}
    return sorted({min(max(multiple, lowest), highest) for multiple in around})


def _limits(loc: Sequence[int | str], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of the schema that says what may stand at a place of the job."""
    node: Mapping[str, Any] = schema
    for part in loc:
        node = node["items"] if isinstance(part, int) else node["properties"][part]
        if "anyOf" in node:  # a number, or blank
            node = next(choice for choice in node["anyOf"] if choice.get("type") != "null")
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
