from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from backend.jobs.status import JobStatus
from backend.runs.outcome import LastKnown, outcome_of
from trainer.errors import OutOfMemory

NOTHING = LastKnown(
    finish=None, exit_code=None, asked_to_stop=False, used_force=False, phase="train", step=7,
    log_tail=["one", "Traceback: boom"],
)  # fmt: skip


def known(**values: Any) -> LastKnown:
    return dataclasses.replace(NOTHING, **values)


def finish(outcome: str, *problems: dict[str, Any]) -> dict[str, Any]:
    return {"outcome": outcome, "step": 7, "problems": list(problems), "lora": None}


@pytest.mark.parametrize(
    ("last_known", "status", "code"),
    [
        (known(finish=finish("completed"), exit_code=0), JobStatus.COMPLETED, None),
        (known(finish=finish("stopped"), exit_code=3, asked_to_stop=True), JobStatus.STOPPED, None),
        # a signal that nobody here had sent: the machine restarts
        (known(finish=finish("stopped"), exit_code=3), JobStatus.INTERRUPTED, "lost_process"),
        (known(finish=finish("stopped"), used_force=True), JobStatus.INTERRUPTED, "lost_process"),
        # it said so and was gone before anybody saw its exit code
        (known(finish=finish("completed")), JobStatus.COMPLETED, None),
        # it completed while it was asked to stop, or while patience ran out
        (known(finish=finish("completed"), asked_to_stop=True), JobStatus.COMPLETED, None),
        (
            known(finish=finish("stopped"), asked_to_stop=True, used_force=True),
            JobStatus.STOPPED,
            None,
        ),
        (known(exit_code=0), JobStatus.COMPLETED, None),
        (known(exit_code=3, asked_to_stop=True), JobStatus.STOPPED, None),
        (known(exit_code=3), JobStatus.INTERRUPTED, "lost_process"),
        (known(exit_code=1), JobStatus.FAILED, "crash"),
        (known(exit_code=2), JobStatus.FAILED, "bad_job"),
        (known(exit_code=9), JobStatus.FAILED, "out_of_memory"),
        (known(exit_code=77), JobStatus.FAILED, "crash"),
        (known(exit_code=-9), JobStatus.FAILED, "crash"),
        (known(exit_code=-9, used_force=True), JobStatus.STOPPED, "stop_forced"),
        (known(), JobStatus.INTERRUPTED, "lost_process"),
        (known(asked_to_stop=True), JobStatus.STOPPED, "stop_forced"),
    ],
)  # fmt: skip
def test_what_is_known_at_the_end_decides_what_the_job_becomes(
    last_known: LastKnown, status: JobStatus, code: str | None
) -> None:
    outcome = outcome_of(last_known)
    assert outcome.status == status
    assert (outcome.problem or {}).get("code") == code


def test_a_crash_tells_signal_phase_step_and_the_last_lines() -> None:
    problem = outcome_of(known(exit_code=-9)).problem
    assert problem is not None
    assert "SIGKILL in phase train at step 7" in problem["message"]
    assert "memory" in problem["hint"]
    assert problem["params"] == {
        "phase": "train", "step": 7, "exit_code": -9, "log_tail": ["one", "Traceback: boom"],
    }  # fmt: skip


def test_a_named_failure_keeps_its_own_words_and_gets_the_circumstances() -> None:
    own = OutOfMemory("No memory.", "Lower it.", params={"needed": 3}).problems[0].as_dict()
    outcome = outcome_of(known(finish=finish("failed", own), exit_code=9))
    assert outcome.problem is not None
    assert (outcome.problem["code"], outcome.problem["message"]) == ("out_of_memory", "No memory.")
    assert outcome.problem["params"]["needed"] == 3
    assert outcome.problem["params"]["exit_code"] == 9


def test_a_failure_without_a_problem_of_its_own_is_told_by_its_exit_code() -> None:
    outcome = outcome_of(known(finish=finish("failed"), exit_code=1))
    assert outcome.problem is not None
    assert outcome.problem["code"] == "crash"
