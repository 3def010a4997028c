"""One round: jobs are queued, faults drawn from a seed strike, calm returns, promises are checked.

Calm means: nothing is frozen, one healthy worker and the server run, and a person queues what was
interrupted. Within ten seconds of that worker's start nothing false may stand in the database, and
then every job has to complete, with the result of a job that nobody disturbed. A page that was open
all the while has to show it.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from backend.db.models import Worker
from backend.settings import Settings
from tests.faults.checks import ResultCheck, check_everything
from tests.faults.faults import NOT_POSSIBLE_HERE, NOTHING_THERE, Fault
from tests.faults.house import TRUTH_SECONDS, House, NotSo, eventually, house_in, keep
from tests.faults.open_page import OpenPage


@dataclass(frozen=True)
class Scene:
    """What is disturbed: how the house is furnished, its jobs, and how their results are judged."""

    name: str
    prepare: Callable[[Settings], None]
    configs: Sequence[dict[str, Any]]
    is_undisturbed: ResultCheck
    faults: Sequence[Fault]
    num_faults: range
    pause_seconds: tuple[float, float]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """A round that kept its promises: what struck, and how it went."""

    scene: str
    seed: int
    faults: list[str]
    not_possible: list[str]  # drawn, but this system does not let them strike
    nothing_there: list[str]  # drawn when there was nothing to strike at
    num_runs: int
    truth_seconds: float
    seconds: float


def play(scene: Scene, seed: int, folder: Path, *, keep_in: Path | None = None) -> Record:
    """Play the round. Raises NotSo with the broken promise and the faults that struck."""
    rng = random.Random(f"{scene.name} {seed}")
    start = time.monotonic()
    said: list[str] = []
    with house_in(folder, prepare=scene.prepare, **scene.settings) as house:
        page = OpenPage(house.address)
        try:
            for config in scene.configs:
                house.add_job(config)
            house.start_server()
            house.start_worker()
            eventually(lambda: _signed_on(house), lambda: "a worker signs on")
            for _ in range(rng.choice(scene.num_faults)):
                time.sleep(rng.uniform(*scene.pause_seconds))
                said.append(rng.choice(scene.faults)(house, rng))
            truth_seconds = _calm(house)
            _complete(house)
            _page_shows_it(house, page)
            house.end_server(signal.SIGTERM)
            for child in list(house.live_workers()):
                house.end_worker(child, signal.SIGTERM)
            check_everything(house, scene.is_undisturbed)
            num_runs = len(list(house.settings.output_dir.glob("*/runs/*")))
        except AssertionError as error:
            if keep_in is not None:
                keep(folder, keep_in)
            raise NotSo(f"{scene.name}, seed {seed}: {error}\nafter: {'; '.join(said)}") from error
        finally:
            page.close()
    seconds = time.monotonic() - start
    not_possible = [words for words in said if words.startswith(NOT_POSSIBLE_HERE)]
    nothing_there = [words for words in said if words.startswith(NOTHING_THERE)]
    return Record(
        scene=scene.name,
        seed=seed,
        faults=[words for words in said if words not in (*not_possible, *nothing_there)],
        not_possible=not_possible,
        nothing_there=nothing_there,
        num_runs=num_runs,
        truth_seconds=round(truth_seconds, 1),
        seconds=round(seconds, 1),
    )


def _calm(house: House) -> float:
    """One healthy worker; how long it took until nothing false was said. Raises NotSo."""
    for process in house.trainers():
        with suppress(psutil.Error):
            process.send_signal(signal.SIGCONT)
    for child in list(house.live_workers()):
        house.end_worker(child, signal.SIGKILL)
    known = _signed_on(house)
    house.start_server()
    house.start_worker()
    eventually(lambda: _signed_on(house) - known, lambda: "the healthy worker signs on")
    return eventually(
        lambda: not house.false_claims(),
        lambda: f"the database is true: {house.false_claims()}",
        TRUTH_SECONDS,
    )


def _complete(house: House) -> None:
    def done() -> bool:
        house.live_workers()
        house.start_server()
        house.queue_again()
        return house.all_completed()

    eventually(
        done, lambda: f"every job completes; they are {[job.status for job in house.jobs()]}"
    )


def _page_shows_it(house: House, page: OpenPage) -> None:
    """What was open all the while shows what is. Raises NotSo."""
    eventually(lambda: page.num_streams > 0, lambda: "the server answers the page")
    eventually(
        lambda: page.jobs == {job.id: str(job.status) for job in house.jobs()},
        lambda: f"the page shows what is in the database; it shows {page.jobs}",
        TRUTH_SECONDS,
    )
    if page.doubled:
        raise NotSo(f"the page heard twice of {page.doubled}")


def _signed_on(house: House) -> set[str]:
    with house.database.read() as session:
        return {row.id for row in session.query(Worker)}
