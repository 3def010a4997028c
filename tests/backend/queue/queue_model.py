"""The queue as it should be, in a few lists: what the real one is compared with.

It knows nothing of rows, claims or files. A line of waiting jobs, who is on which device, and what
becomes of a job at a run's end: if the two disagree, one of them is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

GPUS = ("GPU-aaaa", "GPU-bbbb")
DEVICES = (*GPUS, "cpu")
ACTIVE = ("starting", "running", "stopping")
ENDS = ("stopped", "completed", "failed", "interrupted")
TRIES = 3


@dataclass
class Run:
    """One start. said: its last word. exit_code: of one without; None if nobody saw it.

    number: counts all runs of all jobs.
    """

    device: str
    worker: int
    number: int
    first_step: int | None = None
    said: str | None = None
    is_alive: bool = True
    exit_code: int | None = None
    was_told_to_stop: bool = False
    status: str = "running"

    def as_read_from_disk(self) -> Run:
        """What its files tell: exit codes are not among it."""
        stop = "stopped" if self.was_told_to_stop else "interrupted"
        return Run(
            self.device,
            -1,
            self.number,
            self.first_step,
            self.said,
            False,
            status=self.said if self.said and self.said != "stopped" else stop,
        )


@dataclass
class Job:
    """One job; its runs are those that the database knows."""

    name: str
    gpu: str
    resumes: bool
    status: str = "draft"
    priority: int = 0
    waits_for_moment: bool = False
    run_after: int | None = None
    is_to_stop: bool = False
    is_to_delete: Literal["with_files", "keep_files"] | None = None
    runs: list[Run] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """A job that was asked to stop is stopping, before a worker has looked."""
        return "stopping" if self.is_to_stop and self.status in ACTIVE else self.status


@dataclass
class Trashed:
    """A deleted job with its folder's runs; None where there was no folder."""

    name: str
    gpu: str
    resumes: bool
    runs: list[Run] | None


@dataclass
class Queue:
    """All of it. line: ids of the waiting jobs by their place within a priority. watched_by: jobs
    of each worker, as it came to them. folders, trash: what the disk holds.
    """

    jobs: dict[int, Job] = field(default_factory=dict)
    line: list[int] = field(default_factory=list)
    pauses: set[str] = field(default_factory=set)
    folders: dict[str, list[Run]] = field(default_factory=dict)
    trash: dict[str, Trashed] = field(default_factory=dict)
    watched_by: dict[int, list[int]] = field(default_factory=dict)
    num_runs: int = 0

    def has_name(self, name: str) -> bool:
        return any(job.name == name for job in self.jobs.values())

    def order(self) -> list[int]:
        """Who starts first, were nothing in the way."""
        return sorted(self.line, key=lambda job_id: -self.jobs[job_id].priority)

    def enqueue(self, job_id: int, *, first: bool = False) -> None:
        job = self.jobs[job_id]
        job.status, job.is_to_stop = "queued", False
        self.line.insert(0 if first else len(self.line), job_id)

    def stop(self, job_id: int) -> bool:
        """Whether that was possible."""
        job = self.jobs[job_id]
        if job.status not in ("queued", "stopped", *ACTIVE):
            return False
        if job.status == "queued":
            self.line.remove(job_id)
            job.status = "stopped" if job.runs else "draft"
        elif job.status in ACTIVE:
            job.is_to_stop = True
        return True

    def move(self, job_id: int, before: int | None) -> None:
        order = self.order()
        order.remove(job_id)
        others = [self.jobs[each].priority for each in order]
        if before is not None and before != job_id:
            order.insert(order.index(before), job_id)
            self.jobs[job_id].priority = self.jobs[before].priority
        else:
            order.append(job_id)
            self.jobs[job_id].priority = others[-1] if others else self.jobs[job_id].priority
        self.line = order

    def leads_to(self, first: int, job_id: int) -> bool:
        """Whether `first` waits for the job, over however many others, or is it."""
        each: int | None = first
        while each is not None and each != job_id:
            each = self.jobs[each].run_after
        return each == job_id

    def turn(self, worker: int, gone: set[int], entries: Mapping[str, str]) -> None:
        """What a worker does in its turn.

        gone: workers that have signed off. entries: what has come into the trash, by the job's
        name.
        """
        active = [job_id for job_id, job in self.jobs.items() if job.status in ACTIVE]
        for job_id in sorted(active, key=lambda each: self.jobs[each].runs[-1].number):
            run = self.jobs[job_id].runs[-1]
            if run.worker in gone:
                run.worker = worker
                self.watched_by.setdefault(worker, []).append(job_id)
                if not run.is_alive:
                    run.exit_code = None  # it was not this worker's child
        for job_id in list(self.watched_by.get(worker, [])):
            job = self.jobs[job_id]
            self._look(job_id, job, job.runs[-1])
            if job.status not in ACTIVE:
                self.watched_by[worker].remove(job_id)
        for job_id, job in list(self.jobs.items()):
            if job.is_to_delete and job.status not in ACTIVE:
                files = job.is_to_delete == "with_files"
                is_in_trash = self.delete(job_id, entries.get(job.name, ""), files=files)
                assert is_in_trash == (job.name in entries)
        for device in DEVICES:
            self._start_next(device, worker)

    def _look(self, job_id: int, job: Job, run: Run) -> None:
        if job.is_to_stop:
            job.status, run.was_told_to_stop = "stopping", True
        elif job.status == "starting":
            job.status = "running"
        if run.is_alive:
            return
        if run.said and run.said != "stopped":
            end = run.said
        elif run.said is None and run.exit_code is not None:
            end = "failed"
        else:
            end = "stopped" if job.status == "stopping" else "interrupted"
        job.status = run.status = end
        job.is_to_stop = False
        if end == "interrupted" and job.resumes and self._tries(job) < TRIES:
            self.enqueue(job_id, first=True)

    def _tries(self, job: Job) -> int:
        """Interrupted runs in a row that got no further than they began."""
        began = {run.first_step for run in job.runs[-1:]} - {None}
        tries = 0
        for run in reversed(job.runs):
            if run.status != "interrupted" or len(began | ({run.first_step} - {None})) > 1:
                break
            began |= {run.first_step} - {None}
            tries += 1
        return tries

    def _start_next(self, device: str, worker: int) -> None:
        is_busy = any(
            job.status in ACTIVE and job.runs[-1].device == device for job in self.jobs.values()
        )
        if is_busy or self.pauses & {device, "all"}:
            return
        for job_id in self.order():
            job = self.jobs[job_id]
            after = self.jobs.get(job.run_after) if job.run_after else None
            fits = job.gpu == device or (job.gpu == "any" and device in GPUS)
            if fits and not job.waits_for_moment and (not after or after.status == "completed"):
                self.line.remove(job_id)
                job.status = "starting"
                self.num_runs += 1
                job.runs.append(Run(device, worker, self.num_runs))
                self.watched_by.setdefault(worker, []).append(job_id)
                self.folders.setdefault(job.name, []).append(job.runs[-1])
                return

    def ask_to_delete(self, job_id: int, *, files: bool) -> None:
        """Of a job that runs: it is stopped, and goes in the turn that finds it so."""
        job = self.jobs[job_id]
        job.is_to_delete, job.is_to_stop = "with_files" if files else "keep_files", True

    def delete(self, job_id: int, entry: str, *, files: bool) -> bool:
        """Whether something lies in the trash now."""
        job = self.jobs.pop(job_id)
        if job_id in self.line:
            self.line.remove(job_id)
        for other in self.jobs.values():
            other.run_after = None if other.run_after == job_id else other.run_after
        if not files and job.name in self.folders:
            return False
        runs = self.folders.pop(job.name, None)
        self.trash[entry] = Trashed(job.name, job.gpu, job.resumes, runs)
        return True

    def restore(self, entry: str, job_id: int) -> None:
        gone = self.trash.pop(entry)
        job = self.jobs[job_id] = Job(gone.name, gone.gpu, gone.resumes)
        if gone.runs is not None:
            job.runs = [run.as_read_from_disk() for run in gone.runs]
            self.folders[gone.name] = list(job.runs)
            job.status = job.runs[-1].status
