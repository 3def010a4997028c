"""A job's life in the page, with the real trainer: preset, queue, watch, stop, edit, resume.

And what goes wrong in it: a training that fails and is cured by a click, and a server that dies
and comes back under an open page. One Darkroom serves all three.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.e2e.conftest import ROOT, PageWithoutErrors, TwoPrograms, two_programs_in

pytestmark = pytest.mark.long

BROKEN_DATASET = "half-copied"
# The trainer computes on the processor that also runs the browser.
expecting = {"timeout": 180_000}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, built_pages: None) -> Iterator[TwoPrograms]:
    """Server and worker apart, the real trainer, and two copies of the bundled dataset."""
    folder = tmp_path_factory.mktemp("studio")
    datasets = folder / "datasets"
    for name in ("tiny-hatch", BROKEN_DATASET):
        shutil.copytree(ROOT / "datasets" / "tiny-hatch", datasets / name)
    with two_programs_in(folder, datasets_dir=datasets) as running:
        yield running


@pytest.fixture
def page(browser: Browser, studio: TwoPrograms) -> Iterator[Page]:
    with PageWithoutErrors(browser, studio.address) as opened:
        yield opened


# --- preset, queue, watch, stop, edit, resume --------------------------------------------------


def test_a_preset_is_queued_watched_stopped_edited_and_resumed(
    page: Page, studio: TwoPrograms
) -> None:
    fill_in_from_the_preset(page)
    page.get_by_role("button", name="Queue job").click()
    expect(page.get_by_role("heading", name="preset-hatch")).to_be_visible()
    page.evaluate("window.neverReloaded = true")
    watch(page)
    stopped_at = stop(page, studio)

    page.get_by_role("link", name="Edit", exact=True).click()
    expect(page.get_by_role("heading", name="Edit preset-hatch")).to_be_visible()
    total = stopped_at + 3
    page.get_by_role("textbox", name="Steps", exact=True).fill(str(total))
    page.get_by_role("textbox", name="Learning Rate").fill("0.001")
    expect(page.get_by_text("Ready to queue").first).to_be_visible()
    page.get_by_role("button", name="Save and queue").click()

    expect(page.get_by_text("Completed", exact=True).first).to_be_visible(**expecting)
    expect(page.get_by_text(f"{total} / {total}").first).to_be_visible()
    history = page.get_by_role("region", name="Runs").get_by_role("listitem")
    expect(history).to_have_count(2)
    expect(history.first).to_contain_text(f"steps {stopped_at} to {total}")
    steps = steps_in_the_curve(page)
    assert steps == sorted(set(steps)), "one curve across both runs"
    assert steps[-1] == total
    assert page.evaluate("window.neverReloaded") is True
    (job,) = studio.get("/api/jobs?search=preset-hatch")["items"]
    trained = studio.get(f"/api/jobs/{job['id']}")["config"]["training"]
    assert (trained["steps"], trained["learning_rate"]) == (total, 0.001)


def fill_in_from_the_preset(page: Page) -> None:
    page.get_by_role("link", name="New job").first.click()
    page.get_by_role("textbox", name="Training Name").fill("preset-hatch")
    page.get_by_role("textbox", name="Trigger Word").fill("zorvex")
    page.get_by_role("combobox", name="Model Architecture").select_option(
        "Tiny FLUX.2 (bundled, runs on a CPU)"
    )
    changes = page.get_by_role("table", name=re.compile("^What Tiny FLUX.2 .* would change$"))
    expect(changes).to_be_visible()
    page.get_by_role("button", name=re.compile(r"^Apply to \d+ settings$")).click()
    expect(page.get_by_role("textbox", name="Learning Rate")).to_have_value("0.002")
    expect(page.get_by_role("textbox", name="Steps", exact=True)).to_have_value("300")

    # Small enough to be watched: one picture at a time, drawn often.
    page.get_by_text("All settings", exact=True).click()
    page.get_by_role("textbox", name="Batch Size", exact=True).first.fill("1")
    page.get_by_role("radiogroup", name="Target Dataset").get_by_text(
        "tiny-hatch", exact=True
    ).click()
    sample = page.get_by_role("region", name="Sample", exact=True)
    sample.get_by_role("textbox", name="Sample Every").fill("4")
    sample.get_by_role("textbox", name="Sample Steps").first.fill("2")
    sample.get_by_role("button", name="Add prompt").click()
    sample.get_by_role("textbox", name="Prompt", exact=True).fill("[trigger], a red circle")
    expect(page.get_by_text("Ready to queue").first).to_be_visible()


def watch(page: Page) -> None:
    base = page.get_by_role("button", name="Open prompt 1, base").get_by_role("img")
    expect(base).to_be_visible(**expecting)
    expect(page.get_by_role("img", name="Curve of preset-hatch")).to_be_visible(**expecting)
    page.get_by_role("button", name="Sample now").click()
    page.get_by_role("button", name="Save now").click()
    saved = page.get_by_role("link", name=re.compile(r"^Download the LoRA of step \d+"))
    expect(saved.first).to_be_visible(**expecting)
    later = page.get_by_role("button", name=re.compile(r"^Open prompt 1, step \d+"))
    expect(later.first).to_be_visible(**expecting)


def stop(page: Page, studio: TwoPrograms) -> int:
    """The step where it ended."""
    page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(page.get_by_text("Stopped", exact=True).first).to_be_visible(**expecting)
    (job,) = studio.get("/api/jobs?search=preset-hatch")["items"]
    assert job["status"] == "stopped"
    return job["step"]


def steps_in_the_curve(page: Page) -> list[int]:
    """The curve's rows as a table; every step has one while there are at most forty."""
    page.get_by_text("The curve as a table").click()
    table = page.get_by_role("region", name="The curve as a table")
    expect(table.get_by_role("rowheader").first).to_be_visible()
    steps = [int(row) for row in table.get_by_role("rowheader").all_text_contents()]
    page.get_by_text("The curve as a table").click()
    return [step for step in steps if step > 0]


# --- a failure and its cure --------------------------------------------------------------------


def test_a_failed_training_is_cured_by_one_click_and_completes(
    page: Page, studio: TwoPrograms
) -> None:
    studio.post("/api/queue/pause")
    studio.post("/api/jobs", {"config": short_job("cured", BROKEN_DATASET), "queue": True})
    # It passed the door whole, and breaks while it waits.
    picture = sorted((studio.folder / "datasets" / BROKEN_DATASET).glob("*.png"))[0]
    picture.write_bytes(picture.read_bytes()[:16])
    studio.post("/api/queue/resume")

    finished = page.get_by_role("region", name="Finished", exact=True)
    card = finished.get_by_role("article").filter(has_text="cured")
    expect(card.get_by_text("Failed", exact=True)).to_be_visible(**expecting)
    expect(card).to_contain_text(picture.name)
    card.get_by_role("button", name="What helps").click()
    helps = card.get_by_role("list", name="What helps").get_by_role("listitem").first
    expect(helps).to_contain_text("Leave the bad files out")
    helps.get_by_role("button", name=re.compile("^Do this and queue")).click()

    expect(page.get_by_text("cured was changed and is in the queue.").first).to_be_visible()
    expect(card.get_by_text("Completed", exact=True)).to_be_visible(**expecting)
    (job,) = studio.get("/api/jobs?search=cured")["items"]
    assert studio.get(f"/api/jobs/{job['id']}")["config"]["datasets"][0]["bad_files"] == "leave_out"


def short_job(name: str, dataset: str, *, steps: int = 3) -> dict[str, Any]:
    return {
        "job": {"training_name": name, "trigger_word": "zorvex", "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "target": {"linear_rank": 4},
        "training": {"steps": steps, "data_type": "fp32"},
        "save": {"save_every": 1000},
        "datasets": [{"target_dataset": dataset, "resolutions": [64]}],
        "sample": {
            "sample_every": 5,
            "width": 64,
            "height": 64,
            "sample_steps": 2,
            "prompts": [{"prompt": "[trigger], a red circle"}],
        },
    }


# --- a server that dies under an open page -----------------------------------------------------


def test_a_page_catches_up_with_a_server_that_died_and_came_back(
    browser: Browser, studio: TwoPrograms
) -> None:
    steps = 40  # as many as the curve's table has rows
    config = short_job("restarted", "tiny-hatch", steps=steps)
    job_id = studio.post("/api/jobs", {"config": config, "queue": True})["id"]
    with PageWithoutErrors(browser, studio.address, expected=["ERR_CONNECTION"]) as page:
        streams: list[Request] = []
        page.on("request", lambda made: streams.append(made) if is_stream(made) else None)
        page.goto(f"/jobs/{job_id}")
        page.evaluate("window.neverReloaded = true")
        expect(page.get_by_role("img", name="Curve of restarted")).to_be_visible(**expecting)

        studio.kill_server()
        expect(page.get_by_role("alert")).to_contain_text("The server is not answering")
        studio.start_server()
        expect(page.get_by_role("alert")).to_be_hidden()

        expect(page.get_by_text("Completed", exact=True).first).to_be_visible(**expecting)
        assert page.evaluate("window.neverReloaded") is True
        assert "last-event-id" in streams[-1].headers, "it goes on from what it heard last"
        assert_nothing_missing_and_nothing_double(page, studio.output / "restarted", steps)


def is_stream(request: Request) -> bool:
    return "/api/events" in request.url


def assert_nothing_missing_and_nothing_double(page: Page, folder: Path, steps: int) -> None:
    assert steps_in_the_curve(page) == list(range(1, steps + 1))
    shown = page.get_by_role("log")
    written = (folder / "runs" / "0001" / "trainer.log").read_text()
    expect(shown).to_contain_text(written.splitlines()[-1])
    assert shown.inner_text().splitlines() == written.splitlines()
    pictures = page.get_by_role("button", name=re.compile("^Open prompt 1, "))
    drawn = sorted((folder / "samples").rglob("*.png"))
    # Columns that lie out of sight are not in the page.
    page.set_viewport_size({"width": 2200, "height": 1000})
    expect(pictures).to_have_count(len(drawn))
