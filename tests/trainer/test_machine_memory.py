"""How much RAM there is within control groups, from made-up trees of both versions."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from backend.system import devices
from trainer import machine
from trainer.machine_memory import MachineMemory, machine_memory

MIB = 1 << 20
TOTAL, AVAILABLE = 1000 * MIB, 600 * MIB


@pytest.fixture(autouse=True)
def _machine_of_1000_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    real = psutil.virtual_memory()
    memory = real._replace(total=TOTAL, available=AVAILABLE)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def put(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("memory_", "memory.", 1)).write_text(f"{content}\n")


def within(tmp_path: Path, own: str) -> tuple[int, int]:
    """(total, available) in MiB."""
    (tmp_path / "own").write_text(own)
    found = machine_memory(groups=tmp_path / "groups", own_groups=tmp_path / "own")
    return found.total_bytes // MIB, found.available_bytes // MIB


def test_without_groups_or_limits_it_is_the_machines(tmp_path: Path) -> None:
    found = machine_memory(groups=tmp_path, own_groups=tmp_path / "missing")
    assert found == MachineMemory(TOTAL, AVAILABLE)
    put(tmp_path / "groups" / "service", memory_max="max", memory_current=900 * MIB)
    assert within(tmp_path, "0::/service\n") == (1000, 600)


def test_a_container_has_its_limit_less_what_it_uses_and_files_nobody_used_make_room(
    tmp_path: Path,
) -> None:
    put(
        tmp_path / "groups",
        memory_max=400 * MIB,
        memory_current=300 * MIB,
        memory_stat=f"anon 1\ninactive_file {120 * MIB}\nactive_file 5",
    )
    assert within(tmp_path, "0::/\n") == (400, 220)


def test_a_group_above_limits_too(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    put(groups / "slice", memory_max=300 * MIB, memory_current=290 * MIB)
    put(groups / "slice" / "own", memory_max=500 * MIB, memory_current=10 * MIB)
    assert within(tmp_path, "0::/slice/own\n") == (300, 10)


def test_the_machine_counts_where_the_limit_is_above_it(tmp_path: Path) -> None:
    put(tmp_path / "groups", memory_max=9000 * MIB, memory_current=10 * MIB)
    assert within(tmp_path, "0::/\n") == (1000, 600)


def test_version_1_as_seen_from_inside_of_a_container(tmp_path: Path) -> None:
    """The path is the host's, and the container's group is mounted as the first one."""
    put(
        tmp_path / "groups" / "memory",
        memory_limit_in_bytes=200 * MIB,
        memory_usage_in_bytes=150 * MIB,
        memory_stat=f"inactive_file 1\ntotal_inactive_file {50 * MIB}",
    )
    own = "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/docker/ab\n"
    assert within(tmp_path, own) == (200, 100)


def test_the_plan_and_the_page_have_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = MachineMemory(400 * MIB, 220 * MIB)
    monkeypatch.setattr(machine, "machine_memory", lambda: limited)
    monkeypatch.setattr(devices, "machine_memory", lambda: limited)
    assert machine.machine_at_hand("cpu").ram_bytes == limited.total_bytes
    said = devices.host_memory()
    assert (said.total_bytes, said.available_bytes) == (400 * MIB, 220 * MIB)
    cpu = devices.list_devices()[-1]
    assert (cpu.memory_total_bytes, cpu.memory_used_bytes) == (400 * MIB, 180 * MIB)
