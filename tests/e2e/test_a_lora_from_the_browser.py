"""The whole path as a person takes it: form, queue, pictures and curve, stop, download, use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import ROOT, Darkroom

NAME = "browser-hatch"
FIRST_PICTURE_SECONDS = 120


@pytest.mark.long
def test_a_lora_is_trained_from_the_browser_and_changes_the_picture(
    page: Page, darkroom: Darkroom, wait_for: Callable[..., Any], tmp_path: Path
) -> None:
    fill_the_form(page)
    expect(page.get_by_text("Ready to queue").first).to_be_visible()
    page.get_by_role("button", name="Queue job").click()

    expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    page.evaluate("window.neverReloaded = true")
    watch_it_learn(page)
    lora = stop_and_download(page, darkroom, wait_for, tmp_path)
    assert page.evaluate("window.neverReloaded") is True
    assert_it_changes_the_picture(lora)


def fill_the_form(page: Page) -> None:
    page.get_by_role("link", name="New job").first.click()
    page.get_by_text("All settings", exact=True).click()
    panel(page, "Job").get_by_role("textbox", name="Training Name").fill(NAME)
    panel(page, "Job").get_by_role("textbox", name="Trigger Word").fill("zorvex")
    model = panel(page, "Model").get_by_role("combobox", name="Model Architecture")
    model.select_option("Tiny FLUX.2 (bundled, runs on a CPU)")
    panel(page, "Target").get_by_role("textbox", name="Linear Rank").fill("8")
    training = panel(page, "Training")
    training.get_by_role("textbox", name="Steps", exact=True).fill("5000")
    training.get_by_role("textbox", name="Learning Rate").fill("2e-3")
    training.get_by_text("FP32", exact=True).click()
    panel(page, "Save").get_by_role("textbox", name="Save Every").fill("5")
    panel(page, "Datasets").get_by_role("radiogroup", name="Target Dataset").get_by_text(
        "tiny-hatch", exact=True
    ).click()
    sample = panel(page, "Sample")
    sample.get_by_role("button", name="Add prompt").click()
    sample.get_by_role("textbox", name="Prompt", exact=True).fill(
        "[trigger], a red circle on a white background"
    )


def panel(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def watch_it_learn(page: Page) -> None:
    first = page.get_by_role("button", name="Open prompt 1, base").get_by_role("img")
    expect(first).to_be_visible(timeout=FIRST_PICTURE_SECONDS * 1000)
    expect(page.get_by_role("img", name=f"Curve of {NAME}")).to_be_visible(timeout=60_000)
    later = page.get_by_role("button", name="Open prompt 1, step 5", exact=False).first
    expect(later).to_be_visible(timeout=60_000)


def stop_and_download(
    page: Page, darkroom: Darkroom, wait_for: Callable[..., Any], tmp_path: Path
) -> Path:
    page.get_by_role("button", name="Stop", exact=True).first.click()
    expect(page.get_by_text("Stopped", exact=True).first).to_be_visible(timeout=60_000)
    job = darkroom.get("/api/jobs")["items"][0]
    assert job["status"] == "stopped"
    saved = darkroom.get(f"/api/jobs/{job['id']}/checkpoints")["items"]
    assert max(checkpoint["step"] for checkpoint in saved) == job["step"], "a stop loses no step"

    with page.expect_download() as awaited:
        page.get_by_role("link", name=f"Download the LoRA of step {job['step']}").click()
    file = tmp_path / awaited.value.suggested_filename
    awaited.value.save_as(file)
    assert file.name == f"{NAME}-step-{job['step']:06d}.safetensors"
    return file


def assert_it_changes_the_picture(lora: Path) -> None:
    """Load the downloaded file as anybody would, in a fresh process with nothing of ours."""
    program = """
import sys, numpy, torch
from diffusers import Flux2Pipeline
pipeline = Flux2Pipeline.from_pretrained(sys.argv[1])
def draw():
    picture = pipeline(
        prompt="ohwx, a red circle on a blue background", width=128, height=128,
        num_inference_steps=8, guidance_scale=1.0, generator=torch.Generator().manual_seed(1),
        text_encoder_out_layers=(1, 2, 3), max_sequence_length=48).images[0]
    return numpy.asarray(picture, dtype=float)
base, again = draw(), draw()
pipeline.load_lora_weights(sys.argv[2])
print(numpy.abs(base - again).max(), numpy.abs(base - draw()).mean())
"""
    model = ROOT / "trainer" / "tiny_flux2" / "weights"
    ran = subprocess.run(
        [sys.executable, "-c", program, str(model), str(lora)],
        capture_output=True,
        text=True,
        check=False,
        cwd=lora.parent,
    )
    assert ran.returncode == 0, ran.stderr
    noise, change = map(float, ran.stdout.split()[-2:])
    assert noise == 0
    assert change > 0.2, "the LoRA loaded, and the picture is the base model's"
