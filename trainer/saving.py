"""Save the run: a checkpoint written whole, the best one marked, and room made for the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.checkpoint import LORA_FILE, mark_best, save_checkpoint
from trainer.dataset_changes import dataset_digests
from trainer.dataset_manifest import manifest_sha256
from trainer.early_stop import best_step
from trainer.errors import Problem
from trainer.events import BestCheckpoint, CheckpointRemoved, CheckpointSaved
from trainer.retention import remove_old_checkpoints
from trainer.run_record import RunRecord
from trainer.trainee import DTYPES, Trainee
from trainer.versions import running_versions


class Saver:
    """Writes the run's checkpoints. base_model: the transformer's fingerprint. manifest: of what
    the run trains on (`dataset_manifest`).
    """

    def __init__(self, record: RunRecord, base_model: str, manifest: Mapping[str, Any]) -> None:
        self._record = record
        self._base_model = base_model
        self._dataset = dataset_digests(manifest)
        self._about = {"dataset_sha256": manifest_sha256(manifest)}

    def save(self, trainee: Trainee) -> None:
        """Write the present step's checkpoint unless it is there."""
        step = trainee.step
        if step == 0 or self._record.job_folder.checkpoint(step).exists():
            return
        with self._record.within("save", f"checkpoint at step {step}"):
            self._write(trainee)
            best = self._mark_best(trainee)
            self._make_room(trainee, best)

    def _write(self, trainee: Trainee) -> None:
        folder, job, step = self._record.job_folder, trainee.job, trainee.step
        path = folder.checkpoint(step)
        written = save_checkpoint(
            path,
            trainee.state(),
            job=job,
            base_model=self._base_model,
            dtype=DTYPES[job.save.data_type],
            versions=running_versions(),
            dataset=self._dataset,
            about=self._about | trainee.about,
        )
        self._record.report(
            CheckpointSaved(
                step=step,
                path=folder.relative(path),
                lora=folder.relative(path / LORA_FILE),
                size_bytes=sum(file.stat().st_size for file in path.iterdir()),
                num_layers=written.num_layers,
                lora_norm=written.norm,
            )
        )
        if not written.changes_anything:
            self._record.warn(
                Problem(
                    "lora_changes_nothing",
                    f"The LoRA at step {step} is zero throughout: it changes no picture.",
                    "Raise the Learning Rate, or choose FP32 as Save's Data Type.",
                    "training.learning_rate",
                )
            )

    def _mark_best(self, trainee: Trainee) -> int | None:
        folder = self._record.job_folder
        best = best_step(trainee.job, trainee.measurements, folder.checkpoint_steps())
        if best is not None and mark_best(folder, best):
            self._record.report(BestCheckpoint(step=best))
        return best

    def _make_room(self, trainee: Trainee, best: int | None) -> None:
        """Remove checkpoints beyond the number to keep; with an unreadable pins.json, none."""
        record, keep = self._record, trainee.job.save.max_step_saves_to_keep
        try:
            removed = remove_old_checkpoints(record.job_folder, keep=keep, best=best)
        except ValueError as error:
            record.warn(
                Problem(
                    "pins_unreadable",
                    f"{record.job_folder.pins} cannot be read: {error}. No checkpoint is removed.",
                    "Correct the file, or delete it to give up all pins.",
                )
            )
            return
        for step in removed:
            record.report(CheckpointRemoved(step=step))


def is_save_due(trainee: Trainee) -> bool:
    """Whether the job asks for a checkpoint after the present step."""
    job, step = trainee.job, trainee.step
    return step % job.save.save_every == 0 or step == job.training.steps
