"""How many pictures or prompts the encoders take in one forward pass, and which ones together.

A tensor in the cache must not depend on what else was missing when it was made. In a batch, matrix
products may round differently than alone, so the number in a pass belongs to the key, and every
pass is full: what is lacking is filled up by repeating its last, and thrown away. A sample's
numbers do not depend on its neighbours', so each tensor is then a function of its own content and
the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

# What one pass of auto holds on a GPU; larger passes save nothing once the device is busy.
PASS_AREA_PX = 1024 * 1024
PASS_TEXT_ROWS = 512
MAX_PER_PASS = 64


class _Sized(Protocol):
    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def per_pass(self) -> int: ...


Task = TypeVar("Task", bound=_Sized)
Thing = TypeVar("Thing")


def pictures_per_pass(setting: int | None, size: tuple[int, int], *, device: str) -> int:
    """Pictures of `size` px in a pass. setting: Encoding Batch Size, None for auto."""
    if setting is not None:
        return setting
    if device == "cpu":
        return 1  # a CPU is busy with one, and one gives the pipeline's own numbers to the bit
    return max(1, min(MAX_PER_PASS, PASS_AREA_PX // (size[0] * size[1])))


def prompts_per_pass(setting: int | None, num_rows: int, *, device: str) -> int:
    """Prompts of `num_rows` text rows in a pass. setting: as for pictures."""
    if setting is not None:
        return setting
    return 1 if device == "cpu" else max(1, PASS_TEXT_ROWS // num_rows)


def picture_passes(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """The tasks by size, each list at most as long as its tasks' `per_pass`."""
    by_kind: dict[tuple[tuple[int, int], int], list[Task]] = {}
    for task in tasks:
        by_kind.setdefault((task.size, task.per_pass), []).append(task)
    for (_, per_pass), alike in by_kind.items():
        yield from slices(alike, per_pass)


def slices(things: Sequence[Thing], length: int) -> Iterator[list[Thing]]:
    """The things in order, `length` at a time; the last list may be shorter."""
    for start in range(0, len(things), length):
        yield list(things[start : start + length])


def filled_up(things: Sequence[Thing], length: int) -> list[Thing]:
    """The things, with the last repeated until there are `length`."""
    return [*things, *[things[-1]] * (length - len(things))]
