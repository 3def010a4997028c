"""What one run says and hears: its folder, its events, its log, and the commands it is given.

The record is opened when the job is admitted and its folder is locked. Its first event is
RunStarted and its last is exactly one RunFinished, whatever happened in between, as long as the
process can still write.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import folder_lock
from trainer.commands import Command, CommandReader
from trainer.config import JobConfig
from trainer.disk_places import OUT_OF_SPACE
from trainer.drawing_config import DrawingConfig
from trainer.errors import (
    EXIT_COMPLETED,
    EXIT_CRASHED,
    DarkroomError,
    DiskFull,
    JobRefused,
    Problem,
)
from trainer.errors import StopRequested as StopRequestedError
from trainer.events import (
    CommandRefused,
    CommandTaken,
    Event,
    EventLog,
    Phase,
    PhaseStarted,
    Progress,
    RunFinished,
    RunStarted,
    Step,
    Warned,
)
from trainer.job_file import write_job_file
from trainer.job_folder import JobFolder, RunFolder
from trainer.run_log import log_level, log_line, logging_to

logger = logging.getLogger("trainer")

Work = JobConfig | DrawingConfig
FULL_DISK_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """How a run that did not fail ended. lora: the end result's path in the job's folder.

    lora_step: the step whose LoRA that is; `step` is the last one taken. ended_early: why a
    completed run took fewer steps than it was to.
    """

    completed: bool
    step: int
    lora: str | None
    lora_step: int | None = None
    ended_early: Problem | None = None


class RunRecord:
    """One run's voice and ears; `stop` stays True once a stop was asked for."""

    def __init__(
        self, job: Work, job_folder: JobFolder, run_folder: RunFolder, *, token: str
    ) -> None:
        self.job_folder = job_folder
        self.run_folder = run_folder
        self.stop = False
        self._untold_signal = ""
        self._job = job
        self._token = token
        self._is_started = False
        self._save = False
        self._sample = False
        self._changes: list[Command] = []
        self._heard: list[Command] = []
        self._phase: Phase | None = None
        self._step = 0
        self._events = EventLog(run_folder.events)
        self._commands = CommandReader(run_folder.commands)
        self._identity = _identity(job_folder.path)

    def start(self, *, device: str, num_threads: int, versions: Mapping[str, str]) -> None:
        """Write the first event."""
        self._is_started = True
        self.report(
            _started(
                self._job,
                self.run_folder,
                self._token,
                device=device,
                num_threads=num_threads,
                versions=dict(versions),
            )
        )

    def report(self, event: Event) -> None:
        """Append an event, and say it in the log too.

        On a full disk the run waits until the event can be written, for it may be a step of the
        curve. Once a stop was asked for, or when the run has failed, it is dropped: what counts
        then is to save, and to end.
        """
        if isinstance(event, Step):
            self._step = event.step
        while True:
            try:
                self._events.append(event)
                break
            except OSError as error:
                if error.errno not in OUT_OF_SPACE:
                    raise
                self._listen()
                has_failed = isinstance(event, RunFinished) and event.outcome == "failed"
                if self.stop or has_failed:
                    logger.warning("not written, since the disk is full: %r", event)
                    break
                time.sleep(FULL_DISK_POLL_SECONDS)
        line = log_line(event)
        if line:
            logger.log(log_level(event), line)

    @property
    def current_phase(self) -> Phase | None:
        """What the run is at; None before its first phase."""
        return self._phase

    def phase(self, phase: Phase, message: str = "") -> None:
        """Enter a phase. Raises DiskFull if the job's folder went away meanwhile.

        A path that is there no longer would be made anew: an unplugged disk's mount point, or a
        folder that somebody moved, would get the next checkpoint and the one before would be
        missing beside it.
        """
        self._phase = phase
        if _identity(self.job_folder.path) != self._identity:
            raise DiskFull(
                f"The job's folder {self.job_folder.path} is no longer the one that the run began "
                "in.",
                "Bring its disk or the folder back, and start the job again: it goes on from its "
                "last checkpoint.",
                code="folder_lost",
                params={"file": str(self.job_folder.path)},
            )
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

    def request_stop(self, signal_name: str) -> None:
        """Ask for a stop from within the process: the signals' way, told at the next `poll`."""
        self._untold_signal = signal_name
        self.stop = True

    def poll(self) -> bool:
        """Read new commands; True once a stop was asked for. Changes wait for `take_changes`."""
        self._listen()
        if self._untold_signal:
            logger.info("%s: stopping after this step", self._untold_signal)
            self._untold_signal = ""
        heard, self._heard = self._heard, []
        for command in heard:
            if command.command == "change":
                self._changes.append(command)
                continue
            self._save |= command.command == "save"
            self._sample |= command.command == "sample"
            self.report(
                CommandTaken(command=command.command, command_seq=command.seq, step=self._step)
            )
        for line in self._commands.take_bad_lines():
            self.report(_no_command(line, self._step))
        return self.stop

    def _listen(self) -> None:
        """Read new commands without obeying any but a stop."""
        self._heard += self._commands.new_commands()
        if any(command.command == "stop" for command in self._heard):
            self.stop = True  # not |=, which would undo a signal's in its midst

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

    def take_changes(self) -> list[Command]:
        """The changes of settings that were asked for since the last call, oldest first."""
        taken, self._changes = self._changes, []
        return taken

    def change_job(self, command: Command, job: JobConfig) -> None:
        """Record that a change holds: in the files that a resume reads, then as an event."""
        for path in (self.job_folder.job_file, self.run_folder.job_file):
            write_job_file(path, job)
        self._job = job
        self.report(
            CommandTaken(
                command=command.command,
                command_seq=command.seq,
                step=self._step,
                settings=command.settings,
            )
        )

    def refuse(self, command: Command, error: DarkroomError) -> None:
        """Say why a command cannot be obeyed."""
        self.report(
            CommandRefused(
                command=command.command,
                command_seq=command.seq,
                step=self._step,
                problems=[problem.as_dict() for problem in error.problems],
            )
        )

    def finish(self, outcome: Outcome) -> int:
        """Write the last event of a run that completed or was stopped; its exit code."""
        self._start_at_least()
        exit_code = EXIT_COMPLETED if outcome.completed else StopRequestedError.exit_code
        self.report(
            RunFinished(
                outcome="completed" if outcome.completed else "stopped",
                exit_code=exit_code,
                step=outcome.step,
                lora=outcome.lora,
                lora_step=outcome.lora_step,
                ended_early=outcome.ended_early.as_dict() if outcome.ended_early else None,
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
        self._start_at_least()
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

    def _start_at_least(self) -> None:
        if not self._is_started:
            self.report(_started(self._job, self.run_folder, self._token))

    def close(self) -> None:
        """Close the event file."""
        self._events.close()


@contextmanager
def opened_run(
    job: Work, *, parent: Path, run_number: int | None, token: str = ""
) -> Iterator[RunRecord]:
    """Lock the folder of the job or drawing and make the run's: the job's copies, events, log.

    run_number: None takes the next. token: proves to a worker whose events these are. Raises
    FolderInUse, or JobRefused if the run has been before.
    """
    folder = JobFolder(parent, job.run_name)
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
        with logging_to(run.log):
            record = RunRecord(job, folder, run, token=token)
            try:
                yield record
            finally:
                record.close()


def record_refusal(
    job: Work, error: DarkroomError, *, parent: Path, run_number: int, token: str
) -> None:
    """Leave a refusal in the events of a run that a worker has numbered and is waiting for."""
    run = JobFolder(parent, job.run_name).run(run_number)
    if run.events.exists():
        return
    events = EventLog(run.events)
    events.append(_started(job, run, token))
    events.append(
        RunFinished(
            outcome="failed",
            exit_code=error.exit_code,
            step=0,
            problems=[problem.as_dict() for problem in error.problems],
        )
    )
    events.close()


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another of the same path; None if there is none."""
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _no_command(line: str, step: int) -> CommandRefused:
    problem = Problem(
        "no_command",
        f"{line[:80]!r} in commands.jsonl is no command.",
        'A command is a line like {"seq": 1, "command": "save"}; save, sample, stop and change are '
        "known.",
        params={"line": line[:200]},
    )
    return CommandRefused(command="", command_seq=0, step=step, problems=[problem.as_dict()])


def _started(job: Work, run: RunFolder, token: str, **known: Any) -> RunStarted:
    return RunStarted(
        training_name=job.run_name,
        run_number=run.number,
        token=token,
        process_id=os.getpid(),
        host=platform.node(),
        total_steps=job.num_units,
        **known,
    )
