"""The tables.

    jobs ─┬─ runs ─┬─ metrics           a job has runs; a run has a token, a process, an outcome
          │        └─ measurements      what validation and the preservation probe found
          ├─ job_moves                  each move of the state machine, with its reason; kept
          ├─ commands                   what the page asks of a running trainer
          ├─ samples, checkpoints       what lies in the output folder
          └─ feed                       what open pages are told, numbered; pruned
    workers ── leases                   who is alive, and which device is whose
    queue_pauses                        where nothing may start
    hook_deliveries                     what webhook and command are to be told

`feed` and `job_moves` have no foreign key on jobs: that a job was deleted is news as well.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Enum,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backend.db.columns import UtcDateTime, now
from backend.jobs.status import JobStatus
from backend.jobs.work import JobKind
from trainer.commands import CommandName

DeleteRequest = Literal["keep_files", "with_files"]
CommandOutcome = Literal["taken", "refused", "unanswered"]


class Base(DeclarativeBase):
    """Names for every constraint, so that migrations can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[dict[str, Any]]: JSON,
        JobStatus: Enum(
            JobStatus,
            native_enum=False,
            length=16,
            values_callable=lambda statuses: [status.value for status in statuses],
        ),
    }


class Job(Base):
    """A job: its config, where it stands, and what its run last said.

    kind: a training, or a drawing, whose units are pictures where a training's are steps.
    gpu: from the config, for the claim. too_small_devices: of those that it allows, by id, what the
    memory plan did not fit at the last queueing; None or empty keeps no device away.
    priority, queue_order, not_before, run_after_job_id: when it may start, see jobs/waiting.py.
    resume_from_step: where its next run is to begin, 0 for the beginning; None takes the newest
    checkpoint.
    stop_requested_at: a request of the API, obeyed by the worker.
    delete_request: another one: the job goes once its run has ended, its files with it or not.
    loss … measuring_seconds: of the latest run; seconds are medians or means measured so far.
    best_step_seconds: of its fastest stretch, see runs/pace.py. last_sign_at: when its trainer
    last said something.
    warnings: of the door, from the last queueing.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_status_queue_order", "status", "queue_order"),
        Index("ix_jobs_delete_request", "delete_request"),
        Index("ix_jobs_status_kind_end", "status", "kind", "finished_at", "updated_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    training_name: Mapped[str] = mapped_column(String(64, collation="NOCASE"), unique=True)
    kind: Mapped[JobKind] = mapped_column(String(16), default="training", server_default="training")
    status: Mapped[JobStatus] = mapped_column(default=JobStatus.DRAFT)
    config: Mapped[dict[str, Any]]
    gpu: Mapped[str] = mapped_column(String(64), default="any")
    too_small_devices: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    queue_order: Mapped[int | None]
    priority: Mapped[int] = mapped_column(default=0, server_default="0")
    not_before: Mapped[datetime | None]
    run_after_job_id: Mapped[int | None]  # no foreign key: SQLite cannot add one to a table
    resume_from_step: Mapped[int | None]
    stop_requested_at: Mapped[datetime | None]
    delete_request: Mapped[DeleteRequest | None] = mapped_column(String(16))
    step: Mapped[int] = mapped_column(default=0)
    phase: Mapped[str | None] = mapped_column(String(16))
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    loss: Mapped[float | None]
    step_seconds: Mapped[float | None]
    sampling_seconds: Mapped[float | None]
    saving_seconds: Mapped[float | None]
    mean_step_seconds: Mapped[float | None]
    best_step_seconds: Mapped[float | None]
    measuring_seconds: Mapped[float | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    warnings: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    last_sign_at: Mapped[datetime | None]


# States of a run that is not over.
OPEN_RUNS = ("starting", "running")


class Run(Base):
    """One start of a job.

    token: proves which process and which events belong to this run.
    process_id, process_start_ticks, machine: who the trainer is; a reused id has other ticks.
    events_offset, log_offset: bytes of the run's files that are in the database already.
    kept_until_step: a later run went on from here; what this run did beyond it was set aside.
    """

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("job_id", "number"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int]
    token: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16), default="starting", index=True)
    worker_id: Mapped[str] = mapped_column(String(36))
    host: Mapped[str] = mapped_column(String(255))
    device: Mapped[str] = mapped_column(String(64))
    process_id: Mapped[int | None]
    process_start_ticks: Mapped[int | None]
    machine: Mapped[str | None] = mapped_column(String(128))
    started_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]
    exit_code: Mapped[int | None]
    first_step: Mapped[int | None]
    last_step: Mapped[int | None]
    kept_until_step: Mapped[int | None]
    phase: Mapped[str | None] = mapped_column(String(16))
    phase_began: Mapped[float | None]
    events_offset: Mapped[int] = mapped_column(default=0)
    log_offset: Mapped[int] = mapped_column(default=0)
    finish: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    problems: Mapped[list[dict[str, Any]]] = mapped_column(default=list)


class QueuePause(Base):
    """Nothing starts on this device, by its id; `all` stands for the whole queue."""

    __tablename__ = "queue_pauses"

    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    paused_at: Mapped[datetime] = mapped_column(default=now)


class JobMove(Base):
    """One move of the state machine."""

    __tablename__ = "job_moves"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(index=True)
    from_status: Mapped[JobStatus]
    to_status: Mapped[JobStatus]
    reason: Mapped[str] = mapped_column(String(500))
    moved_at: Mapped[datetime] = mapped_column(default=now)


class CommandRequest(Base):
    """Asked of a running trainer; `given_at` once the worker wrote it into the run's file.

    settings: what `change` is to set, by dotted path; None for the other commands.
    number: of its line in the run's command file, by which the trainer answers.
    outcome: None while it waits for that answer; `step` and `problems` are in the answer.
    """

    __tablename__ = "commands"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    command: Mapped[CommandName] = mapped_column(String(16))
    settings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    requested_at: Mapped[datetime] = mapped_column(default=now)
    given_at: Mapped[datetime | None]
    number: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[CommandOutcome | None] = mapped_column(String(16))
    step: Mapped[int | None]
    problems: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))


class Metric(Base):
    """One optimizer step. Clustered by job and step, so that a curve is one scan."""

    __tablename__ = "metrics"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # No foreign key: deleting a run would look for its rows in the whole table.
    run_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    loss: Mapped[float]
    objective: Mapped[float]
    preservation_loss: Mapped[float | None]
    learning_rate: Mapped[float]
    gradient_norm: Mapped[float]
    step_seconds: Mapped[float]


class Measurement(Base):
    """What validation and the preservation probe found after a step."""

    __tablename__ = "measurements"
    __table_args__ = ({"sqlite_with_rowid": False},)

    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # as in metrics
    validation_loss: Mapped[float | None]
    drift_without_trigger: Mapped[float | None]
    change_with_trigger: Mapped[float | None]


class Sample(Base):
    """A picture in the output folder; drawn anew, it gets a new row and so a new address.

    lora_strength, negative_prompt, control_images: None where the events were recorded before these
    were. superseded_by: number of the run that set it aside; there may be several of one step and
    prompt then.
    """

    __tablename__ = "samples"
    __table_args__ = (
        UniqueConstraint("job_id", "path"),
        Index("ix_samples_job_id_step_prompt_index", "job_id", "step", "prompt_index"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    step: Mapped[int]
    prompt_index: Mapped[int]
    prompt: Mapped[str]
    seed: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    guidance_scale: Mapped[float]
    sample_steps: Mapped[int]
    lora_strength: Mapped[float | None]
    negative_prompt: Mapped[str | None]
    control_images: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    superseded_by: Mapped[int | None]
    path: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Checkpoint(Base):
    """A LoRA file in the output folder.

    is_best: by validation, of those that are kept; the end result is if it is the best one's LoRA.
    preservation_loss: None where the job has none. num_layers, lora_norm: what reading the file
    back has shown; None where the trainer did not say.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (
        UniqueConstraint("job_id", "step", "is_final"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    step: Mapped[int]
    is_final: Mapped[bool] = mapped_column(default=False)
    size_bytes: Mapped[int]
    loss: Mapped[float | None]
    preservation_loss: Mapped[float | None]
    is_best: Mapped[bool] = mapped_column(default=False)
    num_layers: Mapped[int | None]
    lora_norm: Mapped[float | None]
    path: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class FeedEntry(Base):
    """News for open pages. `data` None: rendered from the tables when it is sent."""

    __tablename__ = "feed"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32))
    job_id: Mapped[int | None]
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class Worker(Base):
    """A worker process. last_seen_at: beats while it lives; see system/workers.py."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    process_id: Mapped[int]
    process_start_ticks: Mapped[int]
    machine: Mapped[str] = mapped_column(String(128))
    devices: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    started_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]


class Lease(Base):
    """One device of one machine, taken by one run.

    machine: also names the process namespace of the worker; see worker/claim.py for what counts.
    """

    __tablename__ = "leases"

    machine: Mapped[str] = mapped_column(String(128), primary_key=True)
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), unique=True)


class HookDelivery(Base):
    """Something that a hook is to be told; see hooks/outbox.py.

    settled_at: it arrived, or was given up with `error`. next_try_at: while it is being sent, the
    moment from which somebody else may.
    """

    __tablename__ = "hook_deliveries"
    __table_args__ = (
        Index("ix_hook_deliveries_settled_at_next_try_at", "settled_at", "next_try_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    target: Mapped[Literal["webhook", "command"]] = mapped_column(String(16))
    event: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[int | None]  # no foreign key: that a deleted job had finished is news as well
    body: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime] = mapped_column(default=now)
    settled_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(String(500))
