"""How a run's log says what is serious."""

from __future__ import annotations

import logging

import pytest

from trainer.events import CommandRefused, Event, PhaseStarted, RunFinished, Warned
from trainer.run_log import TerminalFormat, log_level, log_line


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (PhaseStarted(phase="train"), logging.INFO),
        (Warned(code="odd", message="This is odd."), logging.WARNING),
        (CommandRefused(command="change", command_seq=1, step=2, problems=[]), logging.WARNING),
        (RunFinished(outcome="failed", exit_code=4, step=2), logging.ERROR),
        (RunFinished(outcome="completed", exit_code=0, step=2), logging.INFO),
    ],
)
def test_an_event_is_as_serious_as_what_it_tells(event: Event, level: int) -> None:
    assert log_level(event) == level


def test_a_result_of_an_earlier_step_is_named() -> None:
    end = RunFinished(outcome="completed", exit_code=0, step=30, lora="a.safetensors", lora_step=30)
    assert log_line(end) == "completed at step 30"
    early = end.model_copy(update={"lora_step": 20})
    assert log_line(early) == "completed at step 30 with the LoRA of step 20"


def test_only_what_is_serious_is_called_so_in_a_line() -> None:
    def line(level: int) -> str:
        record = logging.LogRecord("trainer", level, "", 0, "the disk is full", None, None)
        return TerminalFormat().format(record).partition(" ")[2]

    assert line(logging.INFO) == "the disk is full"
    assert line(logging.WARNING) == "WARNING the disk is full"
    assert line(logging.ERROR) == "ERROR the disk is full"
