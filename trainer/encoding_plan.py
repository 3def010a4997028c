"""What a run tells its encoding child, and what the child says back: one JSON object a line.

The run writes the plan to the child's standard input and leaves that open: its end tells the child
that the run is gone. The child answers on standard output with progress, and at the end with done
or with the failure that kept it from that.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from trainer import errors
from trainer.caching import Slot
from trainer.errors import ChildFailed, DarkroomError, Problem, Severity


@dataclass(frozen=True)
class PictureTask:
    """A picture to encode at (width, height) px into a slot."""

    path: Path
    size: tuple[int, int]
    slot: Slot


@dataclass(frozen=True)
class PromptTask:
    """A text to encode into a slot."""

    text: str
    slot: Slot


@dataclass(frozen=True)
class EncodingPlan:
    """Everything the child needs to know. quantization is the text encoder's."""

    architecture: str
    model_folder: Path
    device: str
    data_type: Literal["bf16", "fp32"]
    quantization: Literal["none", "float8"]
    pictures: tuple[PictureTask, ...]
    prompts: tuple[PromptTask, ...]

    def to_line(self) -> str:
        """The plan as one line of JSON."""
        return json.dumps(asdict(self), default=str) + "\n"

    @classmethod
    def from_line(cls, line: str) -> EncodingPlan:
        """The plan that `to_line` wrote."""
        data: dict[str, Any] = json.loads(line)
        pictures = tuple(
            PictureTask(Path(task["path"]), (task["size"][0], task["size"][1]), _slot(task))
            for task in data.pop("pictures")
        )
        prompts = tuple(PromptTask(task["text"], _slot(task)) for task in data.pop("prompts"))
        folder = Path(data.pop("model_folder"))
        return cls(model_folder=folder, pictures=pictures, prompts=prompts, **data)


def _slot(task: dict[str, Any]) -> Slot:
    return Slot(Path(task["slot"]["root"]), task["slot"]["key"])


def progress_line(done: int, message: str) -> str:
    """The child has finished `done` tasks and is at what `message` says."""
    return json.dumps({"kind": "progress", "done": done, "message": message}) + "\n"


def done_line() -> str:
    """The child has done everything in the plan."""
    return json.dumps({"kind": "done"}) + "\n"


def failure_line(error: DarkroomError) -> str:
    """The child ends with this error."""
    said = {
        "kind": "failed",
        "class": type(error).__name__,
        "problems": [problem.as_dict() for problem in error.problems],
    }
    return json.dumps(said, default=str) + "\n"


def failure_said(answer: dict[str, Any]) -> DarkroomError:
    """The error that `failure_line` wrote."""
    kind = getattr(errors, answer["class"], ChildFailed)
    problems = [
        Problem(**{**data, "severity": Severity(data["severity"])}) for data in answer["problems"]
    ]
    return kind.from_problems(problems)
