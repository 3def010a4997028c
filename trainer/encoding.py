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
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from trainer.caching import CacheFolders, Slot, content_key
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex, damaged_pictures
from trainer.encoded_run import EncodedRun, PictureAtSize, picture_of
from trainer.encoding_plan import EncodingPlan, PictureTask, PromptTask
from trainer.encoding_process import run_child
from trainer.errors import BadDataset, BadModel, ChildFailed, StopRequested
from trainer.events import Event, Progress, Warned
from trainer.fingerprints import file_sha256, part_fingerprint
from trainer.folders import Folders
from trainer.model_folder import model_folder
from trainer.parallel import WORKING_THREADS, in_threads
from trainer.texts import texts_of_run
from trainer.training_items import TrainingItem, training_items

# A change to how pictures are scaled or prompts are prepared gives every tensor a new key.
RECIPE_VERSION = 1
_REPORT_EVERY_SECONDS = 0.2


def encode_missing(
    job: JobConfig,
    folders: Folders,
    indexes: Sequence[DatasetIndex],
    *,
    device: str,
    report: Callable[[Event], None],
    stop_requested: Callable[[], bool],
) -> EncodedRun:
    """Encode what the caches lack; afterwards everything the run can need can be read.

    device: "cpu" or "cuda", where the child computes. report: takes Progress and Warned events
    (`EventLog.append`); the caller has said PhaseStarted("encode") before. stop_requested: asked
    about five times a second; when it says yes, the child is ended.

    Starts no child, and loads no torch, when nothing is missing. Raises StopRequested, BadDataset
    (a picture that cannot be decoded, before any model loads), BadModel, OutOfMemory, DiskFull,
    ChildFailed.
    """

    tick = _Ticker(report, stop_requested)
    caches = CacheFolders(folders.cache)
    try:
        items = training_items(job, indexes)
        latents = _latents_slots(job, folders, items, caches, device=device, tick=tick)
        prompts = _prompt_slots(job, folders, items, caches, device=device)
        missing_pictures, missing_prompts = _missing(latents, prompts, report, tick)
        if missing_pictures or missing_prompts:
            _refuse_damaged([task.path for task in missing_pictures], tick)
            plan = EncodingPlan(
                architecture=job.variant.architecture.value,
                model_folder=model_folder(job, folders).resolve(),
                device=device,
                data_type=job.training.data_type,
                quantization=job.quantization.text_encoder,
                pictures=tuple(missing_pictures),
                prompts=tuple(missing_prompts),
            )
            run_child(plan, tick=tick, stop_requested=stop_requested)
            _prove_written(plan)
    except BaseException:
        caches.close()
        raise
    return EncodedRun(items, latents, prompts, caches)


def _latents_slots(
    job: JobConfig,
    folders: Folders,
    items: Sequence[TrainingItem],
    caches: CacheFolders,
    *,
    device: str,
    tick: Callable[[int, int, str], None],
) -> dict[PictureAtSize, Slot]:
    made_with = {
        "recipe": RECIPE_VERSION,
        "autoencoder": _fingerprint(model_folder(job, folders) / "vae"),
        "data_type": job.training.data_type,
        "device": device,
        "versions": {name: version(name) for name in ("torch", "diffusers", "pillow")},
    }
    paths = list(dict.fromkeys(item.path for item in items))
    hashes: dict[Path, str] = {}
    try:
        with closing(in_threads(file_sha256, paths, WORKING_THREADS)) as found:
            for path, sha256 in zip(paths, found, strict=True):
                hashes[path] = sha256
                tick(len(hashes), len(paths), "reading pictures")
    except OSError as error:
        raise BadDataset(
            f"{error.filename} cannot be read: {error.strerror}.",
            "It was there when the job was checked: put it back, or start the job again.",
            code="picture_vanished",
            field="datasets",
        ) from error
    return {
        picture_of(item): caches.slot(
            "latents",
            content_key(picture=hashes[item.path], size=item.bucket.size, **made_with),
            shared=item.cache_latents,
        )
        for item in items
    }


def _prompt_slots(
    job: JobConfig,
    folders: Folders,
    items: Sequence[TrainingItem],
    caches: CacheFolders,
    *,
    device: str,
) -> dict[str, Slot]:
    model, variant = model_folder(job, folders), job.variant
    packages = ["torch", "diffusers", "transformers"]
    if job.quantization.text_encoder != "none":
        packages.append("optimum-quanto")
    made_with = {
        "recipe": RECIPE_VERSION,
        "text_encoder": _fingerprint(model / "text_encoder"),
        "tokenizer": _fingerprint(model / "tokenizer"),
        "pipeline": variant.pipeline_class,
        "out_layers": variant.text_encoder_out_layers,
        "max_sequence_length": variant.max_sequence_length,
        "quantization": job.quantization.text_encoder,
        "data_type": job.training.data_type,
        "device": device,
        "versions": {name: version(name) for name in packages},
    }
    return {
        text: caches.slot(
            "prompts",
            content_key(text=text, **made_with),
            shared=job.training.cache_text_embeddings,
        )
        for text in texts_of_run(job, items)
    }


def _fingerprint(folder: Path) -> str:
    try:
        return part_fingerprint(folder)
    except (OSError, ValueError) as error:
        raise BadModel(
            f"{folder} cannot be read: {error}.",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
        ) from error


def _missing(
    latents: dict[PictureAtSize, Slot],
    prompts: dict[str, Slot],
    report: Callable[[Event], None],
    tick: Callable[[int, int, str], None],
) -> tuple[list[PictureTask], list[PromptTask]]:
    """What has to be encoded, each content once; damaged files count, and are reported."""
    slots = list({slot.path: slot for slot in (*latents.values(), *prompts.values())}.values())
    states: dict[Path, str] = {}
    with closing(in_threads(Slot.state, slots, WORKING_THREADS)) as found:
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
    pictures = {
        slot.path: PictureTask(path.resolve(), size, slot)
        for (path, size, _), slot in latents.items()
        if slot.path in asked
    }
    texts = {
        slot.path: PromptTask(text, slot) for text, slot in prompts.items() if slot.path in asked
    }
    return list(pictures.values()), list(texts.values())


def _refuse_damaged(paths: Sequence[Path], tick: Callable[[int, int, str], None]) -> None:
    problems = damaged_pictures(
        paths,
        field_path="datasets",
        tick=lambda done: tick(done, len(paths), "checking pictures"),
    )
    if problems:
        raise BadDataset.from_problems(problems)


def _prove_written(plan: EncodingPlan) -> None:
    for task in (*plan.pictures, *plan.prompts):
        state = task.slot.state()
        if state != "whole":
            raise ChildFailed(
                f"{task.slot.path} is {state} although it was just written.",
                "Check the disk that holds the cache folder.",
                code="cache_not_written",
            )


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
