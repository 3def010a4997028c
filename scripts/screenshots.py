"""`make screenshots`: draw the pictures of the pages that README and docs show.

Starts a Darkroom in a temporary folder, trains the example job to its end, draws with its result,
lets other jobs wait, run and fail beside it, and draws each page of PAGES in each view of VIEWS
into docs/images/. The first visit and the question for the token are drawn in a Darkroom of their
own each. What the pages show follows from the jobs' seeds; only times, and how far the running job
is, differ from one call to the next.

    --steps N         a shorter training, to try this program itself; not for pictures to be kept
    --folder FOLDER   keep the jobs there: a second call with it draws anew without training
    --only NAME ...   some of the pages
    --output FOLDER   another place than docs/images
"""

import argparse
import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from darkroom_apart import Darkroom, DidNotStart, darkroom_in
from ensure_browser import QUIET, ensure_browser
from pictured_jobs import DRAFT_ID, EXAMPLE_ID, TrainingFailed, darkroom_with_jobs
from steps import ROOT

IMAGES = ROOT / "docs" / "images"
QUALITY = 80  # of WebP: a tenth of the bytes of a PNG, and the letters are as sharp

expect.set_options(timeout=10_000)


@dataclass(frozen=True)
class View:
    """In which light a page is drawn, and on what: each page has a file for each view."""

    suffix: str
    scheme: Literal["light", "dark"]
    width: int
    pixel_ratio: int = 1

    @property
    def is_phone(self) -> bool:
        return self.width < 600


VIEWS = [
    View("", "dark", 1280),
    View("-light", "light", 1280),
    View("-phone", "dark", 390, pixel_ratio=2),
]
PHONE_HEIGHT = 844


Place = Literal["with-jobs", "empty", "locked"]
PLACES: tuple[Place, ...] = get_args(Place)


@dataclass(frozen=True)
class Shot:
    """A page: where it is, what must be done and in sight before, and how much of it is drawn.

    `ready` answers with the part to be drawn; with nothing, it is the window. `place` is the
    Darkroom that has it: one with jobs, one without any, or one that asks for its token.
    """

    name: str
    path: str
    ready: Callable[[Page], Locator | None]
    height: int = 1000
    place: Place = "with-jobs"


# Pictures below the window are loaded when they come near it; here all of them at once. One that a
# newer has replaced meanwhile is no matter.
PICTURES_DRAWN = """() => Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  const { src } = image;
  return image.decode().catch(() => {
    if (image.isConnected && image.src === src) throw new Error(`cannot be drawn: ${src}`);
  });
}))"""


def form_is_checked(page: Page) -> None:
    page.get_by_role("textbox", name="Training Name").fill("hatching")
    expect(page.get_by_text("Ready to queue").first).to_be_visible()
    expect(page.get_by_role("region", name="Memory plan")).to_be_attached()
    page.get_by_role("heading", name="Memory plan").click()
    page.evaluate(PICTURES_DRAWN)


def complete_form_is_checked(page: Page) -> None:
    page.get_by_text("All settings", exact=True).click()
    form_is_checked(page)
    page.evaluate("document.querySelector('#panel-training').scrollIntoView()")


def yaml_is_drawn(page: Page) -> None:
    page.get_by_role("textbox", name="Training Name").fill("hatching")
    page.get_by_text("As YAML", exact=True).click()
    expect(page.get_by_role("textbox", name="The job as YAML")).to_have_value(
        re.compile("training_name: hatching")
    )
    page.evaluate("window.scrollTo(0, 0)")


def job_is_drawn(page: Page) -> None:
    expect(page.get_by_role("button", name="Open prompt 1, base")).to_be_visible()
    expect(page.get_by_role("img", name="Curve of tiny-style")).to_be_visible()
    page.evaluate(PICTURES_DRAWN)


def gallery_is_drawn(page: Page) -> None:
    expect(page.get_by_role("button", name="Open prompt 1, base")).to_be_visible()
    page.evaluate(PICTURES_DRAWN)


def picture_is_opened(page: Page) -> None:
    gallery_is_drawn(page)
    page.get_by_role("button", name="Open prompt 2, step").last.click()
    expect(page.get_by_role("region", name="All steps of the prompt")).to_be_visible()
    page.evaluate(PICTURES_DRAWN)


def two_are_compared(page: Page) -> None:
    picture_is_opened(page)
    page.get_by_text("Side by side", exact=True).click()
    page.evaluate(PICTURES_DRAWN)


def lora_is_tried(page: Page) -> None:
    expect(page.get_by_text("The form is set for").first).to_be_visible()
    page.goto("/try")  # what it was filled with stays, and the notice of it goes
    page.get_by_role("link", name="Open drawing-0001").click()
    expect(page.get_by_role("button", name="Open prompt 1, base").first).to_be_visible()
    expect(page.get_by_text("Ready to draw")).to_be_visible()
    page.evaluate(PICTURES_DRAWN)
    page.evaluate("window.scrollTo(0, 0)")


def checkpoints_are_drawn(page: Page) -> Locator:
    job_is_drawn(page)
    return page.get_by_role("region", name="Checkpoints")


def jobs_are_compared(page: Page) -> None:
    expect(page.get_by_text("Linear Rank").first).to_be_visible()


def queue_is_drawn(page: Page) -> None:
    for section in ("Running", "Waiting", "Scheduled", "Drafts", "Finished"):
        expect(page.get_by_role("region", name=section, exact=True)).to_be_visible()
    page.get_by_role("button", name="What helps").first.click()
    expect(page.get_by_role("list", name="What helps")).to_be_visible()
    page.evaluate("window.scrollTo(0, 0)")
    page.evaluate(PICTURES_DRAWN)


def trash_is_drawn(page: Page) -> None:
    expect(page.get_by_role("button", name="Remove for good: first-try")).to_be_visible()


def system_is_drawn(page: Page) -> None:
    expect(page.get_by_role("heading", name="Folders")).to_be_visible()


def first_visit_is_drawn(page: Page) -> None:
    expect(page.get_by_role("heading", name="Teach FLUX.2 your own style")).to_be_visible()
    expect(page.get_by_role("link", name="Open the example job")).to_be_visible()


def token_is_asked_for(page: Page) -> None:
    expect(page.get_by_role("heading", name="This Darkroom is locked")).to_be_visible()
    page.evaluate(PICTURES_DRAWN)


FORM = "/jobs/new?from=example"
JOB = f"/jobs/{EXAMPLE_ID}"
PAGES = [
    Shot("queue", "/", queue_is_drawn, 1700),
    Shot("form", FORM, form_is_checked, 1200),
    Shot("form-complete", FORM, complete_form_is_checked, 1200),
    Shot("form-yaml", FORM, yaml_is_drawn, 1200),
    Shot("job", JOB, job_is_drawn, 1850),  # down to the end of the curve, below the samples
    Shot("gallery", f"{JOB}/gallery", gallery_is_drawn),
    Shot("filmstrip", f"{JOB}/gallery", picture_is_opened, 860),
    Shot("two-pictures", f"{JOB}/gallery", two_are_compared, 860),
    Shot("checkpoints", JOB, checkpoints_are_drawn, 1850),
    Shot("try-it", f"/try?job={EXAMPLE_ID}", lora_is_tried, 1200),
    Shot("compare", f"{JOB}/compare?with={DRAFT_ID}", jobs_are_compared, 700),
    Shot("trash", "/trash", trash_is_drawn, 560),
    Shot("system", "/system", system_is_drawn, 1200),
    Shot("first-visit", "/", first_visit_is_drawn, 900, place="empty"),
    Shot("token", "/", token_is_asked_for, 700, place="locked"),
]


def main() -> None:
    options = parse_options()
    options.output.mkdir(parents=True, exist_ok=True)
    pages = [shot for shot in PAGES if options.only is None or shot.name in options.only]
    try:
        with options.folder or tempfile.TemporaryDirectory(prefix="darkroom-") as folder:
            for place in PLACES:
                here = [shot for shot in pages if shot.place == place]
                if here:
                    with darkroom_of(place, Path(folder), options.steps) as darkroom:
                        draw_all(here, darkroom, options.output)
    except (DidNotStart, TrainingFailed) as error:
        sys.exit(str(error))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw the pictures of the pages for the docs.")
    parser.add_argument("--steps", type=int, metavar="N", help="a shorter training, as a trial")
    parser.add_argument("--folder", type=kept_folder, metavar="FOLDER", help="keep the jobs there")
    parser.add_argument("--only", nargs="+", choices=[shot.name for shot in PAGES], metavar="NAME")
    parser.add_argument("--output", type=Path, default=IMAGES, metavar="FOLDER")
    options = parser.parse_args()
    if options.steps is not None and options.steps < 1:
        parser.error(f"--steps {options.steps}: a training has at least one step")
    return options


def kept_folder(path: str) -> AbstractContextManager[str]:
    Path(path).mkdir(parents=True, exist_ok=True)
    return nullcontext(str(Path(path).resolve()))


@contextmanager
def darkroom_of(place: Place, folder: Path, steps: int | None) -> Iterator[Darkroom]:
    """One level down: at its end a Darkroom ends what has its folder in its command line."""
    if place == "with-jobs":
        with darkroom_with_jobs(folder / "darkroom", steps) as darkroom:
            yield darkroom
        return
    own = folder / place
    own.mkdir(exist_ok=True)
    settings = {"token": "asked-for-and-never-given"} if place == "locked" else {}
    with darkroom_in(own, **settings) as darkroom:
        yield darkroom


def draw_all(pages: list[Shot], darkroom: Darkroom, output: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(ensure_browser()), args=QUIET)
        for shot in pages:
            for view in VIEWS:
                file = output / f"{shot.name}{view.suffix}.webp"
                draw(browser, darkroom, shot, view, file)
                shown = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
                print(f"  {shown}", flush=True)
        browser.close()


def draw(browser: Browser, darkroom: Darkroom, shot: Shot, view: View, file: Path) -> None:
    """One picture, in a profile of its own, with nothing that moves or blinks."""
    height = PHONE_HEIGHT if view.is_phone else shot.height
    context = browser.new_context(
        base_url=darkroom.address,
        viewport={"width": view.width, "height": height},
        device_scale_factor=view.pixel_ratio,
        color_scheme=view.scheme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    page = context.new_page()
    page.goto(shot.path)
    part = shot.ready(page) or page
    pixels = part.screenshot(animations="disabled", caret="hide")
    context.close()
    with Image.open(io.BytesIO(pixels)) as picture:
        picture.convert("RGB").save(file, quality=QUALITY, method=6)


if __name__ == "__main__":
    main()
