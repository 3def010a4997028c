"""Run the checks of a tier: `make check`, `make test`, `make test-full`.

| tier  | runs                                                                  | at most |
|-------|-----------------------------------------------------------------------|---------|
| check | formatting, lint, types, import rules, unit tests; Python and pages   | 3 min   |
| test  | check, and the tests with real processes, trainings and a browser     | 15 min  |
| full  | test, and the tests of about twenty seconds and more (`long`)         | 75 min  |

The static checks run first, two at a time, and all of them even if one fails; then the tests,
whose output is shown as it comes. Ends with every failure by name and an exit code.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ensure_browser import ensure_browser
from install import FRONTEND, node_path, npm_command
from steps import ROOT, VENV

TIERS = {
    "check": "not (integration or browser or gpu or slow or long)",
    "test": "not long",
    "full": "",
}

# Two torch processes with two threads each slow each other down fifty-fold on two cores, and the
# tests start several beside a server and a browser. One thread also makes a run repeatable.
ONE_THREAD_EACH = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MKL_NUM_THREADS": "1"}

# Most tests wait for a process of theirs to import torch. A file's tests stay together, since they
# share what is slow to make.
SIDE_BY_SIDE = ["--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile"]


@dataclass(frozen=True)
class Check:
    name: str
    command: list[str | Path]
    cure: str
    folder: Path = ROOT
    environment: dict[str, str] = field(default_factory=dict)


def main() -> None:
    tier = sys.argv[1] if len(sys.argv) > 1 else ""
    if tier not in TIERS:
        sys.exit(f"usage: check.py {'|'.join(TIERS)}, not {tier!r}")
    start = time.monotonic()

    with ThreadPoolExecutor(max_workers=2) as pool:
        passed = list(pool.map(run_quietly, static_checks()))
    failed = [check.name for check, ok in zip(static_checks(), passed, strict=True) if not ok]
    if not run_tests(tier):
        failed.append("tests")

    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    if failed:
        sys.exit(f"\nmake {tier}: {', '.join(failed)} failed ({minutes} min {seconds} s).")
    print(f"\nmake {tier}: all passed ({minutes} min {seconds} s).")


def static_checks() -> list[Check]:
    """Longest first, so that two at a time end together."""
    tools = VENV / "bin"
    return [
        Check("pyright", [tools / "pyright", "--level", "error"], "Mend the types named above."),
        npm_check("pages: tests", "test", "`npm test` in frontend/ runs them alone."),
        npm_check("pages: lint and types", "check", "`npm run fix` in frontend/ mends some of it."),
        Check(
            "import rules",
            [tools / "lint-imports", "--no-cache"],
            "Who may import whom, and why, is in docs/architecture.md.",
        ),
        Check("lint", [tools / "ruff", "check"], "`.venv/bin/ruff check --fix` mends some of it."),
        Check("formatting", [tools / "ruff", "format", "--check"], "Run `.venv/bin/ruff format`."),
    ]


def npm_check(name: str, script: str, cure: str) -> Check:
    return Check(name, [*npm_command(), "run", script], cure, FRONTEND, {**node_path(), "CI": "1"})


def run_quietly(check: Check) -> bool:
    """Run one check; a line if it passes, its whole output and the cure if it does not."""
    start = time.monotonic()
    done = subprocess.run(
        [str(word) for word in check.command],
        cwd=check.folder,
        env={**os.environ, **check.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if done.returncode == 0:
        print(f"  {check.name} … {seconds:.0f} s", flush=True)
        return True
    print(f"  {check.name} … failed\n{done.stdout.rstrip()}\n{check.cure}\n", flush=True)
    return False


def run_tests(tier: str) -> bool:
    """The tests of this tier, their output as it comes."""
    environment = {**os.environ, **ONE_THREAD_EACH}
    if tier != "check":
        environment["DARKROOM_TEST_BROWSER"] = str(ensure_browser())
    chosen = ["-m", TIERS[tier]] if TIERS[tier] else []
    command = [sys.executable, "-m", "pytest", *SIDE_BY_SIDE, "--durations=10", *chosen]
    print("  tests", flush=True)
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    main()
