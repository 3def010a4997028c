"""The command that says what a job will take: `python -m trainer plan JOB.yaml [--vram 24]`.

Without --vram and --ram it judges this machine; with them, any other. Disks are always this
machine's; that of the output is known with --output. GB are those of a card's name, 2^30 bytes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from trainer.disk_places import places_of
from trainer.door import examine_job
from trainer.errors import EXIT_COMPLETED, JobRefused
from trainer.folders import Folders
from trainer.hub import hub_cache
from trainer.job_file import read_yaml
from trainer.machine import Machine, machine_at_hand
from trainer.memory_check import FREE_THE_DISK, judge_job, shortfall_sentence
from trainer.memory_sizes import GIB, MIB
from trainer.memory_verdict import Cure, Judged

COMMAND = "plan"


def add_plan_command(command: argparse.ArgumentParser) -> None:
    """The options of its own."""
    command.add_argument("--vram", type=_gb, metavar="GB", help="of the card; 0 for a CPU")
    command.add_argument("--ram", type=_gb, metavar="GB", help="of the machine")
    command.add_argument(
        "--output",
        type=Path,
        metavar="PARENT",
        help="folder that the job's own would be made in: the room on its disk is judged too",
    )
    command.add_argument("--details", action="store_true", help="what each phase is made of")


def run_plan_command(options: argparse.Namespace, folders: Folders) -> int:
    """Print the plan and the verdict; 0 if the job fits memory and disks, else the exit code of a
    refused job.

    Raises JobRefused for a job that the schema refuses.
    """
    verdict = examine_job(read_yaml(options.job), folders)
    if verdict.job is None:
        verdict.admitted()
    assert verdict.job is not None
    machine = _machine(verdict.job.job.gpu, options, folders)
    judged = judge_job(verdict.job, verdict.indexes, machine, folders)
    for line in plan_lines(judged, machine, has_details=options.details):
        print(line)
    fits = judged.fits and judged.fits_the_disk
    return EXIT_COMPLETED if fits else JobRefused.exit_code


def plan_lines(judged: Judged, machine: Machine, *, has_details: bool = False) -> list[str]:
    """The plan as people read it."""
    lines = [f"{'':24}{'VRAM':>10}{'RAM':>10}"]
    for phase in judged.plan.phases:
        vram = _size(phase.vram_bytes) if judged.plan.on_gpu else "-"
        lines.append(f"{phase.label:24}{vram:>10}{_size(phase.ram_bytes):>10}")
        if has_details:
            for part in phase.parts:
                width = 10 if part.place == "vram" else 20
                lines.append(f"  {part.label[:21]:22}{_size(part.num_bytes):>{width}}")
    vram = _size(machine.vram_bytes) if machine.vram_bytes is not None else "-"
    there = f"{'there is':24}{vram:>10}{_size(machine.ram_bytes):>10}  {machine.card}"
    lines += [there.rstrip(), "", "On disk, at most:"]
    for part in judged.disk:
        lines.append(f"  {part.label:32}{_size(part.num_bytes):>10}  {part.folder}")
    lines.append("")
    model = judged.job.model
    if model.layer_offloading == "on":
        lines.append(
            f"Layer Offloading: {model.transformer_offload_percent:g} % of the transformer, "
            f"{model.text_encoder_offload_percent:g} % of the text encoder."
        )
    if "output" not in machine.places:
        lines.append("The disk of the output is not judged: --output PARENT says where that is.")
    lines += [shortfall_sentence(short, machine) for short in judged.shortfalls]
    if judged.fits and judged.fits_the_disk:
        return [*lines, "It fits."]
    if judged.fits:
        lines.append("Memory is enough.")
    return lines + _cure_lines(judged) + _disk_cure_lines(judged)


def _cure_lines(judged: Judged) -> list[str]:
    if judged.fits:
        return []
    if not judged.cures:
        return ["No change of settings makes it fit: take a smaller model or a larger card."]
    lines = ["", "What makes it fit (VRAM and RAM then):"]
    for cure in judged.cures:
        then = f"{_size(cure.vram_bytes)}, {_size(cure.ram_bytes)}"
        lines += [f"- {cure.label} ({then})", *_setting_lines(cure)]
    return lines


def _disk_cure_lines(judged: Judged) -> list[str]:
    if judged.fits_the_disk:
        return []
    lines = ["", "What makes it fit the disk:"]
    for cure in judged.disk_cures:
        lines += [f"- {cure.label}", *_setting_lines(cure)]
    return [*lines, f"- {FREE_THE_DISK}"]


def _setting_lines(cure: Cure) -> list[str]:
    return [f"    {path}: {value}" for path, value in cure.settings.items()]


def _machine(gpu: str, options: argparse.Namespace, folders: Folders) -> Machine:
    machine = machine_at_hand(gpu)
    if options.vram is not None:
        machine = replace(machine, vram_bytes=options.vram or None, card="")
    if options.ram is not None:
        machine = replace(machine, ram_bytes=options.ram)
    return replace(
        machine,
        places=places_of(cache=folders.cache, models=hub_cache(), output=options.output),
    )


def _gb(text: str) -> int:
    size = float(text)
    if not 0 <= size < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no size in GB")
    return int(size * GIB)


def _size(num_bytes: int) -> str:
    gb = num_bytes / GIB
    return f"{gb:.1f} GB" if gb >= 1 else f"{num_bytes / MIB:.1f} MB"
