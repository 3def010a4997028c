"""Who is who among processes, for certain.

A process id is reused; together with the moment of its start (clock ticks since boot, which no
change of the clock moves) it is not. Both mean something only on one boot of one machine and, in
containers, within one process namespace: `machine_id` names that.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import psutil

_PROC = Path("/proc")
_NAMESPACE = " pid:"  # between the boot's id and the number of the process namespace


@functools.cache
def machine_id() -> str:
    """This boot of this machine, and this process namespace of it."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:  # no /proc: not Linux
        return f"boot {psutil.boot_time():.0f}"


def boot_of(machine: str) -> str | None:
    """The boot that a `machine_id` names; None where only a moment of the clock names it."""
    boot, namespace, _ = machine.partition(_NAMESPACE)
    return boot if namespace else None


def start_ticks(process_id: int) -> int | None:
    """When the process started; None if there is none, or only its remains."""
    if not _PROC.is_dir():
        return _start_ticks_without_proc(process_id)
    try:
        text = (_PROC / str(process_id) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold anything.
    state, *fields = text[text.rindex(")") + 2 :].split()
    return None if state in "ZX" else int(fields[18])


def _start_ticks_without_proc(process_id: int) -> int | None:
    try:
        process = psutil.Process(process_id)
        is_dead = process.status() == psutil.STATUS_ZOMBIE
        return None if is_dead else int(process.create_time() * 100)
    except psutil.Error:
        return None


def is_alive(process_id: int, ticks: int) -> bool:
    """Whether that very process lives."""
    return start_ticks(process_id) == ticks


def find_by_word(word: str) -> int | None:
    """The id of the process that has `word` on its command line."""
    for process in psutil.process_iter():
        try:
            if word in process.cmdline():
                return process.pid
        except psutil.Error:
            continue
    return None


def has_word(process_id: int, word: str) -> bool:
    """Whether the process has `word` on its command line."""
    try:
        return word in psutil.Process(process_id).cmdline()
    except psutil.Error:
        return False
