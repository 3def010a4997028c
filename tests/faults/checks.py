"""What must be true when the faults are over and every job has completed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import func, or_, select

from backend.db.models import Job, JobMove, Lease, Metric, Run
from backend.jobs import queries
from backend.jobs.status import LEGAL_MOVES, JobStatus
from backend.trash.entries import entries
from tests.faults.house import TRUTH_SECONDS, House, NotSo, eventually
from trainer.durable_write import TEMPORARY_PREFIX
from trainer.errors import FolderInUse
from trainer.job_folder import JobFolder, RunFolder

# Compares a job's result with the undisturbed one. Raises NotSo.
ResultCheck = Callable[[JobFolder], None]


def check_everything(house: House, is_undisturbed: ResultCheck) -> None:
    """All promises, for every job of the house whose server and workers were ended. Raises NotSo
    with the first that is broken.
    """
    jobs = house.jobs()
    for job in jobs:
        folder = JobFolder(house.settings.output_dir, job.training_name)
        is_undisturbed(folder)
        _no_half_checkpoints(folder)
        _events_count_up(folder)
        _runs_do_not_overlap(folder)
        _every_step_is_on_the_curve_once(house, job.id, job.config["training"]["steps"])
        _runs_are_counted_and_closed(house, job.id)
        _moves_are_a_chain(house, job.id)
    with house.database.read() as session:
        if session.scalar(select(func.count()).select_from(Lease)):
            raise NotSo("a device is still leased")
        known = session.scalar(select(func.count(func.distinct(Run.job_id))))
        if known != len(jobs):
            raise NotSo(f"{known} jobs have runs, {len(jobs)} were queued")
    _nothing_is_left_of_a_deletion(house)
    house.refuse_tracebacks()
    eventually(
        lambda: not house.left_behind(),
        lambda: f"every process of the house is gone; left behind: {house.left_behind()}",
        TRUTH_SECONDS,
    )


def _nothing_is_left_of_a_deletion(house: House) -> None:
    """Every job that was deleted was restored: each is there once, and the trash is empty."""
    with house.database.read() as session:
        names = sorted(session.scalars(select(Job.training_name)))
    wanted = sorted(job.training_name for job in house.jobs())
    if names != wanted:
        raise NotSo(f"the jobs are {names}, {wanted} were queued")
    left = [entry.id for entry in entries(house.settings.output_dir)]
    if left:
        raise NotSo(f"of jobs that were restored there is still in the trash: {left}")


def _no_half_checkpoints(folder: JobFolder) -> None:
    left = [path.name for path in folder.checkpoints.glob(f"{TEMPORARY_PREFIX}*")]
    if left:
        raise NotSo(f"{folder.training_name}: half-written checkpoints {left}")


def _events_count_up(folder: JobFolder) -> None:
    """By the bytes of each run's file: `seq` counts up, so that one process wrote it."""
    for number in folder.run_numbers():
        last = 0
        for event in _events(folder.run(number)):
            if event["seq"] <= last:
                raise NotSo(f"{folder.training_name}, run {number}: {event['seq']} after {last}")
            last = event["seq"]


def _runs_do_not_overlap(folder: JobFolder) -> None:
    """No run wrote an event after a later one had begun.

    By the times that the system gives files: the clocks that faults turn are those of programs. A
    run's copy of the job is written once, at its beginning.
    """
    last_number, last_word = 0, 0
    for number in folder.run_numbers():
        run = folder.run(number)
        if run.job_file.is_file() and run.job_file.stat().st_mtime_ns < last_word:
            raise NotSo(
                f"{folder.training_name}: run {last_number} went on after run {number} had begun"
            )
        if run.events.is_file() and run.events.stat().st_mtime_ns > last_word:
            last_number, last_word = number, run.events.stat().st_mtime_ns


def _events(run: RunFolder) -> list[dict[str, Any]]:
    if not run.events.is_file():
        return []  # killed before its first word
    found = []
    for line in run.events.read_bytes().split(b"\n"):
        with suppress(ValueError):  # torn by the kill, or by a full disk
            found.append(json.loads(line))
    return found


def _every_step_is_on_the_curve_once(house: House, job_id: int, total: int) -> None:
    with house.database.read() as session:
        points = queries.list_metrics(session, job_id, after_step=-1, max_points=total + 100).items
        kept = or_(Run.kept_until_step.is_(None), Metric.step <= Run.kept_until_step)
        doubled = session.execute(
            select(Metric.step, func.count())
            .join(Run, Run.id == Metric.run_id)
            .where(Metric.job_id == job_id, kept)
            .group_by(Metric.step)
            .having(func.count() > 1)
        ).all()
    if doubled:
        raise NotSo(f"job {job_id}: steps that are on the curve of several runs: {doubled[:5]}")
    steps = [point.step for point in points]
    if steps != sorted(set(steps)) or (steps and steps[-1] != total):
        raise NotSo(f"job {job_id}: the curve is {steps[:5]} … {steps[-5:]}")
    missing = sorted(set(range(1, total + 1)) - set(steps))
    if missing:
        raise NotSo(f"job {job_id}: steps {missing} are missing on the curve")


def _runs_are_counted_and_closed(house: House, job_id: int) -> None:
    with house.database.read() as session:
        runs = session.scalars(select(Run).where(Run.job_id == job_id).order_by(Run.number)).all()
    numbers = [run.number for run in runs]
    if numbers != sorted(set(numbers)):
        raise NotSo(f"job {job_id}: runs {numbers}")
    refused = [run.number for run in runs if run.exit_code == FolderInUse.exit_code]
    if refused:
        raise NotSo(f"job {job_id}: runs {refused} met another trainer of the job")
    unclosed = [run.number for run in runs if run.finished_at is None or run.status == "running"]
    if unclosed:
        raise NotSo(f"job {job_id}: runs {unclosed} were never closed")
    if runs[-1].status != "completed":
        raise NotSo(f"job {job_id}: completed, but its last run is {runs[-1].status}")


def _moves_are_a_chain(house: House, job_id: int) -> None:
    with house.database.read() as session:
        moves = session.scalars(
            select(JobMove).where(JobMove.job_id == job_id).order_by(JobMove.id)
        ).all()
    at = JobStatus.DRAFT
    for move in moves:
        before, after = JobStatus(move.from_status), JobStatus(move.to_status)
        if before != at or after not in LEGAL_MOVES[before]:
            raise NotSo(f"job {job_id}: moved {before} -> {after} while it was {at}")
        at = after
    completions = sum(move.to_status == JobStatus.COMPLETED for move in moves)
    if completions != 1:
        raise NotSo(f"job {job_id}: completed {completions} times")
    if at != JobStatus.COMPLETED:
        raise NotSo(f"job {job_id}: its moves end in {at}")
