"""What is probably the matter, from what the machine shows: rules of thumb, worded as such."""

from __future__ import annotations

from dataclasses import dataclass

# NVIDIA's cards slow down from about here; data-centre ones a little later.
HOT_CELSIUS = 83
FULL_SHARE = 0.97
LOW_HOST_SHARE = 0.05
AT_THE_POWER_LIMIT_SHARE = 0.98


@dataclass(frozen=True)
class Reading:
    """What the machine shows now; None for what it cannot tell.

    The device's figures are of the run's GPU, and None on the CPU.
    """

    host_available_share: float | None = None
    gpu_memory_used_share: float | None = None
    gpu_temperature_celsius: float | None = None
    gpu_power_share: float | None = None


_SILENCE = {
    "download": "The network or the hub is slow. The download goes on where it stopped.",
    "load": "A large model is read from a slow disk or a network folder, or memory is short.",
    "encode": "A very large picture, or memory is short and the machine swaps.",
    "train": "One step takes this long, or the device hangs. If its GPU shows no load, stop the "
    "job: it goes on from its newest checkpoint.",
    "validate": "Validation has many pictures, or the device hangs.",
    "sample": "A large picture with many steps. A Time-out per Sample ends what takes too long.",
    "save": "The disk is slow, or full.",
    "finish": "The disk is slow, or full.",
}


def cause_of_silence(phase: str | None) -> str:
    """Why a trainer in this phase may say nothing."""
    return _SILENCE.get(phase or "", "It is still being started; the log says more.")


def cause_of_slow_steps(reading: Reading) -> str:
    """Why steps may have become slow: the first thing that the machine shows."""
    if _over(reading.gpu_temperature_celsius, HOT_CELSIUS):
        return (
            f"The card has {reading.gpu_temperature_celsius:.0f} °C and slows down to cool: look "
            "at its fans and the air around it."
        )
    if _over(reading.gpu_memory_used_share, FULL_SHARE):
        return (
            "The card's memory is full, and parts may have moved to the host's: close other "
            "programs on it, or lower Resolutions or Batch Size."
        )
    available = reading.host_available_share
    if available is not None and available < LOW_HOST_SHARE:
        return "The machine has hardly any memory left and swaps: close other programs."
    if _over(reading.gpu_power_share, AT_THE_POWER_LIMIT_SHARE):
        return "The card is at its power limit, which may have been lowered."
    return "Another program may be using the device, or its clock was lowered."


def _over(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit
