"""`make screenshots`: draw the pictures of the pages that README and docs show.

Starts a Darkroom in a temporary folder, trains the example job to its end, and writes the pictures
of FORM_SHOTS and JOB_SHOTS into docs/images/. What the pages show follows from the job's seed; only
times of day and durations differ from one call to the next.

    --steps N         a shorter training, to try this program itself; not for pictures to be kept
    --output FOLDER   another place than docs/images
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from darkroom_apart import Darkroom, DidNotStart, darkroom_in
from ensure_browser import QUIET, ensure_browser
from steps import ROOT

EXAMPLE = ROOT / "examples" / "tiny-style.yaml"
IMAGES = ROOT / "docs" / "images"

TRAINING_SECONDS = 3600  # four minutes on a free processor, and patience for a busy one
DESKTOP = (1280, 1200)
DESKTOP_WITH_CURVE = (1280, 1850)  # down to the end of the curve, below the samples
PHONE = (390, 844)
QUALITY = 90  # of WebP: a fifth of the bytes of a PNG, and the letters are as sharp

expect.set_options(timeout=30_000)


@dataclass(frozen=True)
class Shot:
    """A picture: which page, in which light, how large, and what must be in sight before."""

    file: str
    path: str
    scheme: Literal["light", "dark"]
    size: tuple[int, int]
    ready: Callable[[Page], None]
    pixel_ratio: int = 1


class TrainingFailed(Exception):
    """The example did not complete; its status and error are the message."""


# Pictures below the window are loaded when they come near it; here all of them at once.
PICTURES_DRAWN = """() => Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  return image.decode();
}))"""


def job_is_drawn(page: Page) -> None:
    expect(page.get_by_role("button", name="Open prompt 1, base")).to_be_visible()
    expect(page.get_by_role("img", name="Curve of tiny-style")).to_be_visible()
    page.evaluate(PICTURES_DRAWN)


def form_is_checked(page: Page) -> None:
    expect(page.get_by_text("Ready to queue").first).to_be_visible()
    page.evaluate(PICTURES_DRAWN)


JOB = "/jobs/1"
FORM = "/jobs/new?from=example"
# The form before the training, while the name of the example is still free.
FORM_SHOTS = [
    Shot("form.webp", FORM, "dark", DESKTOP, form_is_checked),
    Shot("form-light.webp", FORM, "light", DESKTOP, form_is_checked),
]
JOB_SHOTS = [
    Shot("job.webp", JOB, "dark", DESKTOP_WITH_CURVE, job_is_drawn),
    Shot("job-light.webp", JOB, "light", DESKTOP_WITH_CURVE, job_is_drawn),
    Shot("phone-job.webp", JOB, "dark", PHONE, job_is_drawn, pixel_ratio=2),
]


def main() -> None:
    options = parse_options()
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="darkroom-") as folder,
            darkroom_in(Path(folder)) as darkroom,
        ):
            draw_all(FORM_SHOTS, darkroom, options.output)
            train_example(darkroom, options.steps)
            draw_all(JOB_SHOTS, darkroom, options.output)
    except (DidNotStart, TrainingFailed) as error:
        sys.exit(str(error))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw the pictures of the pages for the docs.")
    parser.add_argument("--steps", type=int, metavar="N", help="a shorter training, as a trial")
    parser.add_argument("--output", type=Path, default=IMAGES, metavar="FOLDER")
    options = parser.parse_args()
    if options.steps is not None and options.steps < 1:
        parser.error(f"--steps {options.steps}: a training has at least one step")
    return options


def train_example(darkroom: Darkroom, steps: int | None) -> None:
    """Queue the example and wait for its end. Raises TrainingFailed."""
    config = yaml.safe_load(EXAMPLE.read_text())
    if steps is not None:
        shorten(config, steps)
    job_id = darkroom.post("/api/jobs", {"config": config, "queue": True})["id"]
    assert f"/jobs/{job_id}" == JOB
    deadline = time.monotonic() + TRAINING_SECONDS
    said = ""
    while (job := darkroom.get(f"/api/jobs/{job_id}"))["status"] != "completed":
        if job["status"] in ("failed", "interrupted", "stopped") or time.monotonic() > deadline:
            raise TrainingFailed(f"The example is {job['status']}: {job['error']}")
        now = f"  {job['phase'] or job['status']}, step {job['step']} of {job['total_steps']}"
        if now != said and (job["step"] % 10 == 0):
            print(now, flush=True)
            said = now
        time.sleep(1)


def shorten(config: dict[str, Any], steps: int) -> None:
    """As many columns of pictures and as many checkpoints, in fewer steps."""
    share = steps / config["training"]["steps"]
    config["training"]["steps"] = steps
    for panel, name in (("sample", "sample_every"), ("save", "save_every")):
        config[panel][name] = max(1, round(config[panel][name] * share))


def draw_all(shots: list[Shot], darkroom: Darkroom, output: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(ensure_browser()), args=QUIET)
        for shot in shots:
            file = output / shot.file
            draw(browser, darkroom, shot, file)
            print(f"  {file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}", flush=True)
        browser.close()


def draw(browser: Browser, darkroom: Darkroom, shot: Shot, file: Path) -> None:
    """One picture, in a profile of its own, with nothing that moves or blinks."""
    width, height = shot.size
    context = browser.new_context(
        base_url=darkroom.address,
        viewport={"width": width, "height": height},
        device_scale_factor=shot.pixel_ratio,
        color_scheme=shot.scheme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    page = context.new_page()
    page.goto(shot.path)
    shot.ready(page)
    pixels = page.screenshot(animations="disabled", caret="hide")
    context.close()
    with Image.open(io.BytesIO(pixels)) as picture:
        picture.convert("RGB").save(file, quality=QUALITY, method=6)


if __name__ == "__main__":
    main()
