"""The machines a job may run on, as the memory plan sees them: one for each device it may get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.db.engine import Database
from backend.settings import Settings
from backend.system.devices import CPU
from backend.system.schemas import DeviceEntry
from backend.system.state import device_entries
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.disk_places import places_of
from trainer.hub import hub_cache
from trainer.machine import Machine
from trainer.memory_check import fits_memory
from trainer.vram_cap import GB


@dataclass(frozen=True)
class DeviceMachine:
    """A device by its id and name, and the machine around it."""

    id: str
    name: str
    machine: Machine


def machines_for(gpu: str, database: Database, settings: Settings) -> list[DeviceMachine]:
    """Of the devices that the job's GPU setting allows; empty while no worker was seen."""
    with database.read() as session:
        devices = device_entries(session)
    return [
        DeviceMachine(device.id, device.name, machine)
        for device in _allowed(gpu, devices)
        if (machine := _machine(device, devices, settings)) is not None
    ]


def largest_machine(gpu: str, database: Database, settings: Settings) -> Machine | None:
    """The one with the most VRAM: what fits nowhere else may still run there."""
    machines = [found.machine for found in machines_for(gpu, database, settings)]
    return max(machines, key=lambda machine: machine.vram_bytes or 0, default=None)


def too_small_devices(
    job: JobConfig, indexes: Sequence[DatasetIndex], database: Database, settings: Settings
) -> list[str]:
    """Of the devices that it may get, those that its memory plan does not fit; none if it insists.

    What the door admits fits the largest device, and the claim (`worker/claim.py`) keeps it off
    the others that the trainer's door would turn it away from.
    """
    machines = machines_for(job.job.gpu, database, settings)
    if len(machines) < 2 or job.advanced.memory_plan == "go_on":
        return []
    one_of_each = {found.machine.vram_bytes: found.machine for found in machines}
    fits = {
        vram_bytes: fits_memory(job, indexes, machine, settings.folders)
        for vram_bytes, machine in one_of_each.items()
    }
    return [found.id for found in machines if not fits[found.machine.vram_bytes]]


def _allowed(gpu: str, devices: Sequence[DeviceEntry]) -> list[DeviceEntry]:
    cards = [device for device in devices if device.id != CPU]
    if gpu == "any" and cards:
        return cards
    wanted = CPU if gpu == "any" else gpu
    return [device for device in devices if device.id == wanted]


def _machine(
    device: DeviceEntry, devices: Sequence[DeviceEntry], settings: Settings
) -> Machine | None:
    ram = next((other.memory_total_bytes for other in devices if other.id == CPU), None)
    if ram is None or device.memory_total_bytes is None:
        return None
    vram, card = None, ""
    if device.id != CPU:
        vram, card = device.memory_total_bytes, device.name
        if settings.vram_cap_gb is not None:
            vram = min(vram, int(settings.vram_cap_gb * GB))
    return Machine(
        ram,
        vram,
        card,
        places=places_of(cache=settings.cache_dir, models=hub_cache(), output=settings.output_dir),
    )
