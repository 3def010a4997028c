"""Whole short trainings: what a run leaves behind, and that it can be cut anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.short_runs import ShortRun, job_with, run_here
from trainer import sample_round
from trainer.batches import BatchSource
from trainer.checkpoint import OPTIMIZER_FILE, STATE_FILE
from trainer.commands import append_command
from trainer.errors import BadCheckpoint
from trainer.events import (
    CheckpointRemoved,
    CheckpointSaved,
    CommandTaken,
    Measured,
    RunBegins,
    RunFinished,
    RunStarted,
    Sample,
    SampleFailed,
    Step,
    Superseded,
    Warned,
)
from trainer.folders import Folders
from trainer.job_folder import JobFolder
from trainer.sampling import read_recipe
from trainer.trainee import Trainee
from trainer.training_step import StepResult
from trainer.variants import VARIANTS, Architecture

pytestmark = pytest.mark.slow  # whole trainings, if short ones

# Everything that could leave a trace from step to step, at once.
EVERYTHING = job_with(
    {
        "training.steps": 6,
        "training.batch_size": 2,
        "training.gradient_accumulation": 2,
        "training.use_ema": True,
        "training.ema_decay": 0.8,
        "target.linear_alpha": 2.0,
        "target.linear_rank": 16,  # large enough for 8-bit optimizer state
        "regularization.differential_output_preservation": True,
        "regularization.preservation_class": "picture",
        "datasets.0.caption_dropout_rate": 0.3,
        "datasets.0.default_caption": "[trigger], a square",
        "datasets.0.flip_x": True,
        "target.dropout": 0.1,
        "advanced.validation": "held_out",
        "advanced.validation_noise_levels": 1,
        "advanced.preservation_probe": True,
        "save.save_every": 2,
        "sample.sample_every": 2,
        "sample.first_sample_at_step_0": True,
        "sample.prompts": [{"prompt": "[trigger], a red square"}, {"prompt": "a red square"}],
    }
)


@pytest.fixture(scope="module")
def uninterrupted(short_folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    """EVERYTHING from 0 to 6 in one run."""
    return run_here(EVERYTHING, short_folders, tmp_path_factory.mktemp("uninterrupted"))


def assert_same_training(one: ShortRun, other: ShortRun, *, step: int = 6) -> None:
    """Same weights, average, optimizer and pictures at the end, bit for bit."""
    for file in (STATE_FILE, OPTIMIZER_FILE, "lora.safetensors"):
        a = load_file(one.folder.checkpoint(step) / file)
        b = load_file(other.folder.checkpoint(step) / file)
        assert a.keys() == b.keys()
        for name in a:
            assert torch.equal(a[name], b[name]), f"{file}: {name}"
    assert one.samples() == other.samples()


def measured(run: ShortRun) -> dict[int, tuple[float | None, ...]]:
    """Step to what was measured there, exactly as reported."""
    return {
        m.step: (m.validation_loss, m.drift_without_trigger, m.change_with_trigger)
        for m in run.of_type(Measured)
    }


def test_a_run_leaves_the_folder_that_the_design_draws(uninterrupted: ShortRun) -> None:
    folder = uninterrupted.folder
    assert uninterrupted.exit_code == 0
    assert folder.result.name == "short.safetensors"
    assert folder.result.read_bytes() == (folder.checkpoint(6) / "lora.safetensors").read_bytes()
    assert folder.checkpoint_steps() == [2, 4, 6]
    assert {p.name for p in folder.checkpoint(4).iterdir()} == {
        "lora.safetensors",
        STATE_FILE,
        OPTIMIZER_FILE,
        "checkpoint.json",
    }
    assert sorted(uninterrupted.samples()) == [
        f"step-{step:06d}-prompt-{prompt:02d}.png" for step in (0, 2, 4, 6) for prompt in (0, 1)
    ]
    assert folder.job_file.read_text() == folder.run(1).job_file.read_text()
    assert "completed at step 6" in folder.run(1).log.read_text()


def test_events_tell_the_run_from_its_start_to_its_end(uninterrupted: ShortRun) -> None:
    events = uninterrupted.events
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    start, end = events[0], events[-1]
    assert isinstance(start, RunStarted)
    assert (start.total_steps, start.device) == (6, "cpu")
    assert [b.resumed_from_step for b in uninterrupted.of_type(RunBegins)] == [None]
    assert isinstance(end, RunFinished)
    assert (end.outcome, end.exit_code, end.step) == ("completed", 0, 6)
    assert end.lora == "short.safetensors"
    assert [s.step for s in uninterrupted.of_type(Step)] == [1, 2, 3, 4, 5, 6]
    assert [c.step for c in uninterrupted.of_type(CheckpointSaved)] == [2, 4, 6]
    assert [s.step for s in uninterrupted.of_type(Sample)] == [0, 0, 2, 2, 4, 4, 6, 6]
    phases = [event.phase for event in events if event.type == "phase"]
    assert [p for i, p in enumerate(phases) if i == 0 or phases[i - 1] != p][:4] == [
        "load",
        "encode",
        "load",
        "train",
    ]


def test_each_picture_carries_its_recipe(uninterrupted: ShortRun) -> None:
    assert read_recipe(uninterrupted.folder.sample(4, 0)) == {
        "training_name": "short",
        "step": 4,
        "prompt_index": 0,
        "prompt": "zorvex, a red square",
        "seed": 42,
        "width": 64,
        "height": 64,
        "guidance_scale": VARIANTS[Architecture.TINY].sample_guidance,
        "sample_steps": 2,
        "lora_strength": 1.0,
        "negative_prompt": None,
        "control_images": [],
    }


@pytest.mark.parametrize("cuts", [[2], pytest.param([1, 5], marks=pytest.mark.long)])
def test_a_training_in_parts_is_the_uninterrupted_one(
    uninterrupted: ShortRun, short_folders: Folders, tmp_path: Path, cuts: list[int]
) -> None:
    losses, found = {}, {}
    for steps in [*cuts, 6]:
        part = run_here(
            job_with({"training.steps": steps}, base=EVERYTHING), short_folders, tmp_path
        )
        losses |= part.losses
        found |= measured(part)
    assert losses == uninterrupted.losses
    # The last step of each part is measured too.
    whole = measured(uninterrupted)
    assert {step: numbers for step, numbers in found.items() if step in whole} == whole
    assert part.of_type(RunBegins)[0].resumed_from_step == cuts[-1]
    for extra in part.folder.samples.glob("step-00000[15]-*"):
        extra.unlink()  # the last step of each part is sampled too
    assert_same_training(part, uninterrupted)


def test_samples_do_not_disturb_the_training(
    uninterrupted: ShortRun, short_folders: Folders, tmp_path: Path
) -> None:
    silent = run_here(job_with({"sample.prompts": []}, base=EVERYTHING), short_folders, tmp_path)
    assert silent.losses == uninterrupted.losses
    assert silent.samples() == {}


def test_a_failing_sample_is_reported_and_the_training_goes_on(
    uninterrupted: ShortRun,
    short_folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def out_of_luck(*_: object, **__: object) -> None:
        raise RuntimeError("no picture today")

    monkeypatch.setattr(sample_round, "draw", out_of_luck)
    run = run_here(EVERYTHING, short_folders, tmp_path)
    assert run.exit_code == 0
    failed = run.of_type(SampleFailed)
    assert len(failed) == 8
    assert "no picture today" in failed[0].message
    assert run.losses == uninterrupted.losses


def test_save_and_sample_commands_are_obeyed_after_the_step_once(
    short_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = JobFolder(tmp_path, "short").run(1).commands
    given = {2: "save", 3: "sample"}
    take_step = Trainee.take_step

    def take_and_tell(self: Trainee, batches: BatchSource) -> StepResult:
        result = take_step(self, batches)
        if self.step in given:
            append_command(commands, given[self.step])  # type: ignore[arg-type]
        return result

    monkeypatch.setattr(Trainee, "take_step", take_and_tell)
    job = job_with({"training.steps": 5, "sample.prompts": [{"prompt": "a red square"}]})
    run = run_here(job, short_folders, tmp_path)
    assert [(c.command, c.step) for c in run.of_type(CommandTaken)] == [("save", 2), ("sample", 3)]
    assert run.folder.checkpoint_steps() == [2, 5]
    assert [s.step for s in run.of_type(Sample)] == [3, 5]


def test_a_picture_that_a_kill_prevented_is_drawn_at_the_next_start(
    short_folders: Folders, tmp_path: Path
) -> None:
    job = job_with(
        {
            "training.steps": 2,
            "sample.first_sample_at_step_0": True,
            "sample.prompts": [{"prompt": "a red square"}, {"prompt": "[trigger], a red square"}],
        }
    )
    first = run_here(job, short_folders, tmp_path)
    before = first.samples()
    for step in (0, 2):
        first.folder.sample(step, 1).unlink()
    again = run_here(job, short_folders, tmp_path)
    assert again.samples() == before
    assert [(s.step, s.prompt_index) for s in again.of_type(Sample)] == [(0, 1), (2, 1)]
    assert again.of_type(Step) == []


def test_base_pictures_of_a_prompt_that_has_changed_are_set_aside_and_drawn_anew(
    short_folders: Folders, tmp_path: Path
) -> None:
    changes = {"training.steps": 1, "sample.first_sample_at_step_0": True}
    prompts = [{"prompt": "a red square"}, {"prompt": "[trigger], a red square"}]
    first = run_here(job_with({**changes, "sample.prompts": prompts}), short_folders, tmp_path)
    before = first.samples()
    names = [f"step-000000-prompt-{index:02d}.png" for index in (0, 1)]
    marks = {"samples": {names[1]: {"starred": True}, "step-000001-prompt-00.png": {"note": "!"}}}
    first.folder.pins.write_text(json.dumps(marks))
    again = run_here(
        job_with({**changes, "training.steps": 2, "sample.prompts": prompts[::-1]}),
        short_folders,
        tmp_path,
    )
    after = again.samples()
    aside = again.folder.superseded / "0002" / "samples"
    assert [(aside / name).read_bytes() for name in names] == [before[name] for name in names]
    assert read_recipe(again.folder.samples / names[0])["prompt"] == "zorvex, a red square"  # type: ignore[index]
    assert after[names[0]] != before[names[0]]
    assert json.loads(again.folder.pins.read_text()) == {
        "samples": {"step-000001-prompt-00.png": {"note": "!"}}
    }
    assert json.loads((aside.parent / "pins.json").read_text()) == {
        "samples": {names[1]: {"starred": True}}
    }


def test_starting_a_completed_job_again_does_nothing(
    short_folders: Folders, tmp_path: Path
) -> None:
    job = job_with({"training.steps": 1})
    first = run_here(job, short_folders, tmp_path)
    written = first.folder.result.stat().st_mtime_ns
    again = run_here(job, short_folders, tmp_path)
    assert again.exit_code == 0
    assert again.of_type(Step) == []
    assert again.of_type(RunBegins)[0].resumed_from_step == 1
    assert again.events[-1].lora == "short.safetensors"  # type: ignore[union-attr]
    assert first.folder.result.stat().st_mtime_ns == written


def test_resume_never_starts_over_and_sets_the_old_results_aside(
    short_folders: Folders, tmp_path: Path
) -> None:
    job = job_with(
        {"training.steps": 2, "save.save_every": 1, "sample.prompts": [{"prompt": "a red square"}]}
    )
    first = run_here(job, short_folders, tmp_path)
    first.folder.pins.write_text(json.dumps({"checkpoints": {"1": {"starred": True}}}))
    old = first.folder.result.read_bytes()
    again = run_here(job, short_folders, tmp_path, resume="never")
    assert again.of_type(RunBegins)[0].resumed_from_step is None
    assert [s.step for s in again.of_type(Step)] == [1, 2]
    aside = again.folder.superseded / "0002"
    assert (aside / "short.safetensors").read_bytes() == old
    assert (aside / "checkpoints" / "step-000002" / STATE_FILE).exists()
    assert (aside / "samples" / "step-000002-prompt-00.png").exists()
    assert "starred" in (aside / "pins.json").read_text()
    assert json.loads(again.folder.pins.read_text()) == {"checkpoints": {}}
    assert again.of_type(Superseded)[0].path == "superseded/0002"


def test_resuming_from_an_earlier_step_sets_aside_what_came_after(
    short_folders: Folders, tmp_path: Path
) -> None:
    job = job_with({"training.steps": 3, "save.save_every": 1})
    first = run_here(job, short_folders, tmp_path)
    again = run_here(job, short_folders, tmp_path, resume="1")
    assert [s.step for s in again.of_type(Step)] == [2, 3]
    assert again.losses == {step: first.losses[step] for step in (2, 3)}
    assert again.of_type(Superseded)[0].after_step == 1
    aside = again.folder.superseded / "0002" / "checkpoints"
    assert sorted(p.name for p in aside.iterdir()) == ["step-000002", "step-000003"]
    assert again.folder.checkpoint_steps() == [1, 2, 3]


def test_a_checkpoints_folder_elsewhere_can_be_resumed_from(
    short_folders: Folders, tmp_path: Path
) -> None:
    job = job_with({"training.steps": 2, "save.save_every": 1})
    first = run_here(job, short_folders, tmp_path)
    other = job_with({"job.training_name": "other"}, base=job)
    path = str(first.folder.checkpoint(1))
    resumed = run_here(other, short_folders, tmp_path, resume=path)
    assert resumed.losses == {2: first.losses[2]}


def damage(folder: JobFolder, step: int) -> None:
    file = folder.checkpoint(step) / STATE_FILE
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    short_folders: Folders, tmp_path: Path
) -> None:
    job = job_with({"training.steps": 3, "save.save_every": 1})
    first = run_here(job, short_folders, tmp_path)
    damage(first.folder, 3)
    again = run_here(job, short_folders, tmp_path)
    assert again.exit_code == 0
    assert again.of_type(RunBegins)[0].resumed_from_step == 2
    assert [w.code for w in again.of_type(Warned)].count("checkpoint_damaged") == 1
    assert again.losses == {3: first.losses[3]}
    assert (again.folder.superseded / "0002" / "checkpoints" / "step-000003").is_dir()


def test_with_damaged_checkpoints_only_nothing_restarts_at_zero_unasked(
    short_folders: Folders, tmp_path: Path
) -> None:
    job = job_with({"training.steps": 1})
    first = run_here(job, short_folders, tmp_path)
    damage(first.folder, 1)
    refused = run_here(job, short_folders, tmp_path)
    assert refused.exit_code == BadCheckpoint.exit_code
    assert "--resume never" in refused.events[-1].problems[0]["hint"]  # type: ignore[union-attr]
    assert first.folder.checkpoint(1).is_dir()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"target.linear_rank": 8}, "target.linear_rank"),
        ({"target.linear_alpha": 1.0}, "target.linear_alpha"),
        ({"quantization.transformer": "float8"}, "quantization.transformer"),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused_with_both_values(
    short_folders: Folders, tmp_path: Path, changes: dict, field: str
) -> None:
    job = job_with({"training.steps": 1})
    run_here(job, short_folders, tmp_path)
    changed = job_with({"training.steps": 2, **changes}, base=job)
    refused = run_here(changed, short_folders, tmp_path)
    assert refused.exit_code == BadCheckpoint.exit_code
    problem = refused.events[-1].problems[0]  # type: ignore[union-attr]
    assert problem["field"] == field
    assert problem["params"]["job"] != problem["params"]["checkpoint"]
    assert refused.of_type(Step) == []


def test_another_optimizer_starts_afresh_with_a_warning(
    short_folders: Folders, tmp_path: Path
) -> None:
    run_here(job_with({"training.steps": 1}), short_folders, tmp_path)
    changed = job_with({"training.steps": 2, "training.optimizer": "adamw"})
    again = run_here(changed, short_folders, tmp_path)
    assert again.exit_code == 0
    assert "optimizer_starts_afresh" in [w.code for w in again.of_type(Warned)]


def test_retention_keeps_the_newest_and_the_pinned(short_folders: Folders, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "short")
    folder.path.mkdir()
    folder.pins.write_text(
        json.dumps({"checkpoints": {"1": {"pinned": True}, "2": {"starred": True, "note": "x"}}})
    )
    job = job_with({"training.steps": 6, "save.save_every": 1, "save.max_step_saves_to_keep": 2})
    run = run_here(job, short_folders, tmp_path)
    assert run.folder.checkpoint_steps() == [1, 2, 5, 6]
    assert [event.step for event in run.of_type(CheckpointRemoved)] == [3, 4]


def test_unreadable_pins_keep_every_checkpoint(short_folders: Folders, tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "short")
    folder.path.mkdir()
    folder.pins.write_text("{half")
    job = job_with({"training.steps": 3, "save.save_every": 1, "save.max_step_saves_to_keep": 1})
    run = run_here(job, short_folders, tmp_path)
    assert run.exit_code == 0
    assert run.folder.checkpoint_steps() == [1, 2, 3]
    assert "pins_unreadable" in [w.code for w in run.of_type(Warned)]
