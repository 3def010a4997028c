"""How every run begins, whatever it does: the device, the signals, the loading of its model."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from trainer.attention_rules import refuse_attention_on
from trainer.config import JobConfig
from trainer.model_loading import choose_device
from trainer.run_record import RunRecord
from trainer.versions import running_versions
from trainer.vram_limit import cap_vram


def start(job: JobConfig, record: RunRecord) -> str:
    """Say that the process is up, and what it computes with; the device. Raises JobRefused."""
    device = choose_device(job.job.gpu)
    cap_vram(device)
    record.start(
        device=device if device == "cpu" else torch.cuda.get_device_name(),
        num_threads=torch.get_num_threads(),
        versions=running_versions(),
    )
    refuse_attention_on(device, job.model)
    return device


def loading_progress(record: RunRecord) -> Callable[[int, int], None]:
    """Report a model's tensors in steps of about a twentieth, and obey a stop in between."""

    def progress(done: int, total: int) -> None:
        if done % max(1, total // 20) == 0 or done == total:
            record.progress(done, total, "tensors")
            record.stop_if_requested()

    return progress


@contextmanager
def stopping_on_signals(request_stop: Callable[[str], None]) -> Iterator[None]:
    """SIGINT and SIGTERM ask for a stop; a second one of the same kind acts as it always does.

    request_stop: called with the signal's name in the middle of anything, so that it must neither
    log nor take a lock: the line that is being written would be written to twice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, object] = {}

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, before[number])  # pyright: ignore[reportArgumentType]
        request_stop(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
