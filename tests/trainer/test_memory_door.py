"""A job that cannot fit is refused with the phase, both numbers and what would fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.short_runs import job_with, make_squares, write_job
from trainer import plan_command
from trainer.__main__ import main
from trainer.config import JobConfig
from trainer.disk_places import Folder, Place
from trainer.door import Verdict, examine_job
from trainer.errors import EXIT_COMPLETED, JobRefused, Severity
from trainer.folders import Folders
from trainer.machine import Machine, machine_at_hand
from trainer.machine_memory import machine_memory
from trainer.memory_plan import plan_memory
from trainer.memory_sizes import GIB, MIB
from trainer.memory_workload import workload_of
from trainer.model_shapes import known_shapes
from trainer.variants import Architecture

# Beside its program's memory the short job takes a few megabytes, so a machine can be too small
# for one setting and large enough for another by a few more.
GREEDY = {"training.batch_size": 6, "training.gradient_checkpointing": False}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    make_squares(tmp_path / "datasets")
    return Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")


def examined(changes: dict[str, Any], folders: Folders, machine: Machine | None) -> Verdict:
    return examine_job(job_with(changes), folders, lambda _job: machine)


def peak_bytes(changes: dict[str, Any], folders: Folders) -> int:
    """The largest phase on a card."""
    verdict = examined(changes, folders, None)
    assert verdict.job is not None
    workload = workload_of(verdict.job, verdict.indexes, on_gpu=True)
    shapes = known_shapes(Architecture.TINY)
    return plan_memory(verdict.job, shapes, workload, on_gpu=True).largest_vram.vram_bytes


def test_a_job_that_cannot_fit_is_refused_with_what_would(folders: Folders) -> None:
    # 256 px, so that the pictures and not the program are what does not fit.
    big = GREEDY | {"datasets.0.resolutions": [512], "datasets.0.allow_upscaling": True}
    machine = Machine(64 * GIB, peak_bytes(big, folders) - 20 * MIB, "a small card")
    verdict = examined(big, folders, machine)
    (problem,) = [p for p in verdict.job_problems if p.code == "does_not_fit"]
    assert problem.severity == Severity.ERROR
    assert problem.params["phase"] == "train"
    assert problem.params["needed_bytes"] == peak_bytes(big, folders)
    assert problem.params["available_bytes"] == machine.vram_bytes
    assert problem.message.startswith("Train takes ")
    assert "a small card has" in problem.message
    assert "Turn Gradient Checkpointing on." in problem.hint
    with pytest.raises(JobRefused):
        verdict.admitted()

    for cure in problem.params["changes"]:
        assert not examined(big | cure["settings"], folders, machine).errors


def test_who_insists_gets_a_warning(folders: Folders) -> None:
    machine = Machine(64 * GIB, 100 * MIB)
    verdict = examined({"advanced.memory_plan": "go_on"}, folders, machine)
    assert verdict.errors == []
    (problem,) = [p for p in verdict.warnings if p.code == "does_not_fit"]
    assert "runs all the same" in problem.hint
    assert isinstance(verdict.admitted(), JobConfig)


def test_without_a_machine_nothing_is_said_of_memory(folders: Folders) -> None:
    verdict = examined(GREEDY, folders, None)
    assert not any(p.code == "does_not_fit" for p in verdict.problems)


def test_this_machine_has_the_memory_that_the_system_says() -> None:
    machine = machine_at_hand("cpu")
    assert machine.ram_bytes == machine_memory().total_bytes
    assert not machine.on_gpu


def test_the_command_prints_phases_verdict_and_changes(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_job(tmp_path / "job.yaml", job_with(GREEDY))
    places = [f"--{name}={getattr(folders, name)}" for name in ("datasets", "models", "cache")]
    assert main(["plan", str(job), *places, "--vram", "24", "--ram", "64"]) == EXIT_COMPLETED
    said = capsys.readouterr().out
    for line in ("Encode texts", "Load the transformer", "Train", "24.0 GB", "It fits."):
        assert line in said
    assert main(["plan", str(job), *places, "--vram", "0.5"]) == JobRefused.exit_code
    said = capsys.readouterr().out
    assert "and the card has 512 MB" in said
    assert "No change of settings makes it fit" in said  # CUDA itself takes more


def test_the_command_counts_the_disk_in_its_last_word_and_its_exit_status(
    folders: Folders,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = write_job(tmp_path / "job.yaml", job_with({"save.save_every": 1}))
    output = tmp_path / "output"
    command = ["plan", str(job), "--vram", "24", "--ram", "64"]
    command += [f"--{name}={getattr(folders, name)}" for name in ("datasets", "models", "cache")]

    def places(*, output: Path | None, **_: Path) -> dict[Folder, Place]:
        return {} if output is None else {"output": Place(output, 1, 1 * MIB)}

    monkeypatch.setattr(plan_command, "places_of", places)
    assert main(command) == EXIT_COMPLETED
    assert "The disk of the output is not judged" in capsys.readouterr().out
    assert main([*command, f"--output={output}"]) == JobRefused.exit_code
    said = capsys.readouterr().out
    assert f"The disk of {output} has 1 MB free" in said
    assert "It fits." not in said
    assert "Memory is enough." in said
    assert "free space on that disk" in said.partition("What makes it fit the disk:")[2]


def test_a_job_for_a_large_model_is_planned_by_its_own_size(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = write_job(
        tmp_path / "job.yaml",
        job_with(
            {
                "model.model_architecture": "flux2-dev",
                "training.data_type": "bf16",
                "quantization.transformer": "float8",
            }
        ),
    )
    places = [f"--{name}={getattr(folders, name)}" for name in ("datasets", "models", "cache")]
    assert main(["plan", str(job), *places, "--vram", "24"]) == JobRefused.exit_code
    said = capsys.readouterr().out
    assert "What makes it fit" in said
    assert "model.layer_offloading: on" in said
    assert "transformer" in said.partition("On disk")[2]  # 60 GB to download
