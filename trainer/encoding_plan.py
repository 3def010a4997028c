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
from trainer.pictures import Flip
from trainer.quantization_kinds import QuantizationKind


@dataclass(frozen=True)
class PictureTask:
    """A picture to encode at (width, height) px into a slot.

    flip: how it is mirrored. is_reference: brought to its size as references are. per_pass:
    pictures of its size in one forward pass.
    """

    path: Path
    size: tuple[int, int]
    slot: Slot
    flip: Flip = ""
    is_reference: bool = False
    per_pass: int = 1


@dataclass(frozen=True)
class MaskTask:
    """A mask to bring to its picture's tokens: both sizes are (width, height) in px."""

    path: Path
    picture_size: tuple[int, int]
    size: tuple[int, int]
    slot: Slot


@dataclass(frozen=True)
class PromptTask:
    """A text to encode into a slot."""

    text: str
    slot: Slot


@dataclass(frozen=True)
class EncodingPlan:
    """Everything the child needs to know.

    autoencoder: a folder or a single file. data_type: of the prompts; vae_data_type: of the
    pictures. quantization is the text encoder's; percent_streamed: of its layers.
    weights_cache: the folder that keeps its quantized weights; None keeps nothing.
    """

    architecture: str
    autoencoder: Path
    text_encoder: Path
    tokenizer: Path
    device: str
    data_type: Literal["bf16", "fp32"]
    vae_data_type: Literal["bf16", "fp32"]
    quantization: QuantizationKind
    pictures: tuple[PictureTask, ...]
    prompts: tuple[PromptTask, ...]
    masks: tuple[MaskTask, ...] = ()
    prompts_per_pass: int = 1
    percent_streamed: float = 0.0
    weights_cache: Path | None = None

    @property
    def tasks(self) -> tuple[PictureTask | MaskTask | PromptTask, ...]:
        """Pictures, masks and prompts."""
        return (*self.pictures, *self.masks, *self.prompts)

    def to_line(self) -> str:
        """The plan as one line of JSON."""
        return json.dumps(asdict(self), default=str) + "\n"

    @classmethod
    def from_line(cls, line: str) -> EncodingPlan:
        """The plan that `to_line` wrote."""
        data: dict[str, Any] = json.loads(line)
        pictures = tuple(
            PictureTask(
                Path(task["path"]),
                _size(task["size"]),
                _slot(task),
                task["flip"],
                task["is_reference"],
                task["per_pass"],
            )
            for task in data.pop("pictures")
        )
        masks = tuple(
            MaskTask(
                Path(task["path"]), _size(task["picture_size"]), _size(task["size"]), _slot(task)
            )
            for task in data.pop("masks")
        )
        prompts = tuple(PromptTask(task["text"], _slot(task)) for task in data.pop("prompts"))
        places: dict[str, Any] = {
            part: Path(data.pop(part)) for part in ("autoencoder", "text_encoder", "tokenizer")
        }
        cache = data.pop("weights_cache")
        places["weights_cache"] = None if cache is None else Path(cache)
        return cls(**places, pictures=pictures, masks=masks, prompts=prompts, **data)


def _size(sides: list[int]) -> tuple[int, int]:
    width_px, height_px = sides
    return width_px, height_px


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
