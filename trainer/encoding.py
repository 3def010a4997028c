"""Encode every picture and text that a run can need, once, in a process that then goes away.

    with encode_missing(job, folders, indexes, device="cuda", report=log.append,
                        stop_requested=...) as encoded:
        encoded.latents(item)      # [C, h, w]
        encoded.prompt("a photo")  # [T, D]

Which texts a run needs is known beforehand: captions, class captions, the empty prompt, sample
prompts (`texts.py`). So the text encoder never has to share memory with the transformer, and
caption dropout and preservation work with encoded prompts as they do without.

Legend: C = 128 latent channels, h and w = the bucket's sides / 16, T = text rows, D = their width.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from trainer.bad_files import unusable_files
from trainer.caching import CacheFolders, Slot
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.dataset_manifest import dataset_manifest
from trainer.encoded_run import EncodedMask, EncodedPicture, EncodedRun, mask_of, pictures_of
from trainer.encoding_passes import pictures_per_pass, prompts_per_pass
from trainer.encoding_plan import EncodingPlan, MaskTask, PictureTask, PromptTask
from trainer.encoding_process import run_child
from trainer.encoding_slots import picture_slots, prompt_slots
from trainer.errors import ChildFailed, JobRefused, Problem, StopRequested
from trainer.events import Event, Progress, Warned
from trainer.file_memory import FileMemory
from trainer.folders import Folders
from trainer.model_parts import local_parts
from trainer.parallel import WORKING_THREADS, in_threads
from trainer.prompt_lengths import prompts_too_long
from trainer.texts import texts_of_run
from trainer.training_items import TrainingItem
from trainer.usable_items import long_setting_problems, usable_items
from trainer.validation_items import all_items

_REPORT_EVERY_SECONDS = 0.2


def encode_missing(
    job: JobConfig,
    folders: Folders,
    indexes: Sequence[DatasetIndex],
    *,
    device: str,
    report: Callable[[Event], None],
    stop_requested: Callable[[], bool],
    is_for_later: bool = False,
) -> EncodedRun:
    """Encode what the caches lack; afterwards everything the run can need can be read.

    device: "cpu" or "cuda", where the child computes. report: takes Progress and Warned events
    (`EventLog.append`); the caller has said PhaseStarted("encode") before. stop_requested: asked
    about five times a second; when it says yes, the child is ended. is_for_later: leave out what
    would be deleted at the end of this run, since none of it is left for another.

    Starts no child, and loads no torch, when nothing is missing. Raises StopRequested, BadDataset
    (a file that cannot be used, before any model loads), JobRefused (a sample prompt that is too
    long), BadModel, OutOfMemory, DiskFull, ChildFailed.
    """
    tick = _Ticker(report, stop_requested)
    caches, memory = CacheFolders(folders.cache), FileMemory(folders.cache)
    try:
        items = all_items(job, indexes)
        latents, masks = picture_slots(
            job, folders, items, caches, memory, device=device, tick=tick
        )
        prompts = prompt_slots(job, folders, items, caches, device=device)
        if is_for_later:
            latents = {key: slot for key, slot in latents.items() if slot.outlives_the_run}
            masks = {key: slot for key, slot in masks.items() if slot.outlives_the_run}
            prompts = {text: slot for text, slot in prompts.items() if slot.outlives_the_run}
        missing = _missing(job, latents, masks, prompts, memory, report, tick, device=device)
        plan = None
        if missing:
            items = _without_bad_files(job, folders, items, missing, report, tick)
            missing = missing.needed_by(job, items)
            plan = _plan(job, folders, missing, device=device)
            run_child(plan, tick=tick, stop_requested=stop_requested)
            _prove_written(plan, memory)
        manifest = dataset_manifest(job, items, memory.sha256)
    except BaseException:
        caches.close()
        raise
    finally:
        memory.save()
    num_encoded = Counter(task.slot.kind for task in plan.tasks) if plan else Counter()
    return EncodedRun(items, latents, masks, prompts, caches, manifest, num_encoded)


def encode_changed_prompts(
    job: JobConfig,
    folders: Folders,
    encoded: EncodedRun,
    *,
    device: str,
    report: Callable[[Event], None],
    stop_requested: Callable[[], bool],
) -> None:
    """Encode what a job that was changed in mid-run asks for beyond what `encoded` holds.

    The pictures stay those of the run's beginning. Nothing is lost if this fails: `encoded` is as
    it was. Raises what `encode_missing` raises.
    """
    tick = _Ticker(report, stop_requested)
    memory = FileMemory(folders.cache)
    prompts = prompt_slots(job, folders, encoded.items, encoded.caches, device=device)
    missing = _missing(job, {}, {}, prompts, memory, report, tick, device=device)
    if missing:
        _without_bad_files(job, folders, encoded.items, missing, report, tick)
        plan = _plan(job, folders, missing, device=device)
        run_child(plan, tick=tick, stop_requested=stop_requested)
        _prove_written(plan, memory)
    encoded.add_prompts(prompts)


@dataclass(frozen=True)
class _Missing:
    """What has to be encoded, each content once, by its key."""

    pictures: dict[EncodedPicture, PictureTask]
    masks: dict[EncodedMask, MaskTask]
    prompts: dict[str, PromptTask]

    def __bool__(self) -> bool:
        return bool(self.pictures or self.masks or self.prompts)

    def needed_by(self, job: JobConfig, items: Sequence[TrainingItem]) -> _Missing:
        """Without what only pictures that were left out would have needed."""
        pictures = {key for item in items for key in pictures_of(item)}
        masks = {mask_of(item) for item in items}
        texts = set(texts_of_run(job, items))
        return _Missing(
            {key: task for key, task in self.pictures.items() if key in pictures},
            {key: task for key, task in self.masks.items() if key in masks},
            {key: task for key, task in self.prompts.items() if key in texts},
        )


def _plan(job: JobConfig, folders: Folders, missing: _Missing, *, device: str) -> EncodingPlan:
    parts = local_parts(job.model, folders)
    return EncodingPlan(
        architecture=job.variant.architecture.value,
        autoencoder=parts.autoencoder.absolute(),
        text_encoder=parts.text_encoder.absolute(),
        tokenizer=parts.tokenizer.absolute(),
        device=device,
        data_type=job.training.data_type,
        vae_data_type=job.model.vae_data_type,
        quantization=job.quantization.text_encoder,
        # The same content may be asked for under several names: each slot is filled once.
        pictures=tuple({task.slot.path: task for task in missing.pictures.values()}.values()),
        masks=tuple({task.slot.path: task for task in missing.masks.values()}.values()),
        prompts=tuple({task.slot.path: task for task in missing.prompts.values()}.values()),
        prompts_per_pass=prompts_per_pass(
            job.training.encoding_batch_size, job.variant.max_sequence_length, device=device
        ),
        percent_streamed=job.model.percent_of_encoder_streamed,
        weights_cache=job.quantization.weights_cache(folders.cache.absolute()),
    )


def _missing(
    job: JobConfig,
    latents: dict[EncodedPicture, Slot],
    masks: dict[EncodedMask, Slot],
    prompts: dict[str, Slot],
    memory: FileMemory,
    report: Callable[[Event], None],
    tick: Callable[[int, int, str], None],
    *,
    device: str,
) -> _Missing:
    """What the caches lack; damaged files count, and are reported."""
    slots = list(
        {s.path: s for s in (*latents.values(), *masks.values(), *prompts.values())}.values()
    )
    states: dict[Path, str] = {}
    with closing(in_threads(lambda slot: _state(slot, memory), slots, WORKING_THREADS)) as found:
        for slot, state in zip(slots, found, strict=True):
            states[slot.path] = state
            tick(len(states), len(slots), "checking the caches")

    damaged = [path for path, state in states.items() if state == "damaged"]
    if damaged:
        report(
            Warned(
                code="cache_damaged",
                message=f"Damaged cache files are encoded again: {len(damaged)}.",
                hint="If this happens often, check the disk that holds the cache folder.",
                params={"files": [str(path) for path in damaged]},
            )
        )
    asked = {path for path, state in states.items() if state != "whole"}
    return _Missing(
        {
            key: PictureTask(
                key.path.resolve(),
                key.size,
                slot,
                key.flip,
                key.is_reference,
                pictures_per_pass(job.training.encoding_batch_size, key.size, device=device),
            )
            for key, slot in latents.items()
            if slot.path in asked
        },
        {
            key: MaskTask(key.path.resolve(), key.picture_size, key.size, slot)
            for key, slot in masks.items()
            if slot.path in asked
        },
        {text: PromptTask(text, slot) for text, slot in prompts.items() if slot.path in asked},
    )


def _state(slot: Slot, memory: FileMemory) -> str:
    """As `Slot.state`; a file that was proved before and has not changed is not read again."""
    if memory.is_proved(slot.path):
        return "whole"
    state = slot.state()
    if state == "whole" and slot.outlives_the_run:
        memory.prove(slot.path)
    return state


def _without_bad_files(
    job: JobConfig,
    folders: Folders,
    items: Sequence[TrainingItem],
    missing: _Missing,
    report: Callable[[Event], None],
    tick: Callable[[int, int, str], None],
) -> list[TrainingItem]:
    """The items whose files can be used to their ends; the others are reported.

    Raises BadDataset where a dataset refuses bad files, JobRefused for sample prompts.
    """
    pictures, masks = list(missing.pictures.values()), list(missing.masks.values())
    paths = list(dict.fromkeys(task.path for task in pictures))
    total = len(paths) + len(masks)
    files = unusable_files(paths, masks, tick=lambda done: tick(done, total, "checking pictures"))
    too_long = {}
    if missing.prompts:
        tick(0, len(missing.prompts), "measuring prompts")
        tokenizer = local_parts(job.model, folders).tokenizer
        too_long = prompts_too_long(list(missing.prompts), tokenizer, job.variant)
    kept, problems = usable_items(job, items, files=files, captions=too_long)
    for problem in problems:
        report(_warning(problem))
    if refusals := long_setting_problems(job, kept, too_long):
        raise JobRefused.from_problems(refusals)
    return kept


def _warning(problem: Problem) -> Warned:
    return Warned(
        code=problem.code,
        message=problem.message,
        hint=problem.hint,
        field=problem.field,
        params=dict(problem.params),
    )


def _prove_written(plan: EncodingPlan, memory: FileMemory) -> None:
    for task in plan.tasks:
        state = task.slot.state()
        if state != "whole":
            raise ChildFailed(
                f"{task.slot.path} is {state} although it was just written.",
                "Check the disk that holds the cache folder.",
                code="cache_not_written",
            )
        if task.slot.outlives_the_run:
            memory.prove(task.slot.path)


class _Ticker:
    """Passes progress on as events, five a second and each change of what is done, and asks at
    every unit whether to stop: a dataset of thousands should not make thousands of events.
    """

    def __init__(self, report: Callable[[Event], None], stop_requested: Callable[[], bool]) -> None:
        self._report = report
        self._stop_requested = stop_requested
        self._last_message: str | None = None
        self._last_report = 0.0

    def __call__(self, done: int, total: int, message: str) -> None:
        """`done` of `total` units of what `message` says. Raises StopRequested."""
        if self._stop_requested():
            raise StopRequested("The run was asked to stop while it encoded.")
        now = time.monotonic()
        is_new = message != self._last_message or done == total
        if is_new or now - self._last_report >= _REPORT_EVERY_SECONDS:
            self._last_message, self._last_report = message, now
            self._report(Progress(phase="encode", done=done, total=total, message=message))
