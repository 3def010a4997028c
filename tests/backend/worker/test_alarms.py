"""Alarms by a clock of our own, and written down with a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import FeedEntry, HookDelivery, Job, Run
from backend.runs.pace import Pace
from backend.settings import Settings
from backend.worker import machine
from backend.worker.alarm_board import active_alarms, write_changes
from backend.worker.alarms import Change, RunAlarms
from backend.worker.likely_cause import Reading, cause_of_silence, cause_of_slow_steps
from tests.backend.hand_clock import Clock
from tests.backend.installation import job_config, settings_in
from trainer.disk_places import Place
from trainer.errors import Problem, Severity
from trainer.events import (
    STEP_SKIPPED,
    CommandTaken,
    Phase,
    PhaseStarted,
    Step,
    WaitingForSpace,
    Warned,
)

GIB = 2**30


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


def alarms(clock: Clock, **more: Any) -> RunAlarms:
    return RunAlarms(stall_seconds=120, low_disk_bytes=5 * GIB, clock=clock, **more)


def judge(
    watch: RunAlarms,
    *,
    free: float | None = 100,
    cache_free: float = 200,
    reading: Reading | None = None,
) -> dict[str, Problem | None]:
    changes = watch.judge(
        phase="train",
        step=7,
        disks_free_bytes={}
        if free is None
        else {"output": int(free * GIB), "cache": int(cache_free * GIB)},
        look=lambda: reading or Reading(),
    )
    return {change.code: change.problem for change in changes}


def steps(*seconds: float) -> list[Step]:
    return [
        Step(step=1, loss=1, objective=1, learning_rate=1, gradient_norm=1, step_seconds=each)
        for each in seconds
    ]


def test_silence_is_said_once_after_120_seconds_with_the_phase_and_ends_with_a_word(
    clock: Clock,
) -> None:
    watch = alarms(clock)
    clock.now += 119.9
    assert judge(watch) == {}
    clock.now += 0.1
    problem = judge(watch)["no_progress"]
    assert problem is not None
    assert (problem.severity, problem.params["phase"]) == (Severity.WARNING, "train")
    assert problem.params["silent_seconds"] == 120
    assert problem.hint == cause_of_silence("train")
    clock.now += 500
    assert judge(watch) == {}, "once"
    watch.hear([PhaseStarted(phase="train")])
    assert judge(watch) == {"no_progress": None}
    assert judge(watch) == {}
    clock.now += 120
    assert "no_progress" in judge(watch), "again"


def test_every_phase_has_a_likely_cause_of_silence() -> None:
    causes = [cause_of_silence(phase) for phase in Phase.__args__]  # type: ignore[attr-defined]
    assert cause_of_silence(None) not in causes


def test_steps_twice_as_slow_as_the_best_fifty_are_said_until_they_are_fast_again(
    clock: Clock,
) -> None:
    watch = alarms(clock)
    watch.hear(steps(*[3.0] * 30, *[1.0] * 49))
    watch.hear(steps(1.0))
    assert judge(watch) == {}
    watch.hear(steps(*[1.99] * 20))
    assert judge(watch) == {}
    watch.hear(steps(*[2.0] * 20))
    problem = judge(watch, reading=Reading(gpu_temperature_celsius=91))["slow_steps"]
    assert problem is not None
    assert (problem.params["best_seconds"], problem.params["recent_seconds"]) == (1.0, 2.0)
    assert "91 °C" in problem.hint
    watch.hear(steps(*[1.6] * 20))
    assert judge(watch) == {}, "not twice, and not yet over either"
    watch.hear(steps(*[1.4] * 20))
    assert judge(watch) == {"slow_steps": None}


def test_a_slow_beginning_is_no_slow_down_and_neither_are_buckets_of_two_sizes() -> None:
    pace = Pace()
    for _ in range(49):
        pace.add(5.0)
    assert pace.factor() is None
    for _ in range(100):
        pace.add(1.0)
        pace.add(2.5)
    factor = pace.factor()
    assert factor is not None
    assert factor < 1.5


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(gpu_temperature_celsius=83, gpu_memory_used_share=0.99), "slows down to cool"),
        (Reading(gpu_temperature_celsius=60, gpu_memory_used_share=0.98), "memory is full"),
        (Reading(host_available_share=0.04), "swaps"),
        (Reading(gpu_power_share=0.99, host_available_share=0.5), "power limit"),
        (Reading(), "Another program"),
    ],
)
def test_the_likely_cause_is_the_first_that_the_machine_shows(reading: Reading, words: str) -> None:
    assert words in cause_of_slow_steps(reading)


def skipped(step: int, in_a_row: int) -> Warned:
    return Warned(
        code=STEP_SKIPPED,
        message=f"Step {step} was skipped: loss nan, gradient norm nan.",
        hint="If this happens again, lower the Learning Rate.",
        params={"step": step, "in_a_row": in_a_row},
    )


def test_steps_that_are_not_finite_are_said_with_the_cause_until_one_is(clock: Clock) -> None:
    watch = alarms(clock)
    watch.hear([skipped(8, 1), *steps(1.0)])
    assert judge(watch) == {}, "an accident that is over"
    watch.hear([*steps(1.0), skipped(9, 1)])
    problem = judge(watch)["non_finite_steps"]
    assert problem is not None
    assert "Step 9 was skipped: loss nan" in problem.message
    assert "learning rate is too high" in problem.hint
    assert problem.params == {"step": 9, "in_a_row": 1}
    watch.hear([skipped(10, 2), Warned(code="other", message="m"), PhaseStarted(phase="sample")])
    assert judge(watch) == {}, "once, and neither a note nor a picture is a finite step"
    watch.hear(steps(1.0))
    assert judge(watch) == {"non_finite_steps": None}


def test_a_worker_that_comes_later_keeps_it_until_it_hears_of_a_step(clock: Clock) -> None:
    watch = alarms(clock, active=["non_finite_steps"])
    assert judge(watch) == {}
    watch.hear([skipped(9, 3)])
    assert judge(watch) == {}, "said already"
    watch.hear(steps(1.0))
    assert judge(watch) == {"non_finite_steps": None}


def test_a_disk_that_fills_up_is_said_until_there_is_a_tenth_more_room(clock: Clock) -> None:
    watch = alarms(clock)
    assert judge(watch, free=5.0) == {}
    problem = judge(watch, free=4.9)["disk_low"]
    assert problem is not None
    assert "4.9 GiB left" in problem.message
    assert judge(watch, free=5.4) == {}
    assert judge(watch, free=5.5) == {"disk_low": None}
    assert judge(watch, free=None) == {}


def test_the_disk_of_the_caches_is_watched_as_well_and_named(clock: Clock) -> None:
    watch = alarms(clock)
    problem = judge(watch, cache_free=4.9)["disk_low"]
    assert problem is not None
    assert "disk of the cache folder has 4.9 GiB left" in problem.message
    assert problem.params["folder"] == "cache"
    assert judge(watch, free=4.8) == {}, "one alarm, until both have room"
    assert judge(watch) == {"disk_low": None}


def test_two_folders_on_one_disk_are_one_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, cache = tmp_path / "output", tmp_path / "cache"
    assert list(machine.disks_free_bytes(output, cache)) == ["output"]
    there = {output: Place(output, 1, 7), cache: Place(cache, 2, 5)}
    monkeypatch.setattr(machine, "place_of", there.__getitem__)
    assert machine.disks_free_bytes(output, cache) == {"output": 7, "cache": 5}


def test_a_worker_that_takes_a_run_over_knows_its_alarms_and_its_pace(clock: Clock) -> None:
    watch = alarms(clock, active={"no_progress", "slow_steps"}, step_seconds=[*[1.0] * 50, 2, 2])
    watch.hear([])
    assert judge(watch) == {"slow_steps": None}, "the silence lasts until a word is heard"
    clock.now += 200
    assert judge(watch) == {}, "said already"
    watch.hear(steps(1.0))
    assert judge(watch) == {"no_progress": None}


def test_with_the_run_its_alarms_end(clock: Clock) -> None:
    watch = alarms(clock)
    judge(watch, free=1)
    assert watch.end_all() == [Change("disk_low", None)]
    assert watch.end_all() == []


def test_an_alarm_is_a_warning_while_it_lasts_and_stays_in_the_record(
    client: TestClient, database: Database, settings: Settings
) -> None:
    hooked = settings_in(settings.database_file.parent, hook_command="true")
    with database.write() as session:
        job = Job(training_name="style", config=job_config())
        session.add(job)
        session.flush()
        run = Run(job_id=job.id, number=1, token="t", worker_id="w", host="h", device="cpu")
        session.add(run)

    def write(problem: Problem | None) -> None:
        with database.write() as session:
            job, run = session.get_one(Job, 1), session.get_one(Run, 1)
            write_changes(session, hooked, job, run, [Change("no_progress", problem)])
            assert active_alarms(run) == ({"no_progress"} if problem else set())

    def shown() -> tuple[list[str], list[dict[str, Any]]]:
        job = client.get("/api/jobs/1").json()
        return [w["code"] for w in job["warnings"]], [
            p["params"] for p in job["runs"][0]["problems"]
        ]

    silent = Problem("no_progress", "Silent.", "Look.", severity=Severity.WARNING)
    write(None)
    assert shown() == ([], []), "nothing was raised"
    write(silent)
    warnings, (params,) = shown()
    assert warnings == ["no_progress"]
    assert (params["active"], params["times"]) == (True, 1)
    write(None)
    warnings, (params,) = shown()
    assert warnings == []
    assert params["active"] is False
    assert params["ended_at"] >= params["began_at"]
    write(silent)
    assert shown()[1][0]["times"] == 2
    with database.read() as session:
        told = session.scalars(select(FeedEntry).where(FeedEntry.name == "alarm")).all()
        assert [row.data["active"] for row in told if row.data] == [True, False, True]
        noted = session.scalars(select(HookDelivery)).all()
        assert [(row.event, row.body["problem"]["code"]) for row in noted] == [
            ("stalled", "no_progress")
        ] * 2


def test_the_machine_tells_its_memory_and_disk(client: TestClient) -> None:
    state = client.get("/api/system").json()
    memory, disk = state["memory"], state["disk"]
    assert 0 < memory["available_bytes"] <= memory["total_bytes"]
    assert 0 < disk["output_free_bytes"] <= disk["output_total_bytes"]


CROWDED = WaitingForSpace(
    phase="save", folder="/out/style", needed_bytes=812_000_000, free_bytes=120_000_000
)


def test_a_run_that_waits_for_space_is_told_of_until_it_goes_on(clock: Clock) -> None:
    watch = alarms(clock)
    watch.hear([CROWDED])
    problem = judge(watch)["waiting_for_space"]
    assert problem is not None
    assert "needs 812 MB, 120 MB free" in problem.message
    assert "/out/style" in problem.message
    watch.hear([CROWDED, CommandTaken(command="sample", command_seq=1, step=7)])
    assert judge(watch) == {}, "once, and a command is no way on"
    watch.hear([PhaseStarted(phase="save")])
    assert judge(watch) == {"waiting_for_space": None}


def test_a_worker_that_comes_later_keeps_the_alarm_until_the_run_says_more(clock: Clock) -> None:
    watch = alarms(clock, active=["waiting_for_space"])
    assert judge(watch) == {}
    watch.hear([CROWDED])
    assert judge(watch) == {}
    watch.hear(steps(1.0))
    assert judge(watch) == {"waiting_for_space": None}
