"""One look at the machine, for the alarms of a run."""

from __future__ import annotations

from backend.system.devices import CPU, host_memory, list_devices
from backend.system.schemas import DeviceEntry
from backend.worker.likely_cause import Reading


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


def _device(device: str) -> DeviceEntry | None:
    return next((entry for entry in list_devices() if entry.id == device), None)


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
