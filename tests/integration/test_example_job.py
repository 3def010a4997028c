"""The example job does what the README promises, by the judge and not by its loss.

The whole of examples/tiny-style.yaml is trained as a person would, then pictures are drawn from its
result through the plain Diffusers pipeline: with the trigger they are hatched, without it they stay
the base model's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import Flux2Pipeline
from PIL.Image import Image

from trainer.job_file import read_job_file
from trainer.job_folder import JobFolder
from trainer.tiny_flux2.evaluate import draw, load_pipeline
from trainer.tiny_flux2.judge import held_out_prompts, preservation_rmse, style_probability
from trainer.variants import BUNDLED_TINY_FOLDER

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "tiny-style.yaml"
NUM_PICTURES = 12


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """The example job, trained from nothing."""
    folder = tmp_path_factory.mktemp("example")
    command = [sys.executable, "-m", "trainer", "run", str(EXAMPLE)]
    command += ["--output", str(folder), "--cache", str(folder / "cache")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return JobFolder(folder, read_job_file(EXAMPLE).job.training_name)


@pytest.fixture(scope="module")
def pipeline() -> Flux2Pipeline:
    return load_pipeline(BUNDLED_TINY_FOLDER)


def draw_all(pipeline: Flux2Pipeline, prompts: list[str]) -> list[Image]:
    return draw(pipeline, prompts, guidance_scale=3.0)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_style_is_on_the_trigger_and_stays_off_the_class(
    finished: JobFolder, pipeline: Flux2Pipeline
) -> None:
    job = read_job_file(EXAMPLE)
    with_trigger = held_out_prompts(NUM_PICTURES, trigger=job.job.trigger_word)
    of_class = held_out_prompts(NUM_PICTURES, trigger=job.regularization.preservation_class)
    base_with_trigger = draw_all(pipeline, with_trigger)
    base_of_class = draw_all(pipeline, of_class)

    pipeline.load_lora_weights(str(finished.result))
    styled = draw_all(pipeline, with_trigger)
    kept = draw_all(pipeline, of_class)

    style_before = float(torch.tensor(style_probability(base_with_trigger)).mean())
    style = float(torch.tensor(style_probability(styled)).mean())
    leaked = float(torch.tensor(style_probability(kept)).mean())
    moved = preservation_rmse(kept, base_of_class)
    moved_with_trigger = preservation_rmse(styled, base_with_trigger)
    print(f"style {style_before:.2f} -> {style:.2f}, on class prompts {leaked:.2f}; ", end="")
    print(f"rmse of class prompts {moved:.1f}, with trigger {moved_with_trigger:.1f}")
    assert style_before < 0.1
    assert style > 0.6
    assert leaked < 0.3
    assert moved < moved_with_trigger / 2


@pytest.mark.long
def test_every_step_sample_and_checkpoint_is_in_its_events(finished: JobFolder) -> None:
    job = read_job_file(EXAMPLE)
    lines = finished.run(1).events.read_text().splitlines()
    events = [json.loads(line) for line in lines]
    steps = [event["step"] for event in events if event["type"] == "step"]
    assert steps == list(range(1, job.training.steps + 1))
    drawn = [event["path"] for event in events if event["type"] == "sample"]
    assert drawn
    assert all((finished.path / path).is_file() for path in drawn)
    assert events[-1]["outcome"] == "completed"
