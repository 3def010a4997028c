"""A run on a full disk: it waits, says so, and listens meanwhile. No model, no torch."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainer.short_runs import SHORT_JOB
from trainer import events, room, run_record
from trainer.commands import append_command
from trainer.job_file import parse_job
from trainer.job_folder import JobFolder
from trainer.room import Room
from trainer.run_record import Outcome, RunRecord, opened_run


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunRecord]:
    """A run that is about to save, in a hurry."""
    monkeypatch.setattr(room, "POLL_SECONDS", 0)
    monkeypatch.setattr(run_record, "FULL_DISK_POLL_SECONDS", 0)
    with opened_run(parse_job(SHORT_JOB), parent=tmp_path, run_number=1) as record:
        record.phase("save")
        yield record


def look(monkeypatch: pytest.MonkeyPatch, *free: int) -> list[int]:
    """The disk's free bytes, look by look; the looks that are left."""
    looks = list(free)
    monkeypatch.setattr(room, "free_bytes", lambda _folder: looks.pop(0))
    return looks


def said(record: RunRecord) -> list[events.AnyEvent]:
    lines, _ = events.read_lines(record.run_folder.events, 0)
    return [event for line in lines if (event := events.parse_line(line)) is not None]


def test_with_room_nothing_is_said(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    look(monkeypatch, 10**9)
    assert Room(record).wait_for(10**6)
    assert [event.type for event in said(record)] == ["phase"]


def test_it_waits_until_there_is_room_with_a_tenth_and_a_megabyte_to_spare(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 10_000_000
    enough = 11_000_000 + (1 << 20)
    left = look(monkeypatch, 0, 0, 5, enough - 1, enough, 7)
    assert Room(record).wait_for(needed)
    assert left == [7]
    (waiting,) = [event for event in said(record) if event.type == "waiting_for_space"]
    assert (waiting.needed_bytes, waiting.free_bytes, waiting.phase) == (enough, 5, "save")
    assert waiting.folder == str(record.job_folder.path)
    assert waiting.sentence == "waiting for space: needs 12 MB, 0 MB free"
    assert said(record)[-1].type == "phase", "it goes on"


def test_it_says_again_that_it_waits(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ANNOUNCE_SECONDS", 0)
    look(monkeypatch, *[0] * 7, 10**9)
    assert Room(record).wait_for(10**6)
    assert [event.type for event in said(record)].count("waiting_for_space") == 3


def test_a_stop_ends_the_wait(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    look(monkeypatch, *[0] * 3)
    append_command(record.run_folder.commands, "stop")
    assert not Room(record).wait_for(10**6)
    assert record.stop


def test_a_refused_write_is_tried_again_after_a_while_though_the_disk_has_room(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(monkeypatch, *[10**9] * 20)
    monkeypatch.setattr(room, "TRY_AGAIN_SECONDS", 0)
    assert Room(record).wait_for(10**6, was_refused=True)
    monkeypatch.setattr(room, "TRY_AGAIN_SECONDS", 3600)
    append_command(record.run_folder.commands, "stop")
    assert not Room(record).wait_for(10**6, was_refused=True), "not before, unless it is stopped"


def fill(record: RunRecord, monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let the event file refuse so many lines; the refusals that are left."""
    left = [times]
    append = events.EventLog.append

    def refuse(log: events.EventLog, event: events.Event) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        append(log, event)

    monkeypatch.setattr(events.EventLog, "append", refuse)
    return left


def a_step(number: int) -> events.Step:
    return events.Step(
        step=number, loss=1, objective=1, learning_rate=1, gradient_norm=1, step_seconds=1
    )


def test_a_step_that_finds_no_room_in_the_event_file_is_waited_with(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = fill(record, monkeypatch, 3)
    record.report(a_step(1))
    assert left == [0]
    assert [event.type for event in said(record)] == ["phase", "step"]


def test_on_a_full_disk_a_stop_and_a_failure_are_not_waited_with(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(record, monkeypatch, 10**9)
    record.report(events.RunFinished(outcome="failed", exit_code=10, step=1))
    append_command(record.run_folder.commands, "stop")
    record.report(a_step(1))
    assert record.stop, "heard while it waited"
    assert record.finish(Outcome(completed=False, step=1, lora=None)) == 3
    assert JobFolder(record.job_folder.parent, "short").path.is_dir()


def test_what_is_no_lack_of_space_is_raised(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(log: events.EventLog, event: events.Event) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(events.EventLog, "append", broken)
    with pytest.raises(OSError, match="Input/output"):
        record.report(a_step(1))
