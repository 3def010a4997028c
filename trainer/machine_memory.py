"""RAM as far as this process may use it: the machine's, or less where a control group limits it.

A container or a service is limited by its control group and by every group around it; the system's
own figures (`psutil`) know nothing of that. Both layouts are read:

    version 2   memory.max, memory.current, memory.stat (inactive_file)
    version 1   memory.limit_in_bytes, memory.usage_in_bytes, memory.stat (total_inactive_file)

What a group uses counts the files that it has read. Those that nobody used lately make room by
themselves, and are taken off as `docker stats` does. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class MachineMemory:
    """available_bytes: without swapping."""

    total_bytes: int
    available_bytes: int


@dataclass(frozen=True)
class _Layout:
    """The names of a version's files."""

    limit: str
    used: str
    unused_files: str


_VERSION_2 = _Layout("memory.max", "memory.current", "inactive_file")
_VERSION_1 = _Layout("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def machine_memory(*, groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> MachineMemory:
    """The machine's memory now, or the least that a group around this process allows.

    groups: where the control groups are mounted. own_groups: the file that names this process's.
    """
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    for folder, layout in _groups_around(groups, own_groups):
        limit = _number_in(folder / layout.limit)
        if limit is None:
            continue
        total = min(total, limit)
        used = _number_in(folder / layout.used)
        if used is not None:
            in_use = max(0, used - _unused_files(folder, layout))
            available = min(available, max(0, limit - in_use))
    return MachineMemory(total, available)


def _groups_around(groups: Path, own_groups: Path) -> Iterator[tuple[Path, _Layout]]:
    """The process's group and those above it, up to where they are mounted. Seen from inside of a
    container, folders may be missing below: the mount is then the container's own group.
    """
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, layout = groups, _VERSION_2
        elif "memory" in controllers.split(","):
            mount, layout = groups / "memory", _VERSION_1
        else:
            continue
        names = [name for name in path.split("/") if name not in ("", "..")]
        for depth in range(len(names), -1, -1):
            yield mount.joinpath(*names[:depth]), layout


def _number_in(file: Path) -> int | None:
    """None for a file that is not there, or that says max."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _unused_files(folder: Path, layout: _Layout) -> int:
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, number = line.partition(" ")
        if name == layout.unused_files:
            return int(number)
    return 0
