"""A run, from the admitted job to the finished LoRA: `train` below is the whole path."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.attention import set_attention
from trainer.batches import BatchSource
from trainer.change_taking import ChangeTaker
from trainer.checkpoint import LORA_FILE
from trainer.comfyui_workflow import write_workflow
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.dataset_manifest import marked, write_manifest
from trainer.durable_write import replacing
from trainer.early_stop import best_step
from trainer.encoding import EncodedRun, encode_missing
from trainer.errors import BadCheckpoint, OutOfMemory, Problem
from trainer.events import STEP_SKIPPED, RunBegins, Step, Superseded
from trainer.failures import let_go_of_frames, named_failure
from trainer.fingerprints import part_fingerprint
from trainer.folders import Folders
from trainer.lora_file import read_metadata
from trainer.measuring import Measurer, ended_early
from trainer.memory_failure import explained, explained_if_possible
from trainer.model_loading import load_drawing_parts
from trainer.model_obtaining import obtain_model
from trainer.offload_settling import settle_offloading
from trainer.resume import (
    Beginning,
    choose_beginning,
    first_step_to_make_anew,
    set_aside_from,
    set_aside_other_base_pictures,
)
from trainer.room import Room
from trainer.run_record import Outcome, RunRecord, opened_run
from trainer.run_start import loading_progress, start, stopping_on_signals
from trainer.sample_round import SampleRounds, is_sample_due, missing_requests
from trainer.sampling import build_pipeline
from trainer.saving import Saver, is_save_due
from trainer.start_check import start_file
from trainer.trainee import DTYPES, Trainee, load_trainee
from trainer.training_step import StepResult
from trainer.validation_items import Sides, sides_of

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
    FolderInUse, or OSError if the run's files cannot be made; every other end is in its events.
    """
    with (
        opened_run(job, parent=parent, run_number=run_number, token=token) as record,
        stopping_on_signals(record.request_stop),
    ):
        try:
            return record.finish(
                train(job, indexes, warnings, record, folders=folders, resume=resume)
            )
        except Exception as error:
            failure = named_failure(error)
            if failure is None:
                return record.crash(error)
            if isinstance(failure, OutOfMemory):
                let_go_of_frames(error)  # the search for cures wants memory too
                failure = explained_if_possible(
                    failure,
                    lambda one: explained(one, job, indexes, folders, phase=record.current_phase),
                )
            return record.fail(failure)


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
    beginning = choose(job, record, warnings, resume, base_model)
    if is_complete(job, record, beginning):
        begin(job, record, beginning, resume)
        step, result = beginning.step, record.job_folder.result
        return Outcome(completed=True, step=step, lora=result.name, lora_step=step)

    settled = settle_offloading(job, indexes, folders, device=device)
    record.phase("encode", "pictures and prompts")
    with encode_missing(
        settled,
        folders,
        indexes,
        device=device,
        report=record.report,
        stop_requested=record.poll,
    ) as encoded:
        refuse_another_dataset(job, record, beginning, encoded.manifest)
        begin(job, record, beginning, resume)
        sides = part_pictures(job, encoded, record)
        record.stop_if_requested()
        record.phase("load", "transformer")
        trainee = load_trainee(
            job,
            model.transformer,
            device=device,
            progress=loading_progress(record),
            percent_streamed=settled.model.percent_streamed,
            cache=job.quantization.weights_cache(folders.cache),
        )
        set_attention(trainee.transformer, job.model.attention_backend)
        restore(trainee, beginning, record, folders)
        parts = load_drawing_parts(model, vae_dtype=DTYPES[job.model.vae_data_type])
        pipeline = build_pipeline(job.variant, trainee.transformer, parts)
        rounds = SampleRounds(job, pipeline, encoded, record, indexes=indexes, folders=folders)
        changes = ChangeTaker(encoded, rounds, record, folders=folders, device=device)
        measurer = Measurer(job, encoded, sides.validation, record)
        room = Room(record)
        saver = Saver(record, room, base_model, encoded.manifest)
        batches = BatchSource(
            sides.training,
            encoded,
            batch_size=job.largest_batch_size,
            gradient_accumulation=job.training.gradient_accumulation,
            seed=job.job.seed,
        )

        record.phase("train", f"{job.training.steps - trainee.step} steps")
        rounds.draw_missing(trainee)
        measurer.measure_missing(trainee)
        while goes_on(trainee, changes, record):
            take_step(trainee, batches, record)
            record.poll()
            measurer.measure_if_due(trainee)
            if record.take_save() or is_save_due(trainee):
                saver.save(trainee)
            if record.take_sample() or is_sample_due(trainee.job, trainee.step):
                rounds.draw_all(trainee)
        saver.save(trainee)
        draw_last(trainee, rounds, record)
    return finish(trainee, record, room, folders)


def choose(
    job: JobConfig,
    record: RunRecord,
    warnings: Sequence[Problem],
    resume: str,
    base_model: str,
) -> Beginning:
    """Settle where the run is to begin, and pass on what there is to be warned of."""
    record.phase("load", "settings and checkpoints")
    beginning = choose_beginning(record.job_folder, job, resume=resume, base_model=base_model)
    record.at_step(beginning.step)
    damaged = [problem for error in beginning.damaged for problem in error.problems]
    for problem in [*warnings, *damaged]:
        record.warn(problem)
    return beginning


def refuse_another_dataset(
    job: JobConfig, record: RunRecord, beginning: Beginning, manifest: Mapping[str, Any]
) -> None:
    """Raises BadCheckpoint if pictures changed since the checkpoint, unless the job allows it."""
    problems = beginning.dataset_problems(manifest)
    if problems and job.advanced.changed_dataset == "refuse":
        raise BadCheckpoint.from_problems(problems)
    for problem in problems:
        record.warn(replace(problem, hint="The run goes on, as Changed Dataset (Advanced) says."))


def begin(job: JobConfig, record: RunRecord, beginning: Beginning, resume: str) -> None:
    """Announce where the run begins, and set aside what it will make anew."""
    folder, number = record.job_folder, record.run_folder.number
    record.report(
        RunBegins(
            resumed_from_step=beginning.step if beginning.checkpoint else None,
            changed_settings=beginning.changed_settings(job),
        )
    )
    first = first_step_to_make_anew(folder, beginning, resume=resume)
    aside = set_aside_from(folder, first, run_number=number)
    if aside is not None:
        record.report(Superseded(after_step=max(0, first - 1), path=folder.relative(aside)))
    aside = set_aside_other_base_pictures(folder, job, run_number=number)
    if aside is not None:
        record.report(Superseded(after_step=beginning.step, path=folder.relative(aside)))


def part_pictures(job: JobConfig, encoded: EncodedRun, record: RunRecord) -> Sides:
    """Which pictures train and which are measured on; the manifest says it, in the run's folder."""
    sides = sides_of(job, encoded.items, encoded.content)
    encoded.manifest = marked(encoded.manifest, sides.validation)
    write_manifest(record.run_folder.dataset, encoded.manifest)
    return sides


def is_complete(job: JobConfig, record: RunRecord, beginning: Beginning) -> bool:
    """Whether an earlier run has left nothing to do: all steps, the result, the last pictures."""
    folder, step = record.job_folder, beginning.step
    if step < job.training.steps or not folder.result.exists():
        return False
    return read_metadata(folder.result).get("step") == str(step) and not any(
        missing_requests(record, job, due) for due in {0, step} if is_sample_due(job, due)
    )


def restore(trainee: Trainee, beginning: Beginning, record: RunRecord, folders: Folders) -> None:
    """Put the checkpoint's state into the trainee; without one, the LoRA that it is to start from.

    Raises BadLora.
    """
    if beginning.checkpoint is None:
        lora_file = start_file(trainee.job, folders)
        if lora_file is not None:
            trainee.start_from(lora_file)
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
    is_over = trainee.step >= trainee.job.training.steps or ended_early(trainee) is not None
    return not is_over and not record.stop


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
        STEP_SKIPPED,
        f"Step {trainee.step} was skipped: loss {result.loss}, gradient norm "
        f"{result.gradient_norm}.",
        "If this happens again, lower the Learning Rate.",
        "training.learning_rate",
        params={"step": trainee.step, "in_a_row": trainee.num_skipped_in_a_row},
    )


def draw_last(trainee: Trainee, rounds: SampleRounds, record: RunRecord) -> None:
    """The prompts at the end of a run that ended early, if its step was not due anyway."""
    if ended_early(trainee) is not None and not record.stop:
        rounds.draw_missing_at(trainee, trainee.step)


def finish(trainee: Trainee, record: RunRecord, room: Room, folders: Folders) -> Outcome:
    """Make a checkpoint's LoRA the result: the last one's, or the best one's after an early end.

    A run that was stopped while the disk had no room for either goes on here when it is started
    again.
    """
    folder, step, job = record.job_folder, trainee.step, trainee.job
    reason = ended_early(trainee)
    is_saved = folder.checkpoint(step).exists()
    if not is_saved or (step < job.training.steps and reason is None):
        return Outcome(completed=False, step=step, lora=None)
    record.phase("finish", "result")
    best = best_step(job, trainee.measurements, folder.checkpoint_steps()) if reason else None
    lora_step = best or step
    lora = folder.checkpoint(lora_step) / LORA_FILE
    if not room.wait_for(lora.stat().st_size):
        return Outcome(completed=False, step=step, lora=None)
    with replacing(folder.result) as temporary:
        shutil.copyfile(lora, temporary)
    write_workflow(job, folder.result, datasets=folders.datasets)
    return Outcome(
        completed=True,
        step=step,
        lora=folder.result.name,
        lora_step=lora_step,
        ended_early=reason,
    )
