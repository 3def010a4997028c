"""A queue put in order: dragged, by keys, at once for several, paused, deleted and brought back.

Nothing trains: the server runs without a worker, so that every job stays where a person put it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import Darkroom, PageWithoutErrors, darkroom_in
from tests.e2e.test_everybody_can_use_the_pages import config_of, section

NAMES = ("first", "second", "third", "fourth")


@pytest.fixture
def queued(tmp_path: Path, built_pages: None) -> Iterator[Darkroom]:
    """Four jobs that wait, and a draft."""
    with darkroom_in(tmp_path, "serve") as darkroom:
        for name in NAMES:
            darkroom.post("/api/jobs", {"config": config_of(name, "ok"), "queue": True})
        darkroom.post("/api/jobs", {"config": config_of("sketch", "ok")})
        yield darkroom


@pytest.mark.slow
def test_a_queue_is_put_in_order_by_hand_and_by_keyboard(
    browser: Browser, queued: Darkroom
) -> None:
    window = {"width": 1280, "height": 1400}  # the whole queue in sight
    with PageWithoutErrors(
        browser, queued.address, reduced_motion="reduce", viewport=window
    ) as page:
        expect(waiting(page)).to_have_text(list(NAMES))
        drag_before(page, "fourth", "second")
        expect(waiting(page)).to_have_text(["first", "fourth", "second", "third"])
        move_by_keys(page)
        expect(waiting(page)).to_have_text(["fourth", "second", "third", "first"])
        assert server_order(queued) == ["fourth", "second", "third", "first"]
        drag_and_give_up(page)

        find(page, "th", ["fourth", "third"])
        pause_and_resume(page)
        unqueue_two_at_once(page)
        expect(waiting(page)).to_have_text(["third", "first"])
        delete_and_bring_back(page)


def waiting(page: Page) -> Locator:
    return section(page, "Waiting").get_by_role("heading", level=3)


def server_order(darkroom: Darkroom) -> list[str]:
    jobs = darkroom.get("/api/jobs?status=queued&order=queue")["items"]
    return [job["training_name"] for job in jobs]


def handle(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=f"Move {name}, number")


def drag_before(page: Page, name: str, other: str) -> None:
    """Down on the handle, and up over the upper half of another row."""
    start, end = handle(page, name).bounding_box(), handle(page, other).bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + 10, start["y"] + 10)
    page.mouse.down()
    page.mouse.move(start["x"] + 10, start["y"] - 10, steps=3)
    page.mouse.move(end["x"] + 10, end["y"] - 4, steps=5)
    expect(page.locator("[data-drop=before]")).to_have_count(1)
    page.mouse.up()
    expect(page.locator("[data-drop]")).to_have_count(0)


def drag_and_give_up(page: Page) -> None:
    before = waiting(page).all_text_contents()
    box = handle(page, before[0]).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 10, box["y"] + 120, steps=4)
    expect(page.locator("[data-dragging]")).to_have_count(1)
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(page.locator("[data-dragging]")).to_have_count(0)
    assert waiting(page).all_text_contents() == before


def move_by_keys(page: Page) -> None:
    """Three presses without waiting between them: the requests keep their order."""
    handle(page, "first").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    said = page.get_by_role("status").filter(has_text="first is number 4 now.")
    expect(said).to_have_count(1)
    expect(handle(page, "first")).to_be_focused()


def find(page: Page, part: str, names: list[str]) -> None:
    search = page.get_by_role("searchbox", name="Search by name")
    search.fill(part)
    expect(waiting(page)).to_have_text(names)
    page.reload()
    expect(search).to_have_value(part)
    expect(waiting(page)).to_have_text(names)
    page.get_by_role("button", name="Show all jobs").click()
    expect(waiting(page)).to_have_count(len(NAMES))


def pause_and_resume(page: Page) -> None:
    page.get_by_role("button", name="Pause the queue").click()
    expect(section(page, "Waiting").get_by_text("the queue is paused")).to_have_count(len(NAMES))
    page.get_by_role("button", name="Resume the queue").click()
    expect(section(page, "Waiting").get_by_text("waits for a free device")).to_have_count(
        len(NAMES)
    )


def unqueue_two_at_once(page: Page) -> None:
    for name in ("fourth", "second"):
        page.get_by_role("checkbox", name=f"Choose {name}", exact=True).check()
    page.get_by_role("button", name="Stop 2").click()
    expect(page.get_by_text("2 jobs stopped or taken out of the queue.").first).to_be_visible()


def delete_and_bring_back(page: Page) -> None:
    drafts = section(page, "Drafts").get_by_role("link", name="sketch")
    page.get_by_role("button", name="More actions for sketch").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("button", name="Delete job").click()
    expect(drafts).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    expect(drafts).to_be_visible()
