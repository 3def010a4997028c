"""Every page is looked at: nothing serious for axe, nothing sideways, nothing that moves unasked.

What is looked at, and in which windows, stands in looking.py. The real worker runs the jobs with
the stand-in trainer, so that every state of a job is there within seconds.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.e2e.conftest import ROOT, Darkroom, PageWithoutErrors, darkroom_in
from tests.e2e.looking import DESKTOP, NARROW_PHONE, look_at, settled, sideways_faults

STAND_IN = ROOT / "tests" / "stand_in_trainer.py"
TOKEN = "a-token-for-the-pages"

# What the browser logs of a wrong token and of a job that is not complete.
REFUSALS = ("401 (Unauthorized)", "422 (Unprocessable")


# --- what there is to be looked at -------------------------------------------------------------


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, built_pages: None) -> Iterator[Darkroom]:
    """A Darkroom with a job in every state: failed, completed, at work, waiting, a draft.

    Its hook is a command that fails, so that there is something to be said of notices.
    """
    settings = {"trainer_command": f"{sys.executable} {STAND_IN}", "hook_command": "false"}
    folder = tmp_path_factory.mktemp("busy")
    with darkroom_in(folder, worker_poll_seconds=0.1, **settings) as darkroom:
        for name, behaviour in [
            ("ink-failed", "fail"),
            ("ink-completed", "ok"),
            ("ink-at-work", "wait"),
            ("ink-waiting", "ok"),
        ]:
            darkroom.post("/api/jobs", {"config": config_of(name, behaviour), "queue": True})
        darkroom.post("/api/jobs", {"config": config_of("ink-draft", "ok")})
        yield darkroom


def config_of(name: str, behaviour: str) -> dict[str, Any]:
    """A job on the tiny model; the trigger word tells the stand-in what to do."""
    prompts = [f"[trigger], {what} in a long row of words that has to wrap" for what in "abc"]
    return {
        "job": {"training_name": name, "trigger_word": behaviour, "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "training": {"steps": 40},
        "save": {"save_every": 10},
        "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [128]}],
        "sample": {"sample_every": 5, "prompts": [{"prompt": prompt} for prompt in prompts]},
    }


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, built_pages: None) -> Iterator[Darkroom]:
    """A locked Darkroom in which nothing is: no worker, no dataset, no job."""
    folder = tmp_path_factory.mktemp("bare")
    datasets = folder / "datasets"
    datasets.mkdir()
    with darkroom_in(folder, "serve", token=TOKEN, datasets_dir=datasets) as darkroom:
        yield darkroom


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[Darkroom, str], Page]]:
    """Open a page of a Darkroom in a profile of its own, without anything that moves."""
    opened: list[PageWithoutErrors] = []

    def open_it(darkroom: Darkroom, path: str) -> Page:
        profile = PageWithoutErrors(
            browser,
            darkroom.address,
            expected=REFUSALS,
            bypass_csp=True,  # the pages admit no foreign script, and axe is one
            reduced_motion="reduce",
            viewport=DESKTOP,
        )
        opened.append(profile)
        page = profile.__enter__()
        if path != "/":
            page.goto(path)
        return page

    yield open_it
    for profile in opened:
        profile.__exit__(None)


# --- the pages ---------------------------------------------------------------------------------


def test_the_lock_asks_for_the_token(bare: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(bare, "/")
    page.get_by_label("Access token").fill("not the token")
    page.get_by_role("button", name="Unlock").click()
    expect(page.get_by_text("This is not the token.")).to_be_visible()
    look_at(page)


def test_the_first_visit_and_a_worker_that_is_away(
    bare: Darkroom, open_page: Callable[..., Page]
) -> None:
    page = open_page(bare, "/")
    unlock(page)
    expect(page.get_by_text("The worker is away")).to_be_visible()
    expect(page.get_by_role("heading", name="Teach FLUX.2 your own style")).to_be_visible()
    look_at(page)


def test_a_form_that_was_refused(bare: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(bare, "/jobs/new")
    unlock(page)
    expect(page.get_by_text("The datasets folder is empty")).to_be_visible()
    page.get_by_role("button", name="Queue job").click()
    expect(page.get_by_text("stand in the way")).to_be_visible()
    look_at(page, lambda: unfold(page))


def unlock(page: Page) -> None:
    page.get_by_label("Access token").fill(TOKEN)
    page.get_by_role("button", name="Unlock").click()


def test_the_queue_with_jobs_in_every_state(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, "/")
    expect(section(page, "Running").get_by_text("20 / 40")).to_be_visible()
    for title, name in [
        ("Waiting", "ink-waiting"),
        ("Drafts", "ink-draft"),
        ("Finished", "ink-failed"),
        ("Finished", "ink-completed"),
    ]:
        expect(section(page, title).get_by_role("link", name=name)).to_be_visible()
    look_at(page)


def test_a_search_with_chosen_jobs_in_a_paused_queue(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    busy.post("/api/queue/pause")
    try:
        page = open_page(busy, "/?search=ink")
        expect(page.get_by_text("The queue is paused", exact=True)).to_be_visible()
        for name in ("ink-waiting", "ink-failed", "ink-draft"):
            page.get_by_role("checkbox", name=f"Choose {name}").check()
        expect(page.get_by_text("3 jobs chosen")).to_be_visible()
        look_at(page)
    finally:
        busy.post("/api/queue/resume")


def test_when_a_job_starts(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, "/")
    page.get_by_role("button", name="More actions for ink-waiting").click()
    page.get_by_role("menuitem", name="When it starts").click()
    expect(page.get_by_label("Not before")).to_be_visible()
    look_at(page)


def test_the_trash(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    draft = busy.post("/api/jobs", {"config": config_of("ink-thrown-away", "ok")})
    page = open_page(busy, "/trash")
    page.request.delete(f"{busy.address}/api/jobs/{draft['id']}")
    expect(page.get_by_role("button", name="Remove for good: ink-thrown-away")).to_be_visible()
    look_at(page)


def section(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def test_the_menu_of_a_job_and_the_question_before_it_is_deleted(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    page = open_page(busy, "/")
    delete = page.get_by_role("menuitem", name="Delete")

    def open_menu() -> None:
        page.keyboard.press("Escape")  # another width of the window may have closed it, or not
        expect(delete).to_be_hidden()
        page.get_by_role("button", name="More actions for ink-draft").click()
        expect(delete).to_be_visible()

    look_at(page, open_menu)
    open_menu()
    delete.click()
    expect(page.get_by_role("button", name="Delete job")).to_be_visible()
    look_at(page)


def test_a_complete_form_with_everything_unfolded(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    page = open_page(busy, "/jobs/new?from=example")
    expect(page.get_by_text("Ready to queue").first).to_be_visible()
    page.get_by_text("All settings", exact=True).click()
    expect(page.get_by_role("region", name="What tiny-hatch holds")).to_be_visible()
    look_at(page, lambda: unfold(page))


def test_a_plain_form_with_presets_and_a_file_to_import(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    page = open_page(busy, "/jobs/new")
    page.get_by_label("Card", exact=True).select_option("as if 24 GB")
    page.get_by_role("radio", name="Style").check(force=True)
    expect(page.get_by_role("table", name="What Style would change")).to_be_visible()
    look_at(page, lambda: unfold(page))
    page.get_by_role("button", name="Import a job file").click()
    process = {"type": "sd_trainer", "train": {"steps": 900, "optimizer": "automagic"}}
    job = json.dumps({"config": {"name": "ink", "process": [process]}})
    page.get_by_label("Or paste its text").fill(job)
    page.get_by_role("button", name="Read it").click()
    expect(page.get_by_role("rowheader", name="train.optimizer")).to_be_visible()
    look_at(page)


def test_a_plan_for_the_disk_of_a_folder_whose_name_does_not_break(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    folder = "/" + "folder" * 9
    shortfall = {"missing": "disk", "phase": None, "folder": "cache", "message": folder}

    def lacks_room(route: Route) -> None:
        answer = route.fetch()
        plan = answer.json()
        for device in plan["devices"]:
            device["shortfalls"] += [shortfall | {"needed_bytes": 2, "available_bytes": 1}]
        route.fulfill(response=answer, json=plan)

    page = open_page(busy, "/")
    page.route("**/api/jobs/plan*", lacks_room)
    page.set_viewport_size(NARROW_PHONE)
    page.goto("/jobs/new")
    expect(page.get_by_text(folder)).to_be_attached()
    unfold(page)
    expect(page.get_by_text(folder)).to_be_visible()
    assert settled(page, sideways_faults) == []


def unfold(page: Page) -> None:
    """Open every panel that a narrow window folds, and every entry's settings of its own."""
    folded = page.locator("form [aria-expanded=false]:not([role])")
    while folded.count():
        folded.first.click()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")


def test_a_form_that_is_closed_because_its_job_runs(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    page = open_page(busy, f"/jobs/{id_of(busy, 'ink-at-work')}/edit")
    expect(page.get_by_text("This job cannot be edited now")).to_be_visible()
    look_at(page)


def test_a_job_at_work(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, f"/jobs/{id_of(busy, 'ink-at-work')}")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    expect(page.get_by_text("20 / 40").first).to_be_visible()
    look_at(page)


def test_a_completed_job_with_all_its_curves_and_a_picture_opened(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    page = open_page(busy, f"/jobs/{id_of(busy, 'ink-completed')}")
    for series in ("Learning rate", "Gradient norm", "Step time"):
        page.get_by_text(series, exact=True).first.click()
    expect(page.get_by_role("img", name="Curve of ink-completed")).to_be_visible()
    expect(page.get_by_role("link", name="Download the final LoRA")).to_be_visible()
    look_at(page)
    page.get_by_role("button", name="Open prompt 1, step 40", exact=True).click()
    expect(page.get_by_role("dialog", name="Sample")).to_be_visible()
    page.keyboard.press("3")
    expect(page.get_by_role("slider", name="Divider between the two pictures")).to_be_focused()
    look_at(page)


def test_the_pictures_of_two_jobs_on_a_page_of_their_own(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    other = id_of(busy, "ink-at-work")
    page = open_page(busy, f"/jobs/{id_of(busy, 'ink-completed')}/gallery?with={other}")
    for name in ("ink-completed", "ink-at-work"):
        base = page.get_by_role("button", name=f"Open prompt 1, step 20, {name}", exact=True)
        expect(base).to_be_visible()
    page.keyboard.press("Tab")
    look_at(page)


def test_changing_a_job_at_work(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, f"/jobs/{id_of(busy, 'ink-at-work')}")
    page.get_by_role("button", name="Change settings").click()
    drawer = page.get_by_role("dialog", name="Change while it trains")
    drawer.get_by_role("textbox", name="Steps", exact=True).fill("0")
    drawer.get_by_role("button", name="Send to the trainer").click()
    expect(drawer.get_by_role("textbox", name="Steps", exact=True)).to_have_attribute(
        "aria-invalid", "true"
    )
    look_at(page)


def test_curves_of_two_jobs_in_numbers(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    other = id_of(busy, "ink-failed")
    page = open_page(busy, f"/jobs/{id_of(busy, 'ink-completed')}?beside={other}")
    page.get_by_text("Why some curves are not here").click()
    page.get_by_text("The curve as a table").click()
    table = page.get_by_role("region", name="The curve as a table")
    expect(table.get_by_role("columnheader", name="Loss, ink-failed")).to_be_visible()
    page.get_by_label("Search the log").fill("step 2")
    expect(page.get_by_role("log").locator("mark").first).to_be_visible()
    look_at(page)


def test_trying_a_lora_with_a_drawing_and_a_refused_file(
    busy: Darkroom,
    open_page: Callable[..., Page],
    wait_for: Callable[..., Any],
    tmp_path: Path,
) -> None:
    at_work = f"/api/jobs/{id_of(busy, 'ink-at-work')}"
    wait_for(lambda: busy.get(at_work)["status"] == "running", "a job that holds the CPU")
    pictures = [{"prompt": "[trigger], a hat", "seed": seed} for seed in (1, 2)]
    config = {
        "model": {"model_architecture": "tiny"},
        "gpu": "cpu",
        "trigger_word": "ok",
        "pictures": pictures,
    }
    drawing = busy.post("/api/drawings", {"config": config, "priority": 1})
    page = open_page(busy, f"/try/{drawing['id']}")
    expect(page.get_by_text("Waits until ink-at-work on the CPU ends.").first).to_be_visible()
    no_lora = tmp_path / "letter.safetensors"
    no_lora.write_text("a letter to somebody")
    page.locator("input[accept='.safetensors']").set_input_files(no_lora)
    expect(page.get_by_role("alert")).to_contain_text("letter.safetensors was refused")
    page.get_by_role("textbox", name="Prompt 1").fill("a hat")
    page.get_by_text("Model and how it is loaded").click()
    expect(page.get_by_label("Model Architecture", exact=True)).to_be_visible()
    look_at(page)
    page.get_by_role("button", name="Choose", exact=True).click()
    expect(page.get_by_role("dialog", name="Choose LoRAs")).to_be_visible()
    look_at(page)


def test_two_jobs_setting_by_setting(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    other = id_of(busy, "ink-failed")
    page = open_page(busy, f"/jobs/{id_of(busy, 'ink-completed')}/compare?with={other}")
    expect(page.get_by_role("heading", name="2 settings differ")).to_be_visible()
    page.get_by_role("switch", name="Show all settings").click()
    expect(page.get_by_role("rowheader", name="Learning Rate")).to_be_visible()
    look_at(page)


def test_a_job_as_yaml_with_a_fault(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, "/jobs/new?from=example")
    page.get_by_text("As YAML", exact=True).click()
    editor = page.get_by_role("textbox", name="The job as YAML")
    expect(editor).to_have_value(re.compile("training_name: "))
    editor.press("Control+Home")
    editor.press_sequentially("job: [\n")
    expect(page.get_by_role("button", name=re.compile(r"^Line \d"))).to_be_visible()
    look_at(page)


def test_a_failed_job(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, f"/jobs/{id_of(busy, 'ink-failed')}")
    expect(section(page, "The training failed")).to_be_visible()
    look_at(page)


def id_of(darkroom: Darkroom, name: str) -> int:
    jobs = darkroom.get("/api/jobs")["items"]
    return next(job["id"] for job in jobs if job["training_name"] == name)


def test_the_system(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, "/system")
    expect(page.get_by_text("At work")).to_be_visible()
    expect(section(page, "Hooks").get_by_text("Command, failures").first).to_be_visible()
    look_at(page)


def test_an_address_that_leads_nowhere(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, "/nowhere")
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    look_at(page)


def test_a_server_that_is_away(busy: Darkroom, open_page: Callable[..., Page]) -> None:
    page = open_page(busy, "/system")
    page.route("**/api/events*", lambda route: route.abort())
    page.reload()
    expect(page.get_by_text("The server is not answering")).to_be_visible()
    look_at(page)


def test_what_is_wrong_with_a_page_would_be_found(
    busy: Darkroom, open_page: Callable[..., Page]
) -> None:
    page = open_page(busy, "/nowhere")
    page.locator("main").evaluate(
        """(main) => {
          main.insertAdjacentHTML(
            'beforeend', '<button></button><p style="width: 350px">too long for some phones</p>' +
            '<button style="font-size: 9px; padding: 0">small</button>'.repeat(2));
          main.animate([{ opacity: 0.9 }, { opacity: 1 }], { duration: 900, iterations: Infinity });
        }"""
    )
    with pytest.raises(AssertionError) as found:
        look_at(page)
    said = str(found.value)
    assert "light, 1280 px: button-name (critical)" in said
    assert "light, 1280 px: target-size (serious)" in said
    assert "320 px: too wide: <p" in said
    assert "1280 px: too wide" not in said
    assert "moves: <main" in said
