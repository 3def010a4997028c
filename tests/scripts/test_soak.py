"""The soak's record: every round counted, faults told apart by kind and not by numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def soak(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import soak

    return soak


def a_round(seed: int, faults: list[str], broken: str | None = None) -> dict[str, Any]:
    return {
        "scene": "stand-in",
        "seed": seed,
        "faults": faults,
        "num_runs": 4,
        "truth_seconds": 0.5 + seed,
        "broken": broken,
    }


def test_the_record_counts_rounds_faults_and_broken_promises(soak: ModuleType) -> None:
    text = soak.as_markdown(
        [
            a_round(0, ["the disk full for 0.2 s", "checkpoint 3 damaged"]),
            a_round(1, ["the disk full for 0.9 s"]),
            {"scene": "stand-in", "seed": 2, "faults": [], "broken": "a step is missing"},
        ]
    )
    assert "| stand-in | 3 | 1 | 3 | 8 | 1.5 s |" in text
    assert "| the disk full | 2 |" in text
    assert "| checkpoint … damaged | 1 |" in text
    assert "tiny training" not in text, "nothing is said of what was not played"


def test_a_soak_goes_on_where_it_was(
    soak: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "RECORD", tmp_path / "record.jsonl")
    played: list[int] = []

    def play_kept(scene: object, seed: int) -> object:
        del scene
        played.append(seed)
        return soak.Record("stand-in", seed, [], [], [], 3, 0.0, 1.0)

    monkeypatch.setattr(soak, "play_kept", play_kept)
    soak.soak(object, "stand-in", [0, 2], "this code")
    known = soak.read_record()
    assert [line["seed"] for line in known] == [0, 2]
    assert soak.not_played("tiny training", range(2), known) == [0, 1]
    soak.soak(object, "stand-in", soak.not_played("stand-in", range(4), known), "this code")
    assert played == [0, 2, 1, 3]


def test_it_starts_by_its_path_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, SCRIPTS / "soak.py", "--help"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_what_cannot_strike_here_is_said_and_not_counted(soak: ModuleType) -> None:
    played = a_round(0, ["a second worker"]) | {"not_possible": ["not possible here: a full disk"]}
    text = soak.as_markdown([played])
    assert "not possible here: a full disk" in text
    assert "| not possible" not in text


def test_what_found_nothing_to_strike_at_is_said_and_not_counted(soak: ModuleType) -> None:
    missed = ["nothing there: a trainer for SIGKILL", "nothing there: a checkpoint to damage"]
    played = [a_round(n, ["SIGKILL to a trainer"]) | {"nothing_there": missed} for n in range(2)]
    text = soak.as_markdown([*played, a_round(2, []) | {"nothing_there": missed[:1]}])
    assert "| stand-in | 3 | 0 | 2 |" in text
    assert "| SIGKILL to a trainer | 2 |" in text
    assert "Drawn 5 times when there was nothing to strike at: a trainer for SIGKILL (3)" in text
    assert "| nothing" not in text
