"""The two files between a run and the rest of the world."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.short_runs import job_with, read_events
from trainer.commands import CommandName, CommandReader, append_command
from trainer.errors import JobRefused
from trainer.events import (
    STAMPS,
    BadLine,
    CommandRefused,
    CommandTaken,
    EventLog,
    Progress,
    RunFinished,
    RunStarted,
    Step,
    parse_line,
    read_lines,
)
from trainer.job_file import parse_job
from trainer.job_folder import JobFolder
from trainer.run_record import RunRecord, record_refusal

STEP = Step(
    step=3, loss=0.5, objective=1.5, learning_rate=1e-4, gradient_norm=2.0, step_seconds=0.1
)


def test_events_are_numbered_stamped_and_read_back(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.append(STEP)
    log.append(Progress(phase="encode", done=1, total=2))
    log.close()
    lines, offset = read_lines(tmp_path / "events.jsonl")
    events = [parse_line(line) for line in lines]
    assert [event.seq for event in events if event] == [1, 2]
    assert events[0] is not None
    assert events[0].time > 0
    assert events[0].elapsed_seconds is not None
    assert events[0].model_dump(exclude=STAMPS) == STEP.model_dump(exclude=STAMPS)
    assert offset == (tmp_path / "events.jsonl").stat().st_size


def test_a_second_run_cannot_write_into_the_firsts_file(tmp_path: Path) -> None:
    EventLog(tmp_path / "events.jsonl").close()
    with pytest.raises(FileExistsError):
        EventLog(tmp_path / "events.jsonl")


def test_a_line_that_a_full_disk_cut_spoils_neither_the_next_nor_itself_in_silence(
    tmp_path: Path,
) -> None:
    file = tmp_path / "events.jsonl"
    log = EventLog(file)
    with no_file_larger_than(40), pytest.raises(OSError, match="too large"):
        log.append(STEP)
    assert file.stat().st_size == 40, "the disk took a part"
    log.append(STEP)
    log.close()
    torn, whole = read_lines(file)[0]
    with pytest.raises(BadLine):
        parse_line(torn)
    event = parse_line(whole)
    assert event is not None
    assert event.seq == 2


@contextmanager
def no_file_larger_than(size_bytes: int) -> Iterator[None]:
    """A write beyond it takes what fits, and the next one fails: as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"type": "phase"}\n{"ty')
    lines, offset = read_lines(path)
    assert lines == ['{"type": "phase"}']
    with path.open("a") as file:
        file.write('pe": "x"}\n')
    assert read_lines(path, offset)[0] == ['{"type": "x"}']


@given(cuts=st.lists(st.integers(min_value=0, max_value=200), max_size=5))
def test_a_file_read_in_any_pieces_gives_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    whole = "".join(f'{{"n": {n}, "text": "ü{"x" * n}"}}\n' for n in range(8)).encode()
    path = folder / "events.jsonl"
    found: list[str] = []
    offset = 0
    for end in [*sorted(cuts), len(whole)]:
        path.write_bytes(whole[:end])
        lines, offset = read_lines(path, offset)
        found += lines
    assert found == whole.decode().splitlines()


def test_a_line_longer_than_the_window_is_stepped_over_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("x" * 250 + "\n" + '{"type": "phase"}\n')
    found: list[str] = []
    offset = 0
    for _ in range(10):
        lines, offset = read_lines(path, offset, max_bytes=100)
        found += lines
    bad = [line for line in found if not line.startswith('{"type"')]
    assert found[-1] == '{"type": "phase"}'
    assert bad
    for line in bad:
        with pytest.raises(BadLine):
            parse_line(line)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = sorted({*STEP.model_dump(), "problems", "outcome", "settings", "params", "phase", "path"})
TYPES = st.sampled_from(["step", "phase", "run_finished", "command_refused", "warning", "sample"])


@given(
    kind=TYPES | JSON_VALUES,
    fields=st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES),
)
def test_whatever_json_a_line_holds_it_is_an_event_unknown_or_a_bad_line(
    kind: object, fields: dict[str, object]
) -> None:
    for said in ({**fields, "type": kind}, kind):
        try:
            event = parse_line(json.dumps(said))
        except BadLine:
            continue
        assert event is None or event.type == kind


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000])
def test_brackets_without_end_are_a_bad_line_for_either_file(tmp_path: Path, line: str) -> None:
    with pytest.raises(BadLine):
        parse_line(line)
    file = tmp_path / "commands.jsonl"
    file.write_text(f'{line}\n{{"seq": 1, "command": "stop"}}\n')
    reader = CommandReader(file)
    assert [command.command for command in reader.new_commands()] == ["stop"]
    assert reader.take_bad_lines() == [line]


def test_unknown_types_are_skipped_and_unknown_fields_ignored() -> None:
    assert parse_line('{"type": "from_the_future", "seq": 1}') is None
    event = parse_line(json.dumps(STEP.model_dump() | {"new_field": 1}))
    assert isinstance(event, Step)


@pytest.mark.parametrize(
    "line", ["", "{", "[]", '"x"', '{"seq": 1}', '{"type": "step", "loss": "a"}']
)
def test_a_line_that_is_no_event_says_so(line: str) -> None:
    with pytest.raises(BadLine):
        parse_line(line)


def test_each_command_is_read_once_and_nonsense_is_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "commands.jsonl"
    reader = CommandReader(path)
    assert reader.new_commands() == []
    append_command(path, "save")
    with path.open("a") as file:
        file.write('{"command": "explode", "seq": 1}\nnot json\n')
    append_command(path, "stop")
    assert [command.command for command in reader.new_commands()] == ["save", "stop"]
    assert reader.new_commands() == []
    assert reader.take_bad_lines() == ['{"command": "explode", "seq": 1}', "not json"]
    assert reader.take_bad_lines() == []


@pytest.mark.parametrize("is_seen_missing", [True, False])
@pytest.mark.parametrize("later", [["stop"], ["stop", "save"], ["stop"] * 5])
def test_commands_in_a_file_that_was_made_anew_are_heard(
    tmp_path: Path, later: list[CommandName], is_seen_missing: bool
) -> None:
    path = tmp_path / "commands.jsonl"
    reader = CommandReader(path)
    append_command(path, "save")
    append_command(path, "sample")
    assert len(reader.new_commands()) == 2
    path.unlink()
    if is_seen_missing:
        assert reader.new_commands() == []
    for command in later:
        append_command(path, command)
    assert [command.command for command in reader.new_commands()] == later
    assert reader.new_commands() == []
    append_command(path, "save")
    assert [command.command for command in reader.new_commands()] == ["save"]


def test_a_run_says_what_it_cannot_obey_and_what_it_obeys(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "short")
    record = RunRecord(parse_job(job_with()), folder, folder.run(1), token="")
    with folder.run(1).commands.open("a") as file:
        file.write('{"command": "explode", "seq": 1}\n')
    append_command(folder.run(1).commands, "save")
    append_command(folder.run(1).commands, "change", {"training.steps": 9})
    assert record.poll() is False
    assert (record.take_save(), record.take_save(), record.take_sample()) == (True, False, False)
    assert [command.settings for command in record.take_changes()] == [{"training.steps": 9}]
    assert record.take_changes() == []
    taken, refused = read_events(folder)
    assert isinstance(taken, CommandTaken)
    assert taken.command == "save"
    assert isinstance(refused, CommandRefused)
    assert "explode" in refused.problems[0]["message"]
    record.close()


def test_every_event_file_begins_with_the_runs_start(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path, "short")
    job = parse_job(job_with())
    refusal = JobRefused("It cannot run.", "Change it.")
    record_refusal(job, refusal, parent=tmp_path, run_number=1, token="abc")
    record = RunRecord(job, folder, folder.run(2), token="abc")
    assert record.fail(refusal) == JobRefused.exit_code
    record.close()
    for number in (1, 2):
        start, end = read_events(folder, number)
        assert isinstance(start, RunStarted)
        assert (start.run_number, start.token) == (number, "abc")
        assert isinstance(end, RunFinished)
        assert end.exit_code == JobRefused.exit_code
