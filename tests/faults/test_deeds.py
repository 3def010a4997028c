"""A person's deeds among the faults do what they say, also while no server answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backend.db.models import FeedEntry, Job
from backend.jobs.order import JobOrder, sorted_jobs
from backend.jobs.status import ENDS
from tests.backend.installation import job_config
from tests.faults import checks, faults
from tests.faults.faults import (
    NOT_POSSIBLE_HERE,
    change_priority,
    delete_and_restore,
    fill_disk,
    move_a_job,
    pause_the_queue,
)
from tests.faults.house import House, NotSo, eventually, house_in
from tests.faults.scenes import stand_in_scene
from trainer.job_folder import JobFolder


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


def test_what_finds_nothing_to_strike_at_says_so(house: House) -> None:
    rng = random.Random(0)
    with_nothing = (
        *(faults.kill_trainer, faults.freeze_trainer, faults.stop_a_job, faults.queue_ended_jobs),
        *(faults.damage_newest_checkpoint, faults.lose_samples, faults.lose_job_file),
    )
    for fault in with_nothing:
        assert fault(house, rng).startswith(faults.NOTHING_THERE), fault.__name__


class Dice(random.Random):
    """What is drawn is the first of its kind, and the server lives or dies as is said."""

    def __init__(self, *deaths: float | None) -> None:
        super().__init__(0)
        self.deaths = list(deaths)

    def choice(self, seq: Sequence[Any]) -> Any:
        return self.deaths.pop(0) if None in seq else seq[0]


@pytest.mark.slow
def test_a_waiting_job_is_deleted_and_restored(house: House) -> None:
    before = house.jobs()
    said = delete_and_restore(house, Dice(None, None))
    assert said == "a job was deleted and restored"
    after = house.jobs()
    assert [job.training_name for job in after] == [job.training_name for job in before]
    assert after[0].id > before[-1].id
    assert [job.id for job in after[1:]] == [job.id for job in before[1:]]
    checks._nothing_is_left_of_a_deletion(house)


@pytest.mark.slow
def test_a_running_job_is_stopped_deleted_and_restored_with_its_files(house: House) -> None:
    house.start_worker()
    first = house.jobs()[0]
    folder = JobFolder(house.settings.output_dir, first.training_name)
    eventually(folder.checkpoint_steps, lambda: "it has saved a checkpoint")
    said = delete_and_restore(house, Dice(None, 0.05))
    assert said == "a job was deleted and restored"
    assert house.jobs()[0].id != first.id
    assert house.jobs()[0].status in ENDS
    assert folder.checkpoint_steps()
    checks._nothing_is_left_of_a_deletion(house)


@pytest.mark.slow
def test_a_server_that_dies_over_a_deletion_leaves_the_job_or_all_of_it_in_the_trash(
    house: House,
) -> None:
    names = [job.training_name for job in house.jobs()]
    for death in (0.0, 0.02):
        said = delete_and_restore(house, Dice(death, None))
        assert said in ("a job was deleted and restored", "a job's deletion came to nothing")
        assert [job.training_name for job in house.jobs()] == names
    checks._nothing_is_left_of_a_deletion(house)


@pytest.mark.slow
def test_a_deleted_job_that_is_not_in_the_trash_was_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_house = house.get
    monkeypatch.setattr(house, "get", lambda path: of_house(path) and {"items": []})
    with pytest.raises(NotSo, match="job 1, night-0, was lost"):
        delete_and_restore(house, Dice(None, None))
