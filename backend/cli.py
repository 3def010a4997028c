"""The `darkroom` command.

darkroom up               the server and the worker together, for one person on one machine
darkroom serve            the server alone
darkroom work             the worker alone
darkroom queue JOB.yaml   put a job into the queue, unless there is one of its name already
darkroom rescan           bring jobs back from the output folder into the database
darkroom export JOB FILE  pack a job, its datasets and a checkpoint, to go on elsewhere
darkroom import FILE      take in what `darkroom export` has packed
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from backend import __version__
from backend.bundles.commands import export_job, import_job
from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.db.models import Job
from backend.errors import BadSettings, Refused
from backend.jobs.service import create_job
from backend.jobs.status import ACTIVE
from backend.rescan.rescan import rescan
from backend.settings import Settings, read_settings
from backend.worker_process import WorkerProcess
from trainer.errors import JobRefused, Problem
from trainer.job_file import read_yaml

EXIT_REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code: 0, or 2 with a sentence that says what to change."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s server: %(message)s")
    for quiet in ("alembic", "httpx", "asyncio"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    try:
        settings = read_settings()
        match options.command:
            case "up":
                return _up(settings)
            case "serve":
                return _serve(settings)
            case "work":
                return _work(settings)
            case "rescan":
                return _rescan(settings)
            case "export":
                return export_job(
                    settings,
                    options.job,
                    options.file,
                    step=options.step,
                    with_dataset=not options.without_dataset,
                )
            case "import":
                return import_job(settings, options.file, name=options.name)
            case _:
                return _queue(settings, options.job)
    except BadSettings as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED


def _up(settings: Settings) -> int:
    from backend.server import address, bind, serve

    listener = bind(settings)
    migrate(settings)
    worker = WorkerProcess()
    worker.start()
    try:
        serve(settings, listener, lambda: _say_ready(settings, address(settings, listener)))
    finally:
        worker.end()
        listener.close()
    _say_what_goes_on(settings)
    return 0


def _serve(settings: Settings) -> int:
    from backend.server import address, bind, serve

    listener = bind(settings)
    migrate(settings)
    try:
        serve(settings, listener, lambda: _say_ready(settings, address(settings, listener)))
    finally:
        listener.close()
    return 0


def _work(settings: Settings) -> int:
    from backend.worker.__main__ import work

    migrate(settings)
    work(settings)
    _say_what_goes_on(settings)
    return 0


def _queue(settings: Settings, job_file: Path) -> int:
    migrate(settings)
    database = Database(settings.database_url)
    try:
        return _queue_once(database, settings, job_file)
    except JobRefused as error:
        return _print_problems(error.problems)
    except Refused as error:
        return _print_problems(error.problems)
    finally:
        database.close()


def _queue_once(database: Database, settings: Settings, job_file: Path) -> int:
    config = read_yaml(job_file)
    panel = config.get("job")
    name = panel.get("training_name") if isinstance(panel, dict) else None
    with database.read() as session:
        present = session.scalar(select(Job).where(Job.training_name == name)) if name else None
    if present is not None:
        print(f"{present.training_name} is there already ({present.status}).")
        return 0
    job = create_job(database, settings, config, queue=True)
    for warning in job.warnings:
        print(f"warning: {warning.message} {warning.hint}".rstrip())
    print(f"{job.training_name} is queued.")
    return 0


def _rescan(settings: Settings) -> int:
    migrate(settings)
    database = Database(settings.database_url)
    try:
        report = rescan(database, settings)
    finally:
        database.close()
    for title, names in (
        ("Brought back", report.brought_back),
        ("Completed", report.completed),
        ("Known already", report.unchanged),
        ("Left alone, since they wait or train", report.left_alone),
    ):
        if names:
            print(f"{title}: {', '.join(names)}.")
    for problem in report.problems:
        print(f"{problem.message} {problem.hint}".rstrip(), file=sys.stderr)
    if not any((report.brought_back, report.completed, report.unchanged, report.left_alone)):
        print(f"There are no jobs in {settings.output_dir}.")
    return 0


def _say_ready(settings: Settings, address: str) -> None:
    token = "" if settings.token is None else " (it asks for DARKROOM_TOKEN)"
    print(f"Darkroom is ready: {address}{token}  –  Ctrl-C ends it.", flush=True)


def _say_what_goes_on(settings: Settings) -> None:
    database = Database(settings.database_url)
    with database.read() as session:
        names = list(session.scalars(select(Job.training_name).where(Job.status.in_(ACTIVE))))
    database.close()
    if not names:
        return
    print(
        f"Still training, without the page: {', '.join(names)}. The next `darkroom up` finds it "
        "again; to end a training, use its Stop button.",
        flush=True,
    )


def _print_problems(problems: Sequence[Problem]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return EXIT_REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="darkroom", description="Train FLUX.2 LoRAs from the browser."
    )
    parser.add_argument("--version", action="version", version=f"darkroom {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the server and the worker")
    commands.add_parser("serve", help="start the server alone")
    commands.add_parser("work", help="start the worker alone")
    commands.add_parser("rescan", help="bring jobs back from the output folder")
    export = commands.add_parser("export", help="pack a job, to go on on another machine")
    export.add_argument("job", metavar="JOB", help="its training name")
    export.add_argument("file", metavar="FILE", help="to write; - is standard output")
    export.add_argument("--step", type=int, help="of the checkpoint; else the newest")
    export.add_argument("--without-dataset", action="store_true", help="leave the pictures out")
    taken = commands.add_parser("import", help="take in a job that was packed")
    taken.add_argument("file", metavar="FILE", help="to read; - is standard input")
    taken.add_argument("--name", help="of the training here; else its own or the next free one")
    queue = commands.add_parser("queue", help="put a job into the queue, once")
    queue.add_argument("job", type=Path, metavar="JOB.yaml")
    return parser


if __name__ == "__main__":
    sys.exit(main())
