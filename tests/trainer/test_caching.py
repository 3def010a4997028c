"""The caches: files that prove themselves, and folders that go with their run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.caching import CacheFolders, DamagedCacheFile, Slot, content_key
from trainer.durable_write import TEMPORARY_PREFIX
from trainer.folders import PROJECT_FOLDER

KEY = content_key(picture="one", size=(64, 64))
OTHER_KEY = content_key(picture="two", size=(64, 64))
TENSOR = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)


@pytest.fixture
def slot(tmp_path: Path) -> Slot:
    slot = Slot(tmp_path / "latents", KEY)
    slot.write(TENSOR, {"picture": "あ.png"})
    return slot


def test_a_tensor_comes_back_as_it_was_written(tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        for tensor in (TENSOR.to(dtype), TENSOR.to(dtype).transpose(0, 2)):
            slot = Slot(tmp_path, KEY)
            slot.write(tensor, {})
            assert slot.state() == "whole"
            assert slot.read().dtype == dtype
            assert torch.equal(slot.read(), tensor)


def test_a_tensor_that_was_never_written_is_missing(tmp_path: Path) -> None:
    assert Slot(tmp_path, KEY).state() == "missing"


def _flip_last_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut in the length": lambda data: data[:5],
    "cut in the header": lambda data: data[:40],
    "cut in the tensor": lambda data: data[:-7],
    "grown": lambda data: data + b"\0",
    "one bit flipped": _flip_last_bit,
    "zeros": lambda data: bytes(len(data)),
    "something else": lambda data: b"{}" * 100,
    "a huge header": lambda data: b"\xff" * 8 + data[8:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_never_read(slot: Slot, damage: Callable[[bytes], bytes]) -> None:
    slot.path.write_bytes(damage(slot.path.read_bytes()))
    assert slot.state() == "damaged"
    with pytest.raises(DamagedCacheFile):
        slot.read()


def test_a_file_moved_onto_anothers_key_is_not_taken_for_it(slot: Slot) -> None:
    other = Slot(slot.root, OTHER_KEY)
    other.path.parent.mkdir(exist_ok=True)
    slot.path.rename(other.path)
    assert other.state() == "damaged"


@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed_where_it_matters(place: int, change: int) -> None:
    """A changed byte either fails the proof or leaves the tensor as it was (notes, spaces)."""
    with tempfile.TemporaryDirectory() as folder:
        slot = Slot(Path(folder), KEY)
        slot.write(TENSOR, {"note": "x"})
        data = bytearray(slot.path.read_bytes())
        data[place % len(data)] ^= change
        slot.path.write_bytes(data)
        if slot.state() == "whole":
            assert torch.equal(slot.read(), TENSOR)


def test_keys_differ_with_every_part_and_not_with_their_order() -> None:
    assert content_key(a=1, b="x") == content_key(b="x", a=1)
    different = [
        content_key(a=1, b="x"),
        content_key(a=2, b="x"),
        content_key(a=1, b="y"),
        content_key(a=1, c="x"),
        content_key(a="1", b="x"),
        content_key(a=1, b="x", versions={"torch": "2.13"}),
    ]
    assert len(set(different)) == len(different)


def test_what_is_private_goes_with_the_run_and_what_is_shared_stays(tmp_path: Path) -> None:
    caches = CacheFolders(tmp_path)
    shared = caches.slot("latents", KEY, shared=True)
    private = caches.slot("prompts", KEY, shared=False)
    for slot in (shared, private):
        slot.write(TENSOR, {})
    caches.close()
    caches.close()
    assert shared.state() == "whole"
    assert private.state() == "missing"
    assert list((tmp_path / "private").iterdir()) == []


def test_a_run_without_private_tensors_makes_no_folder(tmp_path: Path) -> None:
    caches = CacheFolders(tmp_path)
    caches.slot("latents", KEY, shared=True)
    caches.close()
    assert list(tmp_path.iterdir()) == []


def test_the_next_run_removes_what_a_killed_run_left_but_nothing_of_a_living_one(
    tmp_path: Path,
) -> None:
    program = (
        "import sys; from pathlib import Path; from trainer.caching import CacheFolders; "
        f"caches = CacheFolders(Path({str(tmp_path)!r})); "
        "slot = caches.slot('latents', 'ab', shared=False); "
        "slot.path.parent.mkdir(parents=True); slot.path.write_bytes(b'x'); "
        "print(slot.path, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PROJECT_FOLDER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        left = Path(holder.stdout.readline().strip())
        CacheFolders(tmp_path).close()
        assert left.exists()
        holder.kill()
        holder.wait()
    CacheFolders(tmp_path).close()
    assert not left.exists()
    assert list((tmp_path / "private").iterdir()) == []


def test_old_temporary_files_go_and_new_ones_stay(tmp_path: Path) -> None:
    old = tmp_path / "latents" / "ab" / f"{TEMPORARY_PREFIX}old.safetensors"
    new = tmp_path / "prompts" / "ab" / f"{TEMPORARY_PREFIX}new.safetensors"
    for file in (old, new):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")
    yesterday = time.time() - 86_400
    os.utime(old, (yesterday, yesterday))
    CacheFolders(tmp_path).close()
    assert not old.exists()
    assert new.exists()
