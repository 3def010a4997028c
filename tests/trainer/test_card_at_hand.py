"""Which card a run is planned for, from a made-up driver: no card is needed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import trainer.loop
from tests.trainer.short_runs import job_with, write_job
from trainer.__main__ import main
from trainer.folders import Folders
from trainer.machine import free_vram_bytes, machine_at_hand
from trainer.memory_plan import CUDA_BYTES
from trainer.offload_settling import usable_vram_bytes

GIB = 1 << 30
SMALL, LARGE = "GPU-5a11", "GPU-1a46e"
FREE = {SMALL: 6 * GIB, LARGE: 70 * GIB}
TOTAL = {SMALL: 8 * GIB, LARGE: 80 * GIB}


class NVMLError(Exception):
    pass


class Driver:
    """NVIDIA's library with two cards, the small one first."""

    NVMLError = NVMLError
    is_there = True

    def nvmlInit(self) -> None:
        if not self.is_there:
            raise NVMLError

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return [SMALL, LARGE][index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in TOTAL:
            raise NVMLError
        return uuid

    def nvmlDeviceGetMemoryInfo(self, uuid: str) -> Any:
        return SimpleNamespace(total=TOTAL[uuid], free=FREE[uuid])

    def nvmlDeviceGetName(self, uuid: str) -> bytes:
        return f"card {uuid}".encode()


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", found)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "what a test leaves there is taken back")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.delenv("DARKROOM_VRAM_CAP_GB", raising=False)
    return found


def test_auto_asks_the_driver_what_is_free_and_makes_no_cuda_context_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would stay beside the encoding child's, and the plan of encoding counts one."""

    def makes_a_context() -> None:
        raise AssertionError("torch was asked")

    monkeypatch.setattr(torch.cuda, "mem_get_info", makes_a_context)
    assert usable_vram_bytes(LARGE) == 70 * GIB
    assert usable_vram_bytes("any") == 6 * GIB
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", LARGE)
    assert usable_vram_bytes("any") == 70 * GIB
    monkeypatch.setenv("DARKROOM_VRAM_CAP_GB", "24")
    assert usable_vram_bytes("any") == 24 * GIB


def test_without_a_card_nothing_is_free(driver: Driver) -> None:
    assert free_vram_bytes("cpu") is None
    assert free_vram_bytes("GPU-0000") is None
    driver.is_there = False
    assert free_vram_bytes(LARGE) is None
    assert usable_vram_bytes(LARGE) is None
    assert not machine_at_hand(LARGE).on_gpu


def test_where_the_driver_does_not_say_what_is_free_torch_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.offload_settling.free_vram_bytes", lambda _gpu: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5 * GIB, 8 * GIB))
    assert usable_vram_bytes(SMALL) == 5 * GIB + CUDA_BYTES


def visible_in_a_run(
    gpu: str, tmp_path: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> str | None:
    """What torch would find in its variable when the command line loads it for a run."""
    seen: list[str | None] = []

    def run(*_: Any, **__: Any) -> int:
        seen.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
        return 0

    monkeypatch.setattr(trainer.loop, "run", run)
    job = write_job(tmp_path / "job.yaml", job_with({"job.gpu": gpu}))
    options = [f"--{name}={getattr(folders, name)}" for name in ("datasets", "models", "cache")]
    assert main(["run", str(job), f"--output={tmp_path / 'out'}", *options]) == 0
    return seen[0]


@pytest.mark.parametrize(
    ("gpu", "before", "then"),
    [
        (LARGE, None, LARGE),
        (LARGE, SMALL, SMALL),
        ("any", None, None),
        ("cpu", None, None),
        ("GPU-0000", None, None),
    ],
    ids=["named", "a worker said it", "any", "cpu", "not here"],
)
def test_a_run_on_the_command_line_has_the_card_that_its_plan_was_made_for(
    gpu: str,
    before: str | None,
    then: str | None,
    tmp_path: Path,
    short_folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
        assert machine_at_hand(gpu).vram_bytes == TOTAL[before]
    assert visible_in_a_run(gpu, tmp_path, short_folders, monkeypatch) == then
