"""The power goes: every disk that could be left behind by what a piece of code did.

While it is recorded, code runs on a real folder; each creation, write, rename, removal and fsync in
it is noted. Then the notes are played as a disk would keep them that promises no more than POSIX:

* bytes of a file are on the disk after an fsync of the file; before that there may be all of them,
  none, or a part;
* a name in a folder is there, or gone, after an fsync of the folder; before that any of the changes
  may have reached the disk, in any order. A rename is one change, of both of its folders: whichever
  is flushed first takes it along.

`disks` gives, for each moment at which the power could go, the disks that this allows: nothing of
what was pending, all of it, all but one change, only one, every part in order, and some drawn by
chance. Equal ones come once.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NUM_BY_CHANCE = 2


@dataclass(frozen=True)
class Write:
    """Bytes of a file as they were seen."""

    inode: int
    data: bytes


@dataclass(frozen=True)
class Entry:
    """Changes of names: ((folder, name, inode or None for gone), ...), made as one."""

    names: tuple[tuple[int, str, int | None], ...]

    @property
    def folders(self) -> set[int]:
        return {folder for folder, _, _ in self.names}


@dataclass(frozen=True)
class Flush:
    """fsync of a file or folder."""

    inode: int


Note = Write | Entry | Flush
Tree = dict[str, bytes | None]  # path to bytes; None for a folder


@dataclass
class Recorder:
    """Notes of what happened in a folder, from what was there at first."""

    root: Path
    notes: list[Note] = field(default_factory=list)
    data: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=dict)
    begin: int = 0
    # Removed files are held open, so that their inodes are not given to others.
    held: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Note files, folders and bytes that are new since the last look."""
        stack = [self.root]
        while stack:
            folder = stack.pop()
            known = self.names.setdefault(_inode(folder), {})
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
                inode = entry.inode()
                if known.get(entry.name) != inode:
                    known[entry.name] = inode
                    self.notes.append(Entry(((_inode(folder), entry.name, inode),)))
                if entry.is_dir(follow_symlinks=False):
                    stack.append(Path(entry.path))
                elif (data := Path(entry.path).read_bytes()) != self.data.get(inode):
                    self.data[inode] = data
                    self.notes.append(Write(inode, data))

    def hold(self, path: Path) -> None:
        self.held.append(os.open(path, os.O_RDONLY))

    def removed(self, path: Path) -> None:
        self._forget(path)
        self.notes.append(Entry(((_inode(path.parent), path.name, None),)))

    def renamed(self, source: Path, target: Path, inode: int) -> None:
        self._forget(source)
        self.names.setdefault(_inode(target.parent), {})[target.name] = inode
        gone = (_inode(source.parent), source.name, None)
        self.notes.append(Entry((gone, (_inode(target.parent), target.name, inode))))

    def _forget(self, path: Path) -> None:
        self.names[_inode(path.parent)].pop(path.name, None)


@contextmanager
def recording(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Note what this process does below `root`, which is taken to be on the disk as it is now."""
    recorder = Recorder(root)
    recorder.look()
    recorder.begin = len(recorder.notes)

    def is_below(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(root)

    def rename(real: Callable[..., None]) -> Callable[..., None]:
        def noted(source: Any, target: Any, **options: Any) -> None:
            if not is_below(source):
                real(source, target, **options)
                return
            recorder.look()
            inode = _inode(Path(source))
            if os.path.lexists(target):
                recorder.hold(Path(target))
            real(source, target, **options)
            recorder.renamed(Path(source), Path(target), inode)

        return noted

    def remove(real: Callable[..., None]) -> Callable[..., None]:
        def noted(path: Any, **options: Any) -> None:
            if not is_below(path):
                real(path, **options)
                return
            recorder.look()
            recorder.hold(Path(path))
            real(path, **options)
            recorder.removed(Path(path))

        return noted

    def fsync(descriptor: int) -> None:
        recorder.look()
        real_fsync(descriptor)
        recorder.notes.append(Flush(os.fstat(descriptor).st_ino))

    def rmtree(path: Any, ignore_errors: bool = False) -> None:
        for parent, folders, files in os.walk(path, topdown=False):
            for name in files:
                os.unlink(os.path.join(parent, name))
            for name in folders:
                os.rmdir(os.path.join(parent, name))
        if os.path.isdir(path):
            os.rmdir(path)

    real_fsync = os.fsync
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename(os.rename))
        patch.setattr(os, "replace", rename(os.replace))
        patch.setattr(os, "unlink", remove(os.unlink))
        patch.setattr(os, "rmdir", remove(os.rmdir))
        patch.setattr(os, "fsync", fsync)
        patch.setattr(shutil, "rmtree", rmtree)
        try:
            yield recorder
            recorder.look()
        finally:
            for descriptor in recorder.held:
                os.close(descriptor)


def disks(
    recorder: Recorder, *, seed: int = 0, most_at_once: int = 1000
) -> Iterator[tuple[int, Tree]]:
    """(moment, what may be on the disk) for a power cut after each note, each disk once.

    most_at_once: of the disks of one moment, if there are more, so many are drawn.
    """
    seen: set[int] = set()
    root = _inode(recorder.root)
    chance = random.Random(seed)
    for moment in range(recorder.begin, len(recorder.notes) + 1):
        kept, pending = _split(recorder.notes[:moment], recorder.begin)
        choices = list(_choices(pending, chance))
        for chosen in chance.sample(choices, min(most_at_once, len(choices))):
            for share in (chance.choice((0, 0.5)), 1):
                tree = _tree(kept, chosen, root, recorder.names.keys(), share)
                number = hash(tuple(sorted(tree.items())))
                if number not in seen:
                    seen.add(number)
                    yield moment, tree


def lay_out(tree: Tree, target: Path) -> None:
    """Make a disk in an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path, data in sorted(tree.items()):
        if data is None:
            (target / path).mkdir(exist_ok=True)
        else:
            (target / path).write_bytes(data)


def _split(notes: list[Note], begin: int) -> tuple[list[Note], list[Note]]:
    """What is on the disk for certain, in order, and what may be."""
    kept: list[Note] = []
    pending: list[Note] = []
    for place, note in enumerate(notes):
        if isinstance(note, Flush):
            continue
        later = {each.inode for each in notes[place:] if isinstance(each, Flush)}
        touched = {note.inode} if isinstance(note, Write) else note.folders
        is_kept = place < begin or bool(touched & later)
        (kept if is_kept else pending).append(note)
    return kept, pending


def _choices(pending: list[Note], chance: random.Random) -> Iterator[list[Note]]:
    yield []
    for number in range(len(pending)):
        yield pending[: number + 1]
        yield [pending[number]]
        yield pending[:number] + pending[number + 1 :]
    for _ in range(NUM_BY_CHANCE if len(pending) > 2 else 0):
        yield [note for note in pending if chance.random() < 0.5]


def _tree(
    kept: list[Note],
    chosen: list[Note],
    root: int,
    folders: Container[int],
    share: float,
) -> Tree:
    """share: how much of the bytes that may be there is."""
    names: dict[int, dict[str, int]] = {}
    data: dict[int, bytes] = {}
    for number, note in enumerate([*kept, *chosen]):
        if isinstance(note, Write):
            is_certain = number < len(kept)
            torn = note.data[: int(len(note.data) * share)]
            data[note.inode] = note.data if is_certain else torn
        elif isinstance(note, Entry):
            for folder, name, inode in note.names:
                of_folder = names.setdefault(folder, {})
                if inode is None:
                    of_folder.pop(name, None)
                else:
                    of_folder[name] = inode
                    names.setdefault(inode, {})
    tree: Tree = {}

    def walk(folder: int, prefix: str) -> None:
        for name, inode in names.get(folder, {}).items():
            if inode in folders:
                tree[f"{prefix}{name}"] = None
                walk(inode, f"{prefix}{name}/")
            else:
                tree[f"{prefix}{name}"] = data.get(inode, b"")

    walk(root, "")
    return tree


def _inode(path: Path) -> int:
    return os.lstat(path).st_ino
