"""Disks that fill up and folders that vanish in mid-run: a named end, the last checkpoint whole."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainer.short_runs import ShortRun, job_with, make_squares, read_events, run_here
from trainer import durable_write, encoded_run, room
from trainer.checkpoint import open_checkpoint
from trainer.commands import append_command
from trainer.dataset_checks import examine_datasets
from trainer.door import examine_job
from trainer.encoding import encode_missing
from trainer.errors import BadDataset, DiskFull, StopRequested
from trainer.events import RunFinished, WaitingForSpace, Warned
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.job_folder import JobFolder
from trainer.loop import train
from trainer.run_record import opened_run
from trainer.trainee import Trainee

pytestmark = pytest.mark.slow  # short trainings

FAR = 10**15
JOB = job_with({"training.steps": 4, "save.save_every": 2})


@pytest.fixture
def folders(tmp_path: Path, short_folders: Folders) -> Folders:
    """Folders of the test's own, with what other tests have encoded."""
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    make_squares(folders.datasets)
    if short_folders.cache.exists():
        shutil.copytree(short_folders.cache, folders.cache)
    return folders


@pytest.fixture
def after_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Do something when a step has been taken."""

    def arrange(step: int, deed: Callable[[], object]) -> None:
        take_step = Trainee.take_step

        def and_then(trainee: Trainee, *arguments: object) -> object:
            result = take_step(trainee, *arguments)  # type: ignore[arg-type]
            if trainee.step == step:
                deed()
            return result

        monkeypatch.setattr(Trainee, "take_step", and_then)

    return arrange


def _end(run: ShortRun) -> tuple[int, str]:
    (finished,) = run.of_type(RunFinished)
    return run.exit_code, finished.problems[0]["code"] if finished.problems else ""


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short."""
    for name in ("POLL_SECONDS", "TRY_AGAIN_SECONDS"):
        monkeypatch.setattr(room, name, 0.001)


def test_a_disk_that_fills_up_holds_the_run_up_and_costs_no_step(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried: None
) -> None:
    undisturbed = run_here(JOB, folders, tmp_path / "calm")
    looks = iter([*[10] * 3, *[FAR] * 3, *[10] * 2])
    monkeypatch.setattr(room, "free_bytes", lambda _folder: next(looks, FAR))
    refusals = iter([True, False])
    flush = durable_write.flush_file

    def refused_once(path: Path) -> None:  # as by a quota: free space does not tell of it
        if path.suffix == ".safetensors" and next(refusals, False):
            raise OSError(errno.EDQUOT, "Disk quota exceeded", str(path))
        flush(path)

    monkeypatch.setattr(durable_write, "flush_file", refused_once)
    run = run_here(JOB, folders, tmp_path / "output")
    assert run.exit_code == 0
    waits = run.of_type(WaitingForSpace)
    assert {wait.phase for wait in waits} >= {"save"}
    assert all(wait.needed_bytes > wait.free_bytes for wait in waits if wait.free_bytes == 10)
    assert run.losses == undisturbed.losses
    assert run.folder.checkpoint_steps() == [2, 4]
    assert open_checkpoint(run.folder.checkpoint(2)).step == 2
    assert run.folder.result.is_file()
    assert not list(run.folder.checkpoints.glob(f"{durable_write.TEMPORARY_PREFIX}*"))


def test_a_run_that_is_stopped_while_it_waits_keeps_what_has_room_and_says_what_has_not(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurried: None
) -> None:
    """The first stop finds room after all, since only the spare was missing; the second none."""
    output = tmp_path / "output"

    def stop_at_the_third_look() -> Callable[[Path], int]:
        looks = [0]

        def free(folder: Path) -> int:
            looks[0] += 1
            if looks[0] == 3:
                number = JobFolder(output, "short").run_numbers()[-1]
                append_command(JobFolder(output, "short").run(number).commands, "stop")
            return 10

        return free

    monkeypatch.setattr(room, "free_bytes", stop_at_the_third_look())
    run = run_here(JOB, folders, output)
    assert _end(run) == (StopRequested.exit_code, "")
    assert run.folder.checkpoint_steps() == [2], "there was room for it without the spare"

    def full(path: Path) -> None:
        if path.suffix == ".safetensors":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        flush(path)

    flush = durable_write.flush_file
    monkeypatch.setattr(room, "free_bytes", stop_at_the_third_look())
    monkeypatch.setattr(durable_write, "flush_file", full)
    run = run_here(JOB, folders, output)
    assert _end(run) == (StopRequested.exit_code, "")
    (warning,) = [w for w in run.of_type(Warned) if w.code == "work_not_saved"]
    assert warning.params == {"step": 4, "resumable_from_step": 2}
    assert run.folder.checkpoint_steps() == [2]
    assert open_checkpoint(run.folder.checkpoint(2)).step == 2

    monkeypatch.undo()
    again = run_here(JOB, folders, output)
    assert (again.exit_code, sorted(again.losses)) == (0, [3, 4])


def test_a_job_folder_that_vanishes_is_not_made_anew(
    folders: Folders,
    tmp_path: Path,
    after_step: Callable[[int, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, elsewhere = tmp_path / "output" / "short", tmp_path / "unplugged"
    after_step(3, lambda: own.rename(elsewhere))
    job = parse_job(JOB)
    with opened_run(job, parent=tmp_path / "output", run_number=None) as record:
        indexes, _ = examine_datasets(job, folders)
        with pytest.raises(DiskFull) as lost:
            train(job, indexes, [], record, folders=folders, resume="auto")
        record.fail(lost.value)
    assert lost.value.code == "folder_lost"
    assert not own.exists()
    assert open_checkpoint(elsewhere / "checkpoints" / "step-000002").step == 2

    # The folder comes back, with the end that the run wrote into its events.
    monkeypatch.undo()
    elsewhere.rename(own)
    (finished,) = [
        e for e in read_events(JobFolder(tmp_path / "output", "short")) if e.type == "run_finished"
    ]
    assert (finished.exit_code, finished.phase) == (DiskFull.exit_code, "save")
    again = run_here(JOB, folders, tmp_path / "output")
    assert again.exit_code == 0
    assert sorted(again.losses) == [3, 4]


def test_a_cache_that_vanishes_is_named_and_encoded_again_at_the_next_start(
    folders: Folders,
    tmp_path: Path,
    after_step: Callable[[int, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoded_run, "RECENT_TENSORS_BYTES", 0)  # as if the set were large
    after_step(3, lambda: shutil.rmtree(folders.cache))
    run = run_here(JOB, folders, tmp_path / "output")
    assert _end(run) == (DiskFull.exit_code, "cache_lost")
    assert run.folder.checkpoint_steps() == [2]
    assert open_checkpoint(run.folder.checkpoint(2)).step == 2


def test_a_dataset_that_vanishes_while_it_trains_is_not_missed(
    folders: Folders,
    tmp_path: Path,
    after_step: Callable[[int, Callable[[], object]], None],
) -> None:
    after_step(1, lambda: shutil.rmtree(folders.datasets))
    assert run_here(JOB, folders, tmp_path / "output").exit_code == 0


def test_a_dataset_that_vanishes_before_it_is_encoded_is_named(folders: Folders) -> None:
    verdict = examine_job(JOB, folders)
    shutil.rmtree(folders.datasets)
    with pytest.raises(BadDataset, match="red") as lost:
        encode_missing(
            verdict.admitted(),
            folders,
            verdict.indexes,
            device="cpu",
            report=lambda _event: None,
            stop_requested=lambda: False,
        )
    assert lost.value.problems[0].code == "picture_vanished"
