"""The machine and the installation as the API speaks of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Health(BaseModel):
    """The server answers."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok", "version": "0.1.0"}})
    status: Literal["ok"] = "ok"
    version: str


class TokenGiven(BaseModel):
    """The token, to be kept by the browser as a cookie that no script can read."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"token": "…"}})
    token: str


class DeviceEntry(BaseModel):
    """Something a job can run on: `cpu`, or a GPU by its UUID."""

    id: str
    name: str
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    utilization_percent: float | None = Field(
        default=None, description="How busy it is: a GPU now, the CPU since the last look."
    )
    temperature_celsius: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None


class WorkerState(BaseModel):
    """Whether queued jobs will start."""

    alive: bool
    last_seen_at: datetime | None


class DiskState(BaseModel):
    """Free space; None while the folder does not exist."""

    output_free_bytes: int | None
    output_total_bytes: int | None
    cache_free_bytes: int | None


class HostMemory(BaseModel):
    """The machine's memory; available without swapping."""

    total_bytes: int
    available_bytes: int
    swap_used_bytes: int


class DeviceLoad(BaseModel):
    """What a device was doing; None for a figure that it does not give."""

    id: str
    memory_used_bytes: int | None
    utilization_percent: float | None
    temperature_celsius: float | None
    power_watts: float | None


class LoadSample(BaseModel):
    """The machine at one moment. No devices while no worker looks at them."""

    at: datetime
    devices: list[DeviceLoad]
    memory_used_bytes: int = Field(description="Of the host.")
    disk_free_bytes: int | None = Field(description="Where jobs are saved.")


class LoadHistory(BaseModel):
    """The last minutes, oldest first."""

    interval_seconds: float
    items: list[LoadSample]


class FolderPaths(BaseModel):
    """Where things lie on the server."""

    datasets: str
    output: str
    cache: str
    models: str


class SystemState(BaseModel):
    """What the settings page and the header show."""

    version: str
    token_required: bool
    hub_token_set: bool = Field(description="Whether HF_TOKEN is set; it is never sent.")
    devices: list[DeviceEntry]
    worker: WorkerState
    disk: DiskState
    memory: HostMemory
    folders: FolderPaths
