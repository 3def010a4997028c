"""Jobs over HTTP. Each route is one short session around one function of service or queries."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses, error_responses_beside
from backend.jobs import commands, queries, service
from backend.jobs.examine import examine
from backend.jobs.form import job_schema
from backend.jobs.job_filter import JobFilter
from backend.jobs.log import log_file, read_log
from backend.jobs.order import CURSOR_PATTERN, JobOrder
from backend.jobs.plan import plan_config
from backend.jobs.plan_schemas import JobPlan, JobToPlan
from backend.jobs.schemas import (
    Accepted,
    CommandEntry,
    CommandToGive,
    Job,
    JobSchema,
    JobSummary,
    JobToChange,
    JobToCreate,
    JobToQueue,
    JobToValidate,
    LogPart,
    MeasurementPoint,
    MetricPoint,
    Verdict,
)
from backend.jobs.status import JobStatus
from backend.jobs.work import JobKind
from backend.lists import Page
from backend.trash import deletion
from backend.trash.schemas import Deletion

router = APIRouter(tags=["jobs"])

LARGEST = 2**63 - 1  # of the database's whole numbers, and of a file's bytes

JobId = Annotated[int, Path(ge=1, le=LARGEST, examples=[1])]
Limit = Annotated[int, Query(ge=1, le=500)]
RunNumber = Annotated[
    int | None, Query(ge=1, le=LARGEST, description="Number; the latest if left out.")
]
RunOfCurve = Annotated[
    int | None,
    Query(
        ge=1,
        le=LARGEST,
        description="Number: all that this run did, also what a later one took back.",
    ),
]


@router.get("/job-schema", responses=error_responses())
def read_job_schema() -> JobSchema:
    """The ten panels: JSON schema, order, defaults and the example job."""
    return job_schema()


@router.post("/jobs/validate", responses=error_responses(404, 409))
def validate_job(body: JobToValidate, database: DatabaseOf, settings: SettingsOf) -> Verdict:
    """What saving and queueing would say; a config that cannot run is an answer, not an error."""
    return examine(body.config, database, settings, kind=body.kind, job_id=body.job_id)


@router.post("/jobs/plan", responses=error_responses())
def plan_job(body: JobToPlan, database: DatabaseOf, settings: SettingsOf) -> JobPlan:
    """VRAM, RAM and disk by phase, the verdict on each device, and the smallest changes that fit.

    Answers for any config that the schema accepts, whatever else is wrong with it.
    """
    return plan_config(body.config, body.machine, database, settings)


@router.get("/jobs", responses=error_responses())
def list_jobs(
    database: DatabaseOf,
    status: Annotated[list[JobStatus] | None, Query()] = None,
    search: Annotated[str | None, Query(max_length=64, description="In the name.")] = None,
    architecture: Annotated[str | None, Query(max_length=64)] = None,
    scheduled: Annotated[
        bool | None, Query(description="Whether a moment or another job holds it back.")
    ] = None,
    kind: Annotated[
        JobKind | Literal["all"], Query(description="Drawings are jobs too, and wait in line.")
    ] = "training",
    order: JobOrder = JobOrder.NEWEST,
    limit: Limit = 100,
    after: Annotated[str | None, Query(pattern=CURSOR_PATTERN)] = None,
) -> Page[JobSummary]:
    """Trainings: the newest first, the next to start first, or the last to end first.

    `status` may be repeated; what is asked besides holds as well. `after` takes the `next` of a
    page in the same order.
    """
    with database.read() as session:
        return queries.list_jobs(
            session,
            wanted=JobFilter(
                status or [],
                search or "",
                architecture,
                scheduled,
                kind=None if kind == "all" else kind,
            ),
            order=order,
            limit=limit,
            after=after,
        )


@router.post("/jobs", status_code=201, responses=error_responses(409))
def create_job(body: JobToCreate, database: DatabaseOf, settings: SettingsOf) -> Job:
    """A draft, or with `queue` a queued job; if it is refused, nothing is created."""
    return service.create_job(database, settings, body.config, queue=body.queue)


@router.get("/jobs/{job_id}", responses=error_responses(404))
def read_job(job_id: JobId, database: DatabaseOf, settings: SettingsOf) -> Job:
    """One job with its config and runs."""
    with database.read() as session:
        return queries.read_job(session, settings, job_id)


@router.patch("/jobs/{job_id}", responses=error_responses(404, 409))
def change_job(job_id: JobId, body: JobToChange, database: DatabaseOf, settings: SettingsOf) -> Job:
    """Replace the config of a job that neither waits nor runs."""
    return service.change_job(database, settings, job_id, body.config, instead_of=body.instead_of)


@router.delete(
    "/jobs/{job_id}",
    status_code=204,
    responses=error_responses(404, 409)
    | {202: {"model": Deletion, "description": "It runs: it is stopped first, then deleted."}},
)
def delete_job(
    job_id: JobId,
    database: DatabaseOf,
    settings: SettingsOf,
    files: Annotated[bool, Query(description="Move its folder to the trash as well.")] = False,
) -> Response:
    """Remove a job, stopping it first if it runs. Its files stay, or go to the trash with it."""
    later = deletion.delete_job(database, settings, job_id, files=files)
    if later is not None:
        return JSONResponse(later.model_dump(mode="json"), status_code=202)
    return Response(status_code=204)


@router.post("/jobs/{job_id}/queue", responses=error_responses(404, 409))
def queue_job(
    job_id: JobId, database: DatabaseOf, settings: SettingsOf, body: JobToQueue | None = None
) -> Job:
    """Put the job at the end of the queue, if its config passes the door."""
    return service.queue_job(database, settings, job_id, body)


@router.post("/jobs/{job_id}/stop", responses=error_responses(404, 409))
def stop_job(job_id: JobId, database: DatabaseOf, settings: SettingsOf) -> Job:
    """Take it out of the queue, or end it after the present step, saved. Twice is harmless."""
    return service.stop_job(database, settings, job_id)


@router.post("/jobs/{job_id}/commands", status_code=202, responses=error_responses(404, 409))
def give_command(job_id: JobId, body: CommandToGive, database: DatabaseOf) -> Accepted:
    """Save or sample now, or change settings from the next step on, while it runs.

    What is wrong with a change is said at once; that the trainer took or refused it is an event.
    """
    service.give_command(database, job_id, body.command, body.settings)
    return Accepted()


@router.get("/jobs/{job_id}/commands", responses=error_responses(404))
def list_commands(job_id: JobId, database: DatabaseOf) -> Page[CommandEntry]:
    """What was asked of its trainer of late, newest first, and what became of it."""
    with database.read() as session:
        return commands.list_commands(session, job_id)


@router.get(
    "/jobs/{job_id}/metrics", response_model=Page[MetricPoint], responses=error_responses(404)
)
def list_metrics(
    job_id: JobId,
    database: DatabaseOf,
    run: RunOfCurve = None,
    after_step: Annotated[int, Query(ge=-1, le=LARGEST)] = -1,
    through_step: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    max_points: Annotated[int, Query(ge=2, le=20_000)] = 2_000,
) -> Response:
    """One curve across resumes, or that of one run, thinned evenly to about `max_points`, its last
    step included; or a part of it, which is thinned less.
    """
    with database.read() as session:
        page = queries.list_metrics(
            session,
            job_id,
            run_number=run,
            after_step=after_step,
            through_step=through_step,
            max_points=max_points,
        )
    # As it is: to validate thousands of points that come from the database takes longer than all
    # the rest.
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/jobs/{job_id}/measurements", responses=error_responses(404))
def list_measurements(
    job_id: JobId, database: DatabaseOf, run: RunOfCurve = None
) -> Page[MeasurementPoint]:
    """Validation and preservation over the steps, one curve across resumes or that of one run."""
    with database.read() as session:
        return queries.list_measurements(session, job_id, run)


@router.get("/jobs/{job_id}/log", responses=error_responses(404))
def list_log(
    job_id: JobId,
    database: DatabaseOf,
    settings: SettingsOf,
    run: RunNumber = None,
    offset: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="Byte to read on from.")
    ] = None,
    before: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="Byte to read back from.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=5_000)] = 500,
) -> LogPart:
    """The last `limit` lines of the trainer's log, the next ones from `offset`, or those `before`
    a byte.
    """
    with database.read() as session:
        place = queries.find_log(session, settings, job_id, run)
    return read_log(place, offset=offset, before=before, limit=limit)


@router.get(
    "/jobs/{job_id}/log/file",
    response_class=StreamingResponse,
    responses=error_responses_beside(404)
    | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def download_log(
    job_id: JobId, database: DatabaseOf, settings: SettingsOf, run: RunNumber = None
) -> StreamingResponse:
    """The whole log of a run as the trainer wrote it; of one that runs, what there is now."""
    with database.read() as session:
        place = queries.find_log(session, settings, job_id, run)
    log = log_file(place)
    headers = {
        "Content-Disposition": f'attachment; filename="{log.name}"',
        "Content-Length": str(log.size_bytes),
    }
    return StreamingResponse(log.parts, headers=headers, media_type="text/plain")


@router.get(
    "/jobs/{job_id}/yaml",
    response_class=PlainTextResponse,
    responses=error_responses_beside(404)
    | {200: {"content": {"text/yaml": {"schema": {"type": "string"}}}}},
)
def read_job_yaml(job_id: JobId, database: DatabaseOf) -> PlainTextResponse:
    """The job as a file for `python -m trainer run` or for another Darkroom."""
    with database.read() as session:
        name, text = queries.job_as_yaml(session, job_id)
    headers = {"Content-Disposition": f'attachment; filename="{name}.yaml"'}
    return PlainTextResponse(text, headers=headers, media_type="text/yaml")
