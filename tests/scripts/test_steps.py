"""Steps of an install: one line each, the cure when one fails, and nothing done twice."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with its root, logs and stamps in a folder of the test's own."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import steps

    monkeypatch.setattr(steps, "ROOT", tmp_path)
    monkeypatch.setattr(steps, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(steps, "STAMPS", tmp_path / "stamps")
    return steps


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def test_a_step_that_works_prints_one_line(
    steps: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.run_step("make soup", python("print('a lot of output')"), cure="none", folder=tmp_path)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("  make soup … ")
    assert line.endswith(" s")


def test_a_step_that_fails_shows_what_it_said_the_cure_and_the_log(
    steps: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = python("print('the spoon is missing'); raise SystemExit(1)")
    with pytest.raises(SystemExit, match="Buy a spoon") as end:
        steps.run_step("make soup", command, cure="Buy a spoon.", folder=tmp_path)
    assert "the spoon is missing" in capsys.readouterr().out
    assert "logs/make-soup.log" in str(end.value)


def test_of_a_long_output_the_beginning_and_the_end_are_shown(
    steps: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = python("[print('line', n) for n in range(100)]; raise SystemExit(1)")
    with pytest.raises(SystemExit):
        steps.run_step("make soup", command, cure="Buy a spoon.", folder=tmp_path)
    shown = capsys.readouterr().out
    assert "line 0\n" in shown
    assert "line 50\n" not in shown
    assert "line 99\n" in shown


def test_a_known_cause_has_its_own_cure(steps: ModuleType, tmp_path: Path) -> None:
    command = python("raise OSError(28, 'No space left on device')")
    with pytest.raises(SystemExit, match="The disk is full: free some space"):
        steps.run_step("make soup", command, cure="Buy a spoon.", folder=tmp_path)


def test_a_step_is_done_until_what_it_depends_on_changes(steps: ModuleType, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.txt"
    recipe.write_text("leek")
    before = steps.digest_of([recipe])
    assert not steps.is_done("soup", before)
    steps.mark_done("soup", before)
    assert steps.is_done("soup", before)
    recipe.write_text("leek and potato")
    assert not steps.is_done("soup", steps.digest_of([recipe]))
