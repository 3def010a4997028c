"""The machine as the memory plan sees it: how much a job may take. Imports no torch.

The card is asked through NVIDIA's own library, so that the door can judge a job before torch is
loaded. A cap (`vram_cap.py`) stands for the card's own size, a container's limit for the machine's
(`machine_memory.py`). What other programs hold at the moment
is not taken off: a queued job runs later.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer.disk_places import Folder, Place
from trainer.machine_memory import machine_memory
from trainer.vram_cap import vram_cap_bytes


@dataclass(frozen=True)
class Machine:
    """What there is, in bytes. vram_bytes: None without a card; then everything lies in RAM.

    card: its name. places: the folders that a job writes to, those that are known.
    """

    ram_bytes: int
    vram_bytes: int | None = None
    card: str = ""
    places: Mapping[Folder, Place] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        return self.vram_bytes is not None


def machine_at_hand(gpu: str) -> Machine:
    """This machine, as the job's GPU setting and CUDA_VISIBLE_DEVICES say. Raises JobRefused.

    gpu: the setting: "cpu", a card's UUID, or "any".
    """
    ram_bytes = machine_memory().total_bytes
    card = None if gpu == "cpu" else _card(gpu)
    if card is None:
        return Machine(ram_bytes)
    cap = vram_cap_bytes()
    total = card.total_bytes
    return Machine(ram_bytes, total if cap is None else min(cap, total), card.name)


def use_card_of(gpu: str) -> None:
    """Let torch, here and in the child that encodes, have the card that the job names by its UUID.

    To be called before torch loads. Where CUDA_VISIBLE_DEVICES is set, by a worker or by a person,
    that stands; without such a card here nothing is changed.
    """
    if "CUDA_VISIBLE_DEVICES" not in os.environ and gpu.startswith("GPU-") and _card(gpu):
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


def free_vram_bytes(gpu: str) -> int | None:
    """What nobody holds of the card at the moment; None where NVIDIA's library cannot say.

    gpu: as for `machine_at_hand`. Asking through torch would make a CUDA context, which takes some
    0.5 GB of the card for as long as the process lives.
    """
    card = None if gpu == "cpu" else _card(gpu)
    return None if card is None else card.free_bytes


@dataclass(frozen=True)
class _Card:
    name: str
    total_bytes: int
    free_bytes: int


def _card(gpu: str) -> _Card | None:
    """The card that torch will use; None without one."""
    import pynvml

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return None
    named = gpu if gpu.startswith("GPU-") else "0"
    wanted = named if visible is None else visible.split(",")[0].strip()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, so no GPU
        return None
    try:
        handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(wanted))
            if wanted.isdigit()
            else pynvml.nvmlDeviceGetHandleByUUID(wanted)
        )
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name = pynvml.nvmlDeviceGetName(handle)
        name = name.decode() if isinstance(name, bytes) else name
        return _Card(name, int(memory.total), int(memory.free))
    except pynvml.NVMLError:  # no such card here
        return None
    finally:
        pynvml.nvmlShutdown()
