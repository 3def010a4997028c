"""Five hundred pictures and two thousand: what is on the page stays bounded, and new ones come.

How fast they are there is measured by scripts/gallery_benchmark.py, from which the jobs are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from gallery_benchmark import SCROLL_THROUGH, WINDOW, draw, seed_job
from tests.e2e.conftest import Darkroom, PageWithoutErrors, darkroom_in
from tests.e2e.test_everybody_can_use_the_pages import STAND_IN
from trainer.job_folder import JobFolder

pytestmark = pytest.mark.long

SIDE_PX = 48  # how many there are is what matters
# Half as much again as docs/benchmarks.md has measured.
MOST_PICTURES, MOST_ELEMENTS = 110, 2300
# Under 1 s in docs/benchmarks.md; two busy cores may take longer.
LIVE_MS = 5_000


@pytest.fixture(scope="module")
def darkroom(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, built_pages: None
) -> Iterator[Darkroom]:
    """A job of each shape, and a worker whose trainings wait for commands."""
    folder = tmp_path_factory.mktemp("large")
    for name, prompts, steps in SHAPES:
        seed_job(folder / "output", name, prompts=prompts, steps=steps, side_px=SIDE_PX)
    trainer = f"{sys.executable} {STAND_IN}"
    with darkroom_in(folder, trainer_command=trainer, worker_poll_seconds=0.1) as running:
        with browser.new_context() as client:  # with more patience than the tests' own client has
            address = f"{running.address}/api/system/rescan"
            assert client.request.post(address, timeout=120_000).ok
        yield running


SHAPES = [
    ("fifty-by-ten", 50, [100 * index for index in range(10)]),
    ("ten-by-two-hundred", 10, [10 * index for index in range(200)]),
]


@pytest.mark.parametrize(("name", "prompts", "steps"), SHAPES, ids=[one[0] for one in SHAPES])
def test_what_is_on_the_page_stays_bounded_to_the_end_and_back(
    browser: Browser, darkroom: Darkroom, name: str, prompts: int, steps: list[int]
) -> None:
    with PageWithoutErrors(browser, darkroom.address, viewport=WINDOW) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"/jobs/{id_of(darkroom, name)}/gallery")
        grid = page.get_by_role("grid")
        expect(grid).to_have_attribute("aria-rowcount", str(prompts + 1))
        expect(grid).to_have_attribute("aria-colcount", str(len(steps) + 1))
        expect(picture(page, 1, steps[-1])).to_be_visible()

        most = page.evaluate(SCROLL_THROUGH)
        expect(picture(page, prompts, steps[-1])).to_be_visible()
        grid.evaluate("(grid) => grid.scrollTo(0, 0)")
        expect(picture(page, 1, steps[1])).to_be_visible()
        expect(picture(page, prompts, steps[-1])).to_have_count(0)
        back = page.evaluate(
            "({ images: document.images.length, elements: document.querySelectorAll('*').length })"
        )
        for seen in (most, back):
            assert 10 < seen["images"] < MOST_PICTURES
            assert seen["elements"] < MOST_ELEMENTS
        pictures = [url for url in asked if "/samples/" in url]
        assert len(set(pictures)) > MOST_PICTURES, "others came into sight"
        assert all("/thumbnail?" in url for url in pictures), "no original"


def picture(page: Page, prompt: int, step: int) -> Any:
    return page.get_by_role("button", name=f"Open prompt {prompt}, step {step:,}", exact=True)


def id_of(darkroom: Darkroom, name: str) -> int:
    jobs = darkroom.get("/api/jobs?limit=100")["items"]
    return next(job["id"] for job in jobs if job["training_name"] == name)


def test_a_picture_that_a_training_has_written_comes_into_the_open_page(
    browser: Browser, darkroom: Darkroom, wait_for: Callable[..., Any]
) -> None:
    job_id = darkroom.post("/api/jobs", {"config": waiting_job("watched"), "queue": True})["id"]
    job = f"/api/jobs/{job_id}"
    wait_for(lambda: darkroom.get(job)["step"] == 2, "a training in its midst")
    with PageWithoutErrors(browser, darkroom.address, viewport=WINDOW) as page:
        page.goto(f"/jobs/{job_id}/gallery")
        drawn = page.get_by_role("button", name="Open prompt 1, base", exact=True)
        expect(drawn).to_be_visible()
        page.evaluate("window.isTheSamePage = true")
        folder = JobFolder(darkroom.output, "watched")
        sample = draw(folder, 2, 0, "a fox", side_px=SIDE_PX)
        recipe_of_stand_in = {"seed": 42, "guidance_scale": 1.0, "sample_steps": 4}
        line = sample.model_dump(mode="json") | recipe_of_stand_in | {"width": 16, "height": 16}
        with folder.run(1).events.open("a") as events:
            events.write(json.dumps(line | {"seq": 10_000}) + "\n")
        new = page.get_by_role("button", name="Open prompt 1, step 2", exact=True).get_by_role(
            "img"
        )
        expect(new).to_be_visible(timeout=LIVE_MS)
        expect(new).to_have_js_property("naturalWidth", SIDE_PX, timeout=LIVE_MS)
        assert page.evaluate("window.isTheSamePage")
    darkroom.post(f"{job}/stop")


def waiting_job(name: str) -> dict[str, Any]:
    return {
        "job": {"training_name": name, "trigger_word": "wait", "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "training": {"steps": 4},
        "save": {"save_every": 100},
        "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [128]}],
        "sample": {"sample_every": 100, "prompts": [{"prompt": "a fox"}]},
    }
