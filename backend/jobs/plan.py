"""The memory plan over HTTP: what a config takes, on this machine's devices or on any other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from backend.db.engine import Database
from backend.errors import Unusable
from backend.jobs.blanks import with_blanks_filled
from backend.jobs.machines import DeviceMachine, machines_for
from backend.jobs.plan_schemas import (
    DevicePlan,
    DiskEntry,
    JobPlan,
    MachineToPlanFor,
    MemoryEntry,
    PhaseEntry,
    PlanChange,
    PlannedTime,
    PlanShortfall,
)
from backend.jobs.time_estimate import estimate_time
from backend.settings import Settings
from trainer.config import JobConfig
from trainer.dataset_checks import examine_datasets
from trainer.dataset_index import DatasetIndex
from trainer.errors import JobRefused
from trainer.job_file import parse_job
from trainer.machine import Machine
from trainer.memory_check import cure_as_dict, judge_job, shortfall_sentence


def plan_config(
    config: dict[str, Any],
    machine: MachineToPlanFor | None,
    database: Database,
    settings: Settings,
) -> JobPlan:
    """The plan for each device that the config may run on, or for the machine that is given.

    Raises Unusable for a config that the schema refuses; what else may be wrong with it does not
    matter here, nor that it is not named yet. Reads the datasets' headers: call it outside of
    sessions.
    """
    try:
        job = parse_job(with_blanks_filled(config))
    except JobRefused as refusal:
        raise Unusable("bad_job", refusal.message, problems=refusal.problems) from None
    indexes, _ = examine_datasets(job, settings.folders)
    machines = machines_for(job.job.gpu, database, settings)
    if machine is not None:
        given = Machine(machine.ram_bytes, machine.vram_bytes)
        machines = [DeviceMachine("given", "", given)]
    return JobPlan(
        devices=[
            _device_plan(job, indexes, found, settings, _time_on(found.id, job, database))
            for found in machines
        ]
    )


def _time_on(device: str, job: JobConfig, database: Database) -> PlannedTime | None:
    with database.read() as session:
        found = estimate_time(session, job, device)
    return None if found is None else PlannedTime.model_validate(asdict(found))


def _device_plan(
    job: JobConfig,
    indexes: list[DatasetIndex],
    device: DeviceMachine,
    settings: Settings,
    time: PlannedTime | None,
) -> DevicePlan:
    machine = device.machine
    judged = judge_job(job, indexes, machine, settings.folders)
    model = judged.job.model
    streams = model.layer_offloading == "on"
    return DevicePlan(
        device=device.id,
        name=device.name,
        vram_bytes=machine.vram_bytes,
        ram_bytes=machine.ram_bytes,
        fits=judged.fits,
        fits_the_disk=judged.fits_the_disk,
        transformer_offload_percent=model.transformer_offload_percent if streams else 0.0,
        text_encoder_offload_percent=model.percent_of_encoder_streamed,
        phases=[
            PhaseEntry(
                phase=phase.phase,
                label=phase.label,
                vram_bytes=phase.vram_bytes,
                ram_bytes=phase.ram_bytes,
                parts=[
                    MemoryEntry(
                        key=part.key, label=part.label, place=part.place, num_bytes=part.num_bytes
                    )
                    for part in phase.parts
                ],
            )
            for phase in judged.plan.phases
        ],
        disk=[
            DiskEntry(key=part.key, label=part.label, folder=part.folder, num_bytes=part.num_bytes)
            for part in judged.disk
        ],
        shortfalls=[
            PlanShortfall(
                message=shortfall_sentence(short, machine),
                missing=short.missing,
                phase=short.phase,
                folder=short.folder,
                path=short.path,
                needed_bytes=short.needed_bytes,
                available_bytes=short.available_bytes,
            )
            for short in judged.shortfalls
        ],
        changes=[PlanChange.model_validate(cure_as_dict(cure)) for cure in judged.cures],
        disk_changes=[PlanChange.model_validate(cure_as_dict(cure)) for cure in judged.disk_cures],
        time=time,
    )
