"""A drawing's LoRA files kept for it while it waits.

The file that was chosen may go before its turn comes: a training removes its old checkpoints, a
resume sets them aside and makes others of the same path, a person deletes them. So each file that
lies in the output folder gets a second name in the drawing's own folder: a hard link, which costs
no room until the first name goes, or a copy where it lies on another disk. The trainer takes the
kept file and removes it once every picture is drawn. Uploads and the hub's files stay where they
are.

Linked or copied before the drawing has a number, since gigabytes from another disk must keep no
other writer of the database waiting, and renamed into its folder in the transaction that queues it.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backend.errors import Conflict, Unusable
from backend.settings import Settings
from trainer.drawing_config import DrawingConfig, lora_files
from trainer.durable_write import TEMPORARY_PREFIX, flush_tree, make_folder, move, remove_leftovers
from trainer.errors import BadLora
from trainer.job_folder import JobFolder
from trainer.lora_header import refuse_unreadable

log = logging.getLogger(__name__)


@contextmanager
def kept_loras(drawing: DrawingConfig, settings: Settings) -> Iterator[Callable[[str], None]]:
    """What moves the kept files into the folder of the name that the drawing gets; if the block
    fails, they go again.

    Raises Unusable for a file that went away since it was judged, or Conflict where the disk does
    not take it.
    """
    own = _in_output(drawing, settings)
    if not own:
        yield lambda _name: None
        return
    staged = settings.output_dir / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    moved: list[JobFolder] = []

    def move_to(name: str) -> None:
        folder = JobFolder(settings.output_dir, name)
        moved.append(folder)
        with _named_trouble(settings):
            move(staged, folder.loras)

    try:
        with _named_trouble(settings):
            make_folder(staged)
            for name, file in own.items():
                _keep(file, staged / JobFolder.kept_name(name))
            flush_tree(staged)
        yield move_to
    except BaseException:
        for folder in moved:
            shutil.rmtree(folder.loras, ignore_errors=True)
            with suppress(OSError):
                folder.path.rmdir()
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def remove_half_kept(settings: Settings) -> None:
    """Remove what a killed server has left. For the server's start: nobody else keeps any."""
    try:
        remove_leftovers(settings.output_dir)
    except OSError as error:  # the next start tries it again
        log.warning("what was left in %s cannot be removed: %s", settings.output_dir, error)


def _in_output(drawing: DrawingConfig, settings: Settings) -> dict[str, Path]:
    """{name in the drawing: the file} of those that lie in the output folder, links followed."""
    output = settings.output_dir.resolve()
    with _named_trouble(settings):
        files = lora_files(drawing, settings.folders)
    found = {
        name: file.resolve()
        for name, file in zip(drawing.loras, files, strict=True)
        if isinstance(file, Path)
    }
    return {name: file for name, file in found.items() if file.is_relative_to(output)}


def _keep(file: Path, kept: Path) -> None:
    """Raises OSError, or BadLora for a file that is no longer there, or cannot be read any more."""
    try:
        os.link(file, kept)
    except OSError:  # another disk, or one that knows no hard links
        try:
            shutil.copyfile(file, kept)
        except OSError:
            refuse_unreadable(file)
            raise


@contextmanager
def _named_trouble(settings: Settings) -> Iterator[None]:
    """What went wrong as an answer: with a file as the door says it, or with the disk."""
    try:
        yield
    except BadLora as error:
        problems = list(error.problems)
        raise Unusable("bad_drawing", "The drawing cannot run.", problems=problems) from error
    except OSError as error:
        raise Conflict(
            "loras_not_kept",
            f"The LoRA files could not be kept for the drawing in {settings.output_dir}: "
            f"{error.strerror or error}.",
            "Make room there, or give the server the right to write there.",
            params={"folder": str(settings.output_dir)},
        ) from error
