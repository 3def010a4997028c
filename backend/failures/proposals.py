"""A cure before it is written out: settings to change, a step to go on from, and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.failures.schemas import CureEffect
from trainer.config import JobConfig
from trainer.memory_changes import Change
from trainer.resume_rules import FIXED_SETTINGS

RETRY = "retry"


@dataclass(frozen=True)
class Proposal:
    """Something to try. resume_from_step: None is the newest checkpoint, 0 begins anew."""

    name: str
    title: str
    why: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    resume_from_step: int | None = None
    effect: CureEffect | None = None

    @property
    def key(self) -> str:
        """The same as long as the proposal is the same; another once it would do something else."""
        if self.name == RETRY:
            return RETRY
        deed = json.dumps([dict(self.settings), self.resume_from_step], sort_keys=True)
        return f"{self.name}-{hashlib.sha256(deed.encode()).hexdigest()[:8]}"

    def changed(self, job: JobConfig) -> JobConfig:
        """The job with the settings changed."""
        return Change(self.title, self.settings).applied(job)

    def needs_a_new_job(self, *, has_checkpoints: bool) -> bool:
        """Whether what was trained so far could not go on with these settings."""
        return has_checkpoints and any(path in FIXED_SETTINGS for path in self.settings)


def sentence_case(label: str) -> str:
    """A label of the memory plan as a title."""
    return f"{label[0].upper()}{label[1:]}"
