"""What the machine has, with and without NVIDIA's library. The card is pretended: none is here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backend.system import devices
from backend.worker.machine import read_machine


class NVMLError(Exception):
    pass


def library(**answers: Any) -> SimpleNamespace:
    """NVIDIA's library with one card; what is not in `answers` it does not support."""

    def unsupported(*_: Any) -> Any:
        raise NVMLError

    given = {
        "DeviceGetMemoryInfo": SimpleNamespace(total=100, used=98),
        "DeviceGetUUID": b"GPU-1",
        "DeviceGetName": "A card",
        "DeviceGetCount": 1,
        "DeviceGetHandleByIndex": object(),
        "Init": None,
        "Shutdown": None,
    } | answers
    asked = ("UtilizationRates", "Temperature", "PowerUsage", "EnforcedPowerLimit")
    functions = {f"nvmlDeviceGet{name}": unsupported for name in asked}
    functions |= {f"nvml{name}": lambda *_, value=value: value for name, value in given.items()}
    return SimpleNamespace(NVMLError=NVMLError, NVML_TEMPERATURE_GPU=0, **functions)


def test_without_the_library_there_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "pynvml", None)
    (cpu,) = devices.list_devices()
    assert cpu.id == "cpu"
    assert cpu.temperature_celsius is None
    assert read_machine("cpu").gpu_temperature_celsius is None


def test_a_card_tells_load_temperature_and_power(monkeypatch: pytest.MonkeyPatch) -> None:
    card = library(
        DeviceGetUtilizationRates=SimpleNamespace(gpu=97),
        DeviceGetTemperature=71,
        DeviceGetPowerUsage=349_500,
        DeviceGetEnforcedPowerLimit=350_000,
    )
    monkeypatch.setattr(devices, "pynvml", card)
    gpu, _ = devices.list_devices()
    assert (gpu.id, gpu.utilization_percent, gpu.temperature_celsius) == ("GPU-1", 97, 71)
    assert (gpu.power_watts, gpu.power_limit_watts) == (349.5, 350.0)
    reading = read_machine("GPU-1")
    assert reading.gpu_power_share == pytest.approx(0.9986, abs=1e-4)
    assert reading.gpu_memory_used_share == 0.98


def test_a_card_that_does_not_tell_a_figure_is_still_a_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "pynvml", library(DeviceGetTemperature=50))
    gpu, _ = devices.list_devices()
    assert (gpu.temperature_celsius, gpu.power_watts, gpu.utilization_percent) == (50, None, None)
    assert read_machine("GPU-1").gpu_power_share is None
    assert read_machine("GPU-2").gpu_memory_used_share is None


def test_a_card_that_fell_off_the_bus_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml = library(DeviceGetCount=2)

    def handle(index: int) -> object:
        if index == 0:
            raise NVMLError
        return object()

    nvml.nvmlDeviceGetHandleByIndex = handle
    monkeypatch.setattr(devices, "pynvml", nvml)
    assert [found.id for found in devices.list_devices()] == ["GPU-1", "cpu"]
