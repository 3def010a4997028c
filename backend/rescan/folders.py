"""What lies in the output folder, read without the database: jobs, their runs, whose they are.

A job's folder bears its training name. Where the name inside says otherwise, or where the same run
(by its token) lies in two folders, somebody renamed or copied a folder. Such a folder is not taken
for a job of its own: the trainer would write to another place than it reads from. It is named, with
what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.jobs.work import DRAWING, kind_of, parse_work
from backend.runs.event_lines import read_line
from trainer.errors import JobRefused, Problem, Severity
from trainer.events import RunStarted, read_lines
from trainer.job_file import read_yaml
from trainer.job_folder import JobFolder, RunFolder


@dataclass(frozen=True)
class FoundRun:
    """A run's folder; `started` is its first event, None where there is none."""

    files: RunFolder
    started: RunStarted | None

    @property
    def token(self) -> str:
        """Proves whose events these are; empty for a training that was started by hand."""
        return "" if self.started is None else self.started.token


@dataclass
class FoundJob:
    """A job's folder with its settings and runs, lowest number first; problems met on the way."""

    folder: JobFolder
    config: dict[str, Any]
    runs: list[FoundRun]
    problems: list[Problem] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.folder.training_name

    @property
    def created_at(self) -> datetime:
        """When its first run began; without runs, when its folder changed last."""
        for run in self.runs:
            if run.started is not None and run.started.time > 0:
                return datetime.fromtimestamp(run.started.time, UTC)
        return datetime.fromtimestamp(self.folder.path.stat().st_mtime, UTC)


class NoJob(Exception):
    """A folder that cannot be brought back, and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def job_folders(output: Path) -> list[JobFolder]:
    """Folders of the output folder that hold something of a job, by name."""
    if not output.is_dir():
        return []
    names = sorted(entry.name for entry in output.iterdir() if entry.is_dir())
    folders = [JobFolder(output, name) for name in names if not name.startswith(".")]
    return [folder for folder in folders if _holds_a_job(folder)]


def read_folder(folder: JobFolder) -> FoundJob:
    """The job in a folder, its events not yet read. Raises NoJob, OSError."""
    runs = [_found_run(folder.run(number)) for number in folder.run_numbers()]
    problems: list[Problem] = []
    config = _config(folder, runs, problems)
    name = _training_name(config)
    if name != folder.training_name:
        raise NoJob(_renamed(folder, str(name)))
    return FoundJob(folder, config, _without_copies(folder, runs, problems), problems)


def refuse_copies(found: Iterable[FoundJob], known: Mapping[str, str]) -> list[Problem]:
    """One problem for each folder whose runs are another's; these are copies, or were renamed.

    known: token -> training name of the runs that the database has.
    """
    # The folder that a run was started in comes first: of two that hold it, that is the original.
    ordered = sorted(found, key=lambda job: (not _was_started_here(job), job.name))
    holders = {token: name for token, name in known.items() if token}
    problems: list[Problem] = []
    for job in ordered:
        tokens = {run.token for run in job.runs if run.token}
        others = {holders[token] for token in tokens if token in holders} - {job.name}
        if others:
            problems.append(_copied(job.folder, sorted(others)[0]))
        holders |= {token: job.name for token in tokens if token not in holders}
    return problems


def _holds_a_job(folder: JobFolder) -> bool:
    parts = (folder.job_file, folder.runs, folder.checkpoints, folder.samples)
    return any(part.exists() for part in parts)


def _found_run(files: RunFolder) -> FoundRun:
    lines, _ = read_lines(files.events)
    event = read_line(lines[0])[0] if lines else None
    return FoundRun(files, event if isinstance(event, RunStarted) else None)


def _config(folder: JobFolder, runs: list[FoundRun], problems: list[Problem]) -> dict[str, Any]:
    """The job file's settings; of the newest run where that file cannot be read."""
    files = [folder.job_file, *(run.files.job_file for run in reversed(runs))]
    refusals: list[JobRefused] = []
    for file in files:
        try:
            config = parse_work(read_yaml(file)).model_dump(mode="json")
        except JobRefused as refusal:
            refusals.append(refusal)
            continue
        if refusals:
            problems.append(_damaged_job_file(folder, refusals[0], instead=file))
        return config
    raise NoJob(
        Problem(
            "no_job_file",
            f"{folder.path} has no job file that can be used: {refusals[0].message}",
            "Put job.yaml back, or move the folder out of the output folder.",
            params={"folder": folder.training_name},
        )
    )


def _training_name(config: Mapping[str, Any]) -> Any:
    return config["name"] if kind_of(config) == DRAWING else config["job"]["training_name"]


def _without_copies(
    folder: JobFolder, runs: list[FoundRun], problems: list[Problem]
) -> list[FoundRun]:
    """The runs, without those whose events are another's of the same job."""
    seen: dict[str, int] = {}
    kept: list[FoundRun] = []
    for run in runs:
        if run.token and run.token in seen:
            problems.append(_copied_run(folder, run.files.number, seen[run.token]))
            continue
        seen[run.token] = run.files.number
        kept.append(run)
    return kept


def _was_started_here(job: FoundJob) -> bool:
    return any(run.started and run.started.training_name == job.name for run in job.runs)


def _renamed(folder: JobFolder, name: str) -> Problem:
    if (folder.parent / name).is_dir():
        return _copied(folder, name)
    return Problem(
        "folder_renamed",
        f"The folder {folder.training_name} holds the job {name}.",
        f"Rename it to {name}, or write {folder.training_name} as training_name into its job.yaml.",
        severity=Severity.WARNING,
        params={"folder": folder.training_name, "training_name": name},
    )


def _copied(folder: JobFolder, name: str) -> Problem:
    if not (folder.parent / name).is_dir():
        return _renamed_with_its_job_file(folder, name)
    return Problem(
        "folder_copied",
        f"The folder {folder.training_name} is a copy of {name}.",
        "Move it out of the output folder. To train on from it under another name, make a new job "
        "that starts from its LoRA.",
        severity=Severity.WARNING,
        params={"folder": folder.training_name, "training_name": name},
    )


def _renamed_with_its_job_file(folder: JobFolder, name: str) -> Problem:
    return Problem(
        "folder_renamed",
        f"The folder {folder.training_name} holds the runs of the job {name}, which is known.",
        f"Rename it to {name}, in its job.yaml as well.",
        severity=Severity.WARNING,
        params={"folder": folder.training_name, "training_name": name},
    )


def _copied_run(folder: JobFolder, number: int, original: int) -> Problem:
    return Problem(
        "run_copied",
        f"Run {number} of {folder.training_name} is a copy of its run {original}.",
        f"It was left out. Move {folder.run(number).path} away.",
        severity=Severity.WARNING,
        params={"folder": folder.training_name, "run": number, "copy_of": original},
    )


def _damaged_job_file(folder: JobFolder, refusal: JobRefused, *, instead: Path) -> Problem:
    return Problem(
        "job_file_damaged",
        f"{folder.job_file} cannot be used: {refusal.message}",
        f"The settings of {folder.relative(instead)} were taken in its place.",
        severity=Severity.WARNING,
        params={"folder": folder.training_name, "instead": folder.relative(instead)},
    )
