"""`darkroom export` and `darkroom import`.

darkroom export style style.tar
darkroom export style - | ssh other-machine darkroom import -
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from backend.bundles.contents import collect, find_by_name
from backend.bundles.importing import import_bundle
from backend.bundles.schemas import ImportReport
from backend.bundles.writing import FileChanged, write_bundle
from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.errors import Refused
from backend.settings import Settings
from trainer.durable_write import replacing
from trainer.errors import Problem
from trainer.panels.field import TrainingName

STANDARD_STREAM = "-"
EXIT_REFUSED = 2


def export_job(
    settings: Settings, name: str, file: str, *, step: int | None, with_dataset: bool
) -> int:
    """Pack a job into a file that must not be there yet; the exit code."""
    migrate(settings)
    path = Path(file)
    if file != STANDARD_STREAM and path.exists():
        return _refuse(f"{path} is there already. Give another name, or remove it.")
    database = Database(settings.database_url)
    try:
        job_id = find_by_name(database, name)
        contents = collect(database, settings, job_id, step=step, with_dataset=with_dataset)
        if file == STANDARD_STREAM:
            size_bytes = write_bundle(contents, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with replacing(path) as temporary, temporary.open("xb") as opened:
                size_bytes = write_bundle(contents, opened)
    except Refused as refusal:
        return _print_problems(refusal.problems)
    except BrokenPipeError:
        with suppress(OSError):
            sys.stdout.close()  # else its own flush at the end would complain once more
        return _refuse("Whoever was to read the bundle went away.")
    except (FileChanged, OSError) as error:
        return _refuse(f"{name} was not packed: {error}.")
    finally:
        database.close()
    manifest = contents.manifest
    where = "as a fresh job" if manifest.step is None else f"at step {manifest.step}"
    without = ", without its datasets" if manifest.left_out_datasets else ""
    print(f"{name} is packed {where}{without}: {size_bytes / 2**20:.1f} MiB.", file=sys.stderr)
    return 0


def import_job(settings: Settings, file: str, *, name: str | None) -> int:
    """Take in a bundle; the exit code."""
    try:
        TypeAdapter(TrainingName | None).validate_python(name)
    except ValidationError:
        return _refuse(
            f"{name!r} cannot be a training name. Use letters, digits, _ and -, at most 64."
        )
    migrate(settings)
    database = Database(settings.database_url)
    try:
        if file == STANDARD_STREAM:
            report = import_bundle(database, settings, sys.stdin.buffer, name=name)
        else:
            with Path(file).open("rb") as opened:
                report = import_bundle(database, settings, opened, name=name)
    except Refused as refusal:
        return _print_problems(refusal.problems)
    except OSError as error:
        return _refuse(f"{file} cannot be imported: {error.strerror or error}.")
    finally:
        database.close()
    for line in _lines(report):
        print(line)
    return 0


def _lines(report: ImportReport) -> list[str]:
    where = "a fresh job" if report.step is None else f"stopped at step {report.step}"
    was = f" (packed as {report.renamed_from})" if report.renamed_from else ""
    lines = [f"{report.training_name}{was} is there, {where}. Queue it to go on."]
    for dataset in report.datasets:
        what = "was here already" if dataset.is_reused else f"{dataset.num_files} files"
        becomes = f", here {dataset.becomes}" if dataset.becomes != dataset.name else ""
        lines.append(f"dataset {dataset.name}{becomes}: {what}")
    lines += [f"dataset {name} is missing here: bring it" for name in report.missing_datasets]
    lines += [f"{change.field}: {change.message}" for change in report.settings]
    return lines


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return EXIT_REFUSED


def _print_problems(problems: Sequence[Problem]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return EXIT_REFUSED
