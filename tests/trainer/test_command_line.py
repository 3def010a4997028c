"""The trainer as a program: exit codes, commands, signals and kills of real processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.short_runs import finished_run, job_with, make_squares, read_events, write_job
from trainer import folder_lock, run_record
from trainer.__main__ import main
from trainer.commands import append_command
from trainer.errors import DiskFull, JobRefused
from trainer.events import CommandTaken, EventLog, RunFinished, RunStarted, Step
from trainer.folders import Folders
from trainer.job_folder import JobFolder

# Far more steps than a test waits for.
ENDLESS = job_with({"training.steps": 100_000, "save.save_every": 100_000})
PATIENCE_SECONDS = 200


def command(action: str, job: Path, folders: Folders, *more: str) -> list[str]:
    """`python -m trainer run|check` with a test's folders."""
    folder_options = [
        part
        for name in ("datasets", "models", "cache")
        for part in (f"--{name}", str(getattr(folders, name)))
    ]
    return [sys.executable, "-m", "trainer", action, str(job), *folder_options, *more]


def finished(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=250)


@pytest.fixture
def running(
    short_folders: Folders, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[bytes], JobFolder]]:
    """A trainer in the middle of ENDLESS: it has reported a step. Killed afterwards if it lives."""
    job = write_job(tmp_path / "job.yaml", ENDLESS)
    process = subprocess.Popen(
        command("run", job, short_folders, "--output", str(tmp_path / "out")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = JobFolder(tmp_path / "out", "short")
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not has_step(folder):
            assert process.poll() is None, f"the trainer ended early with {process.returncode}"
            assert time.monotonic() < deadline, "no step within the patience of this test"
            with_pause(process)
        yield process, folder
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def has_step(folder: JobFolder) -> bool:
    if not folder.run_numbers() or not folder.run(1).events.exists():
        return False
    return any(isinstance(event, Step) for event in read_events(folder))


def with_pause(process: subprocess.Popen[bytes]) -> None:
    """Wait a moment, or until the process ends: the check that follows decides, not the time."""
    try:
        process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return


def refused(
    tmp_path: Path, folders: Folders, changes: dict[str, Any], *more: str
) -> subprocess.CompletedProcess[str]:
    job = write_job(tmp_path / "job.yaml", job_with(changes))
    return finished(command("run", job, folders, "--output", str(tmp_path / "out"), *more))


def test_a_job_that_contradicts_itself_is_refused_with_field_and_cure(
    tmp_path: Path, short_folders: Folders
) -> None:
    changes = {
        "regularization.differential_output_preservation": True,
        "job.trigger_word": "",
    }
    result = refused(tmp_path, short_folders, changes)
    assert result.returncode == 2
    assert "Trigger Word" in result.stderr
    assert not (tmp_path / "out").exists()


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_without_room_for_the_first_files_of_a_run_is_no_mistake_of_ours(
    tmp_path: Path,
    short_folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run_record, "write_job_file", full_disk)
    job = write_job(tmp_path / "job.yaml", ENDLESS)
    arguments = command("run", job, short_folders, "--output", str(tmp_path / "out"))
    assert main(arguments[3:]) == DiskFull.exit_code
    assert "No space left on device" in capsys.readouterr().err


def test_a_refusal_that_finds_no_room_is_a_refusal_all_the_same(
    tmp_path: Path,
    short_folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(EventLog, "append", full_disk)
    changes = {
        "regularization.differential_output_preservation": True,
        "job.trigger_word": "",
    }
    job = write_job(tmp_path / "job.yaml", job_with(changes))
    numbered = ["--output", str(tmp_path / "out"), "--run-number", "1"]
    arguments = command("run", job, short_folders, *numbered)
    assert main(arguments[3:]) == JobRefused.exit_code
    assert "Trigger Word" in capsys.readouterr().err.splitlines()[-1]


def test_a_refusal_needs_no_torch(tmp_path: Path, short_folders: Folders) -> None:
    job = write_job(tmp_path / "job.yaml", job_with({"training.steps": 0}))
    probe = (
        "import sys; from trainer.__main__ import main; code = main(sys.argv[1:]); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    arguments = command("run", job, short_folders, "--output", str(tmp_path / "out"))
    result = finished([sys.executable, "-c", probe, *arguments[3:]])
    assert result.returncode == 2
    assert "training.steps" in result.stderr


def test_a_damaged_picture_is_named_before_any_model_loads(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    make_squares(folders.datasets)
    picture = folders.datasets / "squares" / "2-blue.png"
    picture.write_bytes(picture.read_bytes()[:120])
    result = refused(tmp_path, folders, {})
    assert result.returncode == 4
    assert "2-blue.png" in result.stderr


def test_a_missing_model_has_its_own_code(tmp_path: Path, short_folders: Folders) -> None:
    result = refused(tmp_path, short_folders, {"model.name_or_path": str(tmp_path / "nowhere")})
    assert result.returncode == 5
    assert "nowhere" in result.stderr


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path, short_folders: Folders) -> None:
    folder = JobFolder(tmp_path / "out", "short")
    with folder_lock.held(folder.lock):
        result = refused(tmp_path, short_folders, {})
    assert result.returncode == 6
    assert str(os.getpid()) in result.stderr
    assert sorted(p.name for p in folder.path.iterdir()) == [".lock"]


def test_a_checkpoint_that_is_not_there_has_its_own_code(
    tmp_path: Path, short_folders: Folders
) -> None:
    result = refused(tmp_path, short_folders, {}, "--resume", "250")
    assert result.returncode == 7
    end = read_events(JobFolder(tmp_path / "out", "short"))[-1]
    assert isinstance(end, RunFinished)
    assert end.problems[0]["code"] == "checkpoint_missing"


def test_a_refusal_of_a_numbered_run_is_in_its_events(
    tmp_path: Path, short_folders: Folders
) -> None:
    changes = {"datasets.0.target_dataset": "gone"}
    result = refused(tmp_path, short_folders, changes, "--run-number", "3")
    assert result.returncode == 4
    end = read_events(JobFolder(tmp_path / "out", "short"), 3)[-1]
    assert isinstance(end, RunFinished)
    assert (end.outcome, end.exit_code) == ("failed", 4)
    assert end.problems[0]["field"] == "datasets.0.target_dataset"


@pytest.mark.parametrize(("steps", "code"), [(4, 0), (0, 2)])
def test_check_says_whether_a_job_can_run_and_writes_nothing(
    tmp_path: Path, short_folders: Folders, steps: int, code: int
) -> None:
    job = write_job(tmp_path / "job.yaml", job_with({"training.steps": steps}))
    result = finished(command("check", job, short_folders))
    assert result.returncode == code
    assert ("can run" in result.stdout) == (code == 0)
    assert [p.name for p in tmp_path.iterdir()] == ["job.yaml"]


@pytest.mark.slow
def test_a_stop_command_ends_the_step_saves_and_exits(
    running: tuple[subprocess.Popen[bytes], JobFolder],
) -> None:
    process, folder = running
    given = append_command(folder.run(1).commands, "stop")
    assert process.wait(timeout=PATIENCE_SECONDS) == 3
    run = finished_run(folder.parent, "short", 3)
    end = run.events[-1]
    assert isinstance(end, RunFinished)
    assert end.outcome == "stopped"
    assert folder.checkpoint_steps() == [end.step]
    assert run.of_type(Step)[-1].step == end.step
    assert [taken.command_seq for taken in run.of_type(CommandTaken)] == [given.seq]
    assert not folder.result.exists()


@pytest.mark.slow
def test_a_terminate_signal_is_a_stop_as_well(
    running: tuple[subprocess.Popen[bytes], JobFolder],
) -> None:
    process, folder = running
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_SECONDS) == 3
    assert len(folder.checkpoint_steps()) == 1


@pytest.mark.slow
@pytest.mark.long
def test_a_stop_given_before_the_start_is_obeyed_before_the_first_step(
    tmp_path: Path, short_folders: Folders
) -> None:
    folder = JobFolder(tmp_path / "out", "short")
    append_command(folder.run(1).commands, "stop")
    job = write_job(tmp_path / "job.yaml", ENDLESS)
    options = ("--output", str(folder.parent), "--run-number", "1", "--token", "abc")
    result = finished(command("run", job, short_folders, *options))
    assert result.returncode == 3
    run = finished_run(folder.parent, "short", 3)
    assert run.of_type(Step) == []
    assert run.of_type(RunStarted)[0].token == "abc"
    assert folder.checkpoint_steps() == []


@pytest.mark.slow
@pytest.mark.long
def test_the_log_is_not_written_twice_when_a_launcher_points_stderr_at_it(
    tmp_path: Path, short_folders: Folders
) -> None:
    folder = JobFolder(tmp_path / "out", "short")
    folder.run(1).path.mkdir(parents=True)
    job = write_job(tmp_path / "job.yaml", job_with({"training.steps": 1}))
    options = ("--output", str(folder.parent), "--run-number", "1")
    with folder.run(1).log.open("ab") as log:
        process = subprocess.run(
            command("run", job, short_folders, *options), stderr=log, check=False, timeout=250
        )
    assert process.returncode == 0
    assert folder.run(1).log.read_text().count("completed at step 1") == 1
