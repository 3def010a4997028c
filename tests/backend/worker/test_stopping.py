from __future__ import annotations

import pytest

from backend.worker.stopping import Measure, StopWatch
from tests.backend.hand_clock import Clock
from trainer.events import CommandTaken, PhaseStarted, Progress, RunFinished, Step


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def watch(clock: Clock) -> StopWatch:
    return StopWatch(patience_seconds=60, kill_seconds=15, clock=clock)


def step(number: int) -> Step:
    return Step(step=number, loss=1, objective=1, learning_rate=1, gradient_norm=1, step_seconds=1)


def test_nothing_happens_to_a_trainer_that_was_not_asked(clock: Clock, watch: StopWatch) -> None:
    clock.now += 10_000
    assert watch.measure() is Measure.WAIT


def test_a_silent_trainer_is_terminated_after_60_seconds_and_killed_15_later(
    clock: Clock, watch: StopWatch
) -> None:
    watch.ask()
    clock.now += 59.9
    assert watch.measure() is Measure.WAIT
    clock.now += 0.1
    assert watch.measure() is Measure.TERMINATE
    assert watch.used_force
    clock.now += 14.9
    assert watch.measure() is Measure.WAIT
    clock.now += 0.1
    assert watch.measure() is Measure.KILL
    assert watch.measure() is Measure.KILL, "again, until it is gone"


def test_a_trainer_that_saves_slowly_is_left_in_peace(clock: Clock, watch: StopWatch) -> None:
    watch.ask()
    watch.hear([CommandTaken(command="stop", command_seq=1, step=1)])
    for done in range(10):
        clock.now += 50
        watch.hear([Progress(phase="save", done=done, total=10)])
        assert watch.measure() is Measure.WAIT


def test_a_command_that_was_taken_before_the_watch_began_counts(
    clock: Clock, watch: StopWatch
) -> None:
    watch.ask(was_taken=True)
    for done in range(10):
        clock.now += 50
        watch.hear([Progress(phase="save", done=done, total=10)])
        assert watch.measure() is Measure.WAIT


def test_the_time_to_end_counts_from_the_last_word(clock: Clock, watch: StopWatch) -> None:
    watch.ask()
    clock.now += 59
    watch.hear([RunFinished(outcome="completed", exit_code=0, step=9)])
    clock.now += 59
    assert watch.measure() is Measure.WAIT
    clock.now += 1
    assert watch.measure() is Measure.TERMINATE


def test_a_trainer_that_goes_on_as_if_nothing_was_said_ends_within_80_seconds_of_its_step(
    clock: Clock, watch: StopWatch
) -> None:
    watch.ask()
    clock.now += 4
    watch.hear([step(1)])  # the step in hand
    for number in range(2, 40):
        clock.now += 2
        watch.hear([step(number), PhaseStarted(phase="sample")])
        if watch.measure() is Measure.TERMINATE:
            break
    assert clock.now == 1000 + 4 + 60
    clock.now += 15
    assert watch.measure() is Measure.KILL
    assert clock.now - 1000 < 80


def test_asking_twice_does_not_start_the_patience_anew(clock: Clock, watch: StopWatch) -> None:
    watch.ask()
    clock.now += 59
    watch.ask()
    clock.now += 1
    assert watch.measure() is Measure.TERMINATE
