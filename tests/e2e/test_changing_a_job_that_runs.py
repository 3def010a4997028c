"""A person changes what a training does while it trains: asked, taken, refused, still there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import Darkroom, PageWithoutErrors

NAME = "changed-hatch"
# What the browser logs of a change that the server refuses.
REFUSED = "422 (Unprocessable"
FIRST_STEP_SECONDS = 180


@pytest.mark.long
def test_prompts_and_total_change_while_the_tiny_model_trains(
    browser: Browser, darkroom: Darkroom, wait_for: Callable[..., Any]
) -> None:
    with PageWithoutErrors(browser, darkroom.address, expected=[REFUSED]) as page:
        change_twice(page, darkroom, wait_for)


def change_twice(page: Page, darkroom: Darkroom, wait_for: Callable[..., Any]) -> None:
    job_id = darkroom.post("/api/jobs", {"config": config(), "queue": True})["id"]
    page.goto(f"/jobs/{job_id}")
    page.evaluate("window.neverReloaded = true")
    wait_for(
        lambda: darkroom.get(f"/api/jobs/{job_id}")["step"] > 0,
        "the first step",
        seconds=FIRST_STEP_SECONDS,
    )
    drawer = open_the_drawer(page)
    ask_for_fewer_steps_than_are_done(drawer)
    ask_for_another_prompt(drawer)
    expect(changes(page).get_by_text(re.compile(r"^Taken at step \d+$"))).to_be_visible(
        timeout=120_000
    )
    assert page.evaluate("window.neverReloaded") is True
    changed = darkroom.get(f"/api/jobs/{job_id}")["config"]
    assert (changed["training"]["steps"], changed["sample"]["sample_every"]) == (4000, 2)

    ask_for_a_picture_that_is_not_there(drawer)
    expect(changes(page).get_by_text(re.compile(r"^Refused at step \d+$"))).to_be_visible(
        timeout=120_000
    )

    page.reload()
    expect(changes(page).get_by_text(re.compile(r"^Taken at step \d+$"))).to_be_visible()
    expect(changes(page).get_by_text(re.compile(r"^Refused at step \d+$"))).to_be_visible()
    expect(changes(page).get_by_text("nowhere/none.png").first).to_be_visible()
    drawn = page.get_by_text("zorvex, a blue square").first
    expect(drawn).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(page.get_by_text("Stopped", exact=True).first).to_be_visible(timeout=120_000)


def config() -> dict[str, Any]:
    return {
        "job": {"training_name": NAME, "trigger_word": "zorvex", "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "target": {"linear_rank": 4},
        "training": {"steps": 5000, "data_type": "fp32"},
        "save": {"save_every": 1000},
        "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [64]}],
        "sample": {
            "sample_every": 1000,
            "width": 64,
            "height": 64,
            "sample_steps": 2,
            "prompts": [{"prompt": "[trigger], a red circle"}],
        },
    }


def open_the_drawer(page: Page) -> Locator:
    page.get_by_role("button", name="Change settings").click()
    drawer = page.get_by_role("dialog", name="Change while it trains")
    expect(drawer.get_by_role("heading", name="Sample")).to_be_visible()
    return drawer


def ask_for_fewer_steps_than_are_done(drawer: Locator) -> None:
    steps = drawer.get_by_role("textbox", name="Steps", exact=True)
    steps.fill("1")
    send(drawer)
    said = drawer.get_by_text(re.compile("cannot become 1|is too few|done already"))
    expect(said.first).to_be_visible()
    steps.fill("4000")


def ask_for_another_prompt(drawer: Locator) -> None:
    drawer.get_by_role("textbox", name="Sample Every").fill("2")
    drawer.get_by_role("textbox", name="Prompt", exact=True).fill("[trigger], a blue square")
    expect(drawer.get_by_text("3 settings changed")).to_be_visible()
    send(drawer)


def ask_for_a_picture_that_is_not_there(drawer: Locator) -> None:
    images = drawer.get_by_label("Control Images", exact=True)
    images.fill("nowhere/none.png")
    images.press("Enter")
    send(drawer)


def send(drawer: Locator) -> None:
    drawer.get_by_role("button", name="Send to the trainer").click()


def changes(page: Page) -> Locator:
    """The drawer's list while it is open, else the page's panel."""
    return page.get_by_role("list", name="Changes asked for").last
