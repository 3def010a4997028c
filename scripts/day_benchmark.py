"""Does a page grow that is open for a day?

    python scripts/day_benchmark.py [--write]

The real server and worker, and a trainer that tells a day of a training in minutes
(day_trainer.py): 86,400 steps with a line of the log each, samples, previews, measurements and
checkpoints. A job's page is open all the while. At every fifth of the day the trainer stands still;
the page takes in what it was told, its garbage is collected, and what is left is measured: the
JavaScript heap, the nodes of the document and the listeners on them. At the end of the day the
curve of all its steps is zoomed, smoothed and put on another scale, and how long each takes is
measured.

tests/e2e/test_a_page_that_is_open_for_a_day.py holds a shorter day to a limit. `--write` puts the
table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from darkroom_apart import Darkroom, darkroom_in
from day_trainer import FIFTHS
from ensure_browser import QUIET, ensure_browser
from event_timing import timed
from marked_page import write_part
from steps import ROOT

TRAINER = ROOT / "scripts" / "day_trainer.py"
PAGE = ROOT / "docs" / "benchmarks.md"
MARK = "a day"
SECONDS_OF_A_DAY = 86_400
STEPS_AT_ONCE = 10
PATIENCE_MS = 900_000
ROUNDS = 5
WINDOW = {"width": 1440, "height": 900}


@dataclass(frozen=True)
class Left:
    """What a page holds at a step, after its garbage was collected."""

    step: int
    heap_bytes: int
    nodes: int
    listeners: int
    pictures: int


def day_of(darkroom: Darkroom, *, steps: int, at_once: int) -> int:
    """Queue the job of such a day; its id."""
    config = {
        "job": {"training_name": "a-day", "trigger_word": f"day{at_once}", "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "training": {"steps": steps},
        "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [64]}],
        "sample": {"prompts": [{"prompt": f"[trigger], a {what}"} for what in ("fox", "lake")]},
    }
    return darkroom.post("/api/jobs", {"config": config, "queue": True})["id"]


def watch(page: Page, darkroom: Darkroom, job_id: int, steps: int) -> Iterator[Left]:
    """Open the job's page and keep it open; what it holds at each fifth."""
    page.goto(f"/jobs/{job_id}")
    run = darkroom.output / "a-day" / "runs" / "0001"
    for fifth in range(1, FIFTHS + 1):
        step = steps // FIFTHS * fifth
        told = page.get_by_text(f"{step:,} / {steps:,}", exact=True).first
        expect(told).to_be_visible(timeout=PATIENCE_MS)
        expect(page.get_by_role("log")).to_contain_text(f"step {step} of {steps}", timeout=60_000)
        yield left_at(page, step)
        (run / str(step)).touch()


def left_at(page: Page, step: int) -> Left:
    session = page.context.new_cdp_session(page)
    # Twice: what the first round lets go of may have held something itself.
    for _ in range(2):
        session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")["usedSize"]
    counted = session.send("Memory.getDOMCounters")
    session.detach()
    pictures = page.evaluate("document.images.length")
    return Left(step, heap, counted["nodes"], counted["jsEventListeners"], pictures)


def handle_the_curve(page: Page) -> dict[str, list[float]]:
    """Milliseconds until what was asked of the curve is on the screen."""
    chart = page.get_by_role("img", name="Curve of a-day")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None

    def zoom() -> None:
        y = box["y"] + box["height"] / 3
        page.mouse.move(box["x"] + box["width"] * 0.4, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.7, y, steps=4)
        page.mouse.up()

    log_scale = page.get_by_role("switch", name="Log scale")
    smoothing = page.get_by_role("slider", name="Smoothing")
    times = {
        "a logarithmic scale, and back": timed(
            page, lambda: log_scale.press("Space"), rounds=ROUNDS
        ),
        "zoom into a part": timed(page, zoom, rounds=ROUNDS),
        "another smoothing": timed(page, lambda: smoothing.press("ArrowLeft"), rounds=ROUNDS),
    }
    return times


def live_through(
    browser: Any,
    folder: Path,
    *,
    steps: int,
    at_once: int,
    at_the_end: Callable[[Page], None] = lambda page: None,
) -> Iterator[Left]:
    """A whole day, in a Darkroom of its own in `folder`."""
    trainer = f"{sys.executable} {TRAINER}"
    with darkroom_in(folder, trainer_command=trainer, worker_poll_seconds=0.05) as darkroom:
        context = browser.new_context(base_url=darkroom.address, viewport=WINDOW, locale="en-GB")
        page = context.new_page()
        yield from watch(page, darkroom, day_of(darkroom, steps=steps, at_once=at_once), steps)
        at_the_end(page)
        context.close()


def as_markdown(found: list[Left], curve: dict[str, list[float]], minutes: float) -> str:
    rows = [
        f"| {left.step / SECONDS_OF_A_DAY * 24:.1f} h, step {left.step:,} "
        f"| {left.heap_bytes / 2**20:.1f} MiB | {left.nodes:,} | {left.listeners:,} "
        f"| {left.pictures} |"
        for left in found
    ]
    head = ["| after | JavaScript heap | nodes | listeners | pictures |", "|---|---|---|---|---|"]
    times = [
        f"| {what} | {statistics.median(each):.0f} ms | {max(each):.0f} ms |"
        for what, each in curve.items()
    ]
    return "\n".join(
        [
            *head,
            *rows,
            "",
            f"The day took {minutes:.0f} minutes. Its curve, {ROUNDS} times each, until painted:",
            "",
            "| | median | longest |",
            "|---|---|---|",
            *times,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Does a page grow that is open for a day?")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args()
    began = time.monotonic()
    found: list[Left] = []
    curve: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="darkroom-day-") as folder, sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=str(ensure_browser()), args=QUIET)
        for left in live_through(
            browser,
            Path(folder),
            steps=SECONDS_OF_A_DAY,
            at_once=STEPS_AT_ONCE,
            at_the_end=lambda page: curve.update(handle_the_curve(page)),
        ):
            print(left, flush=True)
            found.append(left)
        browser.close()
    table = as_markdown(found, curve, (time.monotonic() - began) / 60)
    print(table)
    if options.write:
        write_part(PAGE, MARK, table)


if __name__ == "__main__":
    main()
