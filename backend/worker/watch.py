"""One run, watched: its events and log into rows, requests into commands, its end into an outcome.

Everything a look needs is in the database and in files, so a watch can be made anew at any moment,
by another worker as well, and goes on from the byte where the last one stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.columns import now
from backend.db.engine import Database
from backend.db.models import CommandRequest, Job, Metric, Run
from backend.hooks.notice import notice_events
from backend.jobs.feed import announce, announce_job
from backend.jobs.log import lines_from
from backend.jobs.moves import move
from backend.jobs.status import JobStatus
from backend.launchers.launcher import Ended, Launcher, TrainerProcess
from backend.runs.event_lines import EventLines, torn_end
from backend.runs.record import Place, add_problem, record_events
from backend.runs.stop_signs import stop_was_taken
from backend.settings import Settings
from backend.worker.alarm_board import active_alarms, write_changes
from backend.worker.alarms import Change, RunAlarms
from backend.worker.close import close_run
from backend.worker.fence import RunLost, is_open, own_run
from backend.worker.machine import disks_free_bytes, read_machine
from backend.worker.stopping import Measure, StopWatch
from trainer.commands import CommandName, append_command
from trainer.errors import Problem, Severity
from trainer.events import Sample, read_lines
from trainer.job_folder import JobFolder, RunFolder

log = logging.getLogger(__name__)

LOG_LINES_IN_ONE_EVENT = 500
SECONDS_BETWEEN_JUDGEMENTS = 1.0
# How long the files of a run whose trainer has ended may be unreadable: a share may come back.
UNREADABLE_SECONDS = 60.0


@dataclass(frozen=True)
class Watched:
    """Which run, and where its files are."""

    job_id: int
    run_id: int
    token: str
    folder: JobFolder
    files: RunFolder


class RunWatch:
    """Looks at one run again and again until it is over."""

    def __init__(
        self,
        database: Database,
        launcher: Launcher,
        settings: Settings,
        watched: Watched,
        process: TrainerProcess | None,
        *,
        worker_id: str,
        clock: Callable[[], float],
        on_picture: Callable[[Path], None],
    ) -> None:
        """worker_id: whose watch it is; it lasts while the run is that worker's.

        on_picture: told of each picture that the run has drawn, once it is recorded.
        """
        self._database = database
        self._worker_id = worker_id
        self._launcher = launcher
        self._settings = settings
        self._on_picture = on_picture
        self.watched = watched
        self._process = process
        self._ended = Ended(None) if process is None else None
        self._clock = clock
        self._next_judgement = 0.0
        self._length_at_look = 0
        self._is_behind = False
        self._unreadable_since: float | None = None
        self._event_lines = EventLines(watched.token)
        self._alarms = self._with_what_is_known(settings)
        self._stop = StopWatch(
            patience_seconds=settings.stop_patience_seconds,
            kill_seconds=settings.kill_patience_seconds,
            clock=clock,
        )

    def has_news(self) -> bool:
        """Whether the trainer wrote events since the last look began, or more than it took in."""
        return self._is_behind or _length(self.watched.files.events) != self._length_at_look

    def has_ended(self) -> bool:
        """Whether the trainer is gone; the next look closes its run."""
        return self._poll() is not None

    def _poll(self) -> Ended | None:
        """How the trainer ended, None while it lives; kept, since a code is told only once."""
        if self._ended is None and self._process is not None:
            self._ended = self._launcher.poll(self._process)
        return self._ended

    def look(self) -> bool:
        """One look; True once the run is over and closed, or another worker's."""
        try:
            return self._look()
        except RunLost:
            self._let_go()
            return True

    def _look(self) -> bool:
        self._length_at_look = _length(self.watched.files.events)
        self._is_behind = False
        # Polled before reading: whatever a trainer wrote before it ended is then in the files.
        ended = self._poll()
        try:
            if ended is None:
                self._obey_requests()
            more = self._record_events() | self._record_log()
            if ended is None:
                self._judge_alarms()
            if ended is None:
                self._stop_if_it_does_not()
                return False
            while more:
                more = self._record_events() | self._record_log()
            self._report_torn_end()
        except RunLost:
            raise
        except Exception as error:
            if ended is None:  # whatever cannot be read or written, who was told to stop does
                self._stop_if_it_does_not()
                raise
            if not self._gives_up(error):
                raise
        self._write_alarms(self._alarms.end_all())
        close_run(
            self._database,
            self._settings,
            self.watched,
            ended,
            worker_id=self._worker_id,
            used_force=self._stop.used_force,
        )
        return True

    def _gives_up(self, error: Exception) -> bool:
        """Whether the run is closed without the rest of its files; told then."""
        if not isinstance(error, OSError):
            return False
        if self._unreadable_since is None:
            self._unreadable_since = self._clock()
        if self._clock() - self._unreadable_since < UNREADABLE_SECONDS:
            return False
        fault = Problem(
            "run_unreadable",
            f"The files of this run cannot be read: {error}.",
            "See to the disk or to the rights of the folder. What the trainer said last is not "
            "known here; checkpoints that are in its folder are whole.",
            severity=Severity.WARNING,
            params={"folder": str(self.watched.files.path)},
        )
        with self._database.write() as session:
            self._report(self._own_run(session), fault)
        return True

    def _let_go(self) -> None:
        """A trainer of a run that is over for everybody else has nobody who watches it."""
        log_lost(self.watched)
        with self._database.read() as session:
            goes_on = is_open(session, self.watched.run_id)
        if self._process is not None and self._poll() is None and not goes_on:
            self._launcher.kill(self._process)

    def _own_run(self, session: Session) -> Run:
        return own_run(session, self.watched.run_id, self._worker_id)

    def _obey_requests(self) -> None:
        """Write what the API asked for into the run's command file."""
        with self._database.read() as session:
            has_finished = self._own_run(session).finish is not None
            job = session.get_one(Job, self.watched.job_id)
            status, stop_requested = job.status, job.stop_requested_at is not None
            waiting = list(
                session.execute(
                    select(CommandRequest.id, CommandRequest.command, CommandRequest.settings)
                    .where(CommandRequest.job_id == job.id, CommandRequest.given_at.is_(None))
                    .order_by(CommandRequest.id)
                )
            )
        if status == JobStatus.STOPPING:
            self._count_on_a_stop_given_before()
        elif stop_requested or has_finished:  # which has nothing left to do but to end
            # Before anything is written: on a full disk the patience counts all the same, and the
            # signal after it is a stop that saves.
            self._stop.ask()
        is_to_tell = stop_requested and status != JobStatus.STOPPING
        try:
            for request_id, command, settings in waiting:
                self._pass_on(request_id, command, settings)
        except OSError:
            if is_to_tell:
                self._tell_to_stop(status)
            raise
        if is_to_tell:
            self._tell_to_stop(status)

    def _pass_on(
        self, request_id: int, command: CommandName, settings: dict[str, Any] | None
    ) -> None:
        number = self._give(command, settings)
        with self._database.write() as session:
            self._own_run(session)
            request = session.get_one(CommandRequest, request_id)
            request.given_at, request.number = now(), number

    def _tell_to_stop(self, status: JobStatus) -> None:
        # A worker that dies between the two gives the command twice, which is harmless.
        self._give("stop")
        with self._database.write() as session:
            self._own_run(session)
            move(
                session,
                self.watched.job_id,
                from_status=status,
                to_status=JobStatus.STOPPING,
                reason="a stop was asked for",
            )

    def _count_on_a_stop_given_before(self) -> None:
        """The worker before this one gave the command, and may have heard the answer as well."""
        if self._stop.is_asked:
            return
        taken = stop_was_taken(self.watched.files.events, self.watched.token)
        self._stop.ask(was_taken=taken)

    def _give(self, command: CommandName, settings: dict[str, Any] | None = None) -> int:
        return append_command(self.watched.files.commands, command, settings).seq

    def _record_events(self) -> bool:
        """Record one window of the event file; whether there was something in it."""
        offset, length = self._events_offset, _length(self.watched.files.events)
        if length <= offset:
            return False
        lines, end = read_lines(self.watched.files.events, offset)
        if end == offset:
            return False
        self._is_behind |= end < length
        event_lines = copy(self._event_lines)  # a window whose commit fails is read again
        found, faults = event_lines.parse(lines)
        with self._database.write() as session:
            run = self._own_run(session)
            job = session.get_one(Job, self.watched.job_id)
            if run.events_offset != offset:  # another worker has read on meanwhile
                self._events_offset = run.events_offset
                return True
            faults += record_events(Place(session, job, run, self.watched.folder), found)
            for fault in faults:
                self._report(run, fault)
            run.events_offset = end
            notice_events(session, self._settings, job, found)
            announce_job(session, job.id)
        self._events_offset, self._event_lines = end, event_lines
        self._stop.hear(found)
        self._alarms.hear(found)
        for event in found:
            if isinstance(event, Sample):
                self._on_picture(self.watched.folder.path / event.path)
        return True

    def _with_what_is_known(self, settings: Settings) -> RunAlarms:
        """The run's alarms, with what an earlier watch of it has raised and measured."""
        with self._database.read() as session:
            run = session.get_one(Run, self.watched.run_id)
            self._events_offset, self._log_offset = run.events_offset, run.log_offset
            of_run = (Metric.job_id == run.job_id, Metric.run_id == run.id)
            steps = session.scalars(
                select(Metric.step_seconds).where(*of_run).order_by(Metric.step)
            ).all()
            return RunAlarms(
                stall_seconds=settings.stall_seconds,
                low_disk_bytes=settings.low_disk_gib * 2**30,
                clock=self._clock,
                active=active_alarms(run),
                step_seconds=steps,
            )

    def _judge_alarms(self) -> None:
        """Raise and end alarms, once a second."""
        if self._clock() < self._next_judgement:
            return
        self._next_judgement = self._clock() + SECONDS_BETWEEN_JUDGEMENTS
        with self._database.read() as session:
            run = self._own_run(session)
        changes = self._alarms.judge(
            phase=run.phase,
            step=run.last_step or 0,
            disks_free_bytes=disks_free_bytes(self._settings.output_dir, self._settings.cache_dir),
            look=lambda: read_machine(run.device),
        )
        self._write_alarms(changes)

    def _write_alarms(self, changes: list[Change]) -> None:
        if not changes:
            return
        with self._database.write() as session:
            run = self._own_run(session)
            job = session.get_one(Job, self.watched.job_id)
            write_changes(session, self._settings, job, run, changes)

    def _report(self, run: Run, fault: Problem) -> None:
        """Keep the first fault of its kind with the run; a thousand more say nothing new."""
        if all(known["code"] != fault.code for known in run.problems):
            log.warning("job %d, run %d: %s", run.job_id, run.number, fault)
            add_problem(run, fault)

    def _report_torn_end(self) -> None:
        """Tell of a last line that nobody will end any more."""
        fault = torn_end(self.watched.files.events, self._events_offset)
        if fault is not None:
            with self._database.write() as session:
                self._report(self._own_run(session), fault)

    def _record_log(self) -> bool:
        """Pass new lines of the log on; whether there were any."""
        offset = self._log_offset
        if _length(self.watched.files.log) <= offset:
            return False
        lines, end = lines_from(self.watched.files.log, offset, LOG_LINES_IN_ONE_EVENT)
        if end == offset:
            return False
        self._is_behind |= len(lines) >= LOG_LINES_IN_ONE_EVENT
        with self._database.write() as session:
            run = self._own_run(session)
            if run.log_offset != offset:
                self._log_offset = run.log_offset
                return True
            run.log_offset = end
            data = {"job_id": self.watched.job_id, "lines": lines}
            announce(session, "log", self.watched.job_id, data)
        self._log_offset = end
        return True

    def _stop_if_it_does_not(self) -> None:
        assert self._process is not None
        measure = self._stop.measure()
        if measure is Measure.TERMINATE:
            log.warning("job %d does not end; terminating it", self.watched.job_id)
            self._launcher.terminate(self._process)
        elif measure is Measure.KILL:
            log.warning("job %d still does not end; killing it", self.watched.job_id)
            self._launcher.kill(self._process)


def log_lost(watched: Watched) -> None:
    """Say once that somebody else has the run."""
    log.warning(
        "job %d, run %d: another worker has it; letting go", watched.job_id, watched.files.number
    )


def _length(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
