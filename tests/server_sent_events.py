"""What a stream of server-sent events says, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx


def events_of(answer: httpx.Response) -> Iterator[tuple[int | None, str, Any]]:
    """Number, name and data of each event; what was cut off in the middle is none."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
            continue
        if "event" in fields and "data" in fields:
            number = int(fields["id"]) if "id" in fields else None
            yield number, fields["event"], json.loads(fields["data"])
        fields = {}
