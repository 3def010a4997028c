"""A person's deeds among the faults do what they say, also while no server answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.db.models import FeedEntry, Job
from backend.jobs.order import JobOrder, sorted_jobs
from tests.backend.installation import job_config
from tests.faults.faults import (
    NOT_POSSIBLE_HERE,
    change_priority,
    fill_disk,
    move_a_job,
    pause_the_queue,
)
from tests.faults.house import House, house_in
from tests.faults.scenes import stand_in_scene


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with house_in(tmp_path / "house", prepare=stand_in_scene().prepare) as house:
        for number in range(3):
            house.add_job(job_config(f"night-{number}", "chain"))
        yield house


def in_order(house: House) -> list[int]:
    with house.database.read() as session:
        jobs = session.scalars(sorted_jobs(select(Job), JobOrder.QUEUE, None))
        return [job.id for job in jobs]


def test_a_waiting_job_is_moved(house: House) -> None:
    before = in_order(house)
    for seed in range(3):
        move_a_job(house, random.Random(seed))
    assert in_order(house) != before
    assert sorted(in_order(house)) == before


def test_a_waiting_job_becomes_more_or_less_urgent(house: House) -> None:
    for seed in range(3):
        change_priority(house, random.Random(seed))
    assert any(job.priority for job in house.jobs())


def test_the_queue_is_paused_and_goes_on(house: House) -> None:
    def num_told() -> int:
        with house.database.read() as session:
            return len(session.scalars(select(FeedEntry).where(FeedEntry.name == "queue")).all())

    before = num_told()
    assert pause_the_queue(house, random.Random(0)).startswith("the queue paused for ")
    assert num_told() == before + 2


def test_a_disk_that_cannot_be_filled_is_not_said_to_be_full(house: House) -> None:
    house.disk_is_small, was_small = False, house.disk_is_small
    said = fill_disk(house, random.Random(0))
    house.disk_is_small = was_small
    assert said.startswith(NOT_POSSIBLE_HERE)
    assert not house.excuses
