"""The real queue and a simple model of it, through the same random days.

Jobs are made, changed, queued, moved, stopped, deleted and taken back; two workers take turns, are
replaced, and start jobs on two cards and the CPU; trainers begin, finish, crash and vanish. After
each deed both must say the same: which jobs there are, where each stands, in which order they wait
and who is on which device; and every state was reached by legal moves, each with its row.

What a person does goes through the service's functions, on a real database file; the workers are
real; only trainers are puppets. `make test-full` plays many more days; QUEUE_MODEL_DAYS says how
many.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.db.models import Job, JobMove, Lease, Run
from backend.errors import Refused
from backend.jobs import queries, service, waiting
from backend.jobs.job_filter import JobFilter
from backend.jobs.order import JobOrder
from backend.jobs.schemas import JobToQueue
from backend.jobs.status import LEGAL_MOVES, JobStatus
from backend.trash import deletion
from backend.trash import service as trash
from backend.worker.loop import Worker
from tests.backend.installation import job_config, make_dataset, settings_in
from tests.backend.queue.puppets import Puppet, Puppeteer, device
from tests.backend.queue.queue_model import ACTIVE, DEVICES, ENDS, Queue
from tests.backend.queue.queue_model import Job as ModelJob

NAMES = ("anna", "bela", "carl", "dora")
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
# In a place of its own for all examples; a copy of it makes each example's database.
_INSTALLATION: dict[str, Path] = {}


@pytest.fixture(scope="module", autouse=True)
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("queue")
    settings = settings_in(folder)
    migrate(settings)
    make_dataset(settings.datasets_dir / "shapes")
    _INSTALLATION["folder"] = folder
    yield
    _INSTALLATION.clear()


def which(number: int, choices: list[Any]) -> Any:
    """One of what there is; a number from hypothesis says which."""
    return choices[number % len(choices)]


pick = st.integers(0, 1000)


class QueueMachine(RuleBasedStateMachine):
    """Deeds that are done to both."""

    def __init__(self) -> None:
        super().__init__()
        prepared = _INSTALLATION["folder"]
        self.folder = Path(tempfile.mkdtemp(dir=prepared))
        shutil.copy(prepared / "darkroom.db", self.folder)
        self.settings = settings_in(
            self.folder, datasets_dir=prepared / "datasets", cache_dir=prepared / "cache"
        )
        self.settings.output_dir.mkdir()
        self.database = Database(self.settings.database_url)
        self.puppeteer = Puppeteer()
        self.model = Queue()
        self.gone: set[int] = set()
        self.workers: dict[int, Worker] = {}
        self.num_workers = 0

    def teardown(self) -> None:
        for puppet in self.puppeteer.living:
            puppet.end(0)
        self.database.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        for _ in range(2):
            self.add_worker()

    def add_worker(self) -> None:
        worker = Worker(
            self.settings,
            self.database,
            self.puppeteer,
            clock=lambda: 0.0,
            ask_devices=lambda: [device(name) for name in DEVICES],
        )
        worker.sign_on()
        self.workers[self.num_workers] = worker
        self.num_workers += 1

    @contextmanager
    def refused_unless(self, is_possible: bool) -> Iterator[None]:
        """The real queue refuses exactly what the model does."""
        try:
            yield
        except Refused:
            assert not is_possible, "refused, and the model sees no reason"
        else:
            assert is_possible, "done, and the model sees a reason against it"

    def some_job(self, number: int) -> tuple[int, ModelJob]:
        job_id = which(number, sorted(self.model.jobs))
        return job_id, self.model.jobs[job_id]

    # What a person does.

    @rule(
        name=st.sampled_from(NAMES),
        gpu=st.sampled_from(("any", *DEVICES)),
        resumes=st.booleans(),
        queue=st.booleans(),
    )
    def create(self, name: str, gpu: str, resumes: bool, queue: bool) -> None:
        panel = {"gpu": gpu, "resume_after_interruption": resumes}
        config = job_config(name, job=panel)
        with self.refused_unless(not self.model.has_name(name)):
            job = service.create_job(self.database, self.settings, config, queue=queue)
            self.model.jobs[job.id] = ModelJob(name, gpu, resumes)
            if queue:
                self.model.enqueue(job.id)

    @precondition(lambda self: self.model.jobs)
    @rule(number=pick, name=st.sampled_from(NAMES), gpu=st.sampled_from(("any", *DEVICES)))
    def change(self, number: int, name: str, gpu: str) -> None:
        job_id, job = self.some_job(number)
        is_own = name == job.name
        may = job.status in ("draft", *ENDS) and (
            is_own or not (self.model.has_name(name) or job.runs)
        )
        panel = {"gpu": gpu, "resume_after_interruption": job.resumes}
        with self.refused_unless(may):
            config = job_config(name, job=panel)
            service.change_job(self.database, self.settings, job_id, config)
            job.name, job.gpu = name, gpu

    @precondition(lambda self: self.model.jobs)
    @rule(number=pick, priority=st.sampled_from((None, -1, 0, 1)))
    def queue(self, number: int, priority: int | None) -> None:
        job_id, job = self.some_job(number)
        with self.refused_unless(job.status in ("draft", *ENDS)):
            how = JobToQueue() if priority is None else JobToQueue(priority=priority)
            service.queue_job(self.database, self.settings, job_id, how)
            job.priority = job.priority if priority is None else priority
            self.model.enqueue(job_id)

    @precondition(lambda self: self.model.jobs)
    @rule(number=pick)
    def stop(self, number: int) -> None:
        job_id, _ = self.some_job(number)
        with self.refused_unless(self.model.stop(job_id)):
            service.stop_job(self.database, self.settings, job_id)

    @precondition(lambda self: self.model.jobs)
    @rule(number=pick, priority=st.sampled_from((-1, 0, 1)))
    def give_priority(self, number: int, priority: int) -> None:
        job_id, job = self.some_job(number)
        with self.refused_unless(job.status not in ACTIVE):
            self.change_place(job_id, {"priority": priority})
            job.priority = priority

    @precondition(lambda self: self.model.jobs)
    @rule(number=pick, moment=st.sampled_from((None, PAST, FUTURE)))
    def not_before(self, number: int, moment: datetime | None) -> None:
        job_id, job = self.some_job(number)
        with self.refused_unless(job.status not in ACTIVE):
            self.change_place(job_id, {"not_before": moment})
            job.waits_for_moment = moment == FUTURE

    @precondition(lambda self: self.model.jobs)
    @rule(number=pick, other=pick)
    def run_after(self, number: int, other: int) -> None:
        job_id, job = self.some_job(number)
        first, _ = self.some_job(other)
        may = job.status not in ACTIVE and not self.model.leads_to(first, job_id)
        with self.refused_unless(may):
            self.change_place(job_id, {"run_after_job_id": first})
            job.run_after = first

    def change_place(self, job_id: int, changes: dict[str, Any]) -> None:
        with self.database.write() as session:
            waiting.change_place(session, queries.find_job(session, job_id), changes)

    @precondition(lambda self: self.model.line)
    @rule(number=pick, other=pick, to_end=st.booleans())
    def move(self, number: int, other: int, to_end: bool) -> None:
        job_id = which(number, self.model.order())
        before, _ = (None, None) if to_end else self.some_job(other)
        may = before is None or before in self.model.line
        with self.refused_unless(may), self.database.write() as session:
            job = queries.find_job(session, job_id)
            neighbour = None if before is None else queries.find_job(session, before)
            waiting.move_before(session, job, neighbour)
            self.model.move(job_id, before)

    @rule(which_device=st.sampled_from((*DEVICES, "all")))
    def pause(self, which_device: str) -> None:
        with self.database.write() as session:
            waiting.pause(session, which_device)
        self.model.pauses.add(which_device)

    @precondition(lambda self: self.model.pauses)
    @rule(which_device=st.sampled_from((*DEVICES, "all")))
    def resume(self, which_device: str) -> None:
        with self.database.write() as session:
            waiting.resume(session, which_device)
        self.model.pauses -= {which_device}
        if which_device == "all":
            self.model.pauses.clear()

    @precondition(lambda self: self.model.jobs)
    @rule(number=pick, files=st.booleans())
    def delete(self, number: int, files: bool) -> None:
        job_id, job = self.some_job(number)
        waited_for = deletion.delete_job(self.database, self.settings, job_id, files=files)
        new = self.new_entries()
        if job.status in ACTIVE:
            assert waited_for is not None
            assert not new
            self.model.ask_to_delete(job_id, files=files)
        else:
            assert waited_for is None
            assert self.model.delete(job_id, new.get(job.name, ""), files=files) == bool(new)

    def new_entries(self) -> dict[str, str]:
        """What lies in the trash that the model does not know of: by the job's name."""
        listed = trash.list_trash(self.settings)
        return {one.training_name: one.id for one in listed if one.id not in self.model.trash}

    @precondition(lambda self: self.model.trash)
    @rule(number=pick)
    def restore(self, number: int) -> None:
        entry = which(number, sorted(self.model.trash))
        name = self.model.trash[entry].name
        may = not self.model.has_name(name) and name not in self.model.folders
        with self.refused_unless(may):
            restored = trash.restore(self.database, self.settings, entry)
            self.model.restore(entry, restored.job_id)

    # What workers do.

    @rule(number=pick)
    def turn(self, number: int) -> None:
        worker = which(number, sorted(self.workers))
        self.workers[worker].turn()
        self.model.turn(worker, self.gone, self.new_entries())

    @rule(number=pick)
    def replace_worker(self, number: int) -> None:
        worker = which(number, sorted(self.workers))
        self.workers.pop(worker).sign_off()
        self.gone.add(worker)
        self.add_worker()

    # What trainers do.

    def some_trainer(self, number: int) -> tuple[Puppet, Any]:
        puppet = which(number, self.puppeteer.living)
        runs = [job.runs[-1] for job in self.model.jobs.values() if job.status in ACTIVE]
        (run,) = [run for run in runs if run.is_alive and run.device == puppet.device]
        return puppet, run

    @precondition(lambda self: self.puppeteer.living)
    @rule(number=pick, step=st.sampled_from((0, 0, 50)))
    def take_steps(self, number: int, step: int) -> None:
        puppet, run = self.some_trainer(number)
        if run.first_step is None:
            puppet.begin(step)
            run.first_step = step

    @precondition(lambda self: self.puppeteer.living)
    @rule(number=pick, outcome=st.sampled_from(("completed", "stopped", "failed")))
    def finish(self, number: int, outcome: Any) -> None:
        puppet, run = self.some_trainer(number)
        puppet.finish(outcome)
        run.said, run.is_alive = outcome, False

    @precondition(lambda self: self.puppeteer.living)
    @rule(number=pick, exit_code=st.sampled_from((None, None, 1, -9)))
    def end_without_a_word(self, number: int, exit_code: int | None) -> None:
        puppet, run = self.some_trainer(number)
        puppet.end(exit_code)
        run.exit_code, run.is_alive = exit_code, False

    # What holds at every moment.

    @invariant()
    def both_say_the_same(self) -> None:
        with self.database.read() as session:
            jobs = {job.id: job for job in session.scalars(select(Job))}
            assert jobs.keys() == self.model.jobs.keys(), "no job is lost or doubled"
            for job_id, expected in self.model.jobs.items():
                found = jobs[job_id]
                shown = queries.shown_status(found).value
                assert (found.training_name, shown) == (expected.name, expected.shown)
                assert (found.priority, found.run_after_job_id) == (
                    expected.priority,
                    expected.run_after,
                )
            waiting_jobs = JobFilter(statuses=[JobStatus.QUEUED])
            listed = queries.list_jobs(
                session, wanted=waiting_jobs, order=JobOrder.QUEUE, limit=100, after=None
            )
            assert [job.id for job in listed.items] == self.model.order()

    @invariant()
    def a_device_has_one_run_and_a_run_one_device(self) -> None:
        with self.database.read() as session:
            leases = {lease.device: lease.run_id for lease in session.scalars(select(Lease))}
            open_runs = select(Run).where(Run.status.in_(("starting", "running")))
            runs = {run.device: run.id for run in session.scalars(open_runs)}
            busy = [job for job in self.model.jobs.values() if job.status in ACTIVE]
            assert leases == runs
            assert sorted(leases) == sorted(job.runs[-1].device for job in busy)
        devices = [puppet.device for puppet in self.puppeteer.living]
        assert len(devices) == len(set(devices)), "two trainers on one device"

    @invariant()
    def every_state_was_reached_by_legal_moves(self) -> None:
        with self.database.read() as session:
            at = dict.fromkeys(self.model.jobs, JobStatus.DRAFT)
            for move in session.scalars(select(JobMove).order_by(JobMove.id)):
                if move.job_id not in at:
                    continue
                assert move.from_status == at[move.job_id]
                assert move.to_status in LEGAL_MOVES[move.from_status]
                assert move.reason
                at[move.job_id] = move.to_status
            assert at == {job.id: job.status for job in session.scalars(select(Job))}


QUICK = hypothesis_settings(
    max_examples=8,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
THOROUGH = hypothesis_settings(QUICK, max_examples=400, stateful_step_count=60, derandomize=False)


def test_the_queue_does_what_its_model_does() -> None:
    run_state_machine_as_test(QueueMachine, settings=QUICK)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_queue_does_what_its_model_does_for_many_days() -> None:
    days = int(os.environ.get("QUEUE_MODEL_DAYS", "400"))
    run_state_machine_as_test(
        QueueMachine, settings=hypothesis_settings(THOROUGH, max_examples=days)
    )
