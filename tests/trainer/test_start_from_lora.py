"""Start from a LoRA: its values, what must fit, and what the files say of it afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer.mini_transformer import mini_transformer
from tests.trainer.short_runs import ShortRun, job_with, run_here, write_job
from tests.trainer.test_lora import output_of
from trainer.__main__ import main
from trainer.checkpoint import STATE_FILE
from trainer.door import examine_job
from trainer.errors import BadLora, JobRefused, Severity
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.job_folder import JobFolder
from trainer.lora import Lora, add_lokr, add_lora
from trainer.lora_factors import added_weight
from trainer.lora_file import lora_metadata, read_metadata, write_lora_file
from trainer.lora_keys import KeyFormat, block_layers, by_layer
from trainer.lora_start import read_start

TINY_LAYERS = block_layers(2, 4)


def filled(lora: Lora) -> Lora:
    draw = torch.Generator().manual_seed(8)
    for parameter in lora.parameters.values():
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.2
    return lora


def written(
    lora: Lora, path: Path, key_format: KeyFormat = "diffusers", told: dict[str, str] | None = None
) -> Path:
    values = {name: value.detach() for name, value in lora.parameters.items()}
    write_lora_file(
        path,
        values,
        scale=lora.scale,
        dtype=torch.float32,
        key_format=key_format,
        metadata=told or {},
    )
    return path


# ------------------------------------------------------------------------------------- the values


@pytest.mark.parametrize("key_format", ["diffusers", "comfyui"])
def test_a_training_starts_as_the_file_does_whatever_its_alpha_and_names(
    tmp_path: Path, key_format: KeyFormat
) -> None:
    before = mini_transformer(torch.float32)
    first = filled(add_lora(before, rank=2, alpha=1.0, seed=0))
    path = written(first, tmp_path / "lora.safetensors", key_format)

    after = mini_transformer(torch.float32)
    second = add_lora(after, rank=2, alpha=6.0, seed=1)
    start = read_start(path, second)
    second.load(start.values)
    assert torch.allclose(output_of(after), output_of(before), atol=1e-5)
    assert json.loads(start.about)["file"] == "lora.safetensors"


def test_a_lokr_starts_from_a_lokr(tmp_path: Path) -> None:
    before, after = mini_transformer(torch.float32), mini_transformer(torch.float32)
    path = written(
        filled(add_lokr(before, rank=2, alpha=1.0, factor=4, seed=0)), tmp_path / "l.safetensors"
    )
    second = add_lokr(after, rank=2, alpha=4.0, factor=4, seed=1)
    second.load(read_start(path, second).values)
    assert torch.allclose(output_of(after), output_of(before), atol=1e-5)


def test_other_layers_and_other_sizes_are_refused_with_both(tmp_path: Path) -> None:
    path = written(
        filled(add_lora(mini_transformer(), rank=2, alpha=2.0, seed=0)), tmp_path / "l.safetensors"
    )
    wider = add_lora(mini_transformer(), rank=4, alpha=4.0, seed=0)
    with pytest.raises(BadLora) as refused:
        read_start(path, wider)
    assert refused.value.code == "lora_of_another_size"
    assert "[2, 96]" in refused.value.message
    assert "[4, 96]" in refused.value.message
    fewer = add_lora(
        mini_transformer(), rank=2, alpha=2.0, seed=0, layers=["transformer_blocks.0.attn.to_q"]
    )
    with pytest.raises(BadLora) as refused:
        read_start(path, fewer)
    assert refused.value.code == "lora_of_other_layers"


# --------------------------------------------------------------------------------------- the door


def tiny_lora(path: Path, *, rank: int = 4, layers: list[str] = TINY_LAYERS, **told: str) -> Path:
    """A file with the tiny model's layers; sizes within the layers do not matter at the door."""
    save_file(
        {
            f"transformer.{layer}.lora_{part}.weight": torch.ones(
                (rank, 6) if part == "A" else (6, rank)
            )
            for layer in layers
            for part in "AB"
        },
        path,
        metadata={f"darkroom.{key}": value for key, value in told.items()},
    )
    return path


def refusal(short_folders: Folders, start: Path | str, **changes: Any) -> tuple[str, str] | None:
    """(code, message) of what the door says to starting from a file; None if nothing."""
    job = job_with({"training.start_from_lora": str(start), **changes})
    problems = [
        problem
        for problem in examine_job(job, short_folders).problems
        if problem.severity == Severity.ERROR
    ]
    assert {problem.field for problem in problems} <= {"training.start_from_lora"}
    return (problems[0].code, problems[0].message) if problems else None


def test_the_door_lets_a_fitting_file_through(short_folders: Folders, tmp_path: Path) -> None:
    assert refusal(short_folders, tiny_lora(tmp_path / "l.safetensors")) is None
    assert (
        refusal(short_folders, tiny_lora(tmp_path / "m.safetensors", architecture="tiny")) is None
    )


@pytest.mark.parametrize(
    ("told", "changes", "code", "both"),
    [
        ({"rank": 8}, {}, "lora_of_another_rank", ("8", "4")),
        ({}, {"target.target_type": "lokr"}, "lora_of_another_target", ("a LoRA", "a LoKr")),
        ({}, {"target.layers": "attention"}, "lora_of_other_layers", ("32", "24")),
        ({"layers": TINY_LAYERS[:-1]}, {}, "lora_of_other_layers", ("31", "32")),
        (
            {"architecture": "klein-base-9b"},
            {},
            "lora_of_another_base",
            ("klein base 9B", "Tiny FLUX.2"),
        ),
    ],
)
def test_what_does_not_fit_is_named_with_both_sides(
    short_folders: Folders,
    tmp_path: Path,
    told: dict[str, Any],
    changes: dict[str, Any],
    code: str,
    both: tuple[str, str],
) -> None:
    found = refusal(short_folders, tiny_lora(tmp_path / "l.safetensors", **told), **changes)
    assert found is not None
    assert found[0] == code
    assert all(part in found[1] for part in both), found[1]


def test_missing_damaged_and_foreign_files_are_named(
    short_folders: Folders, tmp_path: Path
) -> None:
    def code_of(start: Path | str) -> str | None:
        found = refusal(short_folders, start)
        return found and found[0]

    assert code_of(tmp_path / "nowhere.safetensors") == "lora_missing"
    assert code_of("../outside.safetensors") == "bad_path"
    torch.save({"a": torch.ones(1)}, tmp_path / "lora.pt")
    assert code_of(tmp_path / "lora.pt") == "lora_is_pickle"
    foreign = tiny_lora(
        tmp_path / "flux1.safetensors", layers=["single_transformer_blocks.0.proj_mlp"]
    )
    assert code_of(foreign) == "lora_unmapped_keys"


def test_a_distilled_model_takes_its_bases_lora(tmp_path: Path) -> None:
    from trainer.start_check import start_problems

    layers = block_layers(5, 20)
    path = tiny_lora(
        tmp_path / "l.safetensors", rank=32, layers=layers, architecture="klein-base-4b"
    )
    folders = Folders(tmp_path, tmp_path, tmp_path)
    for architecture, is_refused in (("klein-4b", False), ("klein-9b", True)):
        job = parse_job(
            job_with(
                {
                    "model.model_architecture": architecture,
                    "training.start_from_lora": str(path),
                    "target.linear_rank": 32,
                }
            )
        )
        assert bool(start_problems(job, folders)) == is_refused


# ---------------------------------------------------------------------------------------- the run


@pytest.fixture(scope="module")
def first(short_folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    job = job_with({"training.steps": 2, "training.learning_rate": 0.02})
    return run_here(job, short_folders, tmp_path_factory.mktemp("first"))


@pytest.mark.slow
def test_a_run_starts_from_another_jobs_checkpoint_and_says_so_also_after_a_resume(
    first: ShortRun, short_folders: Folders, tmp_path: Path
) -> None:
    changes = {
        "job.training_name": "second",
        "training.start_from_lora": str(first.folder.checkpoint(2)),
        "training.learning_rate": 1e-9,
        "training.use_ema": True,
        "target.linear_alpha": 8.0,
    }
    one = run_here(job_with({**changes, "training.steps": 1}), short_folders, tmp_path)
    assert one.exit_code == 0
    before, after = load_file(first.folder.result), load_file(one.folder.result)
    for layer, factors in by_layer(before).items():
        assert torch.allclose(
            added_weight(by_layer(after)[layer]), added_weight(factors), atol=1e-5
        ), layer
    state = load_file(one.folder.checkpoint(1) / STATE_FILE)
    assert any(key.startswith("ema/") for key in state)

    two = run_here(job_with({**changes, "training.steps": 2}), short_folders, tmp_path)
    for run in (one, two):
        told = read_metadata(run.folder.result)
        assert json.loads(told["started_from"])["file"] == "lora.safetensors"
        assert json.loads(told["job"])["training"]["start_from_lora"] == "step-000002"
        assert str(tmp_path.parent) not in json.dumps(told)


@pytest.mark.slow
def test_a_resume_does_not_need_the_file_that_the_job_started_from(
    first: ShortRun, short_folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.safetensors"
    shutil.copy(first.folder.result, start)
    changes = {"training.start_from_lora": str(start), "sample.prompts": []}
    assert run_here(job_with({**changes, "training.steps": 1}), short_folders, tmp_path).losses
    start.unlink()

    job = write_job(tmp_path / "job.yaml", job_with({**changes, "training.steps": 2}))
    arguments = ["run", str(job), "--output", str(tmp_path)]
    for name in ("datasets", "models", "cache"):
        arguments += [f"--{name}", str(getattr(short_folders, name))]
    assert main([*arguments, "--resume", "never"]) == JobRefused.exit_code
    assert "start.safetensors" in capsys.readouterr().err
    assert main(arguments) == 0
    folder = JobFolder(tmp_path, "short")
    assert folder.checkpoint_steps() == [1, 2]
    assert json.loads(read_metadata(folder.result)["started_from"])["file"] == start.name


@pytest.mark.slow
def test_a_jobs_folder_stands_for_its_result(first: ShortRun, short_folders: Folders) -> None:
    from trainer.start_check import start_file

    job = parse_job(job_with({"training.start_from_lora": str(first.folder.path)}))
    assert start_file(job, short_folders) == first.folder.result


def test_paths_of_the_machine_stay_out_of_the_recipe() -> None:
    job = parse_job(
        job_with(
            {
                "training.start_from_lora": "/home/someone/secret/lora.safetensors",
                "model.autoencoder_path": "/home/someone/ae.safetensors",
            }
        )
    )
    told = json.dumps(lora_metadata(job, step=1, versions={}))
    assert "someone" not in told
    assert "lora.safetensors" in told
