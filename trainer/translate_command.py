"""The command that turns AI Toolkit's job file into one of ours:
`python -m trainer translate THEIRS.yaml -o JOB.yaml`.

What was carried over goes into the file; what was not is said, key by key with its reason.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from trainer.ai_toolkit import Imported, from_ai_toolkit, is_ai_toolkit
from trainer.durable_write import write_text
from trainer.errors import EXIT_COMPLETED, JobRefused
from trainer.job_file import read_yaml

COMMAND = "translate"


def add_translate_command(command: argparse.ArgumentParser) -> None:
    """The options of its own."""
    command.add_argument("file", type=Path, metavar="THEIRS.yaml", help="a job file of AI Toolkit")
    command.add_argument(
        "-o", "--output", type=Path, metavar="JOB.yaml", help="where to write; left out: print it"
    )


def run_translate_command(options: argparse.Namespace) -> int:
    """Write the job and say what could not be carried over; the exit code. Raises JobRefused."""
    data = read_yaml(options.file)
    if not is_ai_toolkit(data):
        raise JobRefused(
            f"{options.file} is no job file of AI Toolkit.",
            "Its files have config with a process. Darkroom's own need no translating.",
            code="no_ai_toolkit_file",
        )
    if options.output is not None and options.output.exists():
        raise JobRefused(
            f"{options.output} is there already.", "Choose another name.", code="file_exists"
        )
    found = from_ai_toolkit(data)
    text = yaml.safe_dump(found.config, sort_keys=False, allow_unicode=True, width=100)
    if options.output is None:
        print(text, end="")
    else:
        write_text(options.output, text)
    for line in _account(found):
        print(line, file=sys.stderr)
    return EXIT_COMPLETED


def _account(found: Imported) -> list[str]:
    """What became of the file, in sentences: notes first, then what was left out."""
    lines = [f"{len(found.carried)} settings were carried over."]
    lines += [f"  {one.theirs} -> {one.ours}: {one.note}" for one in found.carried if one.note]
    matters = [one for one in found.left_out if one.matters]
    if matters:
        lines.append(f"{len(matters)} were not, and the training is another without:")
        lines += [f"  {one.theirs}: {one.value!r}: {one.reason}" for one in matters]
    rest = [one for one in found.left_out if not one.matters]
    if rest:
        lines.append(f"{len(rest)} have no meaning here: {', '.join(one.theirs for one in rest)}")
    return lines
