"""Several cards: runs side by side, one lease each, cards that go away, two workers at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import Job, JobMove, Lease, Run
from backend.jobs import queries, service
from backend.jobs.status import JobStatus
from backend.launchers.processes import machine_id
from backend.settings import Settings
from backend.system.schemas import DeviceEntry
from backend.system.workers import LONGEST_LOOK_SECONDS, WORKER_SILENCE_SECONDS
from backend.worker.claim import Claim, Identity, claim_next, free_devices
from backend.worker.loop import Worker
from backend.worker.presence import BEAT_SECONDS
from tests.backend.installation import job_config
from tests.backend.queue.puppets import Puppeteer, device
from tests.backend.worker.worker_rows import ANOTHER_BOOT, ANOTHER_CONTAINER, worker_row

A, B = "GPU-aaaa", "GPU-bbbb"


@dataclass
class Machine:
    """Cards that can be taken out, a clock that is moved by hand, and workers."""

    settings: Settings
    database: Database
    cards: list[str] = field(default_factory=lambda: [A, B])
    bytes_of: dict[str, int] = field(default_factory=dict)
    puppeteer: Puppeteer = field(default_factory=Puppeteer)
    seconds: float = 0.0

    def worker(self) -> Worker:
        worker = Worker(
            self.settings,
            self.database,
            self.puppeteer,
            clock=lambda: self.seconds,
            ask_devices=lambda: [self._device(name) for name in [*self.cards, "cpu"]],
        )
        worker.sign_on()
        return worker

    def _device(self, name: str) -> DeviceEntry:
        found = device(name)
        total = self.bytes_of.get(name, found.memory_total_bytes)
        return found.model_copy(update={"memory_total_bytes": total})

    def queue(self, name: str, gpu: str, **panels: dict[str, Any]) -> int:
        config = job_config(name, job={"gpu": gpu}, **panels)
        return service.create_job(self.database, self.settings, config, queue=True).id

    def where(self) -> dict[str, str]:
        """Device by training name of what runs."""
        return {puppet.training_name: puppet.device for puppet in self.puppeteer.living}

    def statuses(self) -> dict[str, str]:
        with self.database.read() as session:
            jobs = session.scalars(select(Job).order_by(Job.id))
            return {job.training_name: job.status.value for job in jobs}

    def end(self, name: str, outcome: Any = "completed") -> None:
        (puppet,) = [p for p in self.puppeteer.living if p.training_name == name]
        puppet.finish(outcome)


@pytest.fixture
def machine(settings: Settings, database: Database) -> Iterator[Machine]:
    machine = Machine(settings, database)
    yield machine
    for puppet in machine.puppeteer.living:
        puppet.end(0)


def test_two_cards_train_two_jobs_and_the_third_takes_the_first_that_is_free(
    machine: Machine,
) -> None:
    worker = machine.worker()
    for name in ("one", "two", "three"):
        machine.queue(name, "any")
    worker.turn()
    assert machine.where() == {"one": A, "two": B}
    machine.end("two")
    worker.turn()
    assert machine.where() == {"one": A, "three": B}


def test_a_job_for_one_card_waits_for_it_and_lets_others_pass(machine: Machine) -> None:
    worker = machine.worker()
    machine.queue("first", A)
    machine.queue("patient", A)
    machine.queue("other", B)
    machine.queue("on-the-CPU", "cpu")
    worker.turn()
    assert machine.where() == {"first": A, "other": B, "on-the-CPU": "cpu"}
    machine.end("other")
    worker.turn()
    assert "patient" not in machine.where(), "a free card of another UUID is not its card"
    machine.end("first")
    worker.turn()
    assert machine.where()["patient"] == A


def test_a_job_for_any_card_waits_for_one_that_it_fits_and_lets_others_pass(
    machine: Machine,
) -> None:
    """The trainer would turn it away from the other one, and the job would have failed."""
    machine.bytes_of = {A: 256 << 20}  # less than CUDA itself takes
    worker = machine.worker()
    insists = {"advanced": {"memory_plan": "go_on"}}
    machine.queue("first", "any")
    machine.queue("second", "any")
    machine.queue("insists", "any", **insists)
    worker.turn()
    assert machine.where() == {"first": B, "insists": A}
    machine.end("insists")
    worker.turn()
    assert machine.where() == {"first": B}, "A is free, but too small"
    with machine.database.read() as session:
        second = session.scalars(select(Job).where(Job.training_name == "second")).one()
        shown = queries.read_job(session, machine.settings, second.id)
    assert (shown.waits_for, shown.too_small_devices) == ("larger_device", [A])
    machine.end("first")
    worker.turn()
    assert machine.where() == {"second": B}


def test_any_means_the_cpu_only_where_there_never_was_a_card(machine: Machine) -> None:
    worker = machine.worker()
    machine.queue("one", "any")
    machine.cards = []
    machine.seconds += BEAT_SECONDS
    worker.turn()
    assert machine.where() == {}, "the driver lost the cards: the job waits for them"
    machine.worker().turn()
    assert machine.where() == {"one": "cpu"}, "a worker that starts without cards has none"


def test_a_machine_that_has_trained_on_a_card_waits_for_it_after_a_restart_too(
    machine: Machine,
) -> None:
    worker = machine.worker()
    machine.queue("one", "any")
    worker.turn()
    pinned = machine.queue("pinned", A)
    worker.sign_off()
    machine.end("one")
    machine.cards = []
    worker = machine.worker()
    flexible = machine.queue("flexible", "any")
    machine.queue("way-out", "cpu")
    worker.turn()
    assert machine.where() == {"way-out": "cpu"}
    with machine.database.read() as session:
        shown = [queries.read_job(session, machine.settings, each) for each in (flexible, pinned)]
    assert [job.waits_for for job in shown] == ["card", "card"]
    machine.cards = [A]
    machine.seconds += BEAT_SECONDS
    worker.turn()
    assert machine.where() == {"way-out": "cpu", "pinned": A}
    with machine.database.read() as session:
        assert queries.read_job(session, machine.settings, flexible).waits_for == "device"


def test_a_trainer_sees_no_card_but_its_own(machine: Machine) -> None:
    environments = {gpu: machine.settings.trainer_environment(gpu) for gpu in (A, "cpu")}
    assert environments[A]["CUDA_VISIBLE_DEVICES"] == A
    assert environments["cpu"]["CUDA_VISIBLE_DEVICES"] == ""


def test_a_card_that_vanishes_starts_nothing_and_its_run_is_still_watched(
    machine: Machine,
) -> None:
    worker = machine.worker()
    machine.queue("runs", B)
    worker.turn()
    machine.queue("waits", B)
    machine.queue("flexible", "any")
    machine.cards = [A]
    machine.seconds += BEAT_SECONDS
    worker.turn()
    assert machine.where() == {"runs": B, "flexible": A}
    machine.end("runs", "failed")
    worker.turn()
    assert machine.statuses() == {"runs": "failed", "waits": "queued", "flexible": "running"}
    machine.cards = [B, A]  # it is back, and in another place: the UUID counts, not the number
    machine.seconds += BEAT_SECONDS
    worker.turn()
    assert machine.where() == {"flexible": A, "waits": B}


def test_a_new_worker_takes_over_the_runs_of_both_cards(machine: Machine) -> None:
    before = machine.worker()
    one, two = machine.queue("one", "any"), machine.queue("two", "any")
    before.turn()
    before.sign_off()
    after = machine.worker()
    machine.end("two")
    after.turn()
    assert machine.where() == {"one": A}
    assert machine.statuses() == {"one": "running", "two": "completed"}
    with machine.database.read() as session:
        assert session.scalars(select(Lease.device)).all() == [A]
        assert {run.job_id for run in session.scalars(select(Run))} == {one, two}


def test_two_workers_on_one_machine_share_its_cards_without_a_double(machine: Machine) -> None:
    workers = [machine.worker(), machine.worker()]
    for number in range(6):
        machine.queue(f"job-{number}", "any")
    started: list[str] = []
    for turn in range(9):
        workers[turn % 2].turn()
        running = machine.where()
        assert len(running) == len(set(running.values())) <= 2
        started += [name for name in running if name not in started]
        for name in running:
            machine.end(name)
        workers[(turn + 1) % 2].turn()
        workers[turn % 2].turn()
    assert started == [f"job-{number}" for number in range(6)]
    assert set(machine.statuses().values()) == {"completed"}
    assert len(machine.puppeteer.of_token) == 6, "each was started once"


def test_of_many_claims_at_once_each_device_gets_one_and_no_job_is_taken_twice(
    machine: Machine,
) -> None:
    """Threads with connections of their own, as processes have them."""
    devices = [f"GPU-{number:04x}" for number in range(4)]
    for number in range(6):
        machine.queue(f"job-{number}", "any")
    claims: list[Claim] = []
    ready = threading.Barrier(8)

    def claim_all(number: int) -> None:
        database = Database(machine.settings.database_url)
        who = Identity(f"worker-{number}", "host", "machine")
        ready.wait()
        for name in devices:
            with database.write() as session:
                claim = claim_next(session, machine.settings, who, device=name, has_gpus=True)
            if claim is not None:
                claims.append(claim)
        database.close()

    threads = [threading.Thread(target=claim_all, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim.device for claim in claims) == devices
    assert sorted(claim.training_name for claim in claims) == [f"job-{n}" for n in range(4)]
    with machine.database.read() as session:
        starts = select(JobMove.job_id).where(JobMove.to_status == JobStatus.STARTING)
        assert len(session.scalars(starts).all()) == 4


def test_the_same_card_of_two_machines_is_two_cards(machine: Machine) -> None:
    """A UUID is one card of the world, but `cpu` is in every machine."""
    for name in ("here", "there"):
        machine.queue(name, "cpu")
    for host in ("one", "two"):
        with machine.database.write() as session:
            who = Identity(f"worker on {host}", host, f"machine {host}")
            claim = claim_next(session, machine.settings, who, device="cpu", has_gpus=True)
        assert claim is not None
    assert machine.statuses() == {"here": "starting", "there": "starting"}


def test_two_containers_of_one_machine_lease_its_devices_once(machine: Machine) -> None:
    """Each has process ids of its own, but there is one card, and one CPU."""
    for name in ("one", "two"):
        machine.queue(f"{name}-card", A)
        machine.queue(f"{name}-cpu", "cpu")

    def claimed(who: Identity, devices: list[str]) -> list[str]:
        with machine.database.write() as session:
            claims = [
                claim_next(session, machine.settings, who, device=device, has_gpus=True)
                for device in devices
            ]
        return [claim.device for claim in claims if claim is not None]

    here = Identity("worker here", "one", machine_id())
    there = Identity("worker there", "two", ANOTHER_CONTAINER)
    elsewhere = Identity("worker elsewhere", "three", ANOTHER_BOOT)
    assert claimed(here, [A]) == [A]
    with machine.database.read() as session:
        free = free_devices(session, there, devices=[A, "cpu"], has_gpus=True)
    assert free == ["cpu"]
    assert claimed(there, [A, "cpu"]) == ["cpu"]
    assert claimed(here, [A, "cpu"]) == []
    assert claimed(elsewhere, ["cpu"]) == ["cpu"], "another machine has a CPU of its own"


def test_a_lease_of_another_container_goes_when_its_silent_worker_is_taken_over(
    machine: Machine,
) -> None:
    machine.queue("first", A)
    machine.queue("second", A)
    there = Identity("there", "two", ANOTHER_CONTAINER)
    with machine.database.write() as session:
        session.add(worker_row("there", machine=ANOTHER_CONTAINER, host="two"))
        assert claim_next(session, machine.settings, there, device=A, has_gpus=True)
    worker = machine.worker()
    worker.turn()
    assert machine.where() == {}, "its process id says nothing here, and its heartbeat is fresh"
    for _ in range(int(WORKER_SILENCE_SECONDS / LONGEST_LOOK_SECONDS) + 1):
        machine.seconds += LONGEST_LOOK_SECONDS
        worker.turn()
    assert list(machine.where().values()) == [A]
