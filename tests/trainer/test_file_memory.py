"""What is remembered of files: nothing is read twice, and no change is missed."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from trainer.dataset_index import scan_dataset
from trainer.file_memory import MEMORY_FILE, FileMemory
from trainer.fingerprints import file_sha256
from trainer.pictures import UnreadablePicture

_opened: list[str] | None = None


def _note_opening(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _opened is not None:
        _opened.append(str(arguments[0]))


sys.addaudithook(_note_opening)


@contextmanager
def files_opened_in(folder: Path) -> Iterator[list[str]]:
    """Names of the folder's files that this process opens within the block, as Python reports."""
    global _opened
    _opened, names = [], []
    try:
        yield names
    finally:
        names += [Path(path).name for path in _opened if Path(path).parent == folder]
        _opened = None


def _old_picture(file: Path, side_px: int = 64) -> Path:
    """A picture that was last changed an hour ago: fresh files are never remembered."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side_px, side_px), "red").save(file)
    hour_ago = time.time() - 3600
    os.utime(file, (hour_ago, hour_ago))
    return file


def test_two_thousand_pictures_are_read_once_and_then_only_looked_at(tmp_path: Path) -> None:
    pictures, cache = tmp_path / "pictures", tmp_path / "cache"
    first = _old_picture(pictures / "0000.png")
    for number in range(1, 2000):
        shutil.copy2(first, pictures / f"{number:04}.png")

    def scan() -> tuple[FileMemory, list[str]]:
        memory = FileMemory(cache)
        with files_opened_in(pictures) as opened:
            index = scan_dataset(
                pictures, caption_extension="txt", default_caption="a", memory=memory
            )
            for item in index.items:
                memory.sha256(item.path)
        assert len(index.items) == 2000
        assert {(item.width, item.height) for item in index.items} == {(64, 64)}
        memory.save()
        return memory, [name for name in opened if name.endswith(".png")]

    memory, opened = scan()
    assert memory.num_read == 4000  # each header once, each file's bytes once
    assert len(opened) == 4000
    memory, opened = scan()
    assert memory.num_read == 0
    assert opened == []

    _old_picture(pictures / "0007.png", side_px=64)
    os.utime(pictures / "0009.png", (1, 1))
    memory, opened = scan()
    assert sorted(set(opened)) == ["0007.png", "0009.png"]


def test_a_change_is_seen_even_if_length_and_time_of_change_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    os.utime(file, (1, 1))
    memory = FileMemory(tmp_path / "cache")
    first = memory.sha256(file)
    memory.save()
    file.write_bytes(b"two")
    os.utime(file, (1, 1))
    again = FileMemory(tmp_path / "cache")
    assert again.sha256(file) == file_sha256(file) != first
    assert memory.sha256(file) == file_sha256(file)


def test_a_file_that_was_changed_just_now_is_read_again_by_the_next_process(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"fresh")
    memory = FileMemory(tmp_path / "cache")
    memory.sha256(file)
    memory.sha256(file)
    assert memory.num_read == 1  # this process has it in hand
    memory.save()
    later = FileMemory(tmp_path / "cache")
    later.sha256(file)
    assert later.num_read == 1


def test_sizes_and_hashes_and_proofs_are_kept_beside_each_other(tmp_path: Path) -> None:
    picture = _old_picture(tmp_path / "a.png", side_px=80)
    for learn in (
        lambda memory: memory.upright_size(picture),
        lambda memory: memory.sha256(picture),
        lambda memory: memory.prove(picture),
    ):
        memory = FileMemory(tmp_path / "cache")
        learn(memory)
        memory.save()
    memory = FileMemory(tmp_path / "cache")
    assert memory.upright_size(picture) == (80, 80)
    assert memory.sha256(picture) == file_sha256(picture)
    assert memory.is_proved(picture)
    assert memory.num_read == 0
    assert not memory.is_proved(tmp_path / "none.png")


def test_a_folder_whose_name_begins_like_another_is_another(tmp_path: Path) -> None:
    one, other = _old_picture(tmp_path / "cat" / "a.png"), _old_picture(tmp_path / "cat2" / "a.png")
    memory = FileMemory(tmp_path / "cache")
    memory.upright_size(one)
    memory.save()
    again = FileMemory(tmp_path / "cache")
    again.upright_size(other)
    again.upright_size(one)
    assert again.num_read == 1


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_damaged_memory_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / MEMORY_FILE).write_bytes(content)
    picture = _old_picture(tmp_path / "a.png")
    memory = FileMemory(cache)
    memory.upright_size(picture)
    memory.save()
    again = FileMemory(cache)
    assert again.upright_size(picture) == (64, 64)
    assert again.num_read == 0


def test_a_memory_that_cannot_be_written_costs_time_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    picture = _old_picture(tmp_path / "a.png")
    memory = FileMemory(tmp_path / "cache")
    assert memory.upright_size(picture) == (64, 64)
    memory.save()


def test_what_is_no_picture_is_said_each_time(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"broken")
    memory = FileMemory(tmp_path / "cache")
    for path in (file, file, tmp_path / "none.png"):
        with pytest.raises(UnreadablePicture):
            memory.upright_size(path)
