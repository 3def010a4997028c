"""A step of a build: one plain line with its duration, and on failure the reason and a cure.

Each step that need not be repeated leaves a stamp, the digest of what it depended on, so that a
second `make install` takes about a second. A stamp is written after the step succeeded: an
interrupted step runs again.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / "stamps"
LOGS = VENV / "logs"

# What a tool prints when a common thing is wrong, and what helps.
CURES = {
    "No space left on device": "The disk is full: free some space and run the command again.",
    "Temporary failure in name resolution": "No network: check the connection, then run it again.",
    "Failed to establish a new connection": "No network: check the connection or the proxy.",
    "Read timed out": "The connection was too slow: run the command again, it goes on from here.",
    "ETIMEDOUT": "The connection was too slow: run the command again.",
    "ENOTFOUND": "No network: check the connection or npm's registry setting.",
    "DO NOT MATCH THE HASHES": "A download differs from the lock file: empty pip's cache with "
    "`.venv/bin/pip cache purge` and run the command again.",
    "No matching distribution found for torch": "PyTorch 2.13 has no build for this Python and "
    "machine: choose another Python with `make install PYTHON=/path/to/python3.12`.",
    "Permission denied": "This folder, or .venv in it, belongs to somebody else: make it yours.",
}


def run_step(
    label: str,
    command: Sequence[str | Path],
    *,
    cure: str,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> None:
    """Run a command quietly behind one line. Exits with what it said and a cure if it fails."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{label.split(' (')[0].replace(' ', '-').lower()}.log"
    start = time.monotonic()
    print(f"  {label} … ", end="", flush=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        wait_showing_time(process, label, start)
    if process.returncode == 0:
        print(f"{time.monotonic() - start:.0f} s", flush=True)
        return
    print(f"failed after {time.monotonic() - start:.0f} s\n", flush=True)
    text = log.read_text(errors="replace")
    lines = text.splitlines()
    # pip says the reason last; npm says it first, and then prints its manual.
    shown = lines if len(lines) <= 20 else [*lines[:6], "…", *lines[-12:]]
    for line in shown:
        print(f"    {line}")
    known = next((help for sign, help in CURES.items() if sign in text), cure)
    sys.exit(f"\n{known}\nThe whole output: {log.relative_to(ROOT)}")


def wait_showing_time(process: subprocess.Popen[bytes], label: str, start: float) -> None:
    """Wait for the end; on a terminal the line counts seconds, so that nobody thinks it hangs."""
    while True:
        try:
            process.wait(timeout=1)
            break
        except subprocess.TimeoutExpired:
            if sys.stdout.isatty():
                seconds = time.monotonic() - start
                print(f"\r  {label} … {seconds:.0f} s", end="", flush=True)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            sys.exit("\nInterrupted. Run the command again; it goes on where it was.")
    if sys.stdout.isatty():
        print(f"\r  {label} … ", end="", flush=True)


def is_done(name: str, digest: str) -> bool:
    """Whether the step of this name succeeded for these inputs."""
    stamp = STAMPS / name
    return stamp.is_file() and stamp.read_text() == digest


def mark_done(name: str, digest: str) -> None:
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / name).write_text(digest)


def digest_of(files: Iterable[Path], *words: str) -> str:
    """SHA-256 over the files' names and bytes, and whatever else the step depends on."""
    sha = hashlib.sha256()
    for word in words:
        sha.update(word.encode() + b"\0")
    for file in sorted(files):
        sha.update(str(file.relative_to(ROOT)).encode() + b"\0")
        sha.update(file.read_bytes() + b"\0")
    return sha.hexdigest()
