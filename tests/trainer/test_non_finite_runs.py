"""Runs whose numbers go bad: from the first step, and on the way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.trainer.short_runs import ShortRun, job_with, run_here
from trainer.batches import BatchSource
from trainer.checkpoint import STATE_FILE, open_checkpoint
from trainer.errors import NonFinite
from trainer.events import BestCheckpoint, Measured, RunBegins, RunFinished, Step, Warned
from trainer.folders import Folders
from trainer.job_folder import JobFolder
from trainer.trainee import Trainee
from trainer.training_step import StepResult
from trainer.variants import BUNDLED_TINY_FOLDER

pytestmark = pytest.mark.slow  # whole trainings, if short ones


def skipped_steps(run: ShortRun) -> list[int]:
    return [w.params["step"] for w in run.of_type(Warned) if w.code == "step_skipped"]


def test_a_model_that_answers_with_no_numbers_ends_the_run_at_the_fifth_step(
    short_folders: Folders, tmp_path: Path
) -> None:
    # One infinite weight in the last layer is enough.
    model = tmp_path / "broken"
    shutil.copytree(BUNDLED_TINY_FOLDER, model)
    file = model / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["proj_out.weight"][0, 0] = float("inf")
    save_file(tensors, file, metadata={"format": "pt"})

    job = job_with({"training.steps": 40, "model.name_or_path": str(model), "save.save_every": 2})
    run = run_here(job, short_folders, tmp_path)
    assert run.exit_code == NonFinite.exit_code
    assert run.of_type(Step) == []  # never reported as a number that it is not
    assert skipped_steps(run) == [1, 2, 3, 4]
    assert run.events[-1].problems[0]["params"]["step"] == 5  # type: ignore[union-attr]
    assert not run.folder.result.exists()

    # The checkpoints of steps that changed nothing are whole; a job that allows fewer ends at once.
    assert run.folder.checkpoint_steps() == [2, 4]
    stricter = job_with({"advanced.stop_when_a_non_finite_loss_repeats": 2}, base=job)
    run = run_here(stricter, short_folders, tmp_path)
    assert run.exit_code == NonFinite.exit_code
    assert skipped_steps(run) == []
    assert run.events[-1].problems[0]["params"]["step"] == 5  # type: ignore[union-attr]


def test_numbers_that_go_bad_on_the_way_leave_the_last_good_checkpoint_and_the_way_on(
    short_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_with(
        {
            "training.steps": 9,
            "save.save_every": 2,
            "advanced.validation": "held_out",
            "advanced.validation_noise_levels": 1,
        }
    )
    good: dict[str, Any] = {}
    take_step = Trainee.take_step
    folder = JobFolder(tmp_path, "short")

    def take_then_break(self: Trainee, batches: BatchSource) -> StepResult:
        result = take_step(self, batches)
        if self.step == 3:
            good["files"] = {f.name: f.read_bytes() for f in folder.checkpoint(2).iterdir()}
            good["lora"] = {n: p.detach().clone() for n, p in self.lora.parameters.items()}
            self.transformer.proj_out.weight.data[0, 0] = float("inf")
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Trainee, "take_step", take_then_break)
        run = run_here(job, short_folders, tmp_path)
    (end,) = run.of_type(RunFinished)
    assert (run.exit_code, end.problems[0]["code"]) == (NonFinite.exit_code, "non_finite")
    assert [step.step for step in run.of_type(Step)] == [1, 2, 3]
    assert skipped_steps(run) == [4, 5, 6, 7]
    assert end.problems[0]["params"]["step"] == 8
    assert not folder.result.exists()

    # The last good checkpoint is as it was written, and is still the best one.
    assert {f.name: f.read_bytes() for f in folder.checkpoint(2).iterdir()} == good["files"]
    assert [best.step for best in run.of_type(BestCheckpoint)] == [2]
    # What cannot be measured is said to be missing, not reported as a number.
    measured = {m.step: m.validation_loss for m in run.of_type(Measured)}
    assert [step for step, loss in measured.items() if loss is None] == [4, 6]
    not_finite = [w for w in run.of_type(Warned) if w.code == "measurement_not_finite"]
    assert [w.params["step"] for w in not_finite] == [4, 6]

    # Steps that were skipped have learnt nothing and spoilt nothing: a model that works goes on.
    assert open_checkpoint(folder.checkpoint(6)).step == 6
    state = load_file(folder.checkpoint(6) / STATE_FILE)
    for name, value in good["lora"].items():
        assert any(key.endswith(name) and stored.equal(value) for key, stored in state.items())
    again = run_here(job, short_folders, tmp_path)
    assert again.exit_code == 0
    assert again.of_type(RunBegins)[0].resumed_from_step == 6
    assert [step.step for step in again.of_type(Step)] == [7, 8, 9]
