"""A run that is stopped, killed in the middle of a save, and resumed is the uninterrupted one."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.short_runs import ShortRun, finished_run, job_with, run_here, write_job
from tests.trainer.test_runs import EVERYTHING, assert_same_training, measured
from trainer import trainee
from trainer.batches import BatchSource
from trainer.commands import append_command
from trainer.events import RunBegins, RunFinished
from trainer.folders import Folders
from trainer.job_folder import JobFolder
from trainer.training_step import StepResult

# The trainer's own command line, in a process that dies while it writes the checkpoint of step 4:
# the LoRA and the state are on the disk under a temporary name, the optimizer's file is not.
DIES_WHILE_SAVING = """
import os, signal, sys
from trainer import checkpoint
from trainer.__main__ import main
save_file = checkpoint.save_file
def dying_save_file(tensors, path, *rest, **options):
    if path.name == "optimizer.safetensors":
        os.kill(os.getpid(), signal.SIGKILL)
    save_file(tensors, path, *rest, **options)
checkpoint.save_file = dying_save_file
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("steps", "stop_at", "save_every"),
    [
        pytest.param(6, 3, 2, marks=pytest.mark.long),
        pytest.param(200, 100, 75, marks=[pytest.mark.long, pytest.mark.timeout(1800)]),
    ],
)
def test_stopped_killed_and_resumed_is_the_uninterrupted_run(
    short_folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    stop_at: int,
    save_every: int,
) -> None:
    every = {
        "training.steps": steps,
        "save.save_every": save_every,
        "sample.sample_every": save_every,
    }
    job_data = job_with(every, base=EVERYTHING)
    kept = list(range(save_every, stop_at, save_every)) + [stop_at]
    uninterrupted = run_here(job_data, short_folders, tmp_path / "whole")
    parent = tmp_path / "parts"
    folder = JobFolder(parent, "short")
    losses: dict[int, tuple[float, float, float | None]] = {}

    stopped = run_until_stopped_at_step(stop_at, job_data, short_folders, parent, monkeypatch)
    assert stopped.exit_code == 3
    assert folder.checkpoint_steps() == kept
    losses |= stopped.losses

    job = write_job(tmp_path / "job.yaml", job_data)
    options = [
        *("--output", str(parent)),
        *("--datasets", str(short_folders.datasets)),
        *("--models", str(short_folders.models)),
        *("--cache", str(short_folders.cache)),
    ]
    killed = subprocess.run(
        [sys.executable, "-c", DIES_WHILE_SAVING, "run", str(job), *options],
        capture_output=True,
        check=False,
        timeout=900,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert folder.checkpoint_steps() == kept  # the next save was cut and left no folder
    cut = finished_run(parent, "short", -signal.SIGKILL)
    assert not any(isinstance(event, RunFinished) for event in cut.events)
    losses |= cut.losses

    resumed = run_here(job_data, short_folders, parent)
    assert resumed.exit_code == 0
    assert resumed.of_type(RunBegins)[0].resumed_from_step == stop_at
    assert not list(folder.checkpoints.glob(".writing-*"))
    losses |= resumed.losses

    assert losses == uninterrupted.losses
    assert measured(stopped) | measured(cut) | measured(resumed) == measured(uninterrupted)
    assert_same_training(resumed, uninterrupted, step=steps)


def run_until_stopped_at_step(
    step: int,
    job: Mapping[str, Any],
    folders: Folders,
    parent: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> ShortRun:
    """A run that is given the stop command while it takes the step."""
    take_step = trainee.Trainee.take_step
    commands = JobFolder(parent, "short").run(1).commands

    def take_and_stop(self: trainee.Trainee, batches: BatchSource) -> StepResult:
        result = take_step(self, batches)
        if self.step == step:
            append_command(commands, "stop")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(trainee.Trainee, "take_step", take_and_stop)
        return run_here(job, folders, parent)
