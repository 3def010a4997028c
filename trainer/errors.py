"""Everything that can go wrong, as the person who started the job should hear of it.

    DarkroomError                code, message, hint, params, exit code
    ├── JobRefused            2  the job file, its settings or their combination cannot run
    ├── BadDataset            4  a folder, picture or caption that the job names cannot be used
    ├── BadModel              5  the model's files are missing, damaged or of another kind
    ├── FolderInUse           6  another trainer holds the job's output folder
    ├── BadCheckpoint         7  a checkpoint to resume from is missing, damaged or does not fit
    ├── NonFinite             8  loss or gradients stopped being numbers
    ├── OutOfMemory           9  the device or the host ran out of memory
    ├── DiskFull             10  the disk holding output or caches is full or went away
    ├── ChildFailed          11  the encoding child ended without a result
    ├── BadLora              12  a LoRA file is missing, damaged, or for another model or job
    └── StopRequested         3  not a fault: somebody asked the run to stop

Exit code 0 means completed, 1 means our own mistake (a traceback in the log).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import field as dataclass_field
from enum import StrEnum
from typing import Any

EXIT_COMPLETED = 0
EXIT_CRASHED = 1


class Severity(StrEnum):
    """How much a problem matters at the door."""

    ERROR = "error"  # the job cannot run
    WARNING = "warning"  # the job runs, but a setting has no effect or will disappoint
    INFO = "info"  # advice: the job is fine, and something is worth a second thought


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a job: stable code, sentence, cure, the field it belongs to, values.

    `field` is a dotted path into the job (`datasets.0.resolutions`), or None when none fits.
    """

    code: str
    message: str
    hint: str
    field: str | None = None
    severity: Severity = Severity.ERROR
    params: Mapping[str, Any] = dataclass_field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The wire form that API, events and command line share."""
        return asdict(self)

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}{self.message} {self.hint}".strip()


def without_effect(
    field: str, message: str, hint: str, params: Mapping[str, Any] | None = None
) -> Problem:
    """The warning that a setting changes nothing in this job."""
    return Problem("no_effect", message, hint, field, Severity.WARNING, params or {})


class DarkroomError(Exception):
    """Any failure with a name; `problems` holds one entry for each thing found wrong."""

    exit_code = EXIT_CRASHED
    code = "error"

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        code: str | None = None,
        field: str | None = None,
        params: Mapping[str, Any] | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).code
        own = Problem(self.code, message, hint, field, Severity.ERROR, params or {})
        self.problems: tuple[Problem, ...] = tuple(problems) or (own,)

    @classmethod
    def from_problems(cls, problems: Sequence[Problem]) -> DarkroomError:
        """One error that carries several problems; its message is theirs, a line each."""
        assert problems, "an error needs at least one problem"
        first = problems[0]
        message = first.message if len(problems) == 1 else "\n".join(str(p) for p in problems)
        hint = first.hint if len(problems) == 1 else ""
        return cls(message, hint, code=first.code, problems=problems)


class JobRefused(DarkroomError):
    """The job file, one of its settings or their combination cannot run."""

    exit_code = 2
    code = "bad_job"


class StopRequested(DarkroomError):
    """Somebody asked the run to stop; everything is saved."""

    exit_code = 3
    code = "stopped"


class BadDataset(DarkroomError):
    """A folder, picture or caption that the job names cannot be used."""

    exit_code = 4
    code = "bad_dataset"


class BadModel(DarkroomError):
    """The model's files are missing, damaged or of another kind than the job says."""

    exit_code = 5
    code = "bad_model"


class FolderInUse(DarkroomError):
    """Another trainer is writing to this job's output folder."""

    exit_code = 6
    code = "folder_in_use"


class BadCheckpoint(DarkroomError):
    """A checkpoint to resume from is missing, damaged or does not fit the job."""

    exit_code = 7
    code = "bad_checkpoint"


class NonFinite(DarkroomError):
    """Loss or gradients were not finite several steps in a row."""

    exit_code = 8
    code = "non_finite"


class OutOfMemory(DarkroomError):
    """The device or the host ran out of memory."""

    exit_code = 9
    code = "out_of_memory"


class DiskFull(DarkroomError):
    """The disk that holds output or caches is full, or its folder went away."""

    exit_code = 10
    code = "disk_full"


class ChildFailed(DarkroomError):
    """The encoding child ended without a result."""

    exit_code = 11
    code = "encoding_failed"


class BadLora(DarkroomError):
    """A LoRA file is missing, damaged, no LoRA, or does not fit the model or the job."""

    exit_code = 12
    code = "bad_lora"
