"""What this machine can train on, without loading torch: NVIDIA's library and psutil."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from backend.system.schemas import DeviceEntry, HostMemory
from trainer.machine_memory import machine_memory

try:
    import pynvml
except ImportError:  # left out on a machine without an NVIDIA card
    pynvml = None

CPU = "cpu"
_was_asked = False  # the first answer of this process counts from no earlier call


def list_devices() -> list[DeviceEntry]:
    """The GPUs by UUID, then the CPU."""
    return [*_gpus(), _cpu()]


def host_memory() -> HostMemory:
    """The machine's memory now, as far as a container may use it."""
    memory = machine_memory()
    return HostMemory(
        total_bytes=memory.total_bytes,
        available_bytes=memory.available_bytes,
        swap_used_bytes=psutil.swap_memory().used,
    )


def _gpus() -> list[DeviceEntry]:
    if pynvml is None:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, so no GPU
        return []
    try:
        found = [_gpu_at(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [gpu for gpu in found if gpu is not None]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _gpu_at(nvml: Any, index: int) -> DeviceEntry | None:
    """One card; None for one that fell off the bus, which must not hide the others."""
    try:
        return _gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index))
    except nvml.NVMLError:
        return None


def _gpu(nvml: Any, handle: object) -> DeviceEntry:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return DeviceEntry(
        id=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_total_bytes=int(memory.total),
        memory_used_bytes=int(memory.used),
        utilization_percent=_asked(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        temperature_celsius=_asked(
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
        ),
        power_watts=_asked(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        power_limit_watts=_asked(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
    )


def _asked(ask: Callable[[], float]) -> float | None:
    """What the card says; None for a figure that this card does not give."""
    assert pynvml is not None
    try:
        return ask()
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _cpu() -> DeviceEntry:
    memory = machine_memory()
    return DeviceEntry(
        id=CPU,
        name=_cpu_name(),
        memory_total_bytes=memory.total_bytes,
        memory_used_bytes=memory.total_bytes - memory.available_bytes,
        utilization_percent=_cpu_busy_percent(),
    )


def _cpu_busy_percent() -> float | None:
    """Of all cores since the last call, which the worker makes every two seconds; None at first."""
    global _was_asked
    percent = psutil.cpu_percent(interval=None)
    answer = percent if _was_asked else None
    _was_asked = True
    return answer


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
