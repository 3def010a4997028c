"""`make install` on machines whose Python will not do: the message says what to type."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "find_python.sh"


def find_python(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPT)],
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def put_python(folder: Path, name: str, *, version: str, has_venv: bool = False) -> Path:
    """A program that answers the script's three questions as a Python of this version would."""
    new_enough = tuple(map(int, version.split("."))) >= (3, 11)
    program = folder / name
    program.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  *print*) echo {version} ;;\n"
        f"  *ensurepip*) exit {0 if has_venv else 1} ;;\n"
        f"  *) exit {0 if new_enough else 1} ;;\n"
        "esac\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_the_real_python_is_found(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(os.path.realpath(sys.executable))
    found = find_python(tmp_path)
    assert (found.returncode, found.stdout.strip()) == (0, str(tmp_path / "python3"))


def test_no_python_at_all_is_said_with_the_cure(tmp_path: Path) -> None:
    found = find_python(tmp_path)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "needs Python 3.11 or newer. Found: none." in found.stderr
    assert "apt-get install python3" in found.stderr


def test_a_python_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    old = put_python(tmp_path, "python3", version="3.9", has_venv=True)
    found = find_python(tmp_path)
    assert found.returncode == 1
    assert f"Found: {old} (3.9)." in found.stderr


def test_a_python_without_venv_names_the_package_that_brings_it(tmp_path: Path) -> None:
    put_python(tmp_path, "python3.12", version="3.12")
    found = find_python(tmp_path)
    assert found.returncode == 1
    assert "apt-get install python3.12-venv" in found.stderr


def test_one_that_is_whole_is_taken_before_one_that_lacks_venv(tmp_path: Path) -> None:
    put_python(tmp_path, "python3.12", version="3.12")
    whole = put_python(tmp_path, "python3.11", version="3.11", has_venv=True)
    assert find_python(tmp_path).stdout.strip() == str(whole)


def test_the_person_s_choice_goes_first(tmp_path: Path) -> None:
    put_python(tmp_path, "python3.12", version="3.12", has_venv=True)
    chosen = put_python(tmp_path, "my-python", version="3.13", has_venv=True)
    assert find_python(tmp_path, PYTHON=str(chosen)).stdout.strip() == str(chosen)
