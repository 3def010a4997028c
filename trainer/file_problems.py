"""One problem for all files with the same fault."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.errors import Problem, Severity

_NAMES_IN_A_MESSAGE = 5


def problem_of_files(
    code: str,
    message: str,
    hint: str,
    files: Sequence[str],
    field_path: str | None,
    severity: Severity = Severity.ERROR,
) -> Problem:
    """The problem of these files: the first few at {names} in the message, all in params."""
    names = ", ".join(files[:_NAMES_IN_A_MESSAGE])
    if len(files) > _NAMES_IN_A_MESSAGE:
        names += f" and {len(files) - _NAMES_IN_A_MESSAGE} more"
    filled = message.replace("{names}", names)
    return Problem(
        code, filled, hint, field_path, severity, params={"count": len(files), "files": list(files)}
    )
