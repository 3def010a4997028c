"""Reading drawings: rows in, response models out. Nothing here writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.artifacts.marks import JobMarks, read_marks
from backend.artifacts.queries import sample_entry
from backend.db.models import Job, Run, Sample
from backend.drawings.schemas import Drawing, DrawingEntry, DrawnLora, DrawnPicture
from backend.errors import NotFound
from backend.jobs import queries
from backend.jobs.status import ACTIVE, JobStatus
from backend.jobs.work import DRAWING
from backend.lists import Page
from backend.loras.labels import lora_label
from backend.runs.event_problems import LOST_PICTURE_CODES
from backend.settings import Settings
from trainer.job_folder import JobFolder

# A run that is over; one that was stopped or cut off goes on with the pictures that it lacks.
_TRIED_ALL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED})


def list_drawings(
    session: Session, settings: Settings, *, limit: int, after: int | None
) -> Page[DrawingEntry]:
    """Drawings, the newest first."""
    query = select(Job).where(Job.kind == DRAWING).order_by(Job.id.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(Job.id < after)
    rows = list(session.scalars(query))
    page = rows[:limit]
    more = str(page[-1].id) if len(rows) > limit else None
    return Page(items=drawing_entries(session, settings, page), next=more)


def read_drawing(session: Session, settings: Settings, drawing_id: int) -> Drawing:
    """One drawing with its config and runs. Raises NotFound, for a training as well."""
    row = session.get(Job, drawing_id)
    if row is None or row.kind != DRAWING:
        raise NotFound(
            "no_such_drawing",
            f"There is no drawing {drawing_id}.",
            "It may have been deleted; list the drawings again.",
            params={"drawing_id": drawing_id},
        )
    job = queries.read_job(session, settings, drawing_id)
    (entry,) = drawing_entries(session, settings, [row])
    return Drawing(
        **entry.model_dump(),
        config={key: value for key, value in row.config.items() if key != "name"},
        warnings=job.warnings,
        runs=job.runs,
    )


def drawing_entries(
    session: Session, settings: Settings, rows: Sequence[Job]
) -> list[DrawingEntry]:
    """The rows with their pictures; a handful of queries, however many they are."""
    ids = [row.id for row in rows]
    samples = _samples(session, ids)
    failures = _failures(session, ids)
    return [
        DrawingEntry(
            **summary.model_dump(),
            loras=_loras(row, settings),
            pictures=_pictures(row, samples[row.id], failures.get(row.id, {}), settings),
        )
        for row, summary in zip(rows, queries.summaries(session, rows), strict=True)
    ]


def _samples(session: Session, ids: Sequence[int]) -> Mapping[int, dict[int, Sample]]:
    """{drawing: {picture: its row}}."""
    found: dict[int, dict[int, Sample]] = defaultdict(dict)
    for row in session.scalars(select(Sample).where(Sample.job_id.in_(ids)).order_by(Sample.id)):
        found[row.job_id][row.prompt_index] = row
    return found


def _failures(session: Session, ids: Sequence[int]) -> dict[int, dict[int, str]]:
    """{drawing: {picture: why its latest run did not draw it}}."""
    latest = select(func.max(Run.id)).where(Run.job_id.in_(ids)).group_by(Run.job_id)
    query = select(Run.job_id, Run.problems).where(Run.id.in_(latest.scalar_subquery()))
    return {
        job_id: {
            problem["params"]["picture"]: f"{problem['message']} {problem['hint']}".strip()
            for problem in problems
            if problem["code"] in LOST_PICTURE_CODES and "picture" in (problem.get("params") or {})
        }
        for job_id, problems in session.execute(query)
    }


def _loras(row: Job, settings: Settings) -> list[DrawnLora]:
    return [DrawnLora(file=file, label=lora_label(file, settings)) for file in row.config["loras"]]


def _pictures(
    row: Job, samples: Mapping[int, Sample], failures: Mapping[int, str], settings: Settings
) -> list[DrawnPicture]:
    marks = read_marks(JobFolder(settings.output_dir, row.training_name))
    labels = [lora.label for lora in _loras(row, settings)]
    return [
        _picture(row, index, said, samples.get(index), marks, failures.get(index), labels)
        for index, said in enumerate(row.config["pictures"])
    ]


def _picture(
    row: Job,
    index: int,
    said: Mapping[str, Any],
    sample: Sample | None,
    marks: JobMarks,
    failure: str | None,
    labels: list[str],
) -> DrawnPicture:
    lora = said["lora"]
    # A picture that failed is tried again by the run that is yet to come.
    has_failed = row.status in _TRIED_ALL or (failure is not None and row.status in ACTIVE)
    state = "drawn" if sample is not None else "failed" if has_failed else "waiting"
    of_job = row.error["message"] if row.error else None
    return DrawnPicture(
        index=index,
        prompt=said["prompt"],
        lora=lora,
        lora_label=None if lora is None else labels[lora],
        lora_strength=None if lora is None else said["lora_strength"],
        state=state,
        message=(failure or of_job) if state == "failed" else None,
        sample=None if sample is None else sample_entry(sample, marks),
    )
