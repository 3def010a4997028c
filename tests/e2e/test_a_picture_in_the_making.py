"""A picture is watched while it is drawn: a preview appears, advances, and becomes the picture."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import Darkroom, PageWithoutErrors, darkroom_in
from tests.e2e.test_everybody_can_use_the_pages import REFUSALS, STAND_IN, config_of, look_at
from trainer.job_folder import JobFolder, RunFolder

NAME = "ink-painting"
# The colours of the stand-in's previews: 30 times the denoising steps that are done, then 99, 99.
COLOUR = """(image) => {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 1;
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


@pytest.fixture
def darkroom(tmp_path: Path, built_pages: None) -> Iterator[Darkroom]:
    trainer = f"{sys.executable} {STAND_IN}"
    with darkroom_in(tmp_path, trainer_command=trainer, worker_poll_seconds=0.1) as running:
        yield running


@pytest.mark.slow
def test_a_preview_appears_advances_and_is_replaced_by_the_picture(
    browser: Browser, darkroom: Darkroom, wait_for: Callable[..., Any]
) -> None:
    job_id = darkroom.post("/api/jobs", {"config": config_of(NAME, "painting")})["id"]
    with PageWithoutErrors(
        browser, darkroom.address, expected=REFUSALS, bypass_csp=True, reduced_motion="reduce"
    ) as page:
        # The page of its own, on which there is nothing yet: it is there before the run begins.
        page.goto(f"/jobs/{job_id}/gallery")
        expect(page.get_by_text("No pictures yet")).to_be_visible()
        darkroom.post(f"/api/jobs/{job_id}/queue")
        run = JobFolder(darkroom.output, NAME).run(1)

        assert_it_shows(page, done=3, wait_for=wait_for)
        let_it_go_on(run, done=3)
        assert_it_shows(page, done=7, wait_for=wait_for)
        look_at(page)
        let_it_go_on(run, done=7)

        drawn = page.get_by_role("button", name="Open prompt 1, base").get_by_role("img")
        expect(drawn).to_be_visible()
        expect(page.get_by_role("progressbar", name="Drawing")).to_have_count(0)
        wait_for(lambda: drawn.evaluate(COLOUR) == [0, 0, 1], "the picture itself")


def assert_it_shows(page: Page, *, done: int, wait_for: Callable[..., Any]) -> None:
    bar = page.get_by_role("progressbar", name="Drawing")
    expect(bar).to_have_attribute("aria-valuenow", str(done))
    expect(cell_of(page)).to_contain_text(f"{done} / 10")
    image = cell_of(page).locator("img")
    wait_for(
        lambda: image.evaluate("(image) => image.complete && image.naturalWidth === 4"),
        "the preview's file",
    )
    assert image.evaluate(COLOUR) == [done * 30, 99, 99], "the preview of this moment"


def cell_of(page: Page) -> Locator:
    """The place of prompt 1 at the base model's column."""
    return page.get_by_role("row").nth(1).get_by_role("gridcell").first


def let_it_go_on(run: RunFolder, *, done: int) -> None:
    (run.path / f"go-{done}").touch()
