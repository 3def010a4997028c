"""After a tenth of a run the estimate is within 15 % of what it then still takes.

Whole runs are told to the recorder, event by event with the times of an imagined machine: loads,
encoding, steps of changing lengths, samplings, measurements and saves, up to the moment of the
estimate; the rest of the same run says what is true.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from backend.db.engine import Database
from backend.db.models import Job, Run
from backend.jobs.eta import STEPS_OF_PACE, eta_seconds, mean_step_seconds
from backend.jobs.status import JobStatus
from backend.runs.record import Place, record_events
from backend.settings import Settings
from tests.backend.installation import job_config
from trainer import events
from trainer.config import JobConfig
from trainer.job_folder import JobFolder

STEPS = 1000
NEAR_ENOUGH = 0.15


@dataclass(frozen=True)
class Machine:
    """step: seconds of a step, by a random source and its number. The others: seconds each."""

    step: Callable[[random.Random, int], float]
    sampling: float
    saving: float
    measuring: float
    loading: float = 200.0
    encoding: float = 100.0
    first_step: float = 25.0


MACHINES = {
    "even steps": Machine(lambda _r, _n: 2.0, 60, 8, 30),
    "noisy steps": Machine(lambda r, _n: r.uniform(1.4, 2.6), 60, 8, 30),
    "two sizes of pictures": Machine(lambda r, _n: r.choice([1.0, 1.0, 1.0, 4.0]), 60, 8, 30),
    "samples as long as hundreds of steps": Machine(lambda _r, _n: 0.1, 90, 2, 5),
    "preservation every fifth step": Machine(lambda _r, n: 5.0 if n % 5 == 0 else 1.0, 40, 8, 30),
    "slow saves": Machine(lambda _r, _n: 0.5, 10, 60, 5),
    "one step in which the machine slept": Machine(
        lambda _r, n: 1800.0 if n == 60 else 2.0, 30, 8, 30
    ),
}


def config() -> JobConfig:
    return JobConfig.model_validate(
        job_config(
            training={"steps": STEPS},
            save={"save_every": 50},
            sample={"sample_every": 100},
            advanced={"validation": "held_out", "validate_every": 50},
        )
    )


def run_of(machine: Machine, *, first: int, start: float) -> Iterator[events.AnyEvent]:
    """Every event of a run that begins at step `first`, with the machine's times."""
    source = random.Random(7)
    at = start

    def phase(name: events.Phase, seconds: float) -> Iterator[events.AnyEvent]:
        nonlocal at
        yield events.PhaseStarted(time=at, phase=name)
        at += seconds * source.uniform(0.9, 1.1)

    yield from phase("load", 1)
    yield events.RunBegins(time=at, resumed_from_step=first or None)
    yield from phase("encode", machine.encoding)
    yield from phase("load", machine.loading)
    yield events.PhaseStarted(time=at, phase="train")
    if first == 0:
        yield from phase("sample", machine.sampling)
        yield from phase("validate", machine.measuring)
        yield events.PhaseStarted(time=at, phase="train")
    for number in range(first + 1, STEPS + 1):
        seconds = machine.step(source, number)
        seconds += machine.first_step if number == first + 1 else 0.0
        at += seconds
        yield events.Step(
            time=at, step=number, loss=1, objective=1, learning_rate=1, gradient_norm=1,
            step_seconds=seconds,
        )  # fmt: skip
        if number % 50 == 0:
            yield from phase("validate", machine.measuring)
            yield events.PhaseStarted(time=at, phase="train")
            yield from phase("save", machine.saving)
            yield events.PhaseStarted(time=at, phase="train")
        if number % 100 == 0:
            yield from phase("sample", machine.sampling)
            yield events.PhaseStarted(time=at, phase="train")


def tell(
    database: Database, settings: Settings, run: list[events.AnyEvent], *, number: int, until: int
) -> float:
    """Record a run up to the event of step `until`; its time."""
    end = next(
        index for index, e in enumerate(run) if isinstance(e, events.Step) and e.step == until
    )
    with database.write() as session:
        job = session.get_one(Job, 1)
        row = Run(job_id=1, number=number, token="t", worker_id="w", host="h", device="cpu")
        session.add(row)
        session.flush()
        place = Place(session, job, row, JobFolder(settings.output_dir, "style"))
        assert record_events(place, run[: end + 1]) == []
    return run[end].time


def estimate(database: Database) -> float:
    with database.read() as session:
        seconds = eta_seconds(session.get_one(Job, 1), config())
    assert seconds is not None
    return seconds


@pytest.fixture(autouse=True)
def job(database: Database) -> None:
    data = config().model_dump(mode="json")
    with database.write() as session:
        session.add(Job(training_name="style", config=data, status=JobStatus.RUNNING))


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_after_a_tenth_of_a_run_the_estimate_is_near(
    database: Database, settings: Settings, machine: Machine
) -> None:
    run = list(run_of(machine, first=0, start=1000.0))
    now = tell(database, settings, run, number=1, until=STEPS // 10)
    assert estimate(database) == pytest.approx(run[-1].time - now, rel=NEAR_ENOUGH)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_after_a_tenth_of_a_resumed_run_the_estimate_is_near(
    database: Database, settings: Settings, machine: Machine
) -> None:
    """Stopped at step 437, gone on from 400 a day later."""
    tell(database, settings, list(run_of(machine, first=0, start=1e3)), number=1, until=437)
    run = list(run_of(machine, first=400, start=1e5))
    now = tell(database, settings, run, number=2, until=400 + (STEPS - 400) // 10)
    assert estimate(database) == pytest.approx(run[-1].time - now, rel=NEAR_ENOUGH)


def test_a_resume_on_a_machine_half_as_fast_is_estimated_by_its_own_steps(
    database: Database, settings: Settings
) -> None:
    fast = MACHINES["even steps"]
    slow = Machine(lambda _r, _n: 4.0, fast.sampling, fast.saving, fast.measuring)
    tell(database, settings, list(run_of(fast, first=0, start=1e3)), number=1, until=437)
    run = list(run_of(slow, first=400, start=1e5))
    now = tell(database, settings, run, number=2, until=460)
    assert estimate(database) == pytest.approx(run[-1].time - now, rel=NEAR_ENOUGH)


def test_a_lasting_slow_down_is_in_the_estimate_within_200_steps(
    database: Database, settings: Settings
) -> None:
    machine = Machine(lambda _r, n: 1.0 if n <= 300 else 3.0, 20, 2, 5)
    run = list(run_of(machine, first=0, start=1e3))
    now = tell(database, settings, run, number=1, until=300 + STEPS_OF_PACE)
    assert estimate(database) == pytest.approx(run[-1].time - now, rel=NEAR_ENOUGH)


def test_the_first_steps_of_a_run_count_only_while_there_are_no_others() -> None:
    assert mean_step_seconds([30.0]) == 30.0
    assert mean_step_seconds([1.0, 30.0]) == 15.5
    assert mean_step_seconds([*[1.0] * 9, 1.0, 30.0]) == 1.0
    assert mean_step_seconds([2.0] * STEPS_OF_PACE) == 2.0
