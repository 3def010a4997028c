"""Memory that really runs out, in each phase: how the run ends, what it says, what is left."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.short_runs import ShortRun, job_with, make_squares, run_here
from trainer import encoding_process, loop
from trainer.checkpoint import open_checkpoint
from trainer.errors import OutOfMemory
from trainer.events import RunFinished
from trainer.folders import Folders
from trainer.saving import Saver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as on Linux"),
]

TWO_STEPS = {"training.steps": 2, "save.save_every": 2}
# A step of 64 pictures without checkpointing: some hundreds of megabytes.
LARGE_STEPS = {
    "training.steps": 4,
    "training.batch_size": 64,
    "training.gradient_checkpointing": False,
    "datasets.0.num_repeats": 64,
}
ROOM_BYTES = 48 << 20


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    make_squares(tmp_path / "datasets")
    return Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")


@pytest.fixture
def no_more_memory() -> Iterator[Callable[[], None]]:
    """A function after whose call this process gets ROOM_BYTES more and no others."""
    before = resource.getrlimit(resource.RLIMIT_AS)

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        now = pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + ROOM_BYTES, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_AS, before)


def before_first(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, happens: Callable[[], None]
) -> None:
    """Let something happen when `owner.name` is called; the real one goes on then."""
    real = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        happens()
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)


def problem_of(run: ShortRun) -> tuple[RunFinished, dict[str, Any]]:
    assert run.exit_code == OutOfMemory.exit_code
    (finished,) = run.of_type(RunFinished)
    (problem,) = finished.problems
    assert problem["code"] == "out_of_memory"
    return finished, problem


def test_a_step_that_does_not_fit_ends_the_run_and_leaves_the_checkpoint(
    folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_more_memory: Callable[[], None],
) -> None:
    parent = tmp_path / "output"
    assert run_here(job_with(TWO_STEPS), folders, parent).exit_code == 0
    with monkeypatch.context() as patched:
        before_first(patched, loop, "take_step", no_more_memory)
        run = run_here(job_with(LARGE_STEPS), folders, parent)
    finished, problem = problem_of(run)
    assert finished.phase == problem["params"]["phase"] == "train"
    assert finished.step == 2
    assert problem["params"]["peak_bytes"] > 200 << 20
    assert "Out of memory while training" in problem["message"]
    assert "goes on from the last one" in problem["hint"]

    changes = problem["params"]["changes"]
    assert changes[0]["settings"] == {"training.gradient_checkpointing": True}
    assert any("training.batch_size" in change["settings"] for change in changes)
    assert all(change["ram_bytes"] for change in changes)
    json.dumps(problem)  # it is part of an event

    # What was there is whole, and the training goes on from it as soon as there is memory again.
    checkpoint = run.folder.checkpoint(2)
    assert open_checkpoint(checkpoint).step == 2


@pytest.mark.long
def test_memory_that_runs_out_while_saving_leaves_the_last_checkpoint(
    folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parent = tmp_path / "output"
    assert run_here(job_with(TWO_STEPS), folders, parent).exit_code == 0

    def asks_for_too_much() -> None:
        import torch

        torch.empty(2**55)

    with monkeypatch.context() as patched:
        before_first(patched, Saver, "_write", asks_for_too_much)
        run = run_here(job_with(TWO_STEPS | {"training.steps": 3}), folders, parent)
    finished, problem = problem_of(run)
    assert finished.phase == problem["params"]["phase"] == "save"
    assert run.folder.checkpoint_steps() == [2]
    assert open_checkpoint(run.folder.checkpoint(2)).step == 2


@pytest.mark.long
def test_memory_that_runs_out_while_loading_is_not_called_a_damaged_model(
    folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asks_for_too_much() -> None:
        import torch

        torch.empty(2**55)

    before_first(monkeypatch, loop, "load_trainee", asks_for_too_much)
    run = run_here(job_with(TWO_STEPS), folders, tmp_path / "output")
    finished, problem = problem_of(run)
    assert finished.phase == problem["params"]["phase"] == "load"
    assert "Out of memory while loading the model" in problem["message"]


def test_a_child_that_lacks_memory_ends_the_run_in_its_phase(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoding child, which gets little beyond what its libraries take."""
    limited = (
        "import resource, sqlite3, sys, trainer.latents\n"
        "from trainer.encoding_child import main\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "most = pages * resource.getpagesize() + (40 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "sys.exit(main())"
    )
    real = encoding_process.subprocess.Popen

    def limited_child(command: list[str], **options: Any) -> Any:
        assert command[-1] == "trainer.encoding_child"
        return real([command[0], "-c", limited], **options)

    monkeypatch.setattr(encoding_process.subprocess, "Popen", limited_child)
    changes = TWO_STEPS | {"datasets.0.resolutions": [512], "datasets.0.allow_upscaling": True}
    run = run_here(job_with(changes), folders, tmp_path / "output")
    finished, problem = problem_of(run)
    assert finished.phase == problem["params"]["phase"] == "encode"
    assert problem["params"]["peak_bytes"] > 100 << 20
