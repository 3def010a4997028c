"""A trainer that the system killed for lack of memory: the launcher sees it, nobody else does."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from backend.launchers.launcher import Ended, Order
from backend.launchers.local import LocalLauncher
from tests.integration.processes import eventually
from trainer import memory_kills

HOLDS_MEMORY = "import time; held = b'x' * (64 << 20); print('held', flush=True); time.sleep(600)"


def counts(kills: int) -> str:
    return f"nr_free_pages 1\noom_kill {kills}\nnr_unstable 0\n"


@pytest.mark.parametrize(("kills", "was_memory_short"), [(3, False), (4, True)])
def test_a_kill_that_the_system_counted_while_the_trainer_ran_is_noted_with_its_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int, was_memory_short: bool
) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text(counts(3))
    monkeypatch.setattr(memory_kills, "_COUNTS", vmstat)
    launcher, log = LocalLauncher(), tmp_path / "log"
    command = [sys.executable, "-c", HOLDS_MEMORY, "token"]
    process = launcher.start(Order(command, dict(os.environ), tmp_path, log, "token"))
    eventually(lambda: "held" in log.read_text(), "the trainer holds its memory")
    vmstat.write_text(counts(kills))
    os.kill(process.process_id, signal.SIGKILL)
    ended: Ended = eventually(lambda: launcher.poll(process), "it has ended")
    assert (ended.exit_code, ended.was_memory_short) == (-signal.SIGKILL, was_memory_short)
    assert (ended.peak_resident_bytes or 0) >= 64 << 20


@pytest.mark.parametrize(("kills", "was_memory_short"), [(3, False), (4, True)])
def test_a_kill_that_was_counted_since_a_trainer_was_adopted_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int, was_memory_short: bool
) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text(counts(3))
    monkeypatch.setattr(memory_kills, "_COUNTS", vmstat)
    starter, adopter, log = LocalLauncher(), LocalLauncher(), tmp_path / "log"
    command = [sys.executable, "-c", HOLDS_MEMORY, "token"]
    process = starter.start(Order(command, dict(os.environ), tmp_path, log, "token"))
    eventually(lambda: "held" in log.read_text(), "the trainer holds its memory")
    assert adopter.poll(process) is None
    vmstat.write_text(counts(kills))
    os.kill(process.process_id, signal.SIGKILL)
    eventually(lambda: starter.poll(process), "it has ended")
    assert adopter.poll(process) == Ended(None, was_memory_short=was_memory_short)
    assert adopter.poll(process) == Ended(None), "nothing is known of one that was never seen alive"


def test_where_the_system_keeps_no_count_nobody_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_kills, "_COUNTS", tmp_path / "none")
    assert memory_kills.kills_for_memory() == 0
