"""Try it as a person does: from a checkpoint to pictures at two strengths beside the base model,
then two checkpoints and an uploaded file beside each other, with a reference image.
"""

from __future__ import annotations

import pickle
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.backend.loras.files import lora_bytes
from tests.e2e.conftest import Darkroom, PageWithoutErrors, darkroom_in
from tests.e2e.test_everybody_can_use_the_pages import STAND_IN
from trainer.job_folder import LORA_FILE, JobFolder
from trainer.variants import Architecture

# What the browser logs of a file that the server refuses.
REFUSALS = ("422 (Unprocessable",)
# The model loads twice: for the training and for the drawing.
DRAWN_SECONDS = 180


def job_config() -> dict[str, Any]:
    """As short as a training with a result can be."""
    prompts = [{"prompt": "[trigger] a red circle on a white background"}]
    return {
        "job": {"training_name": "hatch", "trigger_word": "zorvex", "gpu": "cpu"},
        "model": {"model_architecture": "tiny"},
        "quantization": {"transformer": "none", "text_encoder": "none"},
        "target": {"linear_rank": 4},
        "training": {"steps": 4, "learning_rate": 0.01, "data_type": "fp32"},
        "save": {"save_every": 2},
        "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [64]}],
        "sample": {
            "first_sample_at_step_0": False,
            "sample_every": 1000,
            "width": 64,
            "height": 64,
            "sample_steps": 2,
            "prompts": prompts,
        },
    }


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_checkpoint_is_tried_at_two_strengths_beside_the_base_model(
    browser: Browser, darkroom: Darkroom, wait_for: Callable[..., Any], tmp_path: Path
) -> None:
    job = darkroom.post("/api/jobs", {"config": job_config(), "queue": True})
    wait_for(
        lambda: darkroom.get(f"/api/jobs/{job['id']}")["status"] == "completed",
        "the training to end",
        seconds=DRAWN_SECONDS,
    )
    with PageWithoutErrors(browser, darkroom.address, expected=REFUSALS) as page:
        page.goto(f"/jobs/{job['id']}")
        page.get_by_role("link", name="Try it: the LoRA of step 4").click()
        draw_at_two_strengths(page)
        compare_by_keyboard(page)
        reload_and_find_it_again(page)
        delete_and_undo(page)
        refuse_what_is_no_lora_of_this_model(page, tmp_path)
        draw_two_checkpoints_and_an_upload_with_a_reference(page, darkroom, tmp_path)


def draw_at_two_strengths(page: Page) -> None:
    expect(page.get_by_role("heading", name="Try it", exact=True)).to_be_visible()
    expect(page.get_by_text("hatch, step 4", exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name="Prompt 1")).to_have_value(re.compile("a red circle"))
    expect(page).to_have_url(re.compile("/try$"))
    page.get_by_role("checkbox", name="0.5").press("Space")
    expect(page.get_by_text("3 pictures", exact=True)).to_be_visible()
    expect(page.get_by_text("Starts now.")).to_be_visible()
    expect(page.get_by_text("Ready to draw")).to_be_visible()
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.get_by_role("heading", name="drawing-0001")).to_be_visible()
    for variant in ("base", "strength 0.5", "strength 1"):
        expect(cell(page, variant)).to_be_visible(timeout=DRAWN_SECONDS * 1000)
    shown = [page_pixels(page, variant) for variant in ("base", "strength 0.5", "strength 1")]
    assert len(set(shown)) == 3, "every strength makes a picture of its own"


def cell(page: Page, variant: str) -> Locator:
    return page.get_by_role("button", name=f"Open prompt 1, {variant}", exact=True)


def page_pixels(page: Page, variant: str) -> str:
    """The picture as the browser has decoded it."""
    image = cell(page, variant).get_by_role("img")
    expect(image).to_be_visible()
    return image.evaluate(
        """async (image) => {
          await image.decode();
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          canvas.getContext('2d').drawImage(image, 0, 0);
          return canvas.toDataURL();
        }"""
    )


def compare_by_keyboard(page: Page) -> None:
    cell(page, "strength 1").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("dialog", name="Sample")
    expect(box.get_by_role("heading", name="Strength 1", exact=True)).to_be_visible()
    page.keyboard.press("3")
    divider = box.get_by_role("slider", name="Divider between the two pictures")
    expect(divider).to_be_focused()
    page.keyboard.press("Shift+ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "60")
    expect(box.get_by_text("Compared with base")).to_be_visible()
    expect(box.get_by_text("hatch, step 4")).to_be_visible()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(cell(page, "strength 1")).to_be_focused()


def reload_and_find_it_again(page: Page) -> None:
    page.reload()
    expect(cell(page, "strength 0.5").get_by_role("img")).to_be_visible()
    expect(page.get_by_role("checkbox", name="0.5")).to_be_checked()
    expect(page.get_by_role("link", name="Open drawing-0001")).to_be_visible()
    # The next one like it can be foretold.
    expect(page.get_by_text(re.compile(r"^About .* took\."))).to_be_visible()


def delete_and_undo(page: Page) -> None:
    # What still runs is deleted when it has ended, and then there is no undo but the trash.
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Delete drawing-0001").click()
    expect(page).to_have_url(re.compile("/try$"))
    expect(page.get_by_text("No drawings yet")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("link", name="Open drawing-0001").click()
    expect(cell(page, "strength 1").get_by_role("img")).to_be_visible()


def refuse_what_is_no_lora_of_this_model(page: Page, folder: Path) -> None:
    files = page.locator("input[accept='.safetensors']")
    harmful = folder / "harmful.safetensors"
    harmful.write_bytes(pickle.dumps({"lora": list(range(100_000))}))
    files.set_input_files(harmful)
    alert = page.get_by_role("group", name="LoRAs").get_by_role("alert")
    expect(alert).to_contain_text("harmful.safetensors was refused")
    expect(alert).to_contain_text("harmful.safetensors is a pickle")
    page.get_by_role("button", name="Close the message on harmful.safetensors").click()

    damaged = folder / "half-copied.safetensors"
    damaged.write_bytes(lora_bytes()[:-100])
    files.set_input_files(damaged)
    expect(alert).to_contain_text("half-copied.safetensors was refused")
    expect(alert).to_contain_text("damaged or cut short")
    page.get_by_role("button", name="Close the message on half-copied.safetensors").click()

    other = folder / "klein-ink.safetensors"
    other.write_bytes(lora_bytes(architecture_of_sizes=Architecture.KLEIN_4B))
    files.set_input_files(other)
    chosen = page.get_by_role("listitem").filter(has_text="klein-ink")
    expect(chosen).to_contain_text("was trained on another model than Tiny FLUX.2")
    expect(page.get_by_text("One thing stands in the way")).to_be_visible()
    page.get_by_role("button", name="Take klein-ink away").click()
    expect(page.get_by_text("Ready to draw")).to_be_visible()


def draw_two_checkpoints_and_an_upload_with_a_reference(
    page: Page, darkroom: Darkroom, folder: Path
) -> None:
    without_reference = page_pixels(page, "base")
    page.get_by_role("button", name="Choose", exact=True).click()
    chooser = page.get_by_role("dialog", name="Choose LoRAs")
    chooser.get_by_role("button", name=re.compile("^Step 2")).click()
    chooser.get_by_role("button", name="Done").click()
    upload = folder / "borrowed.safetensors"
    shutil.copy(JobFolder(darkroom.output, "hatch").checkpoint(2) / LORA_FILE, upload)
    page.locator("input[accept='.safetensors']").set_input_files(upload)
    expect(page.get_by_role("button", name="Take borrowed away")).to_be_visible()
    reference = folder / "cat.png"
    Image.effect_noise((64, 64), 90).convert("RGB").save(reference)
    page.locator("input[accept='image/*']").set_input_files(reference)
    expect(page.get_by_role("button", name=re.compile("^Take the reference .*cat"))).to_be_visible()
    expect(page.get_by_text("7 pictures", exact=True)).to_be_visible()
    expect(page.get_by_text("Ready to draw")).to_be_visible()
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.get_by_role("heading", name="drawing-0002")).to_be_visible()

    # There are more LoRAs than strengths: they go across, a line for each strength.
    loras, strengths = ("hatch, step 2", "hatch, step 4", "borrowed"), ("0.5", "1")
    shown: dict[tuple[str, str], str] = {}
    for lora in loras:
        for strength in strengths:
            variant = f"{lora}, strength {strength}"
            expect(cell(page, variant)).to_be_visible(timeout=DRAWN_SECONDS * 1000)
            shown[lora, strength] = page_pixels(page, variant)
    base = page_pixels(page, "base, strength 1")
    assert base != without_reference, "the reference was shown to the model"
    for strength in strengths:
        assert shown["borrowed", strength] == shown["hatch, step 2", strength], "one LoRA, one file"
    assert len({base, *shown.values()}) == 5, "two checkpoints at two strengths, and the base"

    page.get_by_text("Strengths", exact=True).last.click()
    expect(cell(page, "strength 0.5, borrowed")).to_be_visible()


def test_a_drawing_waits_for_the_training_that_holds_the_device(
    browser: Browser, tmp_path: Path, built_pages: None, wait_for: Callable[..., Any]
) -> None:
    trainer = f"{sys.executable} {STAND_IN}"
    with darkroom_in(tmp_path, trainer_command=trainer, worker_poll_seconds=0.1) as darkroom:
        config = job_config()
        config["job"]["trigger_word"] = "wait"
        job_id = darkroom.post("/api/jobs", {"config": config, "queue": True})["id"]
        job = f"/api/jobs/{job_id}"
        wait_for(lambda: darkroom.get(job)["step"] == 2, "a training in its midst")
        with PageWithoutErrors(browser, darkroom.address, expected=REFUSALS) as page:
            page.goto("/try")
            page.get_by_role("textbox", name="Prompt 1").fill("a red circle")
            page.get_by_text("Model and how it is loaded").click()
            page.get_by_label("Model Architecture", exact=True).select_option("tiny")
            page.get_by_role("button", name="Draw", exact=True).click()
            expect(page.get_by_text("Waits until hatch on the CPU ends.").first).to_be_visible()
            expect(cell(page, "base")).to_have_count(0)
            assert darkroom.get(job)["status"] == "running", "though the drawing has precedence"
            darkroom.post(f"{job}/stop")
            expect(cell(page, "base")).to_be_visible()
            assert darkroom.get(job)["status"] == "stopped"
