"""Hooks as the API speaks of them. Addresses, commands and secrets are never sent."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from backend.settings import HookEvent


class Delivery(BaseModel):
    """One note for one hook, and what became of it."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    target: Literal["webhook", "command"]
    event: str
    job_id: int | None
    created_at: datetime
    attempts: int
    error: str | None = Field(description="Of the last attempt; None once it arrived.")
    next_try_at: datetime | None = Field(description="None once it arrived or was given up.")
    settled_at: datetime | None


class HooksState(BaseModel):
    """What is set, and the latest notes, newest first."""

    webhook_set: bool
    command_set: bool
    events: list[HookEvent]
    deliveries: list[Delivery]


class HookTest(BaseModel):
    """How many hooks are being told."""

    num_hooks: int
