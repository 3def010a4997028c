from __future__ import annotations

import itertools
import threading

import pytest
from sqlalchemy import func, select

from backend.db.engine import Database
from backend.db.models import FeedEntry, Job, JobMove
from backend.jobs.moves import move
from backend.jobs.status import ACTIVE, EDITABLE, ENDS, LEGAL_MOVES, JobStatus

S = JobStatus
# Written out by hand: the table in the design, move by move.
EXPECTED = {
    S.DRAFT: {S.QUEUED},
    S.QUEUED: {S.STARTING, S.DRAFT, S.STOPPED},
    S.STARTING: {S.RUNNING, S.STOPPING, S.STOPPED, S.COMPLETED, S.FAILED, S.INTERRUPTED},
    S.RUNNING: {S.STOPPING, S.STOPPED, S.COMPLETED, S.FAILED, S.INTERRUPTED},
    S.STOPPING: {S.STOPPED, S.COMPLETED, S.FAILED, S.INTERRUPTED},
    S.STOPPED: {S.QUEUED},
    S.COMPLETED: {S.QUEUED},
    S.FAILED: {S.QUEUED},
    S.INTERRUPTED: {S.QUEUED},
}
PAIRS = list(itertools.product(S, S))


def add_job(database: Database, status: JobStatus) -> int:
    with database.write() as session:
        job = Job(training_name=f"job-{status}", status=status, config={})
        session.add(job)
        session.flush()
        return job.id


@pytest.mark.parametrize(("start", "end"), PAIRS, ids=lambda status: status.value)
def test_a_job_moves_where_the_table_allows_it_and_nowhere_else(
    database: Database, start: JobStatus, end: JobStatus
) -> None:
    job_id = add_job(database, start)
    with database.write() as session:
        if end in EXPECTED[start]:
            assert move(session, job_id, from_status=start, to_status=end, reason="because")
        else:
            with pytest.raises(AssertionError):
                move(session, job_id, from_status=start, to_status=end, reason="because")
    with database.read() as session:
        moved = end in EXPECTED[start]
        assert session.get_one(Job, job_id).status == (end if moved else start)
        assert session.scalar(select(func.count()).select_from(JobMove)) == int(moved)


def test_every_state_can_be_reached_and_left() -> None:
    assert set(LEGAL_MOVES) == set(S)
    assert set().union(*LEGAL_MOVES.values()) == set(S)
    assert ENDS | {S.DRAFT} == EDITABLE
    assert not ACTIVE & EDITABLE


def test_a_move_from_a_state_that_the_job_has_left_writes_nothing(database: Database) -> None:
    job_id = add_job(database, S.RUNNING)
    with database.write() as session:
        late = move(session, job_id, from_status=S.STARTING, to_status=S.RUNNING, reason="late")
    assert not late
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(JobMove)) == 0
        assert session.scalar(select(func.count()).select_from(FeedEntry)) == 0


def test_of_many_that_move_a_job_at_once_one_does(database: Database) -> None:
    job_id = add_job(database, S.QUEUED)
    start = threading.Barrier(8)
    moved: list[bool] = []

    def try_to_move() -> None:
        start.wait()
        with database.write() as session:
            done = move(session, job_id, from_status=S.QUEUED, to_status=S.STARTING, reason="mine")
        moved.append(done)

    threads = [threading.Thread(target=try_to_move) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(moved) == [False] * 7 + [True]


def test_when_a_job_leaves_the_queue_those_behind_it_are_announced(database: Database) -> None:
    ids = []
    with database.write() as session:
        for number in range(3):
            job = Job(training_name=f"j{number}", status=S.QUEUED, config={}, queue_order=number)
            session.add(job)
            session.flush()
            ids.append(job.id)
    with database.write() as session:
        move(session, ids[0], from_status=S.QUEUED, to_status=S.STARTING, reason="")
    with database.read() as session:
        announced = session.scalars(select(FeedEntry.job_id).order_by(FeedEntry.id)).all()
    assert list(announced) == ids
