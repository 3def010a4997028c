"""The two things that are disturbed: a queue of stand-in trainers, and a real tiny training."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from backend.db.migrate import migrate
from backend.settings import Settings
from tests.backend.installation import job_config, make_dataset
from tests.faults.fault_round import Scene
from tests.faults.faults import DAMAGED, REAL_FAULTS, STAND_IN_FAULTS
from tests.faults.house import ROOT, NotSo
from tests.stand_in_trainer import chain_after, read_chain
from trainer.errors import BadCheckpoint
from trainer.job_folder import JobFolder

NUM_STEPS = 60
REAL_STEPS = 8


def stand_in_scene() -> Scene:
    """Three jobs of a torch-free trainer whose result depends on every one of its steps."""
    configs = [
        job_config(
            f"chain-{n}",
            "chain",
            training={"steps": NUM_STEPS},
            save={"save_every": 7},
            # What the plan says of it has to fit the small disk, whatever a stand-in writes.
            quantization={"transformer": "none", "text_encoder": "none"},
            target={"linear_rank": 4},
        )
        for n in range(3)
    ]
    for config in configs:
        config["sample"]["sample_every"] = 20
    return Scene(
        name="stand-in",
        prepare=_furnish,
        configs=configs,
        is_undisturbed=_chain_is_whole,
        faults=STAND_IN_FAULTS,
        num_faults=range(3, 9),
        pause_seconds=(0.05, 1.2),
        settings={"stop_patience_seconds": 20, "kill_patience_seconds": 5},
    )


def real_scene(work: Path) -> Scene:
    """One training of the bundled tiny model; the undisturbed one and the caches lie in `work`."""
    config = _real_config()
    undisturbed = _undisturbed_result(work, json.dumps(config, sort_keys=True))

    def is_undisturbed(folder: JobFolder) -> None:
        if _tensors_digest(folder.result) != undisturbed:
            raise NotSo(f"{folder.result.name} differs from the undisturbed one")
        _checkpoints_are_whole(folder)

    return Scene(
        name="tiny training",
        prepare=_furnish,
        configs=[config],
        is_undisturbed=is_undisturbed,
        faults=REAL_FAULTS,
        num_faults=range(1, 4),
        pause_seconds=(1.0, 12.0),
        settings={
            "trainer_command": f"{sys.executable} -m trainer",
            "cache_dir": work / "cache",
        },
    )


def _furnish(settings: Settings) -> None:
    make_dataset(settings.datasets_dir / "shapes")
    migrate(settings)


def _chain_is_whole(folder: JobFolder) -> None:
    expected = chain_after(NUM_STEPS)
    if read_chain(folder.result) != expected:
        raise NotSo(f"{folder.result.name} is not what {NUM_STEPS} undisturbed steps make")
    damaged = _damaged_steps(folder)
    for step in folder.checkpoint_steps():
        found = read_chain(folder.checkpoint(step) / "lora.safetensors")
        if found is None and step in damaged:
            continue  # a later run did not need it
        if found != chain_after(step):
            raise NotSo(f"{folder.training_name}: checkpoint {step} holds something else")


def _checkpoints_are_whole(folder: JobFolder) -> None:
    """By the sums in their manifests; a later run need not have read one that a fault damaged."""
    from trainer.checkpoint import open_checkpoint  # torch, which the other scene does without

    for step in set(folder.checkpoint_steps()) - _damaged_steps(folder):
        try:
            open_checkpoint(folder.checkpoint(step))
        except BadCheckpoint as error:
            raise NotSo(f"{folder.training_name}: {error}") from error


def _damaged_steps(folder: JobFolder) -> set[int]:
    note = folder.path / DAMAGED
    return {int(step) for step in note.read_text().split()} if note.exists() else set()


def _real_config() -> dict[str, Any]:
    return job_config(
        "night",
        "zorvex",
        quantization={"transformer": "none", "text_encoder": "none"},
        target={"linear_rank": 4},
        training={"steps": REAL_STEPS, "data_type": "fp32", "learning_rate": 1e-3},
        save={"save_every": 3},
        sample={"sample_every": None, "first_sample_at_step_0": False, "prompts": []},
    )


@cache
def _undisturbed_result(work: Path, config: str) -> str:
    """Train the job once, away from all faults; the digest of its result's tensors."""
    folder = work / "undisturbed"
    shutil.rmtree(folder, ignore_errors=True)
    make_dataset(folder / "datasets" / "shapes")
    job_file = folder / "job.yaml"
    job_file.write_text(config)  # JSON is YAML
    command: Sequence[str] = [
        *(sys.executable, "-m", "trainer", "run", str(job_file)),
        *("--output", str(folder / "output"), "--datasets", str(folder / "datasets")),
        *("--cache", str(work / "cache")),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise NotSo(f"the undisturbed training failed: {ran.stderr[-2000:]}")
    return _tensors_digest(JobFolder(folder / "output", "night").result)


def _tensors_digest(file: Path) -> str:
    """SHA-256 of everything behind the header, whose metadata may tell times."""
    data = file.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
