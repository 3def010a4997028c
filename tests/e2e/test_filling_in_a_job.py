"""The form with the real server: a job file in, its plan, a preset over it, and back again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Darkroom

AI_TOOLKIT_JOB = """\
---
job: extension
config:
  name: "harbour"
  process:
    - type: "sd_trainer"
      trigger_word: "zorvex"
      train:
        steps: 900
        lr: 2e-4  # for YAML 1.1 a word, as people write it
        optimizer: "automagic"
      datasets:
        - folder_path: "/data/tiny-hatch"
          resolution: [512, 128]
      model:
        arch: "flux2"
        name_or_path: "black-forest-labs/FLUX.2-dev"
      sample:
        samples:
          - prompt: "[trigger], a harbour"
"""


@pytest.mark.slow
def test_a_job_of_ai_toolkit_gets_a_preset_a_plan_and_goes_back(
    page: Page, darkroom: Darkroom, tmp_path: Path
) -> None:
    file = tmp_path / "harbour.yaml"
    file.write_text(AI_TOOLKIT_JOB)
    page.get_by_role("link", name="New job").first.click()
    import_job(page, file)
    steps = page.get_by_role("textbox", name="Steps", exact=True)
    expect(steps).to_have_value("900")
    expect(page.get_by_role("region", name="What tiny-hatch holds")).to_be_visible()

    page.get_by_role("heading", name="Memory plan").click()
    page.get_by_label("Card to plan for").select_option("as if 24 GB")
    expect(page.get_by_text("Does not fit a card of 24 GB")).to_be_visible()
    page.get_by_label("Card to plan for").select_option("as if 80 GB")
    expect(page.get_by_text("Fits a card of 80 GB")).to_be_visible()

    page.get_by_label("Card", exact=True).select_option("as if 24 GB")
    page.get_by_role("radio", name="Style").check(force=True)
    page.get_by_role("button", name="Apply to").click()
    expect(steps).to_have_value("1500")
    expect(page.get_by_role("textbox", name="Training Name")).to_have_value("harbour")

    page.get_by_role("button", name="Undo").click()
    expect(steps).to_have_value("900")

    page.reload()
    expect(steps).to_have_value("900")
    expect(page.get_by_text("Restored what you typed")).to_be_visible()
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_role("heading", name="Edit harbour")).to_be_visible()
    (job,) = darkroom.get("/api/jobs")["items"]
    config = darkroom.get(f"/api/jobs/{job['id']}")["config"]
    assert config["training"]["learning_rate"] == 2e-4
    assert config["datasets"][0]["target_dataset"] == "tiny-hatch"
    assert config["sample"]["prompts"][0]["prompt"] == "[trigger], a harbour"


@pytest.mark.slow
def test_two_tabs_keep_two_jobs_and_a_closed_one_leaves_its_own_to_the_next(
    page: Page, darkroom: Darkroom
) -> None:
    page.goto("/jobs/new")
    name(page).fill("harbour")
    other = page.context.new_page()
    other.goto("/jobs/new")
    expect(name(other)).to_have_value("")
    name(other).fill("lake")

    page.reload()
    expect(name(page)).to_have_value("harbour")
    other.get_by_role("button", name="Save draft").click()
    expect(other.get_by_role("heading", name="Edit lake")).to_be_visible()
    page.reload()
    expect(name(page)).to_have_value("harbour")

    page.goto("/")
    other.goto("/jobs/new")
    expect(name(other)).to_have_value("harbour")
    expect(other.get_by_text("Restored what you typed")).to_be_visible()
    other.close(run_before_unload=True)
    page.goto("/jobs/new")
    expect(name(page)).to_have_value("harbour")


def name(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Training Name")


def import_job(page: Page, file: Path) -> None:
    page.get_by_role("button", name="Import a job file").click()
    page.get_by_role("dialog").locator("input[type=file]").set_input_files(file)
    expect(page.get_by_role("rowheader", name="train.optimizer")).to_be_visible()
    page.get_by_role("button", name="Put it into the form").click()
