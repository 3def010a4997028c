"""Memory that really runs out, in each phase: how the run ends, what it says, what is left."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.file_download
import pytest
import torch
from huggingface_hub import constants

import trainer.checkpoint
import trainer.env_file
import trainer.hub
import trainer.model_filling
import trainer.validation
from tests.trainer.local_hub import LocalHub, serving
from tests.trainer.short_runs import ShortRun, job_with, make_squares, run_here
from trainer import encoding_process, loop, sample_round
from trainer.checkpoint import MANIFEST_FILE, open_checkpoint
from trainer.errors import EXIT_COMPLETED, OutOfMemory
from trainer.events import Phase, RunFinished, Sample, SampleFailed
from trainer.folders import Folders
from trainer.job_folder import JobFolder
from trainer.variants import BUNDLED_TINY_FOLDER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as on Linux"),
]

TWO_STEPS = {"training.steps": 2, "save.save_every": 2}
# Two steps that are measured before and after, and leave a checkpoint and a result.
BEGUN = {
    **TWO_STEPS,
    "advanced.validation": "held_out",
    "advanced.held_out_share": 0.3,
    "advanced.validation_noise_levels": 2,
    "sample.prompts": [{"prompt": "a red square"}],
}
# What lowers a phase's peak on a CPU, as the plan knows it, in the order of trying.
WEIGHTS = [{"quantization.transformer": "float8"}, {"quantization.transformer": "nf4"}]
AUTOENCODER = {"model.vae_data_type": "bf16"}
NUMBERS = {"training.data_type": "bf16"}
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


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folders, ShortRun]:
    """A training of two steps, everything cached: what is run again starts no encoding child."""
    root = tmp_path_factory.mktemp("begun")
    make_squares(root / "datasets")
    folders = Folders(root / "datasets", root / "models", root / "cache")
    run = run_here(job_with(BEGUN), folders, root / "output")
    assert run.exit_code == EXIT_COMPLETED
    return folders, run


@pytest.fixture
def copied(begun: tuple[Folders, ShortRun], tmp_path: Path) -> tuple[Folders, Path]:
    """The same in an output folder of its own, to go on from its second step."""
    folders, run = begun
    shutil.copytree(run.folder.path, tmp_path / "output" / run.folder.path.name)
    return folders, tmp_path / "output"


def asking_for_too_much(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, at_call: int
) -> None:
    """The allocator is asked for more than there is right after a call of `owner.name`."""
    real, num_calls = getattr(owner, name), 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal num_calls
        num_calls += 1
        done = real(*args, **kwargs)
        if num_calls == at_call:
            torch.empty(2**55)
        return done

    monkeypatch.setattr(owner, name, wrapped)


def content_of(folder: JobFolder, step: int) -> dict[str, bytes]:
    """A checkpoint's files but for its manifest, which also says whether another is better."""
    files = [path for path in folder.checkpoint(step).iterdir() if path.name != MANIFEST_FILE]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("phase", "owner", "name", "at_call", "said", "cures"),
    [
        (
            "load",
            trainer.model_filling,
            "_place",
            5,
            "loading the model",
            [*WEIGHTS, NUMBERS],
        ),
        (
            "train",
            torch.Tensor,
            "backward",
            1,
            "training",
            [*WEIGHTS, AUTOENCODER, NUMBERS],
        ),
        (
            "validate",
            trainer.validation,
            "per_sample_loss",
            2,
            "measuring",
            [*WEIGHTS, AUTOENCODER, NUMBERS],
        ),
        (
            "save",
            trainer.checkpoint,
            "save_file",
            1,
            "saving a checkpoint",
            [*WEIGHTS, AUTOENCODER, NUMBERS],
        ),
        (
            "finish",
            loop.shutil,
            "copyfile",
            1,
            "writing the result",
            [*WEIGHTS, AUTOENCODER, NUMBERS],
        ),
    ],
)
def test_memory_that_runs_out_amid_a_phase_ends_the_run_in_it(
    begun: tuple[Folders, ShortRun],
    copied: tuple[Folders, Path],
    monkeypatch: pytest.MonkeyPatch,
    phase: Phase,
    owner: Any,
    name: str,
    at_call: int,
    said: str,
    cures: list[dict[str, str]],
) -> None:
    before = begun[1].folder
    asking_for_too_much(monkeypatch, owner, name, at_call=at_call)
    run = run_here(job_with(BEGUN | {"training.steps": 3}), *copied)
    finished, problem = problem_of(run)
    assert finished.phase == problem["params"]["phase"] == phase
    assert problem["message"].startswith(f"Out of memory while {said}: ")
    assert problem["params"]["peak_bytes"] > 100 << 20
    assert [change["settings"] for change in problem["params"]["changes"]] == cures
    assert (
        "In this order: choose float8 for the Transformer (Quantization); choose NF4"
        in (problem["hint"])
    )
    # What was there before is there to the byte: the checkpoint, and the result of its step.
    assert content_of(run.folder, 2) == content_of(before, 2)
    assert open_checkpoint(run.folder.checkpoint(2)).step == 2
    assert run.folder.result.read_bytes() == before.result.read_bytes()
    # A save that did not come to its end has left nothing, one that did is whole.
    steps = run.folder.checkpoint_steps()
    assert steps == ([2, 3] if phase == "finish" else [2])
    assert open_checkpoint(run.folder.checkpoint(steps[-1])).step == steps[-1]


def test_memory_that_runs_out_while_downloading_is_no_fault_of_the_hub(
    begun: tuple[Folders, ShortRun],
    copied: tuple[Folders, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(trainer.env_file, "PROJECT_FOLDER", tmp_path)
    trainer.hub._answers.clear()
    with serving(LocalHub({"toys/tiny": BUNDLED_TINY_FOLDER})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        asking_for_too_much(monkeypatch, huggingface_hub.file_download, "http_get", at_call=3)
        before = begun[1].folder
        changes = {"training.steps": 3, "model.name_or_path": "toys/tiny"}
        run = run_here(job_with(BEGUN | changes), *copied)
        assert len(hub.downloads()) == 3
    finished, problem = problem_of(run)
    assert finished.phase == problem["params"]["phase"] == "download"
    assert "Out of memory while downloading the model" in problem["message"]
    assert problem["params"]["peak_bytes"] > 100 << 20
    # Nothing of the job is in memory yet, so no setting is blamed.
    assert problem["params"]["changes"] == []
    assert problem["hint"].startswith("No setting of the job lowers what this takes: end other")
    assert content_of(run.folder, 2) == content_of(before, 2)


# A picture of 16 times the pixels of the others, and one that fits.
PICTURES = {
    "sample.first_sample_at_step_0": True,
    "sample.sample_every": 2,
    "sample.prompts": [
        {"prompt": "a red square", "width": 1024, "height": 1024},
        {"prompt": "a red square"},
    ],
}


def test_a_picture_that_does_not_fit_says_what_would_help_and_the_training_goes_on(
    begun: tuple[Folders, ShortRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_more_memory: Callable[[], None],
) -> None:
    folders, silent = begun
    with monkeypatch.context() as patched:
        before_first(patched, sample_round, "draw", no_more_memory)
        run = run_here(job_with(BEGUN | PICTURES), folders, tmp_path)
    assert run.exit_code == EXIT_COMPLETED
    assert run.losses == silent.losses
    failures = run.of_type(SampleFailed)
    assert [(event.step, event.prompt_index) for event in failures] == [(0, 0), (2, 0)]
    assert [(event.step, event.prompt_index) for event in run.of_type(Sample)] == [(0, 1), (2, 1)]
    for event in failures:
        assert event.code == "out_of_memory"
        assert event.message.startswith("Out of memory while drawing samples: ")
        assert event.params["phase"] == "sample"
        assert event.params["peak_bytes"] > 100 << 20
        labels = [change["label"] for change in event.params["changes"]]
        assert labels[0] == "choose float8 for the Transformer (Quantization)"
        assert "draw samples of at most 512 px" in labels
        assert event.hint.startswith("In this order: ")
        assert event.hint.endswith(". Training goes on.")
    assert failures[0].hint in run.folder.run(1).log.read_text()


def test_a_search_for_cures_that_fails_costs_the_training_as_little_as_the_picture(
    begun: tuple[Folders, ShortRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(sample_round, "draw", out_of_memory)
    monkeypatch.setattr(sample_round, "explained", out_of_memory)
    run = run_here(job_with(BEGUN | PICTURES), begun[0], tmp_path)
    assert run.exit_code == EXIT_COMPLETED
    failures = run.of_type(SampleFailed)
    assert [event.code for event in failures] == ["out_of_memory"] * 4
    assert failures[0].params["peak_bytes"] > 100 << 20


def test_a_search_for_cures_that_fails_leaves_the_run_its_name(
    copied: tuple[Folders, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    asking_for_too_much(monkeypatch, torch.Tensor, "backward", at_call=1)
    monkeypatch.setattr(loop, "explained", out_of_memory)
    run = run_here(job_with(BEGUN | {"training.steps": 3}), *copied)
    finished, problem = problem_of(run)
    assert finished.phase == "train"
    assert problem["params"]["peak_bytes"] > 100 << 20
    assert problem["hint"]
    log = run.folder.run(2).log.read_text()
    assert "What would have helped could not be planned." in log


def test_a_child_that_lacks_memory_ends_the_run_in_its_phase(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoding child, which gets little beyond what its libraries take."""
    limited = (
        "import resource, sqlite3, sys, torch, trainer.latents\n"
        "from trainer.encoding_child import main\n"
        # oneDNN says of memory that it lacks for its code that it 'could not create a primitive'.
        "torch.backends.mkldnn.enabled = False\n"
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
