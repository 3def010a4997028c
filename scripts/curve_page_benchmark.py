"""How smooth a curve of 100,000 steps is under the hand.

    python scripts/curve_page_benchmark.py [--write]

One job with that many steps in the database, and the real server. Chromium opens its page, moves
the pointer over the curve, drags over a part of it, and works the switches; how long each took is
the browser's own figure (event timing): from the press to the next frame that shows what came of
it, in steps of 8 ms.

`--write` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from backend.db.migrate import migrate
from backend.settings import Settings
from darkroom_apart import darkroom_in
from ensure_browser import QUIET, ensure_browser
from event_timing import as_markdown, timed
from marked_page import write_part
from scale_database import add_jobs
from steps import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
MARK = "curve page"
NUM_STEPS = 100_000
ROUNDS = 9
WINDOW: ViewportSize = {"width": 1280, "height": 900}

# Resolves once the curve stands on the canvas.
DRAWN_MS = """async () => {
  while (!document.querySelector('.uplot canvas')) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now();
}"""
STEPS_SHOWN = "() => document.querySelector('main').innerText.match(/Steps [\\d,]+ to [\\d,]+/)[0]"


def fill(folder: Path) -> None:
    database = folder / "darkroom.db"
    migrate(Settings(_env_file=None, database_url=f"sqlite:///{database}"))  # pyright: ignore[reportCallIssue]
    with sqlite3.connect(database) as connection:
        add_jobs(connection, 1, num_waiting=0)
        connection.execute(
            "INSERT INTO runs (id, job_id, number, token, status, worker_id, host, device,"
            " started_at, finished_at, exit_code, first_step, last_step, events_offset,"
            " log_offset, problems) VALUES (1, 1, 1, 't', 'completed', 'w', 'h', 'cpu',"
            " '2026-01-01 00:00:00', '2026-01-02 00:00:00', 0, 0, ?, 0, 0, '[]')",
            (NUM_STEPS,),
        )
        connection.executemany(
            "INSERT INTO metrics (job_id, step, run_id, loss, objective, learning_rate,"
            " gradient_norm, step_seconds) VALUES (1, ?, 1, ?, ?, 1e-4, ?, 1.0)",
            steps(),
        )
    connection.close()


def steps() -> Iterator[tuple[float, ...]]:
    chance = random.Random(1)
    for step in range(1, NUM_STEPS + 1):
        loss = 0.4 + 40 / (step + 100) + chance.random() / 10
        yield step, loss, loss, chance.random()


def measure(page: Page) -> dict[str, list[float]]:
    page.goto("/jobs/1")
    times = {"the page opened, until the curve is drawn": [page.evaluate(DRAWN_MS)]}
    chart = page.locator(".uplot .u-over")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2

    def at(share: float) -> float:
        return box["x"] + share * box["width"]

    ways = iter(range(1000))

    def move() -> None:
        page.mouse.move(at(0.1 + 0.02 * (next(ways) % 40)), middle)

    def drag() -> None:
        page.mouse.move(at(0.3), middle)
        page.mouse.down()
        page.mouse.move(at(0.6), middle)
        page.mouse.up()

    times["move the pointer over it"] = timed(page, move, rounds=5 * ROUNDS)
    whole = page.evaluate(STEPS_SHOWN)
    times["drag over a part of it"] = timed(page, drag, rounds=ROUNDS)
    part = page.evaluate(STEPS_SHOWN)
    assert part != whole, part
    page.get_by_role("slider", name="Smoothing").focus()
    times["a step of the smoothing"] = timed(
        page, lambda: page.keyboard.press("ArrowLeft"), rounds=ROUNDS
    )
    page.get_by_role("switch", name="Log scale").focus()
    times["log scale, or not"] = timed(page, lambda: page.keyboard.press("Space"), rounds=ROUNDS)
    page.get_by_role("slider", name="First step in sight").focus()
    times["a step of the zoom's slider"] = timed(
        page, lambda: page.keyboard.press("ArrowRight"), rounds=ROUNDS
    )
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description="How smooth a long curve is under the hand.")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="darkroom-curve-") as place:
        folder = Path(place)
        fill(folder)
        with darkroom_in(folder, "serve") as darkroom, sync_playwright() as tool:
            browser = tool.chromium.launch(executable_path=str(ensure_browser()), args=QUIET)
            context = browser.new_context(base_url=darkroom.address, viewport=WINDOW)
            table = as_markdown(measure(context.new_page()), of=f"{NUM_STEPS:,} steps")
            browser.close()
    print(table)
    if options.write:
        write_part(PAGE, MARK, table)


if __name__ == "__main__":
    main()
