"""Workers that follow one another, or overtake: what each may do with a run, and what ends it."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import Job, JobMove, Run
from backend.jobs.service import create_job, stop_job
from backend.jobs.status import JobStatus
from backend.launchers.launcher import Order, TrainerProcess
from backend.settings import Settings
from backend.system.workers import LONGEST_LOOK_SECONDS, WORKER_SILENCE_SECONDS
from backend.worker.loop import Worker
from tests.backend.installation import job_config
from tests.backend.queue.puppets import Puppet, Puppeteer, device
from trainer.commands import append_command
from trainer.events import CommandTaken, Progress, RunFinished

S = JobStatus


@dataclass
class SlowPuppeteer(Puppeteer):
    """Something else happens while it starts a trainer."""

    meanwhile: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def start(self, order: Order) -> TrainerProcess:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().start(order)


@dataclass
class Stage:
    """A database, a clock that is moved by hand, and workers in several containers."""

    settings: Settings
    database: Database
    puppeteer: SlowPuppeteer = field(default_factory=SlowPuppeteer)
    seconds: float = 0.0

    def worker(self, container: str | None = None) -> Worker:
        worker = Worker(
            self.settings,
            self.database,
            self.puppeteer,
            clock=lambda: self.seconds,
            ask_devices=lambda: [device("cpu")],
        )
        presence = worker._presence
        if container is not None:
            presence.identity = dataclasses.replace(presence.identity, machine=container)
        worker.sign_on()
        return worker

    def others_wait_for_it(self, other: Worker) -> None:
        """A worker is frozen; another sees its heartbeat stand still until it counts as gone."""
        looks = math.ceil(WORKER_SILENCE_SECONDS / LONGEST_LOOK_SECONDS) + 1
        for _ in range(looks):
            other.turn()
            self.seconds += LONGEST_LOOK_SECONDS
        other.turn()

    def queue(self) -> int:
        return create_job(self.database, self.settings, job_config(), queue=True).id

    def job(self) -> Job:
        with self.database.read() as session:
            return session.scalars(select(Job)).one()

    def runs(self) -> list[str]:
        with self.database.read() as session:
            return list(session.scalars(select(Run.status).order_by(Run.number)))

    def puppet(self) -> Puppet:
        (puppet,) = self.puppeteer.living
        return puppet


@pytest.fixture
def stage(settings: Settings, database: Database) -> Iterator[Stage]:
    stage = Stage(settings, database)
    yield stage
    for puppet in stage.puppeteer.living:
        puppet.end(0)


def test_a_run_of_a_dead_container_is_closed_within_ten_seconds(stage: Stage) -> None:
    dead = stage.worker("one")
    stage.queue()
    dead.turn()
    stage.puppet().end(-9)
    newcomer = stage.worker("another")
    started = stage.seconds
    while stage.runs()[0] != "interrupted":
        assert stage.seconds - started < 10
        stage.seconds += 1.0
        newcomer.turn()


def test_a_worker_that_was_frozen_too_long_lets_go_of_what_another_has_closed(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    frozen, other = stage.worker("one"), stage.worker("another")
    job_id = stage.queue()
    frozen.turn()
    stage.puppet().end(-9)
    stage.others_wait_for_it(other)
    assert stage.runs() == ["interrupted", "running"]
    stop_job(stage.database, stage.settings, job_id)
    with caplog.at_level(logging.WARNING):
        frozen.turn()
        frozen.turn()
    assert stage.runs() == ["interrupted", "running"], "the job belongs to the second run"
    assert [record.getMessage() for record in caplog.records] == [
        f"job {job_id}, run 1: another worker has it; letting go"
    ]
    other.turn()
    second = stage.puppet()
    assert '"stop"' in second.files.commands.read_text(), "the stop was not taken from it"
    second.finish("stopped")
    other.turn()
    assert (stage.job().status, stage.runs()) == (S.STOPPED, ["interrupted", "stopped"])


def test_a_trainer_that_was_started_too_late_is_ended(stage: Stage) -> None:
    frozen, other = stage.worker("one"), stage.worker("another")
    stage.queue()

    stage.puppeteer.meanwhile = lambda: stage.others_wait_for_it(other)
    frozen.turn()
    assert stage.runs() == ["interrupted", "running"]
    assert stage.puppet().files.number == 2, "the first run's trainer lives no more"
    stage.puppet().finish("completed")
    other.turn()
    frozen.turn()
    assert stage.job().status == S.COMPLETED


def test_a_trainer_without_a_watch_is_ended_by_the_worker_that_let_go(stage: Stage) -> None:
    frozen = stage.worker()
    stage.queue()
    frozen.turn()
    with stage.database.write() as session:
        session.delete(session.scalars(select(Job)).one())
    frozen.turn()
    assert stage.puppeteer.living == []


def test_a_slow_save_outlives_the_worker_that_heard_the_stop_taken(stage: Stage) -> None:
    first = stage.worker()
    job_id = stage.queue()
    first.turn()
    stop_job(stage.database, stage.settings, job_id)
    first.turn()
    puppet = stage.puppet()
    puppet.say(CommandTaken(command="stop", command_seq=1, step=3))
    first.turn()
    first.sign_off()
    second = stage.worker()
    for done in range(5):
        second.turn()
        stage.seconds += 50
        puppet.say(Progress(phase="save", done=done, total=5))
        second.turn()
        assert puppet.is_alive
    puppet.finish("stopped")
    second.turn()
    assert (stage.job().status, stage.job().error) == (S.STOPPED, None)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_trainer_that_stays_after_its_last_word_is_ended_and_closed_by_it(
    stage: Stage, is_replaced: bool
) -> None:
    worker = stage.worker()
    stage.queue()
    worker.turn()
    puppet = stage.puppet()
    puppet.say(RunFinished(outcome="completed", exit_code=0, step=10))
    worker.turn()
    if is_replaced:
        worker.sign_off()
        worker = stage.worker()
    worker.turn()
    stage.seconds += stage.settings.stop_patience_seconds - 1
    worker.turn()
    assert puppet.is_alive
    stage.seconds += 1
    worker.turn()
    assert not puppet.is_alive
    worker.turn()
    assert (stage.job().status, stage.runs()) == (S.COMPLETED, ["completed"])


def test_a_stop_that_nobody_asked_for_is_an_interruption_and_the_job_goes_on(stage: Stage) -> None:
    worker = stage.worker()
    stage.queue()
    worker.turn()
    stage.puppet().finish("stopped")
    worker.turn()
    assert stage.runs() == ["interrupted", "starting"]
    with stage.database.read() as session:
        ended = session.scalars(select(JobMove).where(JobMove.to_status == S.INTERRUPTED)).one()
    assert ended.reason == "ended by a signal"


@pytest.mark.parametrize("its_file_is_removed", [False, True])
def test_a_stop_that_a_person_wrote_into_the_runs_file_is_a_stop(
    stage: Stage, its_file_is_removed: bool
) -> None:
    worker = stage.worker()
    stage.queue()
    worker.turn()
    puppet = stage.puppet()
    given = append_command(puppet.files.commands, "stop")
    if its_file_is_removed:
        puppet.say(CommandTaken(command="stop", command_seq=given.seq, step=3))
        puppet.files.commands.unlink()
    puppet.finish("stopped")
    worker.turn()
    assert (stage.job().status, stage.runs()) == (S.STOPPED, ["stopped"])
