"""What every list looks like: `{items, next}`; `next` goes into `after` for the next page."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """A part of a list; `next` is None at its end."""

    items: list[Item]
    next: str | None = None
