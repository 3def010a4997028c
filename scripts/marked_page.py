"""A page of docs/ of which one part is written by a program, between two markers."""

from __future__ import annotations

from pathlib import Path


class LostMarker(ValueError):
    """The page lacks a marker, so nobody knows where the text belongs."""


def replace_part(page: str, name: str, text: str) -> str:
    """The page with `text` in place of what stood between the markers of `name`.

    The markers are `<!-- name -->` and `<!-- end of name -->`. Raises LostMarker.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise LostMarker(f"A marker is missing: put {begin} and {end} where the text belongs.")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def write_part(page: Path, name: str, text: str) -> None:
    """The same in a file. Raises LostMarker."""
    page.write_text(replace_part(page.read_text(), name, text))
