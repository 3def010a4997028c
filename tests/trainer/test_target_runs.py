"""Whole short trainings of each target: exact resume, EMA, samples, and the files that come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.short_runs import ShortRun, job_with, run_here
from trainer.checkpoint import STATE_FILE
from trainer.events import CheckpointSaved, RunFinished
from trainer.folders import Folders
from trainer.lora_inspect import inspect_lora
from trainer.lora_keys import block_layers

TARGETS: dict[str, dict[str, Any]] = {
    "lora": {"target.linear_rank": 4},
    "lokr": {"target.target_type": "lokr", "target.lokr_factor": 4, "target.linear_rank": 4},
    "whole": {"target.target_type": "lokr", "target.lokr_full_rank": True},
    "attention": {"target.layers": "attention"},
    "pattern": {"target.layers": "pattern", "target.layer_pattern": "*.1.* !*.ff_context.*"},
}


def job_of(name: str, **more: Any) -> dict[str, Any]:
    return job_with(
        {
            **TARGETS[name],
            "target.dropout": 0.2,
            "training.steps": 4,
            "training.learning_rate": 0.02,
            "training.use_ema": True,
            "training.ema_decay": 0.5,
            "save.save_every": 2,
            **more,
        }
    )


def state_of(run: ShortRun, step: int) -> dict[str, torch.Tensor]:
    return load_file(run.folder.checkpoint(step) / STATE_FILE)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_four_steps_are_two_and_two_to_the_bit_with_dropout_and_ema(
    name: str, short_folders: Folders, tmp_path: Path
) -> None:
    whole = run_here(job_of(name), short_folders, tmp_path / "whole")
    run_here(job_of(name, **{"training.steps": 2}), short_folders, tmp_path / "parts")
    parts = run_here(job_of(name), short_folders, tmp_path / "parts")
    assert whole.exit_code == parts.exit_code == 0

    expected, found = state_of(whole, 4), state_of(parts, 4)
    assert expected.keys() == found.keys()
    assert any(key.startswith("ema/") for key in expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    assert {step: whole.losses[step] for step in (3, 4)} == parts.losses

    saved = whole.of_type(CheckpointSaved)[-1]
    found_in_file = inspect_lora(whole.folder.result)
    assert saved.num_layers == found_in_file.num_layers
    assert saved.lora_norm == pytest.approx(found_in_file.norm, rel=1e-6)
    assert saved.lora_norm > 0
    assert found_in_file.problems == []
    assert found_in_file.kind == ("lokr" if name in ("lokr", "whole") else "lora")
    assert found_in_file.metadata["target_type"] == found_in_file.kind
    assert len(found_in_file.metadata["dataset_sha256"]) == 64


@pytest.mark.slow
def test_a_pattern_trains_the_layers_that_it_names(short_folders: Folders, tmp_path: Path) -> None:
    job = job_of("pattern", **{"training.steps": 1, "training.use_ema": False})
    run = run_here(job, short_folders, tmp_path)
    trained = {key.rpartition(".lora_")[0] for key in load_file(run.folder.result)}
    assert trained == {
        f"transformer.{name}"
        for name in block_layers(2, 4)
        if ".1." in name and "ff_context" not in name
    }


@pytest.mark.slow
def test_another_target_does_not_go_on_from_a_checkpoint_but_another_dropout_does(
    short_folders: Folders, tmp_path: Path
) -> None:
    run_here(job_of("lora", **{"training.steps": 2}), short_folders, tmp_path)
    other = run_here(job_of("attention"), short_folders, tmp_path)
    finished = other.of_type(RunFinished)[-1]
    assert finished.outcome == "failed"
    assert finished.problems[0]["code"] == "checkpoint_does_not_fit"
    assert finished.problems[0]["field"] == "target.layers"
    freer = run_here(job_of("lora", **{"target.dropout": 0.0}), short_folders, tmp_path)
    assert freer.exit_code == 0
