"""What a trainer's events say is wrong, as problems that are kept with its run."""

from __future__ import annotations

from typing import Any

from trainer import events
from trainer.errors import OutOfMemory, Problem, Severity

# Of a picture that was not drawn, in the problems that a run keeps.
LOST_PICTURE_CODES = frozenset({"sample_failed", OutOfMemory.code})


def of_failed_sample(event: events.SampleFailed) -> Problem:
    """Of a training, which goes on."""
    return Problem(
        event.code,
        f"The picture of prompt {event.prompt_index + 1} at step {event.step} was not drawn: "
        f"{_sentence(event.message)}",
        event.hint
        or (
            "Make room on the disk; training goes on."
            if "No space left" in event.message
            else "Training goes on. If it stays so, change the prompt's size or the sample "
            "settings."
        ),
        f"sample.prompts.{event.prompt_index}",
        Severity.WARNING,
        _measured(event) | {"step": event.step, "prompt": event.prompt},
    )


def of_failed_picture(event: events.SampleFailed) -> Problem:
    """Of a drawing, which has no steps and nothing else to go on with than its other pictures."""
    return Problem(
        event.code,
        f"Picture {event.prompt_index + 1} was not drawn: {_sentence(event.message)}",
        event.hint
        or (
            "Make room on the disk, then queue the drawing again."
            if "No space left" in event.message
            else "Change its size or its LoRA, and draw it again."
        ),
        f"pictures.{event.prompt_index}",
        Severity.WARNING,
        _measured(event) | {"picture": event.prompt_index, "prompt": event.prompt},
    )


def _sentence(message: str) -> str:
    """Ended as one: what to do about it follows."""
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _measured(event: events.SampleFailed) -> dict[str, Any]:
    """What the event measured. Its changes are told by the hint: a run keeps a problem for each
    picture, and they are the longest part of it.
    """
    return {name: value for name, value in event.params.items() if name != "changes"}


def of_warning(event: events.Warned) -> Problem:
    """As the trainer said it."""
    return Problem(
        event.code, event.message, event.hint, event.field, Severity.WARNING, event.params
    )


def of_refused_command(event: events.CommandRefused, problem: dict[str, Any]) -> Problem:
    """A command that the trainer would not obey. problem: as the event has it."""
    return Problem(
        problem.get("code", "command_refused"),
        f"{event.command or 'A command'} was refused at step {event.step}: "
        f"{problem.get('message', '')}",
        problem.get("hint", ""),
        problem.get("field"),
        Severity.WARNING,
        {"step": event.step, **(problem.get("params") or {})},
    )
