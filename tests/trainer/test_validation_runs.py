"""Runs that measure themselves: validation, the preservation probe, early stop, the best one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.trainer.short_runs import ShortRun, job_with, run_here
from trainer.checkpoint import MANIFEST_FILE
from trainer.early_stop import Measurement
from trainer.events import BestCheckpoint, CheckpointSaved, Measured, Sample, Step
from trainer.folders import Folders
from trainer.lora_header import read_metadata
from trainer.measuring import Measurer
from trainer.trainee import Trainee

pytestmark = pytest.mark.slow  # whole trainings, if short ones

MEASURED = {
    "advanced.validation": "held_out",
    "advanced.held_out_share": 0.3,
    "advanced.validation_noise_levels": 2,
    "advanced.preservation_probe": True,
    "regularization.preservation_class": "picture",
}
JOB = job_with({"training.steps": 4, "save.save_every": 2, **MEASURED})


@pytest.fixture(scope="module")
def measured(short_folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    """JOB from 0 to 4 in one run."""
    return run_here(JOB, short_folders, tmp_path_factory.mktemp("measured"))


def numbers(run: ShortRun) -> dict[int, tuple[float | None, ...]]:
    """Step to what was measured there."""
    return {
        m.step: (m.validation_loss, m.drift_without_trigger, m.change_with_trigger)
        for m in run.of_type(Measured)
    }


def best_marks(run: ShortRun) -> list[int]:
    """Steps of the checkpoints whose manifest says that they are the best."""
    folder = run.folder
    manifests = {
        step: json.loads((folder.checkpoint(step) / MANIFEST_FILE).read_text())
        for step in folder.checkpoint_steps()
    }
    return [step for step, manifest in manifests.items() if manifest["is_best"]]


def test_the_base_the_way_and_the_end_are_measured(measured: ShortRun) -> None:
    assert measured.exit_code == 0
    found = numbers(measured)
    assert list(found) == [0, 2, 4]
    assert found[0][1:] == (0.0, 0.0)  # a LoRA that has not begun changes nothing
    losses = [loss for loss, _, _ in found.values()]
    assert all(loss is not None and 0 < loss < 10 for loss in losses)
    assert len(set(losses)) == 3
    for step in (2, 4):
        _, without, with_trigger = found[step]
        assert without is not None
        assert with_trigger is not None
        assert without > 0
        assert with_trigger > 0


def test_held_out_pictures_never_train_and_are_named_in_the_runs_folder(
    measured: ShortRun,
) -> None:
    manifest = json.loads(measured.folder.run(1).dataset.read_text())
    (dataset,) = manifest["datasets"]
    held_out = [p["file"] for p in dataset["pictures"] if p.get("held_out")]
    assert 0 < len(held_out) < len(dataset["pictures"])


def test_the_best_checkpoint_is_marked_in_its_manifest_and_told(measured: ShortRun) -> None:
    losses = {step: found[0] for step, found in numbers(measured).items() if step > 0}
    best = min(losses, key=lambda step: losses[step] or 0.0)
    assert best_marks(measured) == [best]
    assert measured.of_type(BestCheckpoint)[-1].step == best
    # A training that came to its end keeps its last step's, whichever is the best.
    assert measured.events[-1].lora_step == 4  # type: ignore[union-attr]


def test_measuring_does_not_disturb_the_training(
    measured: ShortRun, short_folders: Folders, tmp_path: Path
) -> None:
    rarely = run_here(job_with({"advanced.validate_every": 3}, base=JOB), short_folders, tmp_path)
    assert rarely.losses == measured.losses
    assert list(numbers(rarely)) == [0, 3, 4]
    assert numbers(rarely)[4] == numbers(measured)[4]


def test_an_unchanged_model_measures_the_same_to_the_bit(
    measured: ShortRun, short_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again: list[Measurement] = []
    measure_missing = Measurer.measure_missing

    def measure_three_times(self: Measurer, trainee: Trainee) -> None:
        measure_missing(self, trainee)
        again.extend(self._measure(trainee) for _ in range(3))  # type: ignore[misc]

    monkeypatch.setattr(Measurer, "measure_missing", measure_three_times)
    job = job_with({"training.steps": 5, "training.use_ema": True}, base=JOB)
    first = run_here(
        job_with({"training.steps": 4, "training.use_ema": True}, base=JOB), short_folders, tmp_path
    )
    again.clear()
    run_here(job, short_folders, tmp_path)
    then = numbers(first)[4]
    assert len(again) == 3
    for found in again:
        assert found.step == 4
        assert (
            found.validation_loss,
            found.drift_without_trigger,
            found.change_with_trigger,
        ) == then
    # With EMA the average is measured, not the LoRA of the step.
    assert then != numbers(measured)[4]


def test_a_dataset_of_its_own_can_be_validated_on(
    measured: ShortRun, short_folders: Folders, tmp_path: Path
) -> None:
    from tests.trainer.short_runs import make_squares

    datasets = tmp_path / "datasets"
    make_squares(datasets)
    (datasets / "squares").rename(datasets / "others")
    make_squares(datasets)
    folders = Folders(datasets, short_folders.models, short_folders.cache)
    job = job_with(
        {"advanced.validation": "dataset", "advanced.validation_dataset": "others"}, base=JOB
    )
    del job["advanced"]["held_out_share"]
    run = run_here(job, folders, tmp_path / "out")
    plain = run_here(job_with({"training.steps": 4}), folders, tmp_path / "plain")
    assert run.losses == plain.losses  # all pictures train
    assert list(numbers(run)) == [0, 2, 4]
    assert numbers(run)[0] != numbers(measured)[0]


@pytest.mark.long
def test_a_loss_that_does_not_fall_ends_the_run_with_the_best_checkpoint_as_its_result(
    short_folders: Folders, tmp_path: Path
) -> None:
    # A learning rate that wrecks the model: no measurement is below the base model's.
    changes = {
        "training.steps": 40,
        "training.learning_rate": 0.5,
        "save.save_every": 1,
        "save.max_step_saves_to_keep": 1,
        "advanced.early_stop": "validation_loss",
        "advanced.patience": 3,
        "sample.sample_every": 100,
        "sample.prompts": [{"prompt": "a red square"}],
    }
    run = run_here(job_with(changes, base=JOB), short_folders, tmp_path)
    assert run.exit_code == 0
    end = run.events[-1]
    assert (end.outcome, end.step) == ("completed", 3)  # type: ignore[union-attr]
    assert end.ended_early["code"] == "early_stop_validation_loss"  # type: ignore[union-attr]
    assert end.ended_early["params"]["best_step"] == 0  # type: ignore[union-attr]
    assert [s.step for s in run.of_type(Step)] == [1, 2, 3]
    assert [s.step for s in run.of_type(Sample)] == [3]

    (best,) = best_marks(run)
    losses = {step: found[0] for step, found in numbers(run).items() if step > 0}
    assert best == min(losses, key=lambda step: losses[step] or 0.0)
    assert run.folder.checkpoint_steps() == sorted({best, 3})
    result = load_file(run.folder.result)
    of_best = load_file(run.folder.checkpoint(best) / "lora.safetensors")
    assert all((result[name] == of_best[name]).all() for name in of_best)
    assert best < 3, "else the result is the last step's, and nothing is shown here"
    told = int(read_metadata(run.folder.result)["step"])
    assert end.lora_step == told == best  # type: ignore[union-attr]

    # The same job again has nothing to do; a more patient one goes on where it ended.
    again = run_here(job_with(changes, base=JOB), short_folders, tmp_path)
    assert again.exit_code == 0
    assert again.of_type(Step) == again.of_type(CheckpointSaved) == []
    assert again.events[-1].ended_early is not None  # type: ignore[union-attr]
    assert again.events[-1].lora_step == best  # type: ignore[union-attr]
    patient = job_with({**changes, "advanced.patience": 5}, base=JOB)
    assert list(run_here(patient, short_folders, tmp_path).losses) == [4, 5]


def test_drift_beyond_its_limit_ends_the_run(short_folders: Folders, tmp_path: Path) -> None:
    changes = {
        "training.steps": 40,
        "training.learning_rate": 0.05,
        "advanced.validation": "off",
        "advanced.validate_every": 1,
        "save.save_every": 1,
        "advanced.early_stop": "preservation_drift",
        "advanced.patience": 2,
        "advanced.drift_limit": 0.02,
    }
    job = job_with(changes, base=JOB)
    del job["advanced"]["held_out_share"]
    run = run_here(job, short_folders, tmp_path)
    end = run.events[-1]
    assert end.outcome == "completed"  # type: ignore[union-attr]
    assert end.ended_early["code"] == "early_stop_preservation_drift"  # type: ignore[union-attr]
    found = numbers(run)
    last = sorted(found)[-2:]
    assert all(found[step][1] > 0.02 for step in last)  # type: ignore[operator]
    assert end.step < 40  # type: ignore[union-attr]
