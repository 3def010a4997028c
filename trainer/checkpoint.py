"""A checkpoint: everything a run needs to go on as if it had never stopped, in one folder.

    checkpoints/step-000250/
      lora.safetensors        for use: Save's data type, alpha folded in, the average if EMA is on
      state.safetensors       for resuming: `lora/NAME` and, with EMA, `ema/NAME`, float32
      optimizer.safetensors   the optimizer's tensors
      checkpoint.json         step, job, base model, dataset, counters, measurements, whether it is
                              the best, and each file's size and SHA-256

The folder is filled under a temporary name and renamed when every byte is on the disk, so it is
there whole or not at all; checksums tell later damage. There is no generator state and no position
in the data: both are functions of the seed and the step. Only safetensors and JSON are read, never
a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from trainer.config import JobConfig
from trainer.dataset_changes import Digests
from trainer.durable_write import new_folder, write_text
from trainer.early_stop import Measurement
from trainer.errors import BadCheckpoint
from trainer.fingerprints import file_sha256
from trainer.job_folder import LORA_FILE, MANIFEST_FILE, JobFolder
from trainer.lora_file import WrittenLora, lora_metadata, write_lora_file
from trainer.optim import OptimizerState
from trainer.resume_rules import misfits

FORMAT = 1
STATE_FILE = "state.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"


@dataclass(frozen=True)
class TrainingState:
    """What changes from step to step.

    step: steps taken, skipped ones included. lora, average: full-precision values by parameter
    name; average is None without EMA. num_skipped_in_a_row: steps skipped since the last good one.
    measurements: all so far.
    """

    step: int
    lora: Mapping[str, torch.Tensor]
    average: Mapping[str, torch.Tensor] | None
    optimizer: OptimizerState
    num_skipped_in_a_row: int
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk whose files have been verified against their checksums."""

    path: Path
    manifest: dict[str, Any]

    @property
    def step(self) -> int:
        return self.manifest["step"]

    @property
    def lora(self) -> Path:
        return self.path / LORA_FILE


def save_checkpoint(
    path: Path,
    state: TrainingState,
    *,
    job: JobConfig,
    base_model: str,
    dtype: torch.dtype,
    versions: Mapping[str, str],
    dataset: Digests,
    about: Mapping[str, str] | None = None,
) -> WrittenLora:
    """Write the folder `path`, which must not exist; what reading the LoRA back has shown.

    base_model: the transformer's fingerprint. dtype: of the LoRA file. dataset: the pictures that
    the run trains on, as `dataset_digests` gives them. about: more for its
    metadata. Raises NonFinite if a value does not fit the type.
    """
    with new_folder(path) as folder:
        written = write_lora_file(
            folder / LORA_FILE,
            state.lora if state.average is None else state.average,
            scale=job.lora_scale,
            dtype=dtype,
            key_format=job.save.key_format,
            metadata=lora_metadata(
                job,
                step=state.step,
                versions=versions,
                more={"base_fingerprint": base_model, **(about or {})},
            ),
        )
        save_file(_state_tensors(state), folder / STATE_FILE)
        save_file(state.optimizer.tensors, folder / OPTIMIZER_FILE)
        manifest = {
            "format": FORMAT,
            "step": state.step,
            "job": job.model_dump(mode="json"),
            "base_model": base_model,
            "optimizer_numbers": state.optimizer.numbers,
            "num_skipped_in_a_row": state.num_skipped_in_a_row,
            "measurements": [asdict(measurement) for measurement in state.measurements],
            "is_best": False,
            "dataset": {name: dict(files) for name, files in dataset.items()},
            "versions": dict(versions),
            "num_threads": torch.get_num_threads(),
            "files": {
                name: _size_and_sum(folder / name)
                for name in (LORA_FILE, STATE_FILE, OPTIMIZER_FILE)
            },
        }
        text = json.dumps(manifest, ensure_ascii=False, indent=1)
        (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return written


def checkpoint_bytes(state: TrainingState, dtype: torch.dtype) -> int:
    """What the folder of this state takes on the disk, but for its few kilobytes of JSON."""
    file = sum(tensor.numel() for tensor in state.lora.values()) * dtype.itemsize
    tensors = [*state.lora.values(), *(state.average or {}).values()]
    tensors += state.optimizer.tensors.values()
    return file + sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a folder. Raises BadCheckpoint if a file is missing or not as written."""
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST_FILE).read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = manifest["files"]
        for name, written in files.items():
            if _size_and_sum(path / name) != written:
                raise _damaged(path, f"{name} is not as it was written")
        if manifest["format"] != FORMAT or not isinstance(manifest["step"], int):
            raise _damaged(path, f"its format {manifest['format']!r} is not {FORMAT}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    return Checkpoint(path, manifest)


def check_fits(checkpoint: Checkpoint, job: JobConfig, *, base_model: str) -> None:
    """Raises BadCheckpoint, with both values, if the job cannot go on from this checkpoint."""
    problems = misfits(
        checkpoint.manifest["job"], job.model_dump(mode="json"), step=checkpoint.step
    )
    if problems:
        raise BadCheckpoint.from_problems(problems)
    if checkpoint.manifest["base_model"] != base_model:
        raise BadCheckpoint(
            f"The base model's files are not those that the checkpoint at step {checkpoint.step} "
            "was trained on.",
            "Set Name or Path back, train under another Training Name, or start over with "
            "--resume never.",
            code="checkpoint_does_not_fit",
            field="model.name_or_path",
            params={"job": base_model, "checkpoint": checkpoint.manifest["base_model"]},
        )


def read_state(checkpoint: Checkpoint) -> TrainingState:
    """The state in a verified checkpoint, on the CPU."""
    tensors = load_file(checkpoint.path / STATE_FILE)

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }

    return TrainingState(
        step=checkpoint.step,
        lora=part("lora/"),
        average=part("ema/") or None,
        optimizer=OptimizerState(
            load_file(checkpoint.path / OPTIMIZER_FILE), checkpoint.manifest["optimizer_numbers"]
        ),
        num_skipped_in_a_row=checkpoint.manifest["num_skipped_in_a_row"],
        measurements=tuple(
            Measurement(**found) for found in checkpoint.manifest.get("measurements", [])
        ),
    )


def mark_best(folder: JobFolder, best: int) -> bool:
    """Write into the checkpoints' manifests which of them is the best. True if that is news."""
    is_news = False
    for step in folder.checkpoint_steps():
        path = folder.checkpoint(step) / MANIFEST_FILE
        try:
            manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # a damaged one is named when somebody resumes from it
        if manifest.get("is_best", False) != (step == best):
            is_news |= step == best
            manifest["is_best"] = step == best
            write_text(path, json.dumps(manifest, ensure_ascii=False, indent=1))
    return is_news


def _state_tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    tensors = {f"lora/{name}": value for name, value in state.lora.items()}
    if state.average is not None:
        tensors |= {f"ema/{name}": value for name, value in state.average.items()}
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _size_and_sum(path: Path) -> dict[str, Any]:
    return {"size_bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _damaged(path: Path, what: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"The checkpoint {path} cannot be used: {what}.",
        "Resume from an earlier one (--resume STEP).",
        code="checkpoint_damaged",
        params={"path": str(path)},
    )
