"""What this machine can train on, without loading torch: NVIDIA's library and psutil."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil
import pynvml

from backend.system.schemas import DeviceEntry

CPU = "cpu"


def list_devices() -> list[DeviceEntry]:
    """The GPUs by UUID, then the CPU."""
    return [*_gpus(), _cpu()]


def _gpus() -> list[DeviceEntry]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, so no GPU
        return []
    try:
        count = pynvml.nvmlDeviceGetCount()
        return [_gpu(pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
    except pynvml.NVMLError:  # a card that fell off the bus
        return []
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: object) -> DeviceEntry:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return DeviceEntry(
        id=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_total_bytes=int(memory.total),
        memory_used_bytes=int(memory.used),
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _cpu() -> DeviceEntry:
    memory = psutil.virtual_memory()
    return DeviceEntry(
        id=CPU,
        name=_cpu_name(),
        memory_total_bytes=memory.total,
        memory_used_bytes=memory.total - memory.available,
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
