"""`make soak`: many rounds of faults; a killed soak goes on where it was.

    --rounds N    with the stand-in trainer, 300 unless said
    --real N      with real tiny trainings, 30 unless said
    --share 1/2   every second round; another call with 2/2 beside it plays the rest
    --seed N      one round with the stand-in, whatever was played before; its folder is kept

Every round that was played is a line of build/soak/record.jsonl; docs/reliability.md is written
from them. A soak of changed code begins anew: the record is of one state of the code.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from marked_page import write_part
from steps import ROOT

sys.path.insert(0, str(ROOT))  # the tests are no installed package
from tests.faults.fault_round import Record, Scene, play
from tests.faults.house import NotSo
from tests.faults.scenes import real_scene, stand_in_scene

WORK = ROOT / "build" / "soak"
RECORD = WORK / "record.jsonl"
PAGE = ROOT / "docs" / "reliability.md"
PART = "record: make soak"


def main() -> None:
    options = parse_options()
    # One thread each: results are exact for a number of threads, and two processes share the cores.
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    WORK.mkdir(parents=True, exist_ok=True)
    if options.seed is not None:
        print(play_kept(stand_in_scene(), options.seed))
        return
    code = state_of_the_code()
    played = [line for line in read_record() if line["code"] == code]
    place, shares = options.share
    real_folder = WORK / f"real-{place}-{shares}"
    for name, rounds, make_scene in (
        ("stand-in", options.rounds, stand_in_scene),
        ("tiny training", options.real, lambda: real_scene(real_folder)),
    ):
        seeds = range(place - 1, rounds, shares)
        soak(make_scene, name, not_played(name, seeds, played), code)
    played = [line for line in read_record() if line["code"] == code]
    write_part(PAGE, PART, as_markdown(played))
    failed = [line for line in played if line["broken"]]
    if failed:
        sys.exit(f"{len(failed)} of {len(played)} rounds broke a promise; see {RECORD}.")
    print(f"{len(played)} rounds, no promise broken.")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Play many rounds of faults.")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--real", type=int, default=30)
    parser.add_argument("--share", type=share, default=(1, 1))
    parser.add_argument("--seed", type=int)
    return parser.parse_args()


def share(text: str) -> tuple[int, int]:
    """1/2 as (1, 2)."""
    place, _, shares = text.partition("/")
    if not (place.isdigit() and shares.isdigit() and 1 <= int(place) <= int(shares)):
        raise argparse.ArgumentTypeError(f"{text!r} is no share; 1/2 is the first of two.")
    return int(place), int(shares)


def not_played(name: str, seeds: Iterable[int], played: list[dict]) -> list[int]:
    """Those of the seeds that the record lacks."""
    known = {line["seed"] for line in played if line["scene"] == name}
    return sorted(set(seeds) - known)


def soak(make_scene: Callable[[], Scene], name: str, seeds: list[int], code: str) -> None:
    """Play these seeds, each into the record."""
    if not seeds:
        return
    scene = make_scene()
    for seed in seeds:
        try:
            line = asdict(play_kept(scene, seed)) | {"broken": None}
        except NotSo as error:
            line = {"scene": name, "seed": seed, "faults": [], "broken": str(error)}
        with RECORD.open("a") as file:
            file.write(json.dumps(line | {"code": code}) + "\n")
        print(f"{name} {seed}: {line['broken'] or 'kept'}", flush=True)


def play_kept(scene: Scene, seed: int) -> Record:
    """Play a round in a folder that is removed; one that failed is kept in build/soak."""
    kept = WORK / f"{scene.name.replace(' ', '-')}-{seed}"
    with tempfile.TemporaryDirectory(prefix="darkroom-fault-") as folder:
        return play(scene, seed, Path(folder) / "house", keep_in=kept)


def state_of_the_code() -> str:
    """The trees of what a soak tries, as committed."""
    git = ["git", "-C", str(ROOT)]
    tree = [*git, "rev-parse", "HEAD:backend", "HEAD:trainer", "HEAD:tests/faults"]
    return subprocess.run(tree, capture_output=True, text=True, check=True).stdout.replace(
        "\n", " "
    )


def read_record() -> list[dict]:
    """Every line of the record."""
    if not RECORD.exists():
        return []
    return [json.loads(line) for line in RECORD.read_text().splitlines()]


def as_markdown(played: list[dict]) -> str:
    """The record in numbers: a table of scenes, one of faults."""
    lines = [
        "| trainer | rounds | promises broken | faults | runs | slowest until true |",
        "|---|---|---|---|---|---|",
    ]
    struck: Counter[str] = Counter()
    for name in ("stand-in", "tiny training"):
        rounds = [line for line in played if line["scene"] == name]
        kept = [line for line in rounds if not line["broken"]]
        if not rounds:
            continue
        faults = [fault for line in kept for fault in line["faults"]]
        struck.update(_kind(fault) for fault in faults)
        runs = sum(line["num_runs"] for line in kept)
        slowest = max((line["truth_seconds"] for line in kept), default=0.0)
        lines.append(
            f"| {name} | {len(rounds)} | {len(rounds) - len(kept)} | {len(faults)} | {runs} "
            f"| {slowest:.1f} s |"
        )
    not_possible = sum(len(line.get("not_possible", [])) for line in played)
    if not_possible:
        lines += ["", f"Drawn {not_possible} times, but not possible here: a full disk."]
    missed = Counter(words for line in played for words in line.get("nothing_there", []))
    if missed:
        kinds = [f"{words.partition(': ')[2]} ({count})" for words, count in missed.most_common()]
        said = ", ".join(kinds)
        lines += ["", f"Drawn {missed.total()} times when there was nothing to strike at: {said}."]
    lines += ["", "| fault | struck |", "|---|---|"]
    lines += [f"| {kind} | {count} |" for kind, count in struck.most_common()]
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    lines += ["", f"Played on the code of commit {commit}."]
    return "\n".join(lines) + "\n"


def _kind(fault: str) -> str:
    """The fault without its numbers."""
    for word in (" for ", " by "):
        fault = fault.partition(word)[0]
    return " ".join("…" if word.isdigit() else word for word in fault.split())


if __name__ == "__main__":
    main()
