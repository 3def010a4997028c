"""From an empty Darkroom to a trained job and back again, without a mouse.

The stand-in trainer waits half-way for commands, so that nothing has to be waited for but the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import ROOT, Darkroom, PageWithoutErrors, darkroom_in

STAND_IN = ROOT / "tests" / "stand_in_trainer.py"
# More than any page has stops: the form has the most, a few for each of its settings.
MOST_TABS = 250


@pytest.fixture
def empty(tmp_path: Path, built_pages: None) -> Iterator[Darkroom]:
    """A Darkroom in which nothing was trained yet."""
    trainer = f"{sys.executable} {STAND_IN}"
    with darkroom_in(tmp_path, trainer_command=trainer, worker_poll_seconds=0.1) as darkroom:
        yield darkroom


@pytest.mark.long
def test_a_first_visit_leads_to_a_trained_job_by_keys_alone(
    browser: Browser, empty: Darkroom
) -> None:
    with PageWithoutErrors(browser, empty.address, reduced_motion="reduce") as page:
        start_the_example(page)
        watch_save_and_look(page)
        stop_and_think_of_resuming(page)
        delete_and_take_back(page)


def start_the_example(page: Page) -> None:
    expect(page.get_by_role("heading", name="Teach FLUX.2 your own style")).to_be_visible()
    steps = page.get_by_role("region", name="Teach FLUX.2 your own style").get_by_role("listitem")
    expect(steps.get_by_role("heading")).to_have_text(
        ["Bring pictures", "Fill in a job", "Watch it learn"]
    )
    press(page, page.get_by_role("link", name="Open the example job"), "Enter")
    expect(page.get_by_text("Ready to queue").first).to_be_visible()

    go_to(page, page.get_by_role("textbox", name="Trigger Word"))
    page.keyboard.press("Control+A")
    page.keyboard.type("wait")
    choose_by_arrow(page, page.get_by_role("radio", name="All settings"))
    press(page, page.get_by_role("switch", name="Low VRAM"), "Space")
    expect(page.get_by_role("switch", name="Low VRAM")).to_be_checked()
    # The last prompt of the example has no trigger, which the stand-in does not mind.
    press(page, page.get_by_role("button", name="Queue job"), "Enter")
    expect(page.get_by_role("heading", name="tiny-style")).to_be_visible()


def watch_save_and_look(page: Page) -> None:
    press(page, page.get_by_role("button", name="Sample now"), "Enter")
    picture = page.get_by_role("button", name=re.compile(r"^Open prompt 1, step \d+")).first
    expect(picture).to_be_visible()
    # The grid is one stop of Tab; arrows move inside it.
    press(page, page.get_by_role("button", name="Open prompt 1, base"), "ArrowRight")
    expect(picture).to_be_focused()
    page.keyboard.press("Enter")
    box = page.get_by_role("dialog", name="Sample")
    expect(box).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(box.get_by_role("img", name=re.compile("green heart")).first).to_be_visible()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()

    press(page, page.get_by_role("switch", name="Log scale"), "Space")
    expect(page.get_by_role("switch", name="Log scale")).to_be_checked()
    press(page, page.get_by_role("button", name="Save now"), "Enter")
    expect(
        page.get_by_role("link", name=re.compile("^Download the LoRA of step")).first
    ).to_be_visible()


def stop_and_think_of_resuming(page: Page) -> None:
    press(page, page.get_by_role("button", name="Stop", exact=True).first, "Enter")
    expect(page.get_by_text("Stopped", exact=True).first).to_be_visible()
    choose = page.get_by_role("button", name="Go on from a step…")
    press(page, choose, "Enter")
    expect(page.get_by_role("dialog").get_by_label("Step")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(choose).to_be_focused()


def delete_and_take_back(page: Page) -> None:
    press(page, page.get_by_role("link", name="Queue", exact=True).first, "Enter")
    row = page.get_by_role("region", name="Finished", exact=True).get_by_role("article")
    press(page, row.get_by_role("checkbox", name="Choose tiny-style"), "Space")
    press(page, page.get_by_role("button", name="Delete 1"), "Enter")
    press(page, page.get_by_role("button", name="Delete job"), "Enter")
    expect(row).to_have_count(0)
    press(page, page.get_by_role("button", name="Undo"), "Enter")
    expect(row.get_by_role("link", name="tiny-style")).to_be_visible()


def press(page: Page, target: Locator, key: str) -> None:
    go_to(page, target)
    page.keyboard.press(key)


def choose_by_arrow(page: Page, radio: Locator) -> None:
    """A group of radio buttons is one stop of Tab; arrows move inside it."""
    group = radio.locator("xpath=ancestor::*[@role='radiogroup']")
    for _ in range(MOST_TABS):
        if group.evaluate("(group) => group.contains(document.activeElement)"):
            page.keyboard.press("ArrowRight")
            expect(radio).to_be_checked()
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to the group of {radio}.")


def go_to(page: Page, target: Locator) -> None:
    """Tab until it has the focus, and shows that it has."""
    expect(target).to_be_enabled()
    for _ in range(MOST_TABS):
        if target.evaluate("(element) => element === document.activeElement"):
            assert target.evaluate("(element) => element.matches(':focus-visible')")
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not lead to {target}.")
