"""What the database and JSON can hold, asked of values that come from outside."""

from __future__ import annotations

import math
from typing import Any

LARGEST_INTEGER = 2**63 - 1
DEEPEST = (
    100  # an answer is not written beyond 255, and what is stored stands some levels down in it
)


def is_storable(value: Any, *, depth: int = 0) -> bool:
    """Whether a value, and everything in it, survives SQLite and JSON.

    Not storable are numbers that are not finite (JSON has none), integers beyond 64 bits, text with
    half of a surrogate pair, which is no UTF-8, and what is nested deeper than `DEEPEST`. depth: of
    the value itself.
    """
    if depth > DEEPEST:
        return False
    match value:
        case bool() | None:
            return True
        case int():
            return abs(value) <= LARGEST_INTEGER
        case float():
            return math.isfinite(value)
        case str():
            return value.isascii() or _is_utf8(value)
        case dict():
            return all(
                is_storable(key) and is_storable(inner, depth=depth + 1)
                for key, inner in value.items()
            )
        case list() | tuple():
            return all(is_storable(inner, depth=depth + 1) for inner in value)
        case _:
            return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
