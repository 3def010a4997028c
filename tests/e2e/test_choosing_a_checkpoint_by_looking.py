"""From the first preview to the checkpoint that is taken home, on one real training.

One Darkroom trains the tiny model for six steps and draws two prompts at every second one. What a
person then does with pictures and checkpoints is done on its pages, in the order of this file.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import ROOT, Darkroom, PageWithoutErrors, darkroom_in
from tests.e2e.test_everybody_can_use_the_pages import REFUSALS, look_at, section
from trainer.config import JobConfig
from trainer.job_file import write_job_file
from trainer.job_folder import JobFolder

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

NAME, OTHER, KLEIN = "looked-at", "looked-at-again", "as-if-klein"
CIRCLE, SQUARE, HEART = "a red circle", "a blue square", "a green heart"
# Steps enough for several previews, four a second, where the processor is idle.
SIDE_PX, SAMPLE_STEPS = 128, 40
TRAINING_SECONDS = 600


def config(name: str = NAME) -> dict[str, Any]:
    return {
        "job": {"training_name": name, "trigger_word": "zorvex", "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "target": {"linear_rank": 8},
        "training": {"steps": 6, "learning_rate": 0.005, "data_type": "fp32"},
        "save": {"save_every": 2},
        "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [64]}],
        "sample": {
            "sample_every": 2,
            "width": SIDE_PX,
            "height": SIDE_PX,
            "sample_steps": SAMPLE_STEPS,
            "prompts": [{"prompt": f"[trigger], {what}"} for what in (CIRCLE, SQUARE)],
        },
    }


# --- the training that is looked at --------------------------------------------------------------


@pytest.fixture(scope="module")
def darkroom(tmp_path_factory: pytest.TempPathFactory, built_pages: None) -> Iterator[Darkroom]:
    with darkroom_in(tmp_path_factory.mktemp("darkroom")) as running:
        yield running


@pytest.fixture(scope="module")
def job_id(darkroom: Darkroom) -> int:
    """The job, not queued yet."""
    return darkroom.post("/api/jobs", {"config": config()})["id"]


@pytest.fixture(scope="module")
def trained(darkroom: Darkroom, job_id: int, wait_for: Callable[..., Any]) -> int:
    """The job when it has trained."""
    if darkroom.get(f"/api/jobs/{job_id}")["status"] == "draft":
        darkroom.post(f"/api/jobs/{job_id}/queue")
    until_completed(darkroom, job_id, wait_for)
    return job_id


@pytest.fixture(scope="module")
def branched(
    browser: Browser, darkroom: Darkroom, trained: int, wait_for: Callable[..., Any]
) -> int:
    """The job with its second prompt edited, resumed from step 4 and trained to its end again."""
    with PageWithoutErrors(browser, darkroom.address) as page:
        page.goto(f"/jobs/{trained}/edit")
        prompt = page.get_by_role("textbox", name="Prompt", exact=True).nth(1)
        expect(prompt).to_have_value(f"[trigger], {SQUARE}")
        prompt.fill(f"[trigger], {HEART}")
        page.get_by_role("button", name="Save changes").click()
        expect(page.get_by_text("Saved.", exact=True)).to_be_visible()
        page.goto(f"/jobs/{trained}")
        page.get_by_role("button", name="Resume from here, step 4").click()
        dialog = page.get_by_role("dialog", name="Go on from step 4?")
        expect(dialog.get_by_text("up to step 6, is set aside")).to_be_visible()
        dialog.get_by_role("button", name="Queue it").click()
        wait_for(lambda: len(darkroom.get(f"/api/jobs/{trained}")["runs"]) == 2, "its second run")
        until_completed(darkroom, trained, wait_for)
    return trained


def until_completed(darkroom: Darkroom, job_id: int, wait_for: Callable[..., Any]) -> None:
    def is_completed() -> bool:
        job = darkroom.get(f"/api/jobs/{job_id}")
        assert job["status"] not in ("failed", "interrupted", "stopped"), job["error"]
        return job["status"] == "completed"

    wait_for(is_completed, "the end of the training", seconds=TRAINING_SECONDS)


# --- watching ------------------------------------------------------------------------------------

# What stands at prompt 1 of the base's column from the first preview to the picture itself.
WATCHED = """async () => {
  const seen = [];
  const end = performance.now() + 600000;
  const pixels = (image) => {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 32;
    canvas.getContext('2d').drawImage(image, 0, 0, 32, 32);
    return canvas.toDataURL();
  };
  while (performance.now() < end) {
    const cell = document.querySelector(
      '[role=row][aria-rowindex="2"] [role=gridcell][aria-colindex="2"]');
    const bar = cell?.querySelector('[role=progressbar]');
    const image = cell?.querySelector('img');
    const isThere = image?.complete && image.naturalWidth > 0;
    if (bar && isThere) {
      const done = Number(bar.getAttribute('aria-valuenow'));
      const total = Number(bar.getAttribute('aria-valuemax'));
      if (seen.at(-1)?.done !== done) {
        seen.push({ done, total, width: image.naturalWidth, pixels: pixels(image) });
      }
    } else if (isThere) {
      return { seen, width: image.naturalWidth };
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no picture yet, only ${seen.length} previews`);
}"""


def test_a_sample_develops_before_ones_eyes(page: Page, darkroom: Darkroom, job_id: int) -> None:
    page.goto(f"/jobs/{job_id}/gallery")
    expect(page.get_by_text("No pictures yet")).to_be_visible()
    darkroom.post(f"/api/jobs/{job_id}/queue")
    watched = page.evaluate(WATCHED)
    previews = watched["seen"]
    done = [preview["done"] for preview in previews]
    assert len(done) >= 2
    assert done == sorted(set(done)), "it only goes forward"
    assert {preview["total"] for preview in previews} == {SAMPLE_STEPS}
    assert {preview["width"] for preview in previews} == {SIDE_PX // 8}
    assert previews[0]["pixels"] != previews[-1]["pixels"], "it develops"
    assert watched["width"] == SIDE_PX, "the picture itself took their place"
    expect(picture(page, 1, 2)).to_be_visible(timeout=120_000)


def picture(page: Page, prompt: int, step: int, lane: str = "") -> Locator:
    """A picture of the grid, ready to be opened."""
    where = "base" if step == 0 else f"step {step}"
    name = f"Open prompt {prompt}, {where}{f', {lane}' if lane else ''}"
    return page.get_by_role("button", name=name, exact=True)


# --- comparing -----------------------------------------------------------------------------------


def test_two_steps_are_compared_by_keyboard_alone(page: Page, trained: int) -> None:
    page.goto(f"/jobs/{trained}/gallery")
    expect(picture(page, 1, 6)).to_be_visible()
    tab_into_the_grid(page)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(picture(page, 1, 2)).to_be_focused()
    page.keyboard.press("Enter")
    box = page.get_by_role("dialog", name="Sample")
    expect(box.get_by_role("heading", name="Step 2", exact=True)).to_be_visible()
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    expect(box.get_by_role("heading", name="Step 4", exact=True)).to_be_visible()

    page.keyboard.press("3")
    divider = box.get_by_role("slider", name="Divider between the two pictures")
    expect(divider).to_be_focused()
    expect(box.get_by_text("Compared with step 2")).to_be_visible()
    for key, percent in [("ArrowRight", 51), ("Shift+ArrowLeft", 41), ("End", 100), ("Home", 0)]:
        page.keyboard.press(key)
        expect(divider).to_have_attribute("aria-valuenow", str(percent))
    page.keyboard.press("PageUp")
    under, over = box.locator("figure img").all()
    assert "Step 4" in str(under.get_attribute("alt"))
    assert "Step 2" in str(over.get_attribute("alt"))
    clip = over.evaluate("(image) => getComputedStyle(image.parentElement).clipPath")
    assert clip.startswith("inset(0px 90% 0px 0px"), "a tenth of the other picture is in sight"

    page.keyboard.press("5")
    said = box.get_by_text(re.compile(r"^\d+\.\d\d % of full scale apart on average$"))
    expect(said).to_be_visible()
    assert float(said.inner_text().split()[0]) > 0, "two steps of training show"
    page.keyboard.press("4")
    for title in ("Step 2", "Step 4"):  # by itself, one in place of the other
        expect(box.locator("figcaption")).to_have_text(title)
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(picture(page, 1, 2)).to_be_focused()


def test_a_prompt_plays_through_its_steps(page: Page, trained: int) -> None:
    page.goto(f"/jobs/{trained}/gallery")
    expect(picture(page, 2, 6)).to_be_visible()
    tab_into_the_grid(page)
    page.keyboard.press("ArrowDown")
    expect(picture(page, 2, 0)).to_be_focused()
    page.keyboard.press("p")
    box = page.get_by_role("dialog", name="Sample")
    expect(box.get_by_role("button", name="Pause")).to_be_visible()
    shown = box.get_by_role("slider", name="Step shown")
    for said in ("Step 2, 2 of 4", "Step 4, 3 of 4", "Step 6, 4 of 4", "Base, 1 of 4"):
        expect(shown).to_have_attribute("aria-valuetext", said)
    page.keyboard.press("p")
    expect(box.get_by_role("button", name="Play")).to_be_visible()


def tab_into_the_grid(page: Page) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement?.dataset.cell !== undefined"):
            return
    pytest.fail("Forty times Tab did not lead into the grid.")


def test_a_pictures_recipe_becomes_a_prompt_of_the_job(page: Page, trained: int) -> None:
    page.goto(f"/jobs/{trained}/gallery")
    picture(page, 2, 4).click()
    page.get_by_role("link", name="Use as prompt of this job").click()
    prompts = page.get_by_role("textbox", name="Prompt", exact=True)
    expect(prompts).to_have_count(3)
    expect(prompts.last).to_have_value(f"zorvex, {SQUARE}")
    added = page.get_by_role("group", name="Prompt 3")
    expect(added.get_by_role("textbox", name="Seed")).to_have_value("42")


# --- taking it home ------------------------------------------------------------------------------

CHANGES = """
import sys, numpy, torch
from diffusers import Flux2Pipeline
pipeline = Flux2Pipeline.from_pretrained(sys.argv[1])
def draw():
    picture = pipeline(
        prompt="zorvex, a red circle", width=64, height=64, num_inference_steps=4,
        guidance_scale=1.0, generator=torch.Generator().manual_seed(1),
        text_encoder_out_layers=(1, 2, 3), max_sequence_length=48).images[0]
    return numpy.asarray(picture, dtype=float)
base, drawn = draw(), []
for file in sys.argv[2:]:
    pipeline.load_lora_weights(file)
    drawn.append(draw())
    pipeline.unload_lora_weights()
print(*(numpy.abs(one - base).mean() for one in drawn), numpy.abs(drawn[0] - drawn[-1]).max())
"""


def test_a_checkpoint_comes_in_both_programs_names_and_loads_in_diffusers(
    page: Page, trained: int, tmp_path: Path
) -> None:
    page.goto(f"/jobs/{trained}")
    link = page.get_by_role("link", name="Download the LoRA of step 4")
    as_saved = downloaded(page, link.click, tmp_path)
    assert as_saved.name == f"{NAME}-step-000004.safetensors"
    files = []
    for names in ("Diffusers'", "ComfyUI's"):
        item = open_menu(page, 4).get_by_role("menuitem", name=f"Download in {names} names")
        (tmp_path / names).mkdir()
        files.append(downloaded(page, item.click, tmp_path / names))
    diffusers, comfyui = files
    assert diffusers.read_bytes() == as_saved.read_bytes()
    assert comfyui.name == f"{NAME}-step-000004-comfyui.safetensors"
    assert b"diffusion_model.double_blocks" in comfyui.read_bytes()

    model = ROOT / "trainer" / "tiny_flux2" / "weights"
    words = [sys.executable, "-c", CHANGES, str(model), str(diffusers), str(comfyui)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    with_diffusers, with_comfyui, apart = map(float, ran.stdout.split()[-3:])
    assert min(with_diffusers, with_comfyui) > 0.2, "the LoRA loaded, and changes the picture"
    assert apart <= 1, "one LoRA, whatever its layers are called"


def test_the_job_leaves_with_its_checkpoint_as_a_bundle(
    page: Page, trained: int, tmp_path: Path
) -> None:
    page.goto(f"/jobs/{trained}")
    item = open_menu(page, 4).get_by_role("menuitem", name="The job with it as a bundle")
    bundle = downloaded(page, item.click, tmp_path)
    assert bundle.name == f"{NAME}-000004.tar"
    with tarfile.open(bundle) as archive:
        names = archive.getnames()
        said = archive.extractfile("bundle.json")
        assert said is not None
        assert json.load(said)["step"] == 4
    assert "checkpoint/lora.safetensors" in names
    assert not [name for name in names if "step-000006" in name], "pictures up to its step"


def test_a_workflow_for_comfyui_draws_the_first_prompt_and_the_tiny_model_has_none(
    browser: Browser, darkroom: Darkroom, trained: int, tmp_path: Path
) -> None:
    source, target = (JobFolder(darkroom.output, name) for name in (NAME, KLEIN))
    settings = config(KLEIN) | {"model": {"model_architecture": "klein-base-4b"}}
    write_job_file(target.job_file, JobConfig.model_validate(settings))
    shutil.copytree(source.checkpoint(4), target.checkpoint(4))
    darkroom.post(f"/api/system/rescan?only={KLEIN}")
    jobs = darkroom.get("/api/jobs")["items"]
    klein = next(job["id"] for job in jobs if job["training_name"] == KLEIN)
    with PageWithoutErrors(browser, darkroom.address, expected=["409 (Conflict)"]) as page:
        page.goto(f"/jobs/{klein}")
        item = open_menu(page, 4).get_by_role("menuitem", name="ComfyUI workflow")
        file = downloaded(page, item.click, tmp_path)
        lora = f"{KLEIN}-step-000004-comfyui.safetensors"
        assert file.name == f"{KLEIN}-step-000004-comfyui.comfyui.json"
        where = f"into ComfyUI/models/loras, and drop {file.name}"
        expect(page.get_by_text(re.compile(f"Put {lora}.*{where}"))).to_be_visible()
        item = open_menu(page, 4).get_by_role("menuitem", name="ComfyUI's names")
        assert downloaded(page, item.click, tmp_path).name == lora
        nodes = json.loads(file.read_text())["nodes"]
        values = {node["type"]: node["widgets_values"] for node in nodes}
        assert values["LoraLoaderModelOnly"] == [lora, 1.0]
        assert values["UNETLoader"][0] == "flux-2-klein-base-4b.safetensors"
        prompts = [node["widgets_values"] for node in nodes if node["type"] == "CLIPTextEncode"]
        assert [f"zorvex, {CIRCLE}"] in prompts

        page.goto(f"/jobs/{trained}")
        open_menu(page, 4).get_by_role("menuitem", name="ComfyUI workflow").click()
        expect(page.get_by_text(re.compile("ComfyUI has no Tiny FLUX.2"))).to_be_visible()
    darkroom.delete(f"/api/jobs/{klein}?files=true")


def test_pictures_come_as_an_archive_all_or_those_selected(
    page: Page, trained: int, tmp_path: Path
) -> None:
    page.goto(f"/jobs/{trained}/gallery")
    for prompt in (1, 2):
        picture(page, prompt, 4).focus()
        page.keyboard.press("x")
    expect(page.get_by_text("2 pictures selected")).to_be_visible()
    for item, count in [("The 2 selected", 2), (f"All of {NAME}", 8)]:
        page.get_by_role("button", name="Download", exact=True).click()
        archive = downloaded(page, page.get_by_role("menuitem", name=item).click, tmp_path)
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None
            assert len(opened.namelist()) == count


def open_menu(page: Page, step: int) -> Page:
    page.get_by_role("button", name=f"More of the checkpoint of step {step}").click()
    return page


def downloaded(page: Page, start: Callable[[], None], folder: Path) -> Path:
    with page.expect_download() as awaited:
        start()
    file = folder / awaited.value.suggested_filename
    awaited.value.save_as(file)
    return file


# --- marking, deleting, taking back ---------------------------------------------------------------


def test_marks_stay_and_what_is_deleted_is_taken_back(
    page: Page, darkroom: Darkroom, trained: int
) -> None:
    page.goto(f"/jobs/{trained}/gallery")
    picture(page, 2, 2).focus()
    page.keyboard.press("s")
    expect(page.get_by_text("Starred")).to_be_visible()
    page.keyboard.press("Enter")
    note = page.get_by_role("dialog", name="Sample").get_by_role("textbox", name="Note")
    note.fill("sharp corners")
    page.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    expect(picture(page, 2, 2)).to_be_focused()
    page.keyboard.press("Delete")
    expect(picture(page, 2, 2)).to_have_count(0)
    expect(page.get_by_role("row").nth(2).get_by_text("Not drawn")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The picture is back.")).to_be_visible()
    picture(page, 2, 2).click()
    expect(note).to_have_value("sharp corners")
    expect(page.get_by_role("button", name="Star this picture")).to_have_attribute(
        "aria-pressed", "true"
    )

    page.goto(f"/jobs/{trained}")
    open_menu(page, 2).get_by_role("menuitem", name="Pin: keep it").click()
    open_menu(page, 2).get_by_role("menuitem", name="Write a note").click()
    saved = section(page, "Checkpoints").get_by_role("listitem").filter(has_text="Step 2")
    saved.get_by_role("textbox", name="Note").fill("before it was too much")
    saved.get_by_role("textbox", name="Note").blur()
    expect(saved.get_by_text("Pinned")).to_be_visible()
    file = JobFolder(darkroom.output, NAME).checkpoint(2)
    open_menu(page, 2).get_by_role("menuitem", name="Delete").click()
    expect(saved).to_have_count(0)
    assert not file.exists()
    page.get_by_role("button", name="Undo").click()
    expect(saved.get_by_text("Pinned")).to_be_visible()
    expect(saved.get_by_role("textbox", name="Note")).to_have_value("before it was too much")
    assert file.is_dir()
    saved.get_by_role("link", name="The pictures of step 2 in the gallery").click()
    expect(page.get_by_role("columnheader")).to_have_text(["Prompt", "Base", "Step 2"])


# --- going on ------------------------------------------------------------------------------------


def test_after_an_edit_and_a_resume_rows_stay_and_the_old_branch_is_marked(
    browser: Browser, darkroom: Darkroom, branched: int
) -> None:
    with PageWithoutErrors(
        browser,
        darkroom.address,
        expected=REFUSALS,
        bypass_csp=True,
        reduced_motion="reduce",
        viewport={"width": 1280, "height": 1400},
    ) as page:
        page.goto(f"/jobs/{branched}/gallery")
        expect(picture(page, 1, 6)).to_be_visible()
        aside = picture(page, 1, 6, "set aside by run 2")
        expect(aside).to_be_visible()
        expect(page.get_by_text("Set aside by run 2").first).to_be_visible()
        row_of = {
            words: page.get_by_role("rowheader").filter(has_text=words).first
            for words in (SQUARE, HEART)
        }
        expect(row_of[SQUARE]).to_be_visible()
        expect(row_of[HEART]).to_be_visible()
        kept = page.get_by_role("row").filter(has=page.get_by_text(f"zorvex, {SQUARE}")).first
        expect(kept.get_by_role("img", name=f"Step 4: zorvex, {SQUARE}")).to_be_visible()
        new = page.get_by_role("row").filter(has=page.get_by_text(f"zorvex, {HEART}")).first
        expect(new.get_by_role("img", name=f"Step 6: zorvex, {HEART}")).to_be_visible()
        look_at(page)
        page.set_viewport_size({"width": 1280, "height": 1400})
        aside.click()
        box = page.get_by_role("dialog", name="Sample")
        expect(box.get_by_text("superseded/0002/samples/step-000006-prompt-00.png")).to_be_visible()


def test_a_new_job_starts_from_a_checkpoint_and_its_pictures_stand_beside_the_old_ones(
    page: Page, darkroom: Darkroom, trained: int, wait_for: Callable[..., Any]
) -> None:
    page.goto(f"/jobs/{trained}")
    open_menu(page, 4).get_by_role("menuitem", name="New job that starts from it").click()
    page.get_by_text("All settings", exact=True).click()
    lora = JobFolder(darkroom.output, NAME).checkpoint(4) / "lora.safetensors"
    expect(page.get_by_role("textbox", name="Start from a LoRA")).to_have_value(str(lora))
    page.get_by_role("textbox", name="Training Name").fill(OTHER)
    page.get_by_role("textbox", name="Steps", exact=True).fill("2")
    page.get_by_role("button", name="Queue job").click()
    expect(page.get_by_role("heading", name=OTHER)).to_be_visible()
    jobs = darkroom.get("/api/jobs")["items"]
    other = next(job["id"] for job in jobs if job["training_name"] == OTHER)
    until_completed(darkroom, other, wait_for)

    page.goto(f"/jobs/{trained}/gallery")
    chooser = page.get_by_role("combobox", name="Lay another job beside it")
    chooser.click()
    page.get_by_role("option", name=OTHER, exact=True).click()
    expect(page).to_have_url(re.compile(rf"with={other}$"))
    own, beside = picture(page, 1, 2, NAME), picture(page, 1, 2, OTHER)
    expect(own).to_be_visible()
    expect(beside).to_be_visible()
    one_row = page.get_by_role("rowheader").filter(has_text=CIRCLE)
    expect(one_row.locator(f"text=zorvex, {CIRCLE}").first).to_be_visible()
    for one in (own, beside):
        one.focus()
        page.keyboard.press("x")
    page.get_by_role("button", name="Compare the two").click()
    box = page.get_by_role("dialog", name="Sample")
    labels = box.locator("figcaption")
    expect(labels).to_have_count(2)
    assert {NAME, OTHER} == {text.split(", ")[-1] for text in labels.all_inner_texts()}


# --- the database lost ----------------------------------------------------------------------------

GRID = """() => [...document.querySelectorAll('[role=row]')].map((row) => ({
  title: row.querySelector('[role=rowheader]')?.innerText ?? '',
  cells: [...row.querySelectorAll('[role=gridcell]')].map((cell) => [
    cell.querySelector('button')?.getAttribute('aria-label') ?? cell.innerText,
    cell.querySelectorAll('svg').length,
    cell.querySelector('img')?.naturalWidth ?? 0,
  ]),
}))"""


def test_a_lost_database_and_a_rescan_leave_the_gallery_whole(
    browser: Browser,
    darkroom: Darkroom,
    branched: int,
    tmp_path: Path,
    wait_for: Callable[..., Any],
) -> None:
    mark_something(darkroom, branched)
    before = told(browser, darkroom, branched, wait_for)
    shutil.copytree(darkroom.output / NAME, tmp_path / "output" / NAME)
    with darkroom_in(tmp_path, "serve") as empty:
        assert empty.get("/api/jobs")["items"] == []
        empty.post("/api/system/rescan")
        (job,) = empty.get("/api/jobs")["items"]
        after = told(browser, empty, job["id"], wait_for)
    assert after == before
    labels = [label for row in before["grid"] for label, *_ in row["cells"]]
    assert "Open prompt 1, step 6, set aside by run 2" in labels
    assert [one["note"] for one in before["samples"] if one["is_starred"]] == ["the one"]


def mark_something(darkroom: Darkroom, job_id: int) -> None:
    """A star, a note and a pin: on a picture, on one of the old branch, on a checkpoint."""
    samples = darkroom.get(f"/api/jobs/{job_id}/samples?superseded=true")["items"]
    checkpoints = darkroom.get(f"/api/jobs/{job_id}/checkpoints")["items"]
    kept = next(one for one in samples if one["step"] == 4 and one["superseded_by"] is None)
    aside = next(one for one in samples if one["superseded_by"] == 2 and one["step"] == 6)
    for address, marks in [
        *((f"samples/{one['id']}", {"starred": False, "note": ""}) for one in samples),
        (f"samples/{kept['id']}", {"starred": True, "note": "the one"}),
        (f"samples/{aside['id']}", {"note": "what it was before"}),
        (f"checkpoints/{checkpoints[0]['id']}", {"pinned": True, "note": "early"}),
    ]:
        darkroom.patch(f"/api/jobs/{job_id}/{address}", marks)


def told(
    browser: Browser, darkroom: Darkroom, job_id: int, wait_for: Callable[..., Any]
) -> dict[str, Any]:
    """All that pages show and the API tells of pictures and checkpoints."""
    window = {"width": 1280, "height": 2400}
    with PageWithoutErrors(browser, darkroom.address, viewport=window) as page:
        page.goto(f"/jobs/{job_id}/gallery")
        expect(picture(page, 1, 6)).to_be_visible()
        wait_for(
            lambda: page.evaluate("[...document.images].every((image) => image.complete)"),
            "every picture",
        )
        grid = page.evaluate(GRID)
        page.goto(f"/jobs/{job_id}")
        items = section(page, "Checkpoints").get_by_role("listitem")
        expect(items.first).to_be_visible()
        facts = items.all_inner_texts()
    return {
        "grid": grid,
        "facts": facts,
        "samples": without_numbers(darkroom, f"/api/jobs/{job_id}/samples?superseded=true"),
        "checkpoints": without_numbers(darkroom, f"/api/jobs/{job_id}/checkpoints"),
    }


def without_numbers(darkroom: Darkroom, address: str) -> list[dict[str, Any]]:
    """The list without what a second database numbers anew."""
    anew = {"id", "url", "thumbnail_url"}
    items = darkroom.get(address)["items"]
    return [{key: value for key, value in one.items() if key not in anew} for one in items]
