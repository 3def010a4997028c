"""A part of a page that a program writes: replaced alone, and never guessed at."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def marked_page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import marked_page

    return marked_page


def test_only_what_stands_between_the_markers_is_replaced(marked_page: ModuleType) -> None:
    page = "before\n<!-- it -->\nold\n<!-- end of it -->\nafter\n"
    written = marked_page.replace_part(page, "it", "new")
    assert written == "before\n<!-- it -->\n\nnew\n<!-- end of it -->\nafter\n"
    assert marked_page.replace_part(written, "it", "new") == written


def test_a_page_without_a_marker_is_refused_and_not_written(
    marked_page: ModuleType, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- it --> and no end")
    with pytest.raises(marked_page.LostMarker, match="<!-- end of it -->"):
        marked_page.write_part(page, "it", "new")
    assert page.read_text() == "<!-- it --> and no end"
