"""The command that fills the caches without training: `python -m trainer cache JOB.yaml`.

A run does the same at its start; doing it beforehand keeps a rented GPU from waiting for it, or
shares the work of a machine with much memory with one that has little: caches are keyed by content
and by the kind of device, so a folder that was copied is found.
"""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import get_args

from trainer.caching import Kind
from trainer.door import examine_job
from trainer.errors import EXIT_COMPLETED
from trainer.events import Event, Progress, Warned
from trainer.folders import Folders
from trainer.job_file import read_yaml
from trainer.machine import use_card_of

COMMAND = "cache"
_NAMES: dict[str, str] = {
    "latents": "pictures",
    "references": "reference pictures",
    "masks": "masks",
    "prompts": "texts",
}
assert set(_NAMES) == set(get_args(Kind))

log = logging.getLogger(__name__)


def run_cache_command(options: argparse.Namespace, folders: Folders) -> int:
    """Encode what the job's caches lack and print what was done; the exit code.

    Raises the errors of the door and of `encode_missing`.
    """
    verdict = examine_job(read_yaml(options.job), folders)
    job = verdict.admitted()
    for warning in verdict.warnings:
        log.warning("%s", warning)

    use_card_of(job.job.gpu)
    # torch is imported after the job has passed the door, so a refusal is instant.
    from trainer.encoding import encode_missing
    from trainer.model_loading import choose_device
    from trainer.model_obtaining import obtain_parts

    with _stopping_on_signals() as stop:
        obtain_parts(
            job.model,
            folders,
            begin_download=lambda name: log.info("downloading %s", name),
            progress=lambda done, total, name: log.info("%d of %d MB, %s", done, total, name),
            stop_requested=stop,
        )
        with encode_missing(
            job,
            folders,
            verdict.indexes,
            device=choose_device(job.job.gpu),
            report=_say,
            stop_requested=stop,
            is_for_later=True,
        ) as encoded:
            print(summary(encoded.num_tensors, encoded.num_encoded))
    return EXIT_COMPLETED


def summary(num_tensors: Mapping[str, int], num_encoded: Mapping[str, int]) -> str:
    """A line for each kind of tensor that the job keeps: how many, and how many were missing."""
    lines = [
        f"{num_tensors[kind]} {name}: {num_encoded.get(kind, 0)} encoded, "
        f"{num_tensors[kind] - num_encoded.get(kind, 0)} were there already"
        for kind, name in _NAMES.items()
        if num_tensors.get(kind)
    ]
    return "\n".join(lines) or "Nothing is kept: Cache Latents and Cache Text Embeddings are off."


def _say(event: Event) -> None:
    if isinstance(event, Progress):
        log.info("%s: %d of %d", event.message, event.done, event.total)
    elif isinstance(event, Warned):
        log.warning("%s %s", event.message, event.hint)


@contextmanager
def _stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came; what is encoded by then is kept."""
    # A list, since a second signal may strike while the first one's handler is at work.
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
