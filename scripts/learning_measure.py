"""Train one run of the learning report and judge its checkpoints by the pictures they draw.

Style and leak are what the judge says of held-out prompts with the trigger and with the class word;
the drift is how far the class prompts' pictures moved from the base model's. A result is a folder
with `result.json` and `pictures.png`, written when all of it is known: a report that was killed
goes on with the run it was at.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from diffusers import Flux2Pipeline
from PIL.Image import Image

from learning_runs import CHECKPOINT_STEPS, Run
from steps import ROOT
from trainer.config import JobConfig
from trainer.job_file import write_job_file
from trainer.job_folder import JobFolder
from trainer.tiny_flux2.evaluate import SHEET_COLUMNS, contact_sheet, draw, load_pipeline
from trainer.tiny_flux2.judge import held_out_prompts, preservation_rmse, style_probability
from trainer.variants import BUNDLED_TINY_FOLDER

NUM_PROMPTS = 12
GUIDANCE_SCALE = 3.0
NUM_LAST_STEPS = 50
_RESULT = "result.json"


class RunFailed(Exception):
    """A training of the report did not complete; the message is the end of what it said."""


@dataclass(frozen=True)
class Reading:
    """A checkpoint's pictures in numbers: style and leak in 0..1, drift in grey levels of 255."""

    step: int
    style: float
    leak: float
    drift: float


@dataclass(frozen=True)
class Result:
    """What one training came to. loss: against the true target, mean of its last steps."""

    readings: tuple[Reading, ...]
    loss: float

    @staticmethod
    def read(file: Path) -> Result:
        """The result that `Measurer.measure` wrote."""
        values = json.loads(file.read_text())
        return Result(tuple(Reading(**each) for each in values["readings"]), values["loss"])


class Measurer:
    """Trains and judges in `work`; the base model's own pictures are drawn once."""

    def __init__(self, work: Path) -> None:
        self._work = work

    def measure(self, run: Run, seed: int) -> Result:
        """The result of the run, trained now unless it was before. Raises RunFailed."""
        known = self.result_of(run, seed)
        if known is not None:
            return known
        folder = self._work / run.key(seed)
        self._train_and_judge(run.job(seed), folder)
        return Result.read(folder / _RESULT)

    def result_of(self, run: Run, seed: int) -> Result | None:
        """The result of the run, if it was trained before."""
        file = self._work / run.key(seed) / _RESULT
        return Result.read(file) if file.exists() else None

    def pictures_of(self, run: Run, seed: int) -> Path:
        """A strip of 8 pictures: base and checkpoints with the trigger, then with the class."""
        return self._work / run.key(seed) / "pictures.png"

    def _train_and_judge(self, job: JobConfig, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        trained = self._train(job, folder)
        with_trigger, of_class = self._prompts(job)
        styled_strip, kept_strip = [self._base[0][0]], [self._base[1][0]]
        readings = []
        for step in CHECKPOINT_STEPS:
            self._pipeline.load_lora_weights(str(trained.checkpoint(step) / "lora.safetensors"))
            styled, kept = self._draw(with_trigger), self._draw(of_class)
            self._pipeline.unload_lora_weights()
            styled_strip.append(styled[0])
            kept_strip.append(kept[0])
            readings.append(
                Reading(
                    step=step,
                    style=statistics.fmean(style_probability(styled)),
                    leak=statistics.fmean(style_probability(kept)),
                    drift=preservation_rmse(kept, self._base[1]),
                )
            )
        assert len(styled_strip + kept_strip) == SHEET_COLUMNS, "one row of pictures"
        contact_sheet(styled_strip + kept_strip).save(folder / "pictures.png", optimize=True)
        result = Result(tuple(readings), _loss_at_the_end(trained))
        shutil.rmtree(trained.path)
        unfinished = folder / "result.writing"
        unfinished.write_text(json.dumps(asdict(result), indent=2))
        unfinished.replace(folder / _RESULT)

    def _train(self, job: JobConfig, folder: Path) -> JobFolder:
        job_file = folder / "job.yaml"
        write_job_file(job_file, job)
        command = [sys.executable, "-m", "trainer", "run", str(job_file)]
        command += ["--output", str(folder), "--cache", str(self._work / "cache")]
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env={"OMP_NUM_THREADS": "1", **os.environ},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise RunFailed(f"{job_file} ended with {ran.returncode}:\n{ran.stderr[-2000:]}")
        return JobFolder(folder, job.job.training_name)

    @cached_property
    def _pipeline(self) -> Flux2Pipeline:
        return load_pipeline(BUNDLED_TINY_FOLDER)

    @cached_property
    def _base(self) -> tuple[list[Image], list[Image]]:
        with_trigger, of_class = self._prompts(Run("base").job(0))
        return self._draw(with_trigger), self._draw(of_class)

    @staticmethod
    def _prompts(job: JobConfig) -> tuple[list[str], list[str]]:
        preserved = job.regularization.preservation_class
        return (
            held_out_prompts(NUM_PROMPTS, trigger=job.job.trigger_word),
            held_out_prompts(NUM_PROMPTS, trigger=preserved),
        )

    def _draw(self, prompts: list[str]) -> list[Image]:
        return draw(self._pipeline, prompts, guidance_scale=GUIDANCE_SCALE)


def _loss_at_the_end(trained: JobFolder) -> float:
    lines = trained.run(1).events.read_text().splitlines()
    steps = [event for event in map(json.loads, lines) if event["type"] == "step"]
    return statistics.fmean(event["loss"] for event in steps[-NUM_LAST_STEPS:])
