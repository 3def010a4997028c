"""How long the queue's page takes to answer with a thousand jobs on it.

    python scripts/queue_page_benchmark.py [--write]

A database of 1,000 jobs, every one of them shown in the list, and the real server; no worker, so
that nothing else happens. Chromium presses keys and buttons; how long each took is the browser's
own figure (event timing): from the press to the next frame that shows what came of it, in steps of
8 ms.

`--write` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page, ViewportSize, expect, sync_playwright

from backend.db.migrate import migrate
from backend.settings import Settings
from darkroom_apart import darkroom_in
from ensure_browser import QUIET, ensure_browser
from event_timing import as_markdown, timed
from marked_page import write_part
from scale_database import add_jobs
from steps import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
MARK = "queue page"
NUM_JOBS = 1_000
NUM_WAITING = 12
ROUNDS = 7
WINDOW: ViewportSize = {"width": 1280, "height": 900}


def fill(folder: Path) -> None:
    database = folder / "darkroom.db"
    migrate(Settings(_env_file=None, database_url=f"sqlite:///{database}"))  # pyright: ignore[reportCallIssue]
    with sqlite3.connect(database) as connection:
        add_jobs(connection, NUM_JOBS, num_waiting=NUM_WAITING)
    connection.close()


def show_all(page: Page) -> None:
    """Press Show more until there is no more."""
    finished = section(page, "Finished")
    more = finished.get_by_role("button", name="Show more")
    rows = finished.get_by_role("article")
    expect(rows.first).to_be_visible(timeout=30_000)
    while more.count():
        shown = rows.count()
        more.click()
        expect(rows.nth(shown)).to_be_attached(timeout=30_000)
    expect(rows).to_have_count(NUM_JOBS - NUM_WAITING)
    page.evaluate("window.scrollTo(0, 0)")


def section(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def press(target: Locator) -> None:
    """Press in its middle. `click` would look through the whole page before the next frame."""
    box = target.bounding_box()
    assert box is not None
    target.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def measure(page: Page) -> dict[str, list[float]]:
    page.goto("/")
    show_all(page)
    waiting = section(page, "Waiting")
    one = waiting.get_by_role("checkbox").nth(1)
    everything = page.get_by_role("checkbox", name="Choose all jobs shown under Finished")
    handle = waiting.get_by_role("button", name="Move ").nth(3)
    search = page.get_by_role("searchbox")

    times = {
        "choose a job, or no longer": timed(page, lambda: press(one), rounds=ROUNDS),
        f"choose all {NUM_JOBS - NUM_WAITING} of a section, or none": timed(
            page, lambda: press(everything), rounds=ROUNDS
        ),
    }
    handle.focus()
    times["move a waiting job by a key"] = timed(
        page, lambda: page.keyboard.press("ArrowDown"), rounds=ROUNDS
    )
    menu = waiting.get_by_role("button", name="More actions").first

    times["open a job's menu, or close it"] = timed(page, lambda: press(menu), rounds=ROUNDS)
    expect(page.get_by_role("menu")).to_be_visible()  # an odd number of times
    page.keyboard.press("Escape")
    search.focus()
    letters = iter("style-000")
    times["a letter of a search"] = timed(
        page, lambda: page.keyboard.press(next(letters)), rounds=ROUNDS
    )
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="How long the queue's page takes to answer.")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-queue-") as place:
        folder = Path(place)
        fill(folder)
        with darkroom_in(folder, "serve") as darkroom, sync_playwright() as tool:
            browser = tool.chromium.launch(executable_path=str(ensure_browser()), args=QUIET)
            context = browser.new_context(base_url=darkroom.address, viewport=WINDOW)
            table = as_markdown(measure(context.new_page()))
            browser.close()
    print(table)
    if options.write:
        write_part(PAGE, MARK, table)


if __name__ == "__main__":
    main()
