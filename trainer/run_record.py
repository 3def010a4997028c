"""What one run says and hears: its folder, its events, its log, and the commands it is given.

The record is opened when the job is admitted and its folder is locked, and is closed with exactly
one RunFinished event, whatever happened in between, as long as the process can still write.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import folder_lock
from trainer.commands import CommandReader
from trainer.config import JobConfig
from trainer.errors import EXIT_COMPLETED, EXIT_CRASHED, DarkroomError, JobRefused, Problem
from trainer.errors import StopRequested as StopRequestedError
from trainer.events import (
    CheckpointRemoved,
    CheckpointSaved,
    CommandTaken,
    Event,
    EventLog,
    Phase,
    PhaseStarted,
    Progress,
    RunFinished,
    RunStarted,
    Sample,
    SampleFailed,
    Step,
    Superseded,
    Warned,
)
from trainer.job_file import write_job_file
from trainer.job_folder import JobFolder, RunFolder

logger = logging.getLogger("trainer")

# A line in the log for every step would drown the others; the events have them all.
LOG_EVERY_STEPS = 10


@dataclass(frozen=True)
class Outcome:
    """How a run that did not fail ended. lora: the end result's path in the job's folder."""

    completed: bool
    step: int
    lora: str | None


class RunRecord:
    """One run's voice and ears; `stop` stays True once a stop was asked for."""

    def __init__(self, job_folder: JobFolder, run_folder: RunFolder) -> None:
        self.job_folder = job_folder
        self.run_folder = run_folder
        self.stop = False
        self._save = False
        self._sample = False
        self._phase: Phase | None = None
        self._step = 0
        self._events = EventLog(run_folder.events)
        self._commands = CommandReader(run_folder.commands)

    def report(self, event: Event) -> None:
        """Append an event, and say it in the log too."""
        if isinstance(event, Step):
            self._step = event.step
        self._events.append(event)
        line = _log_line(event)
        if line:
            logger.log(logging.WARNING if isinstance(event, Warned) else logging.INFO, line)

    def phase(self, phase: Phase, message: str = "") -> None:
        """Enter a phase."""
        self._phase = phase
        self.report(PhaseStarted(phase=phase, step=self._step, message=message))

    @contextmanager
    def within(self, phase: Phase, message: str = "") -> Iterator[None]:
        """A phase inside another, which goes on after it; a failure leaves the inner one named."""
        outer = self._phase
        self.phase(phase, message)
        yield
        if outer is not None:
            self.phase(outer)

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Say how far the present phase is."""
        assert self._phase is not None
        self.report(Progress(phase=self._phase, done=done, total=total, message=message))

    def warn(self, problem: Problem) -> None:
        """Pass a warning on."""
        self.report(
            Warned(
                code=problem.code,
                message=problem.message,
                hint=problem.hint,
                field=problem.field,
                params=dict(problem.params),
            )
        )

    def at_step(self, step: int) -> None:
        """Say which step the events that follow belong to."""
        self._step = step

    def request_stop(self) -> None:
        """Ask for a stop from within the process: the signals' way."""
        self.stop = True

    def poll(self) -> bool:
        """Read new commands; True once a stop was asked for."""
        for command in self._commands.new_commands():
            self.stop |= command.command == "stop"
            self._save |= command.command == "save"
            self._sample |= command.command == "sample"
            self.report(
                CommandTaken(command=command.command, command_seq=command.seq, step=self._step)
            )
        return self.stop

    def stop_if_requested(self) -> None:
        """Raises StopRequested between units of work that leave nothing to save."""
        if self.poll():
            raise StopRequestedError("The run was stopped before its next step.")

    def take_save(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        taken, self._save = self._save, False
        return taken

    def take_sample(self) -> bool:
        """Whether samples were asked for since the last call."""
        taken, self._sample = self._sample, False
        return taken

    def finish(self, outcome: Outcome) -> int:
        """Write the last event of a run that completed or was stopped; its exit code."""
        exit_code = EXIT_COMPLETED if outcome.completed else StopRequestedError.exit_code
        self.report(
            RunFinished(
                outcome="completed" if outcome.completed else "stopped",
                exit_code=exit_code,
                step=outcome.step,
                lora=outcome.lora,
            )
        )
        return exit_code

    def fail(self, error: DarkroomError) -> int:
        """Write the last event of a run that ended with a named error; its exit code."""
        if isinstance(error, StopRequestedError):
            return self.finish(Outcome(completed=False, step=self._step, lora=None))
        return self._failed(error.exit_code, [problem.as_dict() for problem in error.problems])

    def crash(self, error: BaseException) -> int:
        """Write the last event of a run that ended by a mistake of ours; its exit code."""
        logger.error("The trainer failed by a mistake of its own.", exc_info=error)
        problem = Problem(
            "crash",
            f"{type(error).__name__}: {error}",
            f"Please report it with {self.run_folder.log}.",
        )
        return self._failed(EXIT_CRASHED, [problem.as_dict()])

    def _failed(self, exit_code: int, problems: list[dict[str, Any]]) -> int:
        self.report(
            RunFinished(
                outcome="failed",
                exit_code=exit_code,
                step=self._step,
                phase=self._phase,
                problems=problems,
            )
        )
        return exit_code

    def close(self) -> None:
        """Close the event file."""
        self._events.close()


@contextmanager
def opened_run(job: JobConfig, *, parent: Path, run_number: int | None) -> Iterator[RunRecord]:
    """Lock the job's folder and make the run's: the job's copies, events, log.

    run_number: None takes the next. Raises FolderInUse, or JobRefused if the run has been before.
    """
    folder = JobFolder(parent, job.job.training_name)
    with folder_lock.held(folder.lock):
        run = folder.run(folder.next_run_number() if run_number is None else run_number)
        if run.events.exists():
            raise JobRefused(
                f"Run {run.number} of {folder.training_name} has been already.",
                "Leave --run-number out, or give one that is free.",
                code="run_exists",
                params={"run_number": run.number},
            )
        write_job_file(folder.job_file, job)
        write_job_file(run.job_file, job)
        with _logging_to(run.log):
            record = RunRecord(folder, run)
            try:
                yield record
            finally:
                record.close()


def record_refusal(job: JobConfig, error: DarkroomError, *, parent: Path, run_number: int) -> None:
    """Leave a refusal in the events of a run that a worker has numbered and is waiting for."""
    run = JobFolder(parent, job.job.training_name).run(run_number)
    if run.events.exists():
        return
    events = EventLog(run.events)
    events.append(
        RunFinished(
            outcome="failed",
            exit_code=error.exit_code,
            step=0,
            problems=[problem.as_dict() for problem in error.problems],
        )
    )
    events.close()


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Write the log into the run's file as well, unless it is where stderr goes already."""
    logger.setLevel(logging.INFO)
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


def _log_line(event: Event) -> str | None:
    """A person's sentence for an event; None for events that would drown the others."""
    match event:
        case RunStarted():
            start = f" from step {event.resumed_from_step}" if event.resumed_from_step else ""
            return (
                f"{event.training_name}: run {event.run_number}{start}, {event.total_steps} steps "
                f"on {event.device} with {event.num_threads} threads"
            )
        case PhaseStarted():
            return f"[{event.phase}] {event.message}" if event.message else None
        case Progress():
            is_last = event.done == event.total
            return (
                f"[{event.phase}] {event.done}/{event.total} {event.message}" if is_last else None
            )
        case Step():
            if event.step % LOG_EVERY_STEPS and event.step != 1:
                return None
            held = event.preservation_loss
            kept = "" if held is None else f", preservation {held:.4f}"
            return (
                f"step {event.step}: loss {event.loss:.4f}{kept}, learning rate "
                f"{event.learning_rate:.2e}, {event.step_seconds:.2f} s"
            )
        case Sample():
            return f"step {event.step}: drew {event.path}"
        case SampleFailed():
            return f"step {event.step}: {event.prompt!r} could not be drawn: {event.message}"
        case CheckpointSaved():
            return f"step {event.step}: saved {event.path} ({event.size_bytes / 1e6:.1f} MB)"
        case CheckpointRemoved():
            return f"removed the checkpoint of step {event.step}"
        case Superseded():
            return f"what came after step {event.after_step} now lies in {event.path}"
        case Warned():
            return f"{event.message} {event.hint}".strip()
        case CommandTaken():
            return f"told to {event.command}"
        case RunFinished():
            said = "; ".join(problem["message"] for problem in event.problems)
            return f"{event.outcome} at step {event.step}" + (f": {said}" if said else "")
        case _:
            return None
