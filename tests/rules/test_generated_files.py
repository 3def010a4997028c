"""Files that follow from the code are current. `make types` writes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import generate


@pytest.mark.parametrize(
    "file", [generate.OPENAPI, generate.PAGE, generate.CARDS], ids=lambda file: file.name
)
def test_the_file_says_what_the_code_says(file: Path) -> None:
    assert file.is_file(), f"{file.name} is missing: run `make types`."
    current = generate.written_by_python()[file]
    assert file.read_text() == current, f"{file.name} is stale: run `make types`."


def test_the_typescript_types_follow_from_the_openapi_file() -> None:
    if not (generate.FRONTEND / "node_modules").is_dir():
        pytest.fail("frontend/node_modules is not there: run `make install`.")
    checked = generate.types_are_current()
    assert checked.returncode == 0, f"Run `make types`.\n{checked.stdout}{checked.stderr}"
