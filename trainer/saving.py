"""Save the run: a checkpoint written whole, the best one marked, and room made for the next.

Where the disk has no room for it, checkpoints that the save would remove anyway go first, as long
as a whole one stays; then the run waits (`room.py`). Asked to stop while it waits, it tries to save
in what room there is, and says what is lost if it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.checkpoint import (
    LORA_FILE,
    TrainingState,
    checkpoint_bytes,
    mark_best,
    save_checkpoint,
)
from trainer.dataset_changes import dataset_digests
from trainer.dataset_manifest import manifest_sha256
from trainer.early_stop import best_step
from trainer.errors import Problem
from trainer.events import BestCheckpoint, CheckpointRemoved, CheckpointSaved
from trainer.failures import is_out_of_space
from trainer.retention import remove_old_checkpoints
from trainer.room import Room
from trainer.run_record import RunRecord
from trainer.trainee import DTYPES, Trainee
from trainer.versions import running_versions


class Saver:
    """Writes the run's checkpoints. base_model: the transformer's fingerprint. manifest: of what
    the run trains on (`dataset_manifest`).
    """

    def __init__(
        self, record: RunRecord, room: Room, base_model: str, manifest: Mapping[str, Any]
    ) -> None:
        self._record = record
        self._room = room
        self._lost_step: int | None = None
        self._base_model = base_model
        self._dataset = dataset_digests(manifest)
        self._about = {"dataset_sha256": manifest_sha256(manifest)}

    def save(self, trainee: Trainee) -> None:
        """Write the present step's checkpoint unless it is there."""
        step = trainee.step
        if step in (0, self._lost_step) or self._record.job_folder.checkpoint(step).exists():
            return
        with self._record.within("save", f"checkpoint at step {step}"):
            if not self._write_when_there_is_room(trainee):
                self._lost_step = step
                self._record.warn(self._not_saved(step))
                return
            best = self._mark_best(trainee)
            self._remove_old(best, keep=trainee.job.save.max_step_saves_to_keep)

    def _write_when_there_is_room(self, trainee: Trainee) -> bool:
        """False if the run was asked to stop and there is no room for what it has done."""
        state = trainee.state()
        needed = checkpoint_bytes(state, DTYPES[trainee.job.save.data_type])
        if not self._room.has(needed):
            # These go as soon as the new one is there; until then the newest stays.
            keep = max(1, trainee.job.save.max_step_saves_to_keep - 1)
            self._remove_old(self._best(trainee), keep=keep)
        was_refused = False
        while True:
            has_room = self._room.wait_for(needed, was_refused=was_refused)
            try:
                self._write(trainee, state)
            except Exception as error:
                if not is_out_of_space(error):
                    raise
                was_refused = True
                if not has_room:
                    return False
            else:
                return True

    def _not_saved(self, step: int) -> Problem:
        steps = self._record.job_folder.checkpoint_steps()
        last = steps[-1] if steps else 0
        return Problem(
            "work_not_saved",
            f"The run was stopped while the disk had no room for the checkpoint of step {step}: "
            f"what it did after step {last} is lost.",
            f"Make room on the disk; the job then goes on from step {last}.",
            params={"step": step, "resumable_from_step": last},
        )

    def _write(self, trainee: Trainee, state: TrainingState) -> None:
        folder, job, step = self._record.job_folder, trainee.job, trainee.step
        path = folder.checkpoint(step)
        written = save_checkpoint(
            path,
            state,
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
        best = self._best(trainee)
        if best is not None and mark_best(folder, best):
            self._record.report(BestCheckpoint(step=best))
        return best

    def _best(self, trainee: Trainee) -> int | None:
        steps = self._record.job_folder.checkpoint_steps()
        return best_step(trainee.job, trainee.measurements, steps)

    def _remove_old(self, best: int | None, *, keep: int) -> None:
        """Remove checkpoints beyond the newest `keep`; with an unreadable pins.json, none."""
        record = self._record
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
