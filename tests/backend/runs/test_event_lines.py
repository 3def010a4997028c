"""Which lines of a run's event file are the run's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.runs.event_lines import EventLines
from backend.runs.stop_signs import stop_was_taken
from trainer.events import AnyEvent, CommandTaken, RunStarted, Step

OURS, THEIRS = "ours", "theirs"


def begun(token: str) -> RunStarted:
    return RunStarted(
        training_name="style",
        run_number=1,
        token=token,
        process_id=7,
        host="h",
        total_steps=10,
        seq=1,
    )


def step(seq: int, number: int) -> Step:
    return Step(
        seq=seq,
        step=number,
        loss=1.0,
        objective=1.0,
        learning_rate=1e-4,
        gradient_norm=1.0,
        step_seconds=0.1,
    )


def read(*said: AnyEvent, lines_in_window: int) -> tuple[list[int], list[str]]:
    """The steps that are taken, and the codes of what is told."""
    lines = [event.model_dump_json() for event in said]
    event_lines = EventLines(OURS)
    steps, codes = [], []
    for start in range(0, len(lines), lines_in_window):
        found, faults = event_lines.parse(lines[start : start + lines_in_window])
        steps += [event.step for event in found if isinstance(event, Step)]
        codes += [fault.code for fault in faults]
    return steps, codes


WINDOWS = pytest.mark.parametrize("lines_in_window", [1, 2, 3, 100])


@WINDOWS
def test_only_another_runs_lines_are_left_out_and_told_of_once(lines_in_window: int) -> None:
    said = [begun(OURS), step(2, 1), begun(THEIRS), step(2, 901), step(3, 902), step(3, 2)]
    assert read(*said, lines_in_window=lines_in_window) == ([1, 2], ["foreign_events"])


@WINDOWS
def test_lines_of_two_runs_that_alternate_are_told_apart(lines_in_window: int) -> None:
    said = [begun(OURS), step(2, 1), step(3, 2), begun(THEIRS), step(4, 3), begun(THEIRS)]
    said += [step(2, 901), step(5, 4), step(6, 5)]
    steps, codes = read(*said, lines_in_window=lines_in_window)
    assert (steps, set(codes)) == ([1, 2, 3, 4, 5], {"foreign_events"})


@WINDOWS
def test_a_file_that_begins_with_another_run_is_ours_from_our_first_word_on(
    lines_in_window: int,
) -> None:
    said = [begun(THEIRS), step(2, 901), step(3, 902), begun(OURS), step(2, 1)]
    assert read(*said, lines_in_window=lines_in_window) == ([1], ["foreign_events"])


@WINDOWS
def test_a_file_of_another_run_gives_nothing(lines_in_window: int) -> None:
    said = [begun(THEIRS), *(step(number, 900 + number) for number in range(2, 9))]
    assert read(*said, lines_in_window=lines_in_window) == ([], ["foreign_events"])


def test_nonsense_among_another_runs_lines_is_no_fault_of_ours() -> None:
    lines = [begun(THEIRS).model_dump_json(), "half a li", '{"type": "from_a_later_version"}']
    found, faults = EventLines(OURS).parse(lines)
    assert (found, [fault.code for fault in faults]) == ([], ["foreign_events"])


@pytest.mark.parametrize("token", [OURS, THEIRS])
def test_a_stop_is_taken_where_the_run_itself_says_so(tmp_path: Path, token: str) -> None:
    said = [
        begun(OURS),
        step(2, 1),
        begun(token),
        CommandTaken(seq=2, command="stop", command_seq=1, step=1),
    ]
    file = tmp_path / "events.jsonl"
    file.write_text("".join(f"{event.model_dump_json()}\n" for event in said))
    assert stop_was_taken(file, OURS) == (token == OURS)
