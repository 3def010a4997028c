"""Jobs as the API speaks of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from backend.failures.classes import FailureClass
from backend.jobs.status import JobStatus
from backend.jobs.waiting import ALL_DEVICES, HIGHEST_PRIORITY, LOWEST_PRIORITY, WaitsFor
from backend.jobs.work import JobKind
from trainer.commands import CommandName
from trainer.config import JobConfig
from trainer.errors import Severity
from trainer.presets import Kind

RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]

EXAMPLE_CONFIG: dict[str, Any] = {
    "job": {"training_name": "tiny-style", "trigger_word": "hatchstyle"},
    "model": {"model_architecture": "tiny"},
    "training": {"steps": 300, "learning_rate": 0.002},
    "datasets": [{"target_dataset": "tiny-hatch", "resolutions": [128]}],
    "sample": {"prompts": [{"prompt": "[trigger] a red circle"}]},
}


class ProblemEntry(BaseModel):
    """An error or a warning: code, sentence, cure, the field it belongs to, values."""

    code: str
    message: str
    hint: str
    field: str | None = None
    severity: Severity = Severity.ERROR
    params: dict[str, Any] = Field(default_factory=dict)


class JobToCreate(BaseModel):
    """A new job. A draft may be incomplete; with `queue` it must pass the door."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"config": EXAMPLE_CONFIG, "queue": True}}
    )
    config: dict[str, Any]
    queue: bool = False


class JobToExamine(BaseModel):
    """A config to be judged as queueing would judge it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"config": EXAMPLE_CONFIG}}
    )
    config: dict[str, Any]


class JobToChange(JobToExamine):
    """The job's whole config, to replace the present one.

    instead_of: the config that this one was made from; if the job has another by now, it keeps it
    and the answer is 409 `job_changed`. Left out, whatever is there is replaced.
    """

    instead_of: dict[str, Any] | None = None


class JobToValidate(JobToExamine):
    """The same; kind: what the LoRA is to learn, which some advice depends on.

    job_id: the job that is to have this config; left out for a new one.
    """

    kind: Kind | None = None
    job_id: RowId | None = None


class Verdict(BaseModel):
    """What queueing would say, and advice, which is no reason to change anything."""

    valid: bool
    errors: list[ProblemEntry]
    warnings: list[ProblemEntry]
    advice: list[ProblemEntry]


class PlaceInQueue(BaseModel):
    """When a job may start. What is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"priority": 1, "not_before": "2026-01-31T23:00:00Z"},
        },
    )
    priority: Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)] = 0
    not_before: AwareDatetime | None = None
    run_after_job_id: RowId | None = None


class JobToQueue(PlaceInQueue):
    """How to queue; an empty body keeps the job's place settings.

    resume_from_step: one of `resumable_from_steps`, or 0 to begin anew; what was trained beyond it
    is set aside. Left out, the newest checkpoint.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"resume_from_step": 100}}
    )
    resume_from_step: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class MoveInQueue(BaseModel):
    """Right before which waiting job; None for the end."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"before_job_id": 3}})
    before_job_id: RowId | None = None


class Pause(BaseModel):
    """A device by its id, or `all`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"device": "all"}})
    device: Annotated[str, Field(pattern=r"^(all|cpu|GPU-[0-9a-fA-F-]+)$")] = ALL_DEVICES


class QueueState(BaseModel):
    """The queue in a few figures."""

    paused: list[str] = Field(description="Where nothing may start: device ids, `all` for all.")
    num_jobs: dict[JobStatus, int] = Field(description="Trainings, of each state that one is in.")
    num_drawings: dict[JobStatus, int] = Field(description="The same of drawings.")
    architectures: list[str] = Field(description="Those that jobs name, to choose from.")


class CommandToGive(BaseModel):
    """save: a checkpoint now. sample: the prompts now. change: settings from the next step on.

    settings belong to `change`: dotted paths and values of `training.steps`, `save.save_every`,
    `save.max_step_saves_to_keep` and of the panel Sample.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "command": "change",
                "settings": {"training.steps": 400, "sample.sample_every": 50},
            }
        },
    )
    command: Literal["save", "sample", "change"]
    settings: dict[str, Any] = Field(default_factory=dict)


class CommandEntry(BaseModel):
    """What was asked of a running trainer. `outcome` says what became of it."""

    id: int
    command: CommandName
    settings: dict[str, Any] = Field(description="What `change` sets, by dotted path.")
    requested_at: datetime
    outcome: Literal["waiting", "taken", "refused", "unanswered"] = Field(
        description="unanswered: the run ended before it answered."
    )
    step: int | None = Field(description="After which the trainer took or refused it.")
    problems: list[ProblemEntry] = Field(description="Why it was refused.")


class Accepted(BaseModel):
    """The request is noted; its effect arrives as events."""

    accepted: Literal[True] = True


class PhaseProgress(BaseModel):
    """`done` of `total` units of the present phase; in training, steps."""

    done: int
    total: int
    message: str


EXAMPLE_SUMMARY: dict[str, Any] = {
    "id": 1,
    "training_name": "tiny-style",
    "kind": "training",
    "status": "running",
    "is_being_deleted": False,
    "architecture": "tiny",
    "total_steps": 300,
    "step": 120,
    "phase": "train",
    "progress": {"done": 120, "total": 300, "message": ""},
    "loss": 0.412,
    "step_seconds": 0.31,
    "best_step_seconds": 0.29,
    "eta_seconds": 71.5,
    "queue_position": None,
    "waits_for": None,
    "too_small_devices": [],
    "priority": 0,
    "not_before": None,
    "run_after_job_id": None,
    "created_at": "2026-01-31T20:15:00Z",
    "updated_at": "2026-01-31T20:17:10Z",
    "started_at": "2026-01-31T20:15:02Z",
    "finished_at": None,
    "last_sign_at": "2026-01-31T20:17:09Z",
    "thumbnail_url": "/api/jobs/1/samples/7/thumbnail?v=9f2c41d07ab3",
    "error": None,
    "likely_cause": None,
    "alarms": [],
}


class JobSummary(BaseModel):
    """A job in a list, in the queue, in an event."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE_SUMMARY})
    id: int
    training_name: str
    kind: JobKind = Field(
        default="training", description="A drawing counts pictures where a training counts steps."
    )
    status: JobStatus
    is_being_deleted: bool = Field(description="It goes as soon as its run has ended.")
    architecture: str | None = Field(description="None while a draft names none that is known.")
    total_steps: int | None = Field(description="None while a draft gives none that is valid.")
    step: int
    phase: str | None
    progress: PhaseProgress | None
    loss: float | None
    step_seconds: float | None = Field(description="Median of the recent steps.")
    best_step_seconds: float | None = Field(
        description="Median of its run's fastest 50 steps in a row."
    )
    eta_seconds: float | None = Field(description="Steps, samples and saves still to come.")
    queue_position: int | None = Field(description="1 is the next to start.")
    waits_for: WaitsFor | None = Field(description="Why a queued job has not started.")
    too_small_devices: list[str] = Field(
        description="Devices that it may get by its settings and that its memory plan does not fit."
    )
    priority: int = Field(description="-1 low, 0 normal, 1 high.")
    not_before: datetime | None = Field(description="It starts then or later.")
    run_after_job_id: int | None = Field(description="It starts once that job has completed.")
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    last_sign_at: datetime | None = Field(
        description="When its trainer last said something; None while no run is alive."
    )
    thumbnail_url: str | None
    error: ProblemEntry | None
    likely_cause: str | None = Field(description="Of the error: a rule of thumb.")
    alarms: list[ProblemEntry] = Field(description="Of its run, not over yet: see `worker/alarms`.")


class RunEntry(BaseModel):
    """One start of the job."""

    id: int
    number: int
    status: Literal["starting", "running", "completed", "stopped", "failed", "interrupted"]
    started_at: datetime
    finished_at: datetime | None
    exit_code: int | None = Field(description="Negative: the signal that ended it.")
    failure_class: FailureClass | None = Field(
        description="Of a run that failed or was interrupted."
    )
    first_step: int | None
    last_step: int | None
    device: str
    host: str
    problems: list[ProblemEntry]


class MoveEntry(BaseModel):
    """One move of the job from a state to another."""

    model_config = ConfigDict(from_attributes=True)
    from_status: JobStatus
    to_status: JobStatus
    reason: str
    moved_at: datetime


class Job(JobSummary):
    """A job with everything but its curves, pictures and files."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": EXAMPLE_SUMMARY
            | {
                "config": EXAMPLE_CONFIG,
                "warnings": [],
                "runs": [
                    {
                        "id": 1,
                        "number": 1,
                        "status": "running",
                        "started_at": "2026-01-31T20:15:02Z",
                        "finished_at": None,
                        "exit_code": None,
                        "failure_class": None,
                        "first_step": 0,
                        "last_step": 120,
                        "device": "cpu",
                        "host": "studio",
                        "problems": [],
                    }
                ],
                "moves": [
                    {
                        "from_status": "starting",
                        "to_status": "running",
                        "reason": "run 1, process 4242 on cpu",
                        "moved_at": "2026-01-31T20:15:04Z",
                    }
                ],
                "folder": "tiny-style",
                "resumable_from_steps": [100],
            }
        }
    )
    config: dict[str, Any]
    warnings: list[ProblemEntry]
    runs: list[RunEntry]
    moves: list[MoveEntry] = Field(description="The latest 100, the newest first.")
    folder: str = Field(description="Its folder's name in the output folder.")
    resumable_from_steps: list[int]


@dataclass(slots=True)
class MetricPoint:
    """One optimizer step."""

    # A curve has thousands of these, and a dataclass is made in a tenth of a model's time.

    step: int
    loss: float
    objective: float
    preservation_loss: float | None
    learning_rate: float
    gradient_norm: float
    step_seconds: float
    run: int


METRIC_COLUMNS = tuple(each.name for each in fields(MetricPoint) if each.name != "run")


class MeasurementPoint(BaseModel):
    """What validation and the preservation probe found after a step; None where one is off."""

    step: int
    validation_loss: float | None = Field(description="On pictures that do not train.")
    drift_without_trigger: float | None = Field(
        description="How far the LoRA moves the base model's answer on class captions: a share."
    )
    change_with_trigger: float | None = Field(description="The same on captions.")
    run: int


class LogLine(BaseModel):
    """A line of the trainer's log; `offset`: the byte where it begins."""

    line: str
    offset: int


class LogPart(BaseModel):
    """A part of a run's log; `next` goes into `offset` to read on. None while there is no run.

    The first line's own offset goes into `before` to read back; at 0 the log begins.
    """

    items: list[LogLine]
    next: str | None
    run: int | None


class PanelEntry(BaseModel):
    """A panel of the form, in order."""

    key: str
    title: str


class JobSchema(BaseModel):
    """What the form is drawn from."""

    model_config = ConfigDict(serialize_by_alias=True)
    json_schema_of_job: dict[str, Any] = Field(
        alias="schema", description="JSON schema of a job; each setting's texts are in it."
    )
    panels: list[PanelEntry]
    defaults: dict[str, Any] = Field(description="A job with every default, not yet named.")
    example: JobConfig | None = Field(description="The job that ships as an example.")
    changeable: list[str] = Field(
        description="Settings that the command `change` takes while the job runs: dotted paths."
    )
