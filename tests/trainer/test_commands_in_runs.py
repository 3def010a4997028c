"""What a run does with the commands that it is given while it trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from diffusers.models.autoencoders.vae import Decoder

from tests.trainer.short_runs import ShortRun, job_with, run_here
from tests.trainer.test_aside import Stuck
from trainer import change_taking
from trainer.batches import BatchSource
from trainer.commands import append_command
from trainer.errors import ChildFailed, OutOfMemory
from trainer.events import (
    CheckpointSaved,
    CommandRefused,
    CommandTaken,
    RunFinished,
    Sample,
    Superseded,
)
from trainer.folders import Folders
from trainer.job_file import read_job_file
from trainer.job_folder import JobFolder
from trainer.sampling import read_recipe
from trainer.trainee import Trainee
from trainer.training_step import StepResult

pytestmark = pytest.mark.slow  # whole trainings, if short ones

JOB = job_with(
    {
        "training.steps": 4,
        "sample.first_sample_at_step_0": True,
        "sample.prompts": [{"prompt": "a red square"}],
    }
)


@pytest.fixture
def run_told(short_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs JOB and gives it changes of settings after certain steps: {step: settings}."""

    def run(told: dict[int, dict[str, Any]], *, then: str | None = None) -> ShortRun:
        commands = JobFolder(tmp_path, "short").run(1).commands
        take_step = Trainee.take_step

        def take_and_tell(self: Trainee, batches: BatchSource) -> StepResult:
            result = take_step(self, batches)
            if self.step in told:
                append_command(commands, "change", told[self.step])
                if then is not None:
                    append_command(commands, then)  # type: ignore[arg-type]
            return result

        with monkeypatch.context() as patch:
            patch.setattr(Trainee, "take_step", take_and_tell)
            return run_here(JOB, short_folders, tmp_path)

    return run


def test_changed_intervals_and_total_hold_from_the_next_step_on_and_for_a_resume(
    run_told: Any, short_folders: Folders, tmp_path: Path
) -> None:
    change = {"training.steps": 6, "save.save_every": 3, "sample.sample_every": 5}
    run = run_told({2: change})
    assert run.exit_code == 0
    assert list(run.losses) == [1, 2, 3, 4, 5, 6]
    assert [c.step for c in run.of_type(CheckpointSaved)] == [3, 6]
    assert [s.step for s in run.of_type(Sample)] == [0, 5, 6]
    (taken,) = run.of_type(CommandTaken)
    assert (taken.command, taken.step, taken.settings) == ("change", 2, change)
    for path in (run.folder.job_file, run.folder.run(1).job_file):
        job = read_job_file(path)
        assert (job.training.steps, job.save.save_every, job.sample_every) == (6, 3, 5)


def test_a_changed_prompt_is_encoded_between_steps_and_its_base_picture_is_drawn(
    run_told: Any,
) -> None:
    prompts = [{"prompt": "a red square"}, {"prompt": "[trigger], a violet square"}]
    run = run_told({2: {"sample.prompts": prompts, "sample.sample_every": 3}})
    assert run.exit_code == 0
    drawn = [(s.step, s.prompt) for s in run.of_type(Sample)]
    red, violet = "a red square", "zorvex, a violet square"
    expected = [(0, red), (0, violet), (3, red), (3, violet), (4, red), (4, violet)]
    assert drawn == expected
    assert [e.phase for e in run.events if e.type == "progress"].count("encode") > 0
    assert list(run.losses) == [1, 2, 3, 4]


@pytest.mark.long
def test_base_pictures_of_replaced_prompts_are_set_aside_however_often(run_told: Any) -> None:
    run = run_told(
        {
            1: {"sample.prompts": [{"prompt": "a green square"}]},
            2: {"sample.prompts": [{"prompt": "a blue square"}]},
        }
    )
    aside = run.folder.superseded / "0001" / "samples"
    found = sorted(aside.glob("*.png"))
    assert [read_recipe(path)["prompt"] for path in found] == [  # type: ignore[index]
        "a green square",
        "a red square",
    ]
    assert read_recipe(run.folder.sample(0, 0))["prompt"] == "a blue square"  # type: ignore[index]
    assert [s.after_step for s in run.of_type(Superseded)] == [1, 2]


def test_an_invalid_change_is_refused_and_the_run_is_as_without_it(
    run_told: Any, short_folders: Folders, tmp_path: Path
) -> None:
    run = run_told({1: {"training.steps": 9, "training.learning_rate": 1.0}})
    plain = run_here(JOB, short_folders, tmp_path / "plain")
    assert run.losses == plain.losses
    assert run.samples() == plain.samples()
    (refused,) = run.of_type(CommandRefused)
    assert (refused.command, refused.step) == ("change", 1)
    assert refused.problems[0]["field"] == "training.learning_rate"
    assert run.of_type(CommandTaken) == []
    assert read_job_file(run.folder.job_file).training.steps == 4


def test_prompts_that_cannot_be_encoded_change_nothing(
    run_told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_luck(*_: object, **__: object) -> None:
        raise ChildFailed("no encoder today")

    monkeypatch.setattr(change_taking, "encode_changed_prompts", out_of_luck)
    run = run_told({1: {"sample.prompts": [{"prompt": "a violet square"}]}})
    assert run.exit_code == 0
    (refused,) = run.of_type(CommandRefused)
    assert refused.problems[0]["message"] == "no encoder today"
    assert {s.prompt for s in run.of_type(Sample)} == {"a red square"}
    assert read_job_file(run.folder.job_file).sample.prompts[0].prompt == "a red square"


def test_a_transformer_that_does_not_come_back_from_an_encoding_ends_the_run(
    run_told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_taking, "room_for_encoder", stuck_outside)
    run = run_told({1: {"sample.prompts": [{"prompt": "a violet square"}]}})
    assert run.exit_code == OutOfMemory.exit_code
    assert run.of_type(CommandRefused) == []
    assert list(run.losses) == [1]
    (finished,) = run.of_type(RunFinished)
    assert finished.problems[0]["code"] == "out_of_memory"


@pytest.mark.parametrize("decodes", [True, False])
def test_a_transformer_that_does_not_come_back_from_a_sample_ends_the_run(
    short_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decodes: bool
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("a picture that cannot be decoded")

    monkeypatch.setattr("trainer.aside.BlockWeights", Stuck)
    if not decodes:
        monkeypatch.setattr(Decoder, "forward", fails)
    run = run_here(job_with({"model.low_vram": True}, base=JOB), short_folders, tmp_path)
    assert run.exit_code == OutOfMemory.exit_code
    assert run.losses == {}


@contextmanager
def stuck_outside(trainee: Trainee, **_: object) -> Iterator[None]:
    """The room that a full card makes, which it does not take back."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trainer.aside.BlockWeights", Stuck)
        with trainee.transformer_aside():
            yield


def test_a_change_beside_a_stop_is_kept_for_the_resume(
    run_told: Any, short_folders: Folders, tmp_path: Path
) -> None:
    stopped = run_told({2: {"sample.prompts": [{"prompt": "a pink square"}]}}, then="stop")
    assert stopped.exit_code == 3
    job = read_job_file(stopped.folder.job_file)
    resumed = run_here(job.model_dump(mode="json"), short_folders, tmp_path)
    assert list(resumed.losses) == [3, 4]
    assert {s.prompt for s in resumed.of_type(Sample)} == {"a pink square"}


def test_the_total_can_grow_while_the_last_pictures_are_drawn(
    short_folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = JobFolder(tmp_path, "short").run(1).commands
    from trainer import sample_round

    draw = sample_round.draw

    def draw_and_tell(*given: Any, **options: Any) -> Any:
        if not commands.exists():
            append_command(commands, "change", {"training.steps": 6})
        return draw(*given, **options)

    monkeypatch.setattr(sample_round, "draw", draw_and_tell)
    job = job_with({"sample.first_sample_at_step_0": False}, base=JOB)
    run = run_here(job, short_folders, tmp_path)
    assert list(run.losses) == [1, 2, 3, 4, 5, 6]
    assert [s.step for s in run.of_type(Sample)] == [4, 6]
