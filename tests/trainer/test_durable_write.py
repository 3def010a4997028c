"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.durable_write import new_folder, remove_leftovers, replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "job.yaml"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert names(path.parent) == ["job.yaml"]


def test_a_failing_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    write_text(path, "old")

    def fail_halfway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["job.yaml"]


def test_a_folder_appears_only_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "step-000010"
    with new_folder(path) as temporary:
        (temporary / "lora.safetensors").write_text("weights")
        assert not path.exists()
    assert names(path) == ["lora.safetensors"]


def test_a_writer_killed_in_the_middle_leaves_only_what_can_be_swept(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path;"
        "from trainer.durable_write import new_folder\n"
        "with new_folder(Path(sys.argv[1]) / 'step-000010') as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=os.getcwd())
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "step-000010").exists()
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []
