"""One look at the machine, for the alarms of a run."""

from __future__ import annotations

from pathlib import Path

from backend.system.devices import CPU, host_memory, list_devices
from backend.system.schemas import DeviceEntry
from backend.worker.likely_cause import Reading
from trainer.disk_places import place_of


def read_machine(device: str) -> Reading:
    """Memory, and the figures of the run's GPU. device: its UUID, or `cpu`."""
    memory = host_memory()
    gpu = None if device == CPU else _device(device)
    return Reading(
        host_available_share=memory.available_bytes / memory.total_bytes,
        gpu_memory_used_share=_share(gpu and gpu.memory_used_bytes, gpu and gpu.memory_total_bytes),
        gpu_temperature_celsius=None if gpu is None else gpu.temperature_celsius,
        gpu_power_share=_share(gpu and gpu.power_watts, gpu and gpu.power_limit_watts),
    )


def disks_free_bytes(output: Path, cache: Path) -> dict[str, int]:
    """Room on the disks of both folders, by `output` and `cache`; one disk is named once."""
    places = {"output": place_of(output), "cache": place_of(cache)}
    by_disk: dict[int, str] = {}
    for name, place in places.items():
        if place is not None:
            by_disk.setdefault(place.disk, name)
    return {
        name: place.free_bytes
        for name, place in places.items()
        if place is not None and by_disk[place.disk] == name
    }


def _device(device: str) -> DeviceEntry | None:
    return next((entry for entry in list_devices() if entry.id == device), None)


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
