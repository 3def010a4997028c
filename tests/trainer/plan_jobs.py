"""Jobs and machines for tests of the memory plan: dev at the form's defaults, changed by path."""

from __future__ import annotations

from typing import Any

from tests.trainer.short_runs import job_with
from trainer.config import JobConfig
from trainer.machine import Machine
from trainer.memory_plan import MemoryPlan, plan_memory
from trainer.memory_sizes import GIB
from trainer.memory_verdict import Judged, judge
from trainer.memory_workload import workload_of
from trainer.model_shapes import known_shapes

DEV_JOB: dict[str, Any] = {
    "job": {"training_name": "planned", "trigger_word": "zorvex"},
    "datasets": [{"target_dataset": "pictures"}],
    "sample": {"prompts": [{"prompt": "[trigger]"}]},
}


def planned_job(changes: dict[str, Any] | None = None) -> JobConfig:
    return JobConfig.model_validate(job_with(changes, base=DEV_JOB))


def plan_of(changes: dict[str, Any] | None = None, *, on_gpu: bool = True) -> MemoryPlan:
    """Of an architecture's own model and pictures that nobody has seen."""
    job = planned_job(changes)
    shapes = known_shapes(job.model.model_architecture)
    return plan_memory(job, shapes, workload_of(job, [], on_gpu=on_gpu), on_gpu=on_gpu)


def judged(
    changes: dict[str, Any] | None = None, *, vram_gib: float | None, ram_gib: float = 64
) -> Judged:
    job = planned_job(changes)
    vram_bytes = None if vram_gib is None else int(vram_gib * GIB)
    machine = Machine(int(ram_gib * GIB), vram_bytes)
    return judge(job, known_shapes(job.model.model_architecture), [], machine)
