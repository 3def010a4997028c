"""A run's log: its events as sentences for a person, in trainer.log and where stderr goes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.events import (
    BestCheckpoint,
    CheckpointRemoved,
    CheckpointSaved,
    CommandRefused,
    CommandTaken,
    Event,
    Measured,
    PhaseStarted,
    Progress,
    RunBegins,
    RunFinished,
    RunStarted,
    Sample,
    SampleFailed,
    Step,
    Superseded,
    WaitingForSpace,
    Warned,
)

# A line in the log for every step would drown the others; the events have them all.
LOG_EVERY_STEPS = 10


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write the log into the run's file as well, unless it is where stderr goes already."""
    logging.getLogger("trainer").setLevel(logging.INFO)
    if _is_stderr(path):
        yield
        return
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def _is_stderr(path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(sys.stderr.fileno()), path.stat())
    except (OSError, ValueError, AttributeError):
        return False


class TerminalFormat(logging.Formatter):
    """The time and the sentence; before a warning or an error, what it is."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")
        self._serious = logging.Formatter(
            "%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
        )

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.WARNING:
            return self._serious.format(record)
        return super().format(record)


def log_level(event: Event) -> int:
    """How serious an event is, for those who look through a log by level."""
    match event:
        case RunFinished(outcome="failed"):
            return logging.ERROR
        case Warned() | SampleFailed() | CommandRefused() | WaitingForSpace():
            return logging.WARNING
        case _:
            return logging.INFO


def log_line(event: Event) -> str | None:
    """A person's sentence for an event; None for events that would drown the others."""
    match event:
        case RunStarted():
            return (
                f"{event.training_name}: run {event.run_number}, {event.total_steps} steps "
                f"on {event.device or 'no device yet'} with {event.num_threads} threads"
            )
        case RunBegins():
            start = event.resumed_from_step
            changes = [
                f"{path} is {values['now']} and was {values['before']}"
                for path, values in event.changed_settings.items()
            ]
            return "; ".join([f"begins at step {start or 0}", *changes])
        case PhaseStarted():
            return f"[{event.phase}] {event.message}" if event.message else None
        case Progress():
            is_last = event.done == event.total
            return (
                f"[{event.phase}] {event.done}/{event.total} {event.message}" if is_last else None
            )
        case WaitingForSpace():
            return f"[{event.phase}] {event.sentence} in {event.folder}"
        case Step():
            if event.step % LOG_EVERY_STEPS and event.step != 1:
                return None
            held = event.preservation_loss
            kept = "" if held is None else f", preservation {held:.4f}"
            return (
                f"step {event.step}: loss {event.loss:.4f}{kept}, learning rate "
                f"{event.learning_rate:.2e}, {event.step_seconds:.2f} s"
            )
        case Measured():
            numbers = {
                "validation loss": event.validation_loss,
                "drift without trigger": event.drift_without_trigger,
                "change with trigger": event.change_with_trigger,
            }
            said = [f"{name} {n:.4f}" for name, n in numbers.items() if n is not None]
            return f"step {event.step}: {', '.join(said)}"
        case Sample():
            return f"step {event.step}: drew {event.path}"
        case SampleFailed():
            said = f"step {event.step}: {event.prompt!r} could not be drawn: {event.message}"
            return f"{said} {event.hint}".strip()
        case CheckpointSaved():
            return f"step {event.step}: saved {event.path} ({event.size_bytes / 1e6:.1f} MB)"
        case BestCheckpoint():
            return f"the checkpoint of step {event.step} is the best"
        case CheckpointRemoved():
            return f"removed the checkpoint of step {event.step}"
        case Superseded():
            return f"what came after step {event.after_step} now lies in {event.path}"
        case Warned():
            return f"{event.message} {event.hint}".strip()
        case CommandTaken():
            said = "".join(f", {path} = {value}" for path, value in event.settings.items())
            return f"told to {event.command}{said}"
        case CommandRefused():
            said = "; ".join(problem["message"] for problem in event.problems)
            return f"told to {event.command or 'do something'}, refused: {said}"
        case RunFinished():
            why = [*event.problems, *([event.ended_early] if event.ended_early else [])]
            said = "; ".join(problem["message"] for problem in why)
            is_earlier = event.lora_step not in (None, event.step)
            result = f" with the LoRA of step {event.lora_step}" if is_earlier else ""
            return f"{event.outcome} at step {event.step}{result}" + (f": {said}" if said else "")
        case _:
            return None
