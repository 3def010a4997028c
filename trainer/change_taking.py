"""Take the changes that a run is told of, between two steps.

A change is judged, what it newly needs is encoded, and only then does it hold: in the run, in
job.yaml, in the events. Whatever goes wrong on the way refuses this change as a whole and leaves
the run as it was; but where the transformer made way and does not come back, the run ends.

Changed prompts are encoded by the same child process that encoded the others. On a GPU the child's
text encoder may not fit beside the transformer; then the transformer waits in host memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trainer.aside import StrandedWeights
from trainer.config import JobConfig
from trainer.encoding import EncodedRun, encode_changed_prompts
from trainer.errors import JobRefused, StopRequested
from trainer.events import Superseded
from trainer.failures import named_failure
from trainer.folders import Folders
from trainer.live_changes import changed_job, new_warnings
from trainer.model_parts import local_parts
from trainer.resume import set_aside_other_base_pictures
from trainer.run_record import RunRecord
from trainer.sample_check import control_image_problems
from trainer.sample_round import SampleRounds
from trainer.trainee import Trainee

# The encoder's files, and what it computes in beside them.
ENCODER_OVERHEAD = 1.25


class ChangeTaker:
    """Takes a run's changes of settings: see `live_changes.py` for what may change."""

    def __init__(
        self,
        encoded: EncodedRun,
        rounds: SampleRounds,
        record: RunRecord,
        *,
        folders: Folders,
        device: str,
    ) -> None:
        self._encoded = encoded
        self._rounds = rounds
        self._record = record
        self._folders = folders
        self._device = device

    def take(self, trainee: Trainee) -> None:
        """Make every change that waits, or say why it cannot be made."""
        for command in self._record.take_changes():
            before = trainee.job
            try:
                job = changed_job(before, command.settings, step=trainee.step)
                unusable = control_image_problems(job, self._folders.datasets)
                if unusable:
                    raise JobRefused.from_problems(unusable)
                if job.sample != before.sample:
                    self._encode_prompts(job, trainee)
            except StrandedWeights:
                raise
            except Exception as error:
                failure = named_failure(error)
                if failure is None:
                    raise
                self._record.refuse(command, failure)
                self._record.phase("train")  # the failure may have come from another
                continue
            for warning in new_warnings(before, job):
                self._record.warn(warning)
            trainee.job = job
            self._record.change_job(command, job)
            if job.sample != before.sample and not self._record.stop:
                self._draw_anew(job, trainee)

    def _encode_prompts(self, job: JobConfig, trainee: Trainee) -> None:
        """Unless the run is told to stop, by then: the next one encodes them as its first deed."""
        record = self._record
        if record.poll():
            return
        encoder = local_parts(job.model, self._folders).text_encoder
        with (
            record.within("encode", "changed prompts"),
            room_for_encoder(trainee, encoder_bytes=folder_bytes(encoder)),
        ):
            try:
                encode_changed_prompts(
                    job,
                    self._folders,
                    self._encoded,
                    device=self._device,
                    report=record.report,
                    stop_requested=record.poll,
                )
            except StopRequested:
                record.stop = True  # the child may have heard it first
                return
        self._rounds.change(job)

    def _draw_anew(self, job: JobConfig, trainee: Trainee) -> None:
        """The base model's pictures of prompts that are new, so that the first column is whole."""
        record = self._record
        aside = set_aside_other_base_pictures(
            record.job_folder, job, run_number=record.run_folder.number
        )
        if aside is not None:
            path = record.job_folder.relative(aside)
            record.report(Superseded(after_step=trainee.step, path=path))
        self._rounds.draw_missing_of_base(trainee)


@contextmanager
def room_for_encoder(trainee: Trainee, *, encoder_bytes: int) -> Iterator[None]:
    """The transformer in host memory within the block, where the card lacks room for both."""
    device = trainee.transformer.device
    if device.type != "cuda" or free_bytes(device) > encoder_bytes * ENCODER_OVERHEAD:
        yield
        return
    with trainee.transformer_aside():
        yield


def free_bytes(device: torch.device) -> int:
    """What another process could take of the card's memory now."""
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def folder_bytes(folder: Path) -> int:
    """Size of a folder's files; of weights, no less than they take when loaded."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
