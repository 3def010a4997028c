"""What a browser must load before it draws the queue, and what waits until it is needed."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

DIST = ROOT / "frontend" / "dist"
MOST_BYTES = 250_000
# An import that is not a call is followed before anything runs.
STATIC_IMPORT = re.compile(r"""(?:\bimport|\bfrom)\s*["'](\./[^"']+\.js)["']""")
LINKED = re.compile(r"""<(?:script|link)\b[^>]*?(?:src|href)=["']/([^"']+\.js)["']""")


@pytest.fixture
def first(built_pages: None) -> set[Path]:
    """The scripts that the document names, and all that they import."""
    found: set[Path] = set()
    due = [DIST / name for name in LINKED.findall((DIST / "index.html").read_text())]
    while due:
        script = due.pop().resolve()
        if script not in found:
            found.add(script)
            due += [script.parent / name for name in STATIC_IMPORT.findall(script.read_text())]
    return found


def test_the_queue_needs_less_than_250_kb_of_compressed_scripts(first: set[Path]) -> None:
    sizes = {script.name: len(gzip.compress(script.read_bytes())) for script in first}
    assert sum(sizes.values()) > 50_000, "no application is that small: the scripts were not found"
    assert sum(sizes.values()) <= MOST_BYTES, sizes


@pytest.mark.parametrize(
    "part", ["curve-chart", "yaml-editor", "job-form-page", "job-page", "gallery-page"]
)
def test_what_only_some_pages_need_comes_when_it_is_needed(first: set[Path], part: str) -> None:
    scripts = list((DIST / "assets").glob(f"{part}-*.js"))
    assert scripts, f"the build has no script for {part}"
    assert not first & {script.resolve() for script in scripts}
