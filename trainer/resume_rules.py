"""What a job may change between a checkpoint and a resume from it.

A checkpoint's weights belong to a model, a quantization and a target: with another value of those
they are other weights, or none. Everything else may change (learning rate, schedule, steps, batch,
preservation, guidance, saves, samples, ...): it is taken over from the job and recorded in the
run's first event. The API asks here too, when a job that has checkpoints is edited. Imports no
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.config import JobConfig
from trainer.errors import Problem
from trainer.job_folder import JobFolder
from trainer.panels.field import Panel
from trainer.panels.quantization import QuantizationPanel
from trainer.panels.target import TargetPanel

# What --resume takes beside a step number and a checkpoint's folder.
AUTO, NEVER = "auto", "never"
# Settings of the target that act while it trains and leave no trace in the weights' shape or sense.
_FREE_OF_TARGET = frozenset({"dropout"})
# Where quantized weights are kept says nothing about what they are.
_FREE_OF_QUANTIZATION = frozenset({"keep_on_disk"})
FIXED_SETTINGS: tuple[str, ...] = (
    "model.model_architecture",
    *(
        f"quantization.{name}"
        for name in QuantizationPanel.model_fields
        if name not in _FREE_OF_QUANTIZATION
    ),
    *(f"target.{name}" for name in TargetPanel.model_fields if name not in _FREE_OF_TARGET),
)


def goes_on(job: JobConfig, parent: Path, *, resume: str) -> bool:
    """Whether a run of the job in `parent` goes on from a checkpoint, or ends because it cannot.

    resume: auto, never, a step, or a checkpoint's folder. A folder with checkpoints never restarts
    at 0 unless asked; such a run needs no LoRA to start from.
    """
    if resume == AUTO:
        return bool(JobFolder(parent, job.job.training_name).checkpoint_steps())
    return resume != NEVER


def misfits(
    checkpoint_job: Mapping[str, Any], job: Mapping[str, Any], *, step: int
) -> list[Problem]:
    """Why the job cannot go on from a checkpoint at `step`; empty if it can.

    checkpoint_job, job: as `JobConfig.model_dump(mode="json")` gives them. A setting that one of
    them lacks, because a version before this one wrote it, has its default.
    """
    return [
        Problem(
            "checkpoint_does_not_fit",
            f"{setting_label(path)} is {now!r}, but the checkpoint at step {step} was trained with "
            f"{then!r}.",
            "Set it back, clone the job to train under another Training Name, or start over "
            "(--resume never).",
            path,
            params={"job": now, "checkpoint": then},
        )
        for path in FIXED_SETTINGS
        if (then := _value(checkpoint_job, path)) != (now := _value(job, path))
    ]


def changed_settings(
    checkpoint_job: Mapping[str, Any], job: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What is another in the job than in the checkpoint's: {path: {"before": ..., "now": ...}}.

    Lists (datasets, sample prompts) count as one setting each.
    """
    found: dict[str, dict[str, Any]] = {}
    for panel, info in JobConfig.model_fields.items():
        kind = info.annotation
        paths = [panel]
        if isinstance(kind, type) and issubclass(kind, Panel):
            paths = [f"{panel}.{name}" for name in kind.model_fields]
        for path in paths:
            then, now = _value(checkpoint_job, path), _value(job, path)
            if then != now:
                found[path] = {"before": then, "now": now}
    return found


def setting_label(path: str) -> str:
    """What the form calls the setting at `panel.name`."""
    return _field(path).title or path


def _value(job: Mapping[str, Any], path: str) -> Any:
    panel, _, name = path.partition(".")
    if not name:
        return job[panel]
    own: Mapping[str, Any] = job.get(panel, {})
    value = own[name] if name in own else _field(path).get_default(call_default_factory=True)
    if path == "target.linear_alpha" and value is None:  # blank is the rank
        return float(_value(job, "target.linear_rank"))
    return value


def _field(path: str) -> Any:
    panel, _, name = path.partition(".")
    kind: Any = JobConfig.model_fields[panel].annotation
    return kind.model_fields[name]
