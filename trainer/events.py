"""What a run says while it works: one JSON object a line, appended to `events.jsonl`.

The file is the run's record and its only voice: the worker, the gallery and a person with `tail`
read the same lines. Each has `seq` (1, 2, 3, ... within the run), `time` (Unix seconds) and `type`.
Readers skip types and fields they do not know. A line is written with one `write` call, so a
reader that waits for the newline never sees half of one. Where a power cut or a full disk leaves a
torn last line, it stays in the file, since the next run starts its own; whoever closes the run
tells of it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from trainer.errors import Severity

Phase = Literal["download", "load", "encode", "train", "validate", "sample", "save", "finish"]
_LAST_MOMENT = 253_402_300_799  # 9999-12-31 23:59:59: no calendar here goes on after it

# A path as events write it; no system has one with a NUL.
_FilePath = Annotated[str, Field(pattern=r"^[^\x00]*$")]


class _SaidProblem(BaseModel):
    """The form of `trainer.errors.Problem` on a line."""

    code: str
    message: str
    hint: str = ""
    field: str | None = None
    severity: Severity = Severity.ERROR
    params: dict[str, Any] = Field(default_factory=dict)


def _as_problem(said: dict[str, Any]) -> dict[str, Any]:
    """With what an earlier version may have left out. Raises ValidationError."""
    return _SaidProblem.model_validate(said).model_dump()


_Problem = Annotated[dict[str, Any], AfterValidator(_as_problem)]


class Event(BaseModel):
    """What every line has.

    elapsed_seconds: since the run's file was begun, by a clock that nobody can set; None in the
    lines of older versions.
    """

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="strings")

    seq: int = 0
    time: float = Field(default=0.0, le=_LAST_MOMENT)
    elapsed_seconds: float | None = Field(default=None, le=_LAST_MOMENT)


STAMPS = {"type", *Event.model_fields}  # what says nothing of what happened


class RunStarted(Event):
    """The first line of every run: the process is up.

    device, num_threads and versions are unknown of a run that is refused before torch is loaded.
    """

    type: Literal["run_started"] = "run_started"
    training_name: str
    run_number: int
    token: str = ""
    process_id: int
    host: str
    device: str = ""
    num_threads: int = 0
    versions: dict[str, str] = Field(default_factory=dict)
    total_steps: int


class RunBegins(Event):
    """The run knows where it begins, and nothing stands against it: what earlier runs did beyond
    that step is no part of the training any more.

    resumed_from_step: None at the very beginning. changed_settings: what is another than in the
    checkpoint, by dotted path, as {"before": ..., "now": ...}.
    """

    type: Literal["run_begins"] = "run_begins"
    resumed_from_step: int | None = None
    changed_settings: dict[str, dict[str, Any]] = Field(default_factory=dict)


class PhaseStarted(Event):
    """The run entered a phase; `message` says it in a few words."""

    type: Literal["phase"] = "phase"
    phase: Phase
    step: int = 0
    message: str = ""


class Progress(Event):
    """`done` of `total` units within the present phase (tensors, pictures, prompts, draws)."""

    type: Literal["progress"] = "progress"
    phase: Phase
    done: int
    total: int
    message: str = ""


class WaitingForSpace(Event):
    """The run waits for room on the disk of `folder` before it goes on; said again every few
    seconds. The next phase, also of the same name, says that it is over. free_bytes: at present.
    """

    type: Literal["waiting_for_space"] = "waiting_for_space"
    phase: Phase
    folder: str
    needed_bytes: int
    free_bytes: int

    @property
    def sentence(self) -> str:
        """What people read as its progress."""
        return f"waiting for space: needs {_mb(self.needed_bytes)}, {_mb(self.free_bytes)} free"


class Step(Event):
    """One optimizer step.

    loss: mean loss against the true target, the one to compare between runs.
    objective: what was differentiated; differs from loss under differential guidance or weights.
    preservation_loss: DOP's term before its multiplier; None when no sample of the step had one.
    learning_rate: of this step, times the factor that Prodigy has found where it is the optimizer.
    gradient_norm: before clipping. step_seconds: wall time of the step.
    """

    type: Literal["step"] = "step"
    step: int
    loss: float
    objective: float
    preservation_loss: float | None = None
    learning_rate: float
    gradient_norm: float
    step_seconds: float


class Measured(Event):
    """What the LoRA of this step does at fixed pictures, noise levels and noise; see validation.py
    and preservation_probe.py. A number that was not asked for is None.

    validation_loss: mean squared error against the true target on pictures that do not train.
    drift_without_trigger, change_with_trigger: how far the LoRA moves the base model's answer on
    class captions and on captions, as a share of that answer's size (root mean squares).
    """

    type: Literal["measured"] = "measured"
    step: int
    validation_loss: float | None = None
    drift_without_trigger: float | None = None
    change_with_trigger: float | None = None
    seconds: float


class Sample(Event):
    """A picture is on disk; `path` is relative to the job's folder."""

    type: Literal["sample"] = "sample"
    step: int
    prompt_index: int
    prompt: str
    seed: int
    width: int
    height: int
    guidance_scale: float
    sample_steps: int
    lora_strength: float = 1.0
    negative_prompt: str | None = None
    control_images: list[str] = Field(default_factory=list)
    path: _FilePath


class SamplePreview(Event):
    """A picture is being drawn: `done` of `total` denoising steps, and a small preview of what it
    is becoming at `path` in the run's folder, which the next preview replaces. `prompt` is what the
    sample will say; None in a record from before previews said it.
    """

    type: Literal["sample_preview"] = "sample_preview"
    step: int
    prompt_index: int
    prompt: str | None = None
    done: int
    total: int
    path: _FilePath


class SampleFailed(Event):
    """A picture could not be drawn; training goes on.

    code: `out_of_memory` where memory ran out; `hint` then says what lowers the phase's peak, in
    order, and `params` are those of a run that failed so: phase, peak_bytes, changes.
    """

    type: Literal["sample_failed"] = "sample_failed"
    step: int
    prompt_index: int
    prompt: str
    message: str
    code: str = "sample_failed"
    hint: str = ""
    params: dict[str, Any] = Field(default_factory=dict)


class CheckpointSaved(Event):
    """A checkpoint is whole on disk; `path` is its folder, `lora` its file, in the job's folder.

    The LoRA's file has been read back: every key maps to a layer and every value is finite and as
    it was written. num_layers: layers that it changes. lora_norm: the Frobenius norm of all that it
    adds to the base's weights, 0 for a LoRA that changes nothing; None from earlier versions.
    """

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: _FilePath
    lora: _FilePath
    size_bytes: int
    num_layers: int = 0
    lora_norm: float | None = None


class BestCheckpoint(Event):
    """The checkpoint of this step is now the best of those on disk; an earlier one no longer is."""

    type: Literal["best_checkpoint"] = "best_checkpoint"
    step: int


class CheckpointRemoved(Event):
    """Retention removed the checkpoint of this step."""

    type: Literal["checkpoint_removed"] = "checkpoint_removed"
    step: int


class Superseded(Event):
    """A resume from an earlier step set aside what came after it: samples and checkpoints."""

    type: Literal["superseded"] = "superseded"
    after_step: int
    path: _FilePath


STEP_SKIPPED = "step_skipped"  # the code of a step whose loss or gradients were not finite


class Warned(Event):
    """Something has no effect or will disappoint; the run goes on."""

    type: Literal["warning"] = "warning"
    code: str
    message: str
    hint: str = ""
    field: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)


class CommandTaken(Event):
    """A line of commands.jsonl was obeyed.

    settings: those that `change` set, by dotted path; they hold from the step after `step` on.
    """

    type: Literal["command"] = "command"
    command: str
    command_seq: int
    step: int
    settings: dict[str, Any] = Field(default_factory=dict)


class CommandRefused(Event):
    """A line of commands.jsonl cannot be obeyed; the run goes on as before.

    problems: why not, in the form of `trainer.errors.Problem`.
    """

    type: Literal["command_refused"] = "command_refused"
    command: str
    command_seq: int
    step: int
    problems: list[_Problem]


class RunFinished(Event):
    """The last line of a run that could still speak.

    lora: path of the end result in the job's folder, when there is one. lora_step: the step whose
    checkpoint's LoRA that is, which after an early end may come before `step`, the last one taken;
    None from earlier versions.
    problems: what went wrong, in the form of `trainer.errors.Problem`. ended_early: why a completed
    run took fewer steps than it was to, in the same form.
    """

    type: Literal["run_finished"] = "run_finished"
    outcome: Literal["completed", "stopped", "failed"]
    exit_code: int
    step: int
    phase: Phase | None = None
    lora: _FilePath | None = None
    lora_step: int | None = None
    problems: list[_Problem] = Field(default_factory=list)
    ended_early: _Problem | None = None


AnyEvent = Annotated[
    RunStarted
    | RunBegins
    | PhaseStarted
    | Progress
    | WaitingForSpace
    | Step
    | Measured
    | Sample
    | SamplePreview
    | SampleFailed
    | CheckpointSaved
    | BestCheckpoint
    | CheckpointRemoved
    | Superseded
    | Warned
    | CommandTaken
    | CommandRefused
    | RunFinished,
    Field(discriminator="type"),
]
_ANY_EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"


class EventLog:
    """Append events to one run's file; the run is its only writer."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o644)
        self._began = time.monotonic()
        self._seq = 0
        self._is_torn = False

    def append(self, event: Event) -> None:
        """Number the event, stamp it and write its line; checkpoints and the end are flushed.

        Raises OSError, also where a full disk took a part of the line only; the next event then
        begins a line of its own.
        """
        self._seq += 1
        elapsed_seconds = round(time.monotonic() - self._began, 3)
        stamps = {"seq": self._seq, "time": time.time(), "elapsed_seconds": elapsed_seconds}
        stamped = event.model_copy(update=stamps)
        start = "\n" if self._is_torn else ""
        left = f"{start}{stamped.model_dump_json()}\n".encode()
        self._is_torn = True
        while left:  # a disk that is nearly full takes a part, and refuses the rest
            left = left[os.write(self._descriptor, left) :]
        self._is_torn = False
        if isinstance(event, RunFinished | CheckpointSaved):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; further events are a mistake."""
        os.close(self._descriptor)


class BadLine(Exception):
    """A line that is no event: `reason` says why, `line` is its first 200 characters."""

    def __init__(self, line: str, reason: str) -> None:
        super().__init__(f"{reason}: {line[:200]}")
        self.line = line[:200]
        self.reason = reason


def parse_line(line: str) -> AnyEvent | None:
    """The event on a line; None for a type this version does not know. Raises BadLine."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:  # or brackets nested without end
        raise BadLine(line, "not JSON") from error
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise BadLine(line, "not an event")
    if data["type"] not in _KNOWN_TYPES:
        return None
    try:
        return _ANY_EVENT.validate_python(data)
    except ValidationError as error:
        raise BadLine(line, f"not a valid {data['type']} event") from error


_KNOWN_TYPES = frozenset(
    kind.model_fields["type"].default for kind in get_args(get_args(AnyEvent)[0])
)


def read_lines(path: Path, offset: int = 0, max_bytes: int = 1 << 20) -> tuple[list[str], int]:
    """Whole lines of `path` from byte `offset`, and the offset to go on from.

    A last line without its newline stays for the next call. A missing file reads as empty.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            chunk = file.read(max_bytes)
    except FileNotFoundError:
        return [], offset
    end = chunk.rfind(b"\n") + 1
    if end == 0 and len(chunk) == max_bytes:
        # A line longer than the window is no event of ours: step over it.
        return ["{huge line}"], offset + max_bytes
    text = chunk[:end].decode("utf-8", errors="replace")
    # Not splitlines(): a prompt may hold U+2028 and its kin, which are no ends of a JSON line.
    return text.split("\n")[:-1], offset + end
