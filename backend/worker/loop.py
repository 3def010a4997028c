"""The worker's turn: beat, take over, look, delete, start. It can be killed at any point of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError

from backend.artifacts.thumbnails import ThumbnailsAhead
from backend.db.engine import CommitWatch, Database
from backend.hooks.sender import HookSender
from backend.launchers.launcher import Launcher, TrainerProcess
from backend.settings import Settings
from backend.system.devices import list_devices
from backend.system.schemas import DeviceEntry
from backend.system.workers import Heartbeats
from backend.worker.claim import Claim, claim_next, free_devices
from backend.worker.close import close_unstarted
from backend.worker.deletions import Deletions
from backend.worker.ending import Ending
from backend.worker.fence import RunLost
from backend.worker.launch import launch
from backend.worker.presence import Presence
from backend.worker.recovery import FolderLocks, take_over
from backend.worker.watch import RunWatch, Watched, log_lost
from trainer.errors import BadCheckpoint, JobRefused
from trainer.job_folder import JobFolder

log = logging.getLogger(__name__)

GLANCE_SECONDS = 0.04  # between two glances at the trainers' files
SHORTEST_WAIT_SECONDS = 0.08  # a trainer that writes all the time must not keep the worker busy
POLLS_BETWEEN_TURNS = 4  # when nothing happens; moments to start at are met to the second
TROUBLE_SECONDS = 5.0  # until a run that could not be looked at is looked at again


class Worker:
    """Starts the waiting jobs and watches the running ones, one on each device."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        launcher: Launcher,
        *,
        clock: Callable[[], float] = time.monotonic,
        ask_devices: Callable[[], list[DeviceEntry]] = list_devices,
    ) -> None:
        self._settings = settings
        self._database = database
        self._launcher = launcher
        self._clock = clock
        self._deletions = Deletions(database, settings, clock=clock)
        self._presence = Presence(database, settings, clock, ask_devices)
        self._heartbeats = Heartbeats(clock)
        self._folder_locks = FolderLocks(clock)
        self._thumbnails = ThumbnailsAhead(settings.cache_dir)
        self._watches: list[RunWatch] = []
        self._look_again: dict[int, float] = {}

    def run(self, ending: Ending) -> None:
        """Take turns until `ending` is set; the trainers go on."""
        while not self._could(self.sign_on):
            if ending.wait(self._settings.worker_poll_seconds):
                return
        log.info("worker %s ready on %s", self._presence.identity.worker_id, self._device_names())
        hooks = HookSender(self._settings, self._database)
        hooks.start()
        self._thumbnails.start()
        commits = CommitWatch(self._database)
        while not ending.is_set():
            if self._could(self.turn):
                commits.settle(commits.version())  # its own commits are no news to it
            self._wait(ending, commits)
        commits.close()
        hooks.end()
        self._thumbnails.end()
        self._could(self.sign_off)  # its process id says the same, only later

    def _could(self, deed: Callable[[], None]) -> bool:
        """Do it; False where the database, locked by a copy or on a full disk, did not let us."""
        try:
            deed()
        except OperationalError as error:  # it passes
            log.warning("the database cannot be used just now: %s", error.orig)
            return False
        return True

    def sign_on(self) -> None:
        """Say that the worker is there; before its first turn."""
        self._presence.sign_on()

    def sign_off(self) -> None:
        """Say that it is gone; whoever comes next takes its runs over."""
        self._presence.sign_off()

    def _wait(self, ending: Ending, commits: CommitWatch) -> None:
        """Until the next turn, or until there is something to do in it.

        A turn asks the database half a dozen questions; a glance at the length of a trainer's file
        and at the database's own count of commits costs a hundredth of that. So turns are seldom,
        and a step, a request or an end is seen at once all the same.
        """
        poll_seconds = self._settings.worker_poll_seconds
        began = looked = time.monotonic()
        while not ending.wait(min(poll_seconds, GLANCE_SECONDS)):
            now = time.monotonic()
            if now - began >= poll_seconds * POLLS_BETWEEN_TURNS:
                return
            if now - began < SHORTEST_WAIT_SECONDS:
                continue
            if commits.has_changed() or any(map(self._has_news, self._watches)):
                return
            if now - looked >= poll_seconds:
                looked = now
                if any(watch.has_ended() for watch in self._watches):
                    return

    def turn(self) -> None:
        """Everything there is to do now."""
        self._presence.beat()
        for watched, process in self._taken_over():
            self._watch(watched, process)
        for watch in list(self._watches):
            if self._is_over(watch):
                self._watches.remove(watch)
        self._deletions.carry_out()
        for device in self._devices_to_start_on():
            self._start_next(device)

    def _has_news(self, watch: RunWatch) -> bool:
        is_in_trouble = self._clock() < self._look_again.get(watch.watched.run_id, 0.0)
        return not is_in_trouble and watch.has_news()

    def _taken_over(self) -> list[tuple[Watched, TrainerProcess | None]]:
        return take_over(
            self._database,
            self._launcher,
            self._settings,
            self._presence.identity,
            self._heartbeats,
            self._folder_locks,
            except_runs={watch.watched.run_id for watch in self._watches},
        )

    def _watch(self, watched: Watched, process: TrainerProcess | None) -> None:
        watch = RunWatch(
            self._database,
            self._launcher,
            self._settings,
            watched,
            process,
            worker_id=self._presence.identity.worker_id,
            clock=self._clock,
            on_picture=self._thumbnails.tell,
        )
        self._watches.append(watch)

    def _is_over(self, watch: RunWatch) -> bool:
        if self._clock() < self._look_again.get(watch.watched.run_id, 0.0):
            return False
        try:
            return watch.look()
        except Exception:
            # A full disk, a folder that went away, a mistake of ours: one run's trouble must not
            # stop the others, and its trainer goes on meanwhile.
            log.exception("job %d cannot be watched just now", watch.watched.job_id)
            self._look_again[watch.watched.run_id] = self._clock() + TROUBLE_SECONDS
            return False

    def _devices_to_start_on(self) -> list[str]:
        presence = self._presence
        with self._database.read() as session:
            return free_devices(
                session,
                presence.identity,
                devices=presence.device_ids,
                has_gpus=presence.has_gpus,
            )

    def _start_next(self, device: str) -> None:
        with self._database.write() as session:
            claim = claim_next(
                session,
                self._settings,
                self._presence.identity,
                device=device,
                has_gpus=self._presence.has_gpus,
            )
        if claim is None:
            return
        watched = _watched(self._settings, claim)
        try:
            process = self._launched(watched, claim)
        except RunLost:
            log_lost(watched)
            return
        if process is not None:
            log.info("started job %d (%s) on %s", claim.job_id, claim.training_name, device)
            self._watch(watched, process)

    def _launched(self, watched: Watched, claim: Claim) -> TrainerProcess | None:
        """The trainer; None where it could not be started, with its run closed. Raises RunLost."""
        worker_id = self._presence.identity.worker_id
        try:
            return launch(
                self._database, self._launcher, self._settings, claim, worker_id=worker_id
            )
        except (OSError, JobRefused, BadCheckpoint) as error:  # or a config of an older version
            log.error("job %d cannot be started: %s", claim.job_id, error)
            fault: Exception = error
        except (RunLost, OperationalError):
            raise
        except Exception as error:
            # A mistake of ours that one job brings out must not stop the others.
            log.exception("job %d cannot be started", claim.job_id)
            fault = error
        close_unstarted(self._database, self._settings, watched, fault, worker_id=worker_id)
        return None

    def _device_names(self) -> str:
        return ", ".join(self._presence.device_ids)


def _watched(settings: Settings, claim: Claim) -> Watched:
    folder = JobFolder(settings.output_dir, claim.training_name)
    return Watched(claim.job_id, claim.run_id, claim.token, folder, folder.run(claim.run_number))
