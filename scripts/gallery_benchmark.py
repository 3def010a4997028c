"""How fast a large gallery is there, in a real browser on a real server.

    python scripts/gallery_benchmark.py [--write]

Writes a finished job of 50 prompts at 10 steps into a temporary output folder (drawn shapes at
768 px, no model), lets a rescan bring it into the database, and opens its pictures in Chromium:

    first screen   from the address to the first screen of pictures, all decoded, in a browser that
                   runs already and has nothing of the page: with the thumbnails there, which the
                   worker makes as pictures are drawn, and with all of them made on the way
    memory         the page's JS heap and its pictures on the page, at the top and after the grid
                   was scrolled from one end to the other, for 50 x 10 and for 10 x 200
    live           from the last byte of a new sample on the disk to its picture decoded in the page

`--write` puts the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter, PngImagePlugin
from playwright.sync_api import Page, sync_playwright

from backend.artifacts.thumbnails import FOLDER as THUMBNAILS
from darkroom_apart import Darkroom, darkroom_in
from ensure_browser import QUIET, ensure_browser
from marked_page import write_part
from steps import ROOT
from trainer import events
from trainer.config import JobConfig
from trainer.job_file import write_job_file
from trainer.job_folder import RECIPE_CHUNK, JobFolder

SIDE_PX = 768
WINDOW = {"width": 1440, "height": 900}
PAGE = ROOT / "docs" / "benchmarks.md"
MARK = "gallery"


# --- what there is to look at --------------------------------------------------------------------


def seed_job(
    output: Path,
    name: str,
    *,
    prompts: int,
    steps: list[int],
    side_px: int = SIDE_PX,
    superseded_from: int | None = None,
    failed: tuple[int, int] | None = None,
) -> JobFolder:
    """A job that was stopped after its last step, with a picture for each prompt at each step.

    superseded_from: what its second run set aside, from this step on, stays beside what it drew
    anew. failed: step and prompt of a picture that could not be drawn.
    """
    folder = JobFolder(output, name)
    words = [f"hatchstyle {SUBJECTS[i % len(SUBJECTS)]}, view {i + 1}" for i in range(prompts)]
    config = {
        "job": {"training_name": name, "trigger_word": "hatchstyle", "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "training": {"steps": max(steps)},
        "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [128]}],
        "sample": {"prompts": [{"prompt": word} for word in words]},
    }
    write_job_file(folder.job_file, JobConfig.model_validate(config))
    runs: list[tuple[int, list[int], int | None]] = [(1, steps, None)]
    if superseded_from is not None:
        kept = [step for step in steps if step < superseded_from]
        runs.append((2, [step for step in steps if step >= superseded_from], kept[-1]))
    for number, drawn, begin in runs:
        with run_of(folder, number, begin=begin, last=max(steps)) as log:
            if begin is not None:
                _set_aside(folder, log, begin)
            for step in drawn:
                for index, prompt in enumerate(words):
                    if failed == (step, index):
                        log.append(
                            events.SampleFailed(
                                step=step,
                                prompt_index=index,
                                prompt=prompt,
                                message="OutOfMemoryError: 3.1 GiB were asked for.",
                            )
                        )
                    else:
                        log.append(draw(folder, step, index, prompt, side_px=side_px))
    return folder


SUBJECTS = ("a red circle", "a lighthouse at dusk", "two foxes in snow", "a teapot", "a harbour")


@contextmanager
def run_of(
    folder: JobFolder, number: int, *, begin: int | None, last: int
) -> Iterator[events.EventLog]:
    """A run's folder, and its events from the first to the last."""
    run = folder.run(number)
    run.path.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder.job_file, run.job_file)
    log = events.EventLog(run.events)
    log.append(
        events.RunStarted(
            training_name=folder.training_name,
            run_number=number,
            token=f"{folder.training_name}-{number}",
            process_id=1,
            host="here",
            device="cpu",
            total_steps=last,
        )
    )
    log.append(events.RunBegins(resumed_from_step=begin))
    yield log
    log.append(events.RunFinished(outcome="stopped", exit_code=3, step=last))
    log.close()


def _set_aside(folder: JobFolder, log: events.EventLog, begin: int) -> None:
    aside = folder.superseded / "0002"
    for path, step, _ in folder.sample_files():
        if step > begin:
            target = aside / path.relative_to(folder.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    log.append(events.Superseded(after_step=begin, path=folder.relative(aside)))


def draw(folder: JobFolder, step: int, index: int, prompt: str, *, side_px: int) -> events.Sample:
    """A picture that changes with prompt and step, of a photograph's weight; its event."""
    file = folder.sample(step, index)
    file.parent.mkdir(parents=True, exist_ok=True)
    recipe: dict[str, Any] = {
        "training_name": folder.training_name,
        "step": step,
        "prompt_index": index,
        "prompt": prompt,
        "seed": 42 + index,
        "width": side_px,
        "height": side_px,
        "guidance_scale": 4.0,
        "sample_steps": 25,
    }
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(RECIPE_CHUNK, json.dumps(recipe))
    hundreds = min(9, step // 100) * 100
    picture(hundreds, index, side_px).save(file, pnginfo=chunks, compress_level=1)
    return events.Sample.model_validate({**recipe, "path": folder.relative(file)})


_GRAIN: dict[int, Image.Image] = {}


@cache
def picture(step: int, index: int, side_px: int) -> Image.Image:
    """Hills under a sun, and more of them with every hundred steps."""
    hue = (index * 47) % 360
    drawn = Image.new("RGB", (side_px, side_px), f"hsl({hue}, 38%, 78%)")
    pen = ImageDraw.Draw(drawn)
    sun = side_px * (0.18 + 0.06 * (index % 4))
    centre = (side_px * (0.3 + 0.1 * (index % 5)), side_px * 0.34)
    box = (centre[0] - sun, centre[1] - sun, centre[0] + sun, centre[1] + sun)
    pen.ellipse(box, fill=f"hsl({(hue + 190) % 360}, 64%, 62%)")
    for hill in range(2 + min(9, step // 100)):
        y = side_px * (0.5 + 0.07 * hill)
        tilt = side_px * 0.12 * ((hill + index) % 3 - 1)
        shape = [(0, y + tilt), (side_px, y - tilt), (side_px, side_px), (0, side_px)]
        pen.polygon(shape, fill=f"hsl({(hue + 24 * hill) % 360}, 34%, {max(12, 58 - 6 * hill)}%)")
    if side_px not in _GRAIN:
        noise = Image.effect_noise((side_px, side_px), 40).filter(ImageFilter.GaussianBlur(1))
        _GRAIN[side_px] = noise.convert("RGB")
    return Image.blend(drawn, _GRAIN[side_px], 0.12)


# --- measuring -----------------------------------------------------------------------------------

# Resolves when every picture that the window shows is decoded.
FIRST_SCREEN = """async () => {
  // The base model's column lies over others.
  const inSight = () => [...document.querySelectorAll('[role=grid] img')].filter((image) => {
    const box = image.getBoundingClientRect();
    const base = image.closest('[role=row]').querySelector('[data-base=true]');
    const from = base?.contains(image) ? 0 : (base?.getBoundingClientRect().right ?? 0);
    return box.bottom > 0 && box.top < innerHeight && box.right > from && box.left < innerWidth;
  });
  while (inSight().length === 0) await new Promise(requestAnimationFrame);
  let images = inSight();
  do { await Promise.all(images.map((image) => image.decode())); images = inSight(); }
  while (images.some((image) => !image.complete));
  await new Promise(requestAnimationFrame);
  return { ms: performance.now(), pictures: images.length };
}"""

SCROLL_THROUGH = """async () => {
  const grid = document.querySelector('[role=grid]');
  const most = { images: 0, elements: 0 };
  const look = () => {
    most.images = Math.max(most.images, document.images.length);
    most.elements = Math.max(most.elements, document.querySelectorAll('*').length);
  };
  const frames = [];
  let last = performance.now();
  const walk = async (property, end) => {
    for (let at = 0; at <= end; at += 240) {
      grid[property] = at;
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      frames.push(now - last);
      last = now;
      look();
    }
  };
  grid.scrollLeft = 0;
  await walk('scrollTop', grid.scrollHeight - grid.clientHeight);
  await walk('scrollLeft', grid.scrollWidth - grid.clientWidth);
  frames.sort((a, b) => a - b);
  const at = (share) => frames[Math.floor(frames.length * share)];
  return { ...most, median: at(0.5), p95: at(0.95) };
}"""


def heap_mib(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return used / 2**20


def open_gallery(browser: Any, darkroom: Darkroom, job_id: int) -> tuple[Page, dict[str, Any]]:
    context = browser.new_context(base_url=darkroom.address, viewport=WINDOW)
    page = context.new_page()
    page.goto(f"/jobs/{job_id}/gallery", wait_until="commit")
    return page, page.evaluate(FIRST_SCREEN)


OPENINGS = 7


def first_screens(
    browser: Any, darkroom: Darkroom, job_id: int, *, empty: Path | None
) -> tuple[str, Page]:
    """What was measured, and the last page. empty: a folder to remove before each opening."""
    taken: list[float] = []
    page = None
    seen: dict[str, Any] = {}
    for _ in range(OPENINGS):
        if empty is not None:
            shutil.rmtree(empty, ignore_errors=True)
        if page is not None:
            page.context.close()
        page, seen = open_gallery(browser, darkroom, job_id)
        taken.append(seen["ms"] / 1000)
    assert page is not None
    taken.sort()
    said = (
        f"{taken[OPENINGS // 2]:.2f} s in the middle, {taken[-1]:.2f} s at most, of {OPENINGS}; "
        f"{seen['pictures']} pictures in sight"
    )
    return said, page


def measure() -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="darkroom-gallery-") as place:
        folder = Path(place)
        output = folder / "output"
        seed_job(output, "fifty-by-ten", prompts=50, steps=[100 * i for i in range(10)])
        many = [10 * i for i in range(200)]
        seed_job(output, "ten-by-two-hundred", prompts=10, steps=many, side_px=384)
        with darkroom_in(folder) as darkroom, sync_playwright() as playwright:
            darkroom.post("/api/system/rescan")
            jobs = {job["training_name"]: job["id"] for job in darkroom.get("/api/jobs")["items"]}
            browser = playwright.chromium.launch(executable_path=str(ensure_browser()), args=QUIET)
            # The browser's own beginning is not ours.
            first, _ = open_gallery(browser, darkroom, jobs["fifty-by-ten"])
            first.context.close()
            for name, job_id in sorted(jobs.items()):
                thumbnails = folder / "cache" / THUMBNAILS
                said, page = first_screens(browser, darkroom, job_id, empty=thumbnails)
                page.context.close()
                rows.append((f"{name}: first screen of pictures, thumbnails made on the way", said))
                said, page = first_screens(browser, darkroom, job_id, empty=None)
                rows.append((f"{name}: first screen of pictures, thumbnails there", said))
                before = heap_mib(page)
                found = page.evaluate(SCROLL_THROUGH)
                said = (
                    f"at most {found['images']} pictures and {found['elements']} elements on the "
                    f"page; heap {before:.1f} MiB before, {heap_mib(page):.1f} after; a frame "
                    f"takes {found['median']:.0f} ms, the slowest twentieth over {found['p95']:.0f}"
                )
                rows.append((f"{name}: scrolled from end to end", said))
                page.context.close()
            said = live(browser, darkroom)
            rows.append(("a sample's last byte on disk to its picture in the page", said))
            browser.close()
    return rows


LIVE_WAIT = """async (count) => {
  const pictures = () => [...document.querySelectorAll('[role=grid] img')];
  while (pictures().length < count) await new Promise(requestAnimationFrame);
  await Promise.all(pictures().map((image) => image.decode()));
  await new Promise(requestAnimationFrame);
  return performance.timeOrigin + performance.now();
}"""


def live(browser: Any, darkroom: Darkroom) -> str:
    """A real training of the tiny model is watched; each picture's time on disk is its file's."""
    config = {
        "job": {"training_name": "live", "trigger_word": "hatchstyle", "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "training": {"steps": 12},
        "save": {"save_every": 12},
        "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [64]}],
        "sample": {
            "sample_every": 2,
            "width": 256,
            "height": 256,
            "sample_steps": 2,
            "prompts": [{"prompt": "[trigger] a red circle"}],
        },
    }
    job_id = darkroom.post("/api/jobs", {"config": config, "queue": True})["id"]
    page = browser.new_context(base_url=darkroom.address, viewport=WINDOW).new_page()
    page.goto(f"/jobs/{job_id}")
    taken: list[float] = []
    folder = JobFolder(darkroom.output, "live")
    for count in range(1, 8):
        seen_ms = page.evaluate(LIVE_WAIT, count)
        file, _, _ = sorted(folder.sample_files(), key=lambda found: found[1])[count - 1]
        taken.append(seen_ms / 1000 - file.stat().st_mtime)
    page.context.close()
    taken.sort()
    middle = taken[len(taken) // 2]
    return f"{middle:.2f} s in the middle, {taken[-1]:.2f} s at most, of {len(taken)}"


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast a large gallery is there.")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    options = parser.parse_args()
    began = time.monotonic()
    rows = measure()
    lines = ["| what | measured |", "|---|---|", *(f"| {name} | {said} |" for name, said in rows)]
    table = "\n".join(lines)
    print(table)
    print(f"{time.monotonic() - began:.0f} s")
    if options.write:
        write_part(PAGE, MARK, table)


if __name__ == "__main__":
    main()
