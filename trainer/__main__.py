"""The trainer's command line.

    python -m trainer run JOB.yaml --output PARENT [--resume auto|never|CHECKPOINT]
    python -m trainer check JOB.yaml
    python -m trainer plan JOB.yaml [--vram GB] [--ram GB] [--details]
    python -m trainer cache JOB.yaml
    python -m trainer convert IN OUT --format diffusers|comfyui
    python -m trainer inspect FILE
    python -m trainer merge --model M --lora F --strength S --output DIR
    python -m trainer sample --model M --lora F --strength S --prompt "..." -o OUT.png
    python -m trainer draw DRAWING.yaml --output PARENT
    python -m trainer translate AI_TOOLKIT.yaml -o JOB.yaml

The exit codes are those of errors.py: 0 completed, 3 stopped on request, 2 job refused, others by
kind of failure. torch is imported after the job has passed the door, so a refusal is instant.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from trainer.cache_command import COMMAND as CACHE_COMMAND
from trainer.cache_command import run_cache_command
from trainer.config import JobConfig
from trainer.disk_places import places_of
from trainer.door import Verdict, examine_job
from trainer.drawing_door import DrawingVerdict, examine_drawing
from trainer.errors import EXIT_COMPLETED, DarkroomError, JobRefused, Problem
from trainer.folders import Folders
from trainer.hub import hub_cache
from trainer.job_file import read_yaml
from trainer.lora_commands import COMMANDS as LORA_COMMANDS
from trainer.lora_commands import add_lora_commands, run_lora_command
from trainer.machine import Machine, machine_at_hand, use_card_of
from trainer.plan_command import COMMAND as PLAN_COMMAND
from trainer.plan_command import add_plan_command, run_plan_command
from trainer.resume_rules import goes_on
from trainer.run_log import TerminalFormat
from trainer.run_record import Work, record_refusal
from trainer.sample_command import COMMAND as SAMPLE_COMMAND
from trainer.sample_command import add_sample_command, run_sample_command
from trainer.translate_command import COMMAND as TRANSLATE_COMMAND
from trainer.translate_command import add_translate_command, run_translate_command

ON_FILES = (*LORA_COMMANDS, SAMPLE_COMMAND, CACHE_COMMAND, PLAN_COMMAND, TRANSLATE_COMMAND)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    options = _parser().parse_args(arguments)
    # Read when torch loads, here and in the encoding child. Threads that spin while they wait slow
    # each other down many times over as soon as a server and a browser want the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(TerminalFormat())
    logging.basicConfig(level=logging.INFO, handlers=[to_terminal])
    folders = _folders(options)
    if options.command in ON_FILES:
        return _run_on_files(options, folders)
    if options.command == "check":
        return _check(options.job, folders)
    try:
        return _draw(options, folders) if options.command == "draw" else _run(options, folders)
    except OSError as error:
        return _unopened(error)


def _unopened(error: OSError) -> int:
    """The exit code of a run whose folder could not be made or written to: it alone can tell."""
    from trainer.failures import named_failure  # loads torch

    failure = named_failure(error)
    if failure is None:
        raise error
    _print_problems(failure.problems)
    return failure.exit_code


def _run_on_files(options: argparse.Namespace, folders: Folders) -> int:
    try:
        if options.command == CACHE_COMMAND:
            return run_cache_command(options, folders)
        if options.command == PLAN_COMMAND:
            return run_plan_command(options, folders)
        if options.command == TRANSLATE_COMMAND:
            return run_translate_command(options)
        if options.command == SAMPLE_COMMAND:
            return run_sample_command(options, folders, _machine_with(folders))
        return run_lora_command(options, folders)
    except DarkroomError as error:
        _print_problems(error.problems)
        return error.exit_code


def _check(job_file: Path, folders: Folders) -> int:
    try:
        verdict = examine_job(read_yaml(job_file), folders, _machine_with(folders))
    except DarkroomError as error:
        _print_problems(error.problems)
        return error.exit_code
    _print_problems(verdict.problems)
    if verdict.errors:
        return JobRefused.exit_code
    print(f"{job_file} can run.")
    return EXIT_COMPLETED


def _run(options: argparse.Namespace, folders: Folders) -> int:
    parent = options.output.expanduser().resolve()
    verdict = Verdict(job=None)
    try:
        verdict = examine_job(read_yaml(options.job), folders, _machine_with(folders, parent))
        if verdict.job is not None and goes_on(verdict.job, parent, resume=options.resume):
            verdict = verdict.going_on()
        job = verdict.admitted()
    except DarkroomError as error:
        return _refused(verdict.job, error, options, parent)

    use_card_of(job.job.gpu)
    from trainer.loop import run

    try:
        return run(
            job,
            verdict.indexes,
            verdict.warnings,
            parent=parent,
            folders=folders,
            resume=options.resume,
            run_number=options.run_number,
            token=options.token,
        )
    except DarkroomError as error:  # the folder is another's: nothing may be written there
        _print_problems(error.problems)
        return error.exit_code


def _refused(
    work: Work | None, error: DarkroomError, options: argparse.Namespace, parent: Path
) -> int:
    """Say it, and leave it for a worker that waits for this run; the exit code."""
    if options.run_number is not None and work is not None:
        try:
            record_refusal(
                work, error, parent=parent, run_number=options.run_number, token=options.token
            )
        except OSError as unwritten:  # the exit code and the log's last line say it as well
            logging.warning("not written into the run's events: %s", unwritten)
    _print_problems(error.problems)
    return error.exit_code


def _draw(options: argparse.Namespace, folders: Folders) -> int:
    parent = options.output.expanduser().resolve()
    verdict = DrawingVerdict(None)
    try:
        data = read_yaml(options.drawing)
        verdict = examine_drawing(data, folders, _machine_with(folders, parent), parent=parent)
        drawing = verdict.admitted()
    except DarkroomError as error:
        return _refused(verdict.drawing, error, options, parent)

    use_card_of(drawing.gpu)
    from trainer.drawing import run_drawing

    try:
        return run_drawing(
            verdict,
            parent=parent,
            folders=folders,
            run_number=options.run_number,
            token=options.token,
        )
    except DarkroomError as error:  # the folder is another's: nothing may be written there
        _print_problems(error.problems)
        return error.exit_code


def _machine_with(folders: Folders, output: Path | None = None) -> Callable[[JobConfig], Machine]:
    """This machine as a job's GPU setting says, with the room on its disks."""

    def machine_for(job: JobConfig) -> Machine:
        return dataclasses.replace(
            machine_at_hand(job.job.gpu),
            places=places_of(cache=folders.cache, models=hub_cache(), output=output),
        )

    return machine_for


def _print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(f"{problem.severity.value}: {problem}", file=sys.stderr)


def _folders(options: argparse.Namespace) -> Folders:
    given = {
        name: path.expanduser().resolve()
        for name in ("datasets", "models", "cache")
        if (path := getattr(options, name, None)) is not None
    }
    return dataclasses.replace(Folders.from_environment(), **given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer", description="Train FLUX.2 LoRAs.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train a job, or go on with it")
    check = commands.add_parser("check", help="say what is wrong with a job, without running it")
    cache = commands.add_parser(CACHE_COMMAND, help="encode what a job needs, without training")
    plan = commands.add_parser(PLAN_COMMAND, help="say what memory and disk a job will take")
    add_plan_command(plan)
    draw = commands.add_parser("draw", help="draw pictures with LoRA files, or go on with them")
    draw.add_argument("drawing", type=Path, metavar="DRAWING.yaml")
    for command in (run, check, cache, plan):
        command.add_argument("job", type=Path, metavar="JOB.yaml")
    for command in (run, check, cache, plan, draw):
        for name, what in (
            ("datasets", "datasets are looked up in"),
            ("models", "models are looked up in"),
            ("cache", "encoded pictures and prompts are kept in"),
        ):
            variable = f"DARKROOM_{name.upper()}_DIR"
            command.add_argument(
                f"--{name}", type=Path, metavar="DIR", help=f"folder that {what} [{variable}]"
            )
    for command in (run, draw):
        command.add_argument(
            "--output", type=Path, required=True, metavar="PARENT", help="folders are made in here"
        )
        command.add_argument("--run-number", type=int, metavar="N", help="number of its folder")
        command.add_argument("--token", default="", help="written into the run's first event")
    run.add_argument(
        "--resume",
        default="auto",
        metavar="auto|never|CHECKPOINT",
        help="auto (default): go on from the newest checkpoint; never: start over and set the old "
        "results aside; CHECKPOINT: go on from this step number or checkpoint folder",
    )
    add_lora_commands(commands)
    add_translate_command(
        commands.add_parser(TRANSLATE_COMMAND, help="turn AI Toolkit's job file into one of ours")
    )
    add_sample_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
