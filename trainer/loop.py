"""A run, from the admitted job to the finished LoRA: `train` below is the whole path."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from trainer.batches import BatchSource
from trainer.change_taking import ChangeTaker
from trainer.checkpoint import LORA_FILE, save_checkpoint
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.dataset_manifest import write_manifest
from trainer.durable_write import replacing
from trainer.encoding import encode_missing
from trainer.errors import Problem
from trainer.events import CheckpointRemoved, CheckpointSaved, RunBegins, Step, Superseded
from trainer.failures import named_failure
from trainer.fingerprints import part_fingerprint
from trainer.folders import Folders
from trainer.lora_file import read_metadata
from trainer.model_loading import choose_device, load_drawing_parts
from trainer.model_obtaining import obtain_model
from trainer.resume import (
    Beginning,
    choose_beginning,
    first_step_to_make_anew,
    set_aside_from,
    set_aside_other_base_pictures,
)
from trainer.retention import remove_old_checkpoints
from trainer.run_record import Outcome, RunRecord, opened_run
from trainer.sample_round import SampleRounds, is_sample_due, missing_requests
from trainer.sampling import build_pipeline
from trainer.start_check import start_file
from trainer.trainee import DTYPES, Trainee, load_trainee
from trainer.training_step import StepResult
from trainer.versions import running_versions

logger = logging.getLogger(__name__)


def run(
    job: JobConfig,
    indexes: Sequence[DatasetIndex],
    warnings: Sequence[Problem],
    *,
    parent: Path,
    folders: Folders,
    resume: str,
    run_number: int | None = None,
    token: str = "",
) -> int:
    """Run an admitted job in `parent`/<training name>; the exit code, as errors.py lists them.

    indexes, warnings: the door's. resume: auto, never, a step, or a checkpoint's folder. Raises
    FolderInUse; every other end is in the run's events.
    """
    with (
        opened_run(job, parent=parent, run_number=run_number, token=token) as record,
        _stopping_on_signals(record.request_stop),
    ):
        try:
            return record.finish(
                train(job, indexes, warnings, record, folders=folders, resume=resume)
            )
        except Exception as error:
            failure = named_failure(error)
            return record.crash(error) if failure is None else record.fail(failure)


def train(
    job: JobConfig,
    indexes: Sequence[DatasetIndex],
    warnings: Sequence[Problem],
    record: RunRecord,
    *,
    folders: Folders,
    resume: str,
) -> Outcome:
    """The run itself. Raises the errors of errors.py."""
    device = start(job, record)
    model = obtain_model(job, folders, record)
    base_model = part_fingerprint(model.transformer)
    beginning = begin(job, record, warnings, resume, base_model)
    if is_complete(job, record, beginning):
        return Outcome(completed=True, step=beginning.step, lora=record.job_folder.result.name)

    record.phase("encode", "pictures and prompts")
    with encode_missing(
        job,
        folders,
        indexes,
        device=device,
        report=record.report,
        stop_requested=record.poll,
    ) as encoded:
        write_manifest(record.run_folder.dataset, encoded.manifest)
        record.stop_if_requested()
        record.phase("load", "transformer")
        trainee = load_trainee(
            job, model.transformer, device=device, progress=loading_progress(record)
        )
        restore(trainee, beginning, record, start_from=start_file(job, folders))
        parts = load_drawing_parts(model, vae_dtype=DTYPES[job.model.vae_data_type])
        pipeline = build_pipeline(job.variant, trainee.transformer, parts)
        rounds = SampleRounds(job, pipeline, encoded, record, datasets=folders.datasets)
        changes = ChangeTaker(encoded, rounds, record, folders=folders, device=device)
        batches = BatchSource(
            encoded.items,
            encoded,
            batch_size=job.largest_batch_size,
            gradient_accumulation=job.training.gradient_accumulation,
            seed=job.job.seed,
        )

        record.phase("train", f"{job.training.steps - trainee.step} steps")
        rounds.draw_missing(trainee)
        while goes_on(trainee, changes, record):
            take_step(trainee, batches, record)
            record.poll()
            if record.take_save() or is_save_due(trainee.job, trainee.step):
                save(trainee, record, base_model)
            if record.take_sample() or is_sample_due(trainee.job, trainee.step):
                rounds.draw_all(trainee)
        save(trainee, record, base_model)
    return finish(trainee, record)


def start(job: JobConfig, record: RunRecord) -> str:
    """Say that the process is up, and what it computes with; the device."""
    device = choose_device(job.job.gpu)
    record.start(
        device=device if device == "cpu" else torch.cuda.get_device_name(),
        num_threads=torch.get_num_threads(),
        versions=running_versions(),
    )
    return device


def begin(
    job: JobConfig,
    record: RunRecord,
    warnings: Sequence[Problem],
    resume: str,
    base_model: str,
) -> Beginning:
    """Settle where the run begins, announce it, and set aside what it will make anew."""
    record.phase("load", "settings and checkpoints")
    folder, number = record.job_folder, record.run_folder.number
    beginning = choose_beginning(folder, job, resume=resume, base_model=base_model)
    record.at_step(beginning.step)
    record.report(
        RunBegins(
            resumed_from_step=beginning.step if beginning.checkpoint else None,
            changed_settings=beginning.changed_settings(job),
        )
    )
    damaged = [problem for error in beginning.damaged for problem in error.problems]
    for problem in [*warnings, *damaged]:
        record.warn(problem)
    first = first_step_to_make_anew(folder, beginning, resume=resume)
    aside = set_aside_from(folder, first, run_number=number)
    if aside is not None:
        record.report(Superseded(after_step=max(0, first - 1), path=folder.relative(aside)))
    aside = set_aside_other_base_pictures(folder, job, run_number=number)
    if aside is not None:
        record.report(Superseded(after_step=beginning.step, path=folder.relative(aside)))
    return beginning


def is_complete(job: JobConfig, record: RunRecord, beginning: Beginning) -> bool:
    """Whether an earlier run has left nothing to do: all steps, the result, the last pictures."""
    folder, step = record.job_folder, beginning.step
    if step < job.training.steps or not folder.result.exists():
        return False
    return read_metadata(folder.result).get("step") == str(step) and not any(
        missing_requests(record, job, due) for due in {0, step} if is_sample_due(job, due)
    )


def loading_progress(record: RunRecord) -> Callable[[int, int], None]:
    """Report a model's tensors in steps of about a twentieth, and obey a stop in between."""

    def progress(done: int, total: int) -> None:
        if done % max(1, total // 20) == 0 or done == total:
            record.progress(done, total, "tensors")
            record.stop_if_requested()

    return progress


def restore(
    trainee: Trainee, beginning: Beginning, record: RunRecord, *, start_from: Path | None
) -> None:
    """Put the checkpoint's state into the trainee; without one, the LoRA that it is to start from.

    Raises BadLora.
    """
    if beginning.checkpoint is None:
        if start_from is not None:
            trainee.start_from(start_from)
        return
    if trainee.restore(beginning.checkpoint):
        return
    record.warn(
        Problem(
            "optimizer_starts_afresh",
            f"The checkpoint at step {beginning.step} holds the state of another optimizer than "
            f"{trainee.job.training.optimizer}: its moving averages start afresh.",
            "Set Optimizer back to go on exactly.",
            "training.optimizer",
        )
    )


def goes_on(trainee: Trainee, changes: ChangeTaker, record: RunRecord) -> bool:
    """Whether there is another step to take, once the changes that were asked for are made."""
    changes.take(trainee)
    return trainee.step < trainee.job.training.steps and not record.stop


def take_step(trainee: Trainee, batches: BatchSource, record: RunRecord) -> None:
    """Take a step and report it; a skipped one is a warning, never a number that it is not."""
    learning_rate = trainee.learning_rate
    started = time.perf_counter()
    result = trainee.take_step(batches)
    seconds = time.perf_counter() - started
    record.at_step(trainee.step)
    if not result.is_finite:
        record.warn(_skipped(trainee, result))
        return
    record.report(
        Step(
            step=trainee.step,
            loss=result.loss,
            objective=result.objective,
            preservation_loss=result.preservation_loss,
            learning_rate=learning_rate,
            gradient_norm=result.gradient_norm,
            step_seconds=seconds,
        )
    )


def _skipped(trainee: Trainee, result: StepResult) -> Problem:
    return Problem(
        "step_skipped",
        f"Step {trainee.step} was skipped: loss {result.loss}, gradient norm "
        f"{result.gradient_norm}.",
        "If this happens again, lower the Learning Rate.",
        "training.learning_rate",
        params={"step": trainee.step, "in_a_row": trainee.num_skipped_in_a_row},
    )


def is_save_due(job: JobConfig, step: int) -> bool:
    """Whether the job asks for a checkpoint after `step` steps."""
    return step % job.save.save_every == 0 or step == job.training.steps


def save(trainee: Trainee, record: RunRecord, base_model: str) -> None:
    """Write the present step's checkpoint unless it is there, and make room for it."""
    folder, step, job = record.job_folder, trainee.step, trainee.job
    path = folder.checkpoint(step)
    if step == 0 or path.exists():
        return
    with record.within("save", f"checkpoint at step {step}"):
        written = save_checkpoint(
            path,
            trainee.state(),
            job=job,
            base_model=base_model,
            dtype=DTYPES[job.save.data_type],
            versions=running_versions(),
            about=trainee.about,
        )
        size_bytes = sum(file.stat().st_size for file in path.iterdir())
        record.report(
            CheckpointSaved(
                step=step,
                path=folder.relative(path),
                lora=folder.relative(path / LORA_FILE),
                size_bytes=size_bytes,
                num_layers=written.num_layers,
                lora_norm=written.norm,
            )
        )
        if not written.changes_anything:
            record.warn(
                Problem(
                    "lora_changes_nothing",
                    f"The LoRA at step {step} is zero throughout: it changes no picture.",
                    "Raise the Learning Rate, or choose FP32 as Save's Data Type.",
                    "training.learning_rate",
                )
            )
        make_room(job, record)


def make_room(job: JobConfig, record: RunRecord) -> None:
    """Remove checkpoints beyond the number to keep; with an unreadable pins.json, none."""
    try:
        removed = remove_old_checkpoints(record.job_folder, keep=job.save.max_step_saves_to_keep)
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


def finish(trainee: Trainee, record: RunRecord) -> Outcome:
    """Make the last checkpoint's LoRA the result, if all steps are done."""
    folder, step = record.job_folder, trainee.step
    if step < trainee.job.training.steps:
        return Outcome(completed=False, step=step, lora=None)
    record.phase("finish", "result")
    with replacing(folder.result) as temporary:
        shutil.copyfile(folder.checkpoint(step) / LORA_FILE, temporary)
    return Outcome(completed=True, step=step, lora=folder.result.name)


@contextmanager
def _stopping_on_signals(request_stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM ask for a stop; a second one of the same kind acts as it always does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, object] = {}

    def handle(number: int, _frame: object) -> None:
        logger.info("%s: stopping after this step", signal.Signals(number).name)
        signal.signal(number, before[number])  # pyright: ignore[reportArgumentType]
        request_stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
