"""Ten thousand jobs, five million steps and two hundred open pages: how long does anything take?

    python scripts/scale_benchmark.py                  measure and print
    python scripts/scale_benchmark.py --write          and write docs/benchmarks.md

Makes a database of that size in build/scale (once; it is copied for each measurement), starts the
real server and the real worker on it, and a trainer that only writes events, at the pace of a real
one. Lists and curves are asked over HTTP; two hundred streams are opened and what each hears is
compared with the moment at which the event was written.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import platform
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from marked_page import write_part
from scale_database import BIG_JOB, NUM_JOBS, NUM_METRICS, STEPS_OF_A_CURVE, fill
from steps import ROOT

WORK = ROOT / "build" / "scale"
PAGE = ROOT / "docs" / "benchmarks.md"
PART = "scale benchmark"
TRAINER = ROOT / "scripts" / "scale_trainer.py"
NUM_STREAMS = 200
LIMITS = {"list": 50.0, "curve": 50.0, "event": 250.0, "worker": 3.0}


@dataclass(frozen=True)
class Installation:
    """One measurement's folder and where its server listens."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """For server and worker."""
        return os.environ | {
            "DARKROOM_DATABASE_URL": f"sqlite:///{self.folder / 'darkroom.db'}",
            "DARKROOM_DATASETS_DIR": str(ROOT / "datasets"),
            "DARKROOM_OUTPUT_DIR": str(self.folder / "output"),
            "DARKROOM_CACHE_DIR": str(self.folder / "cache"),
            "DARKROOM_MODELS_DIR": str(self.folder / "models"),
            "DARKROOM_PORT": str(self.port),
            "DARKROOM_TRAINER_COMMAND": f"{sys.executable} {TRAINER}",
            "PYTHONPATH": str(ROOT),
        }

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status < 400, (path, answer.status, text[:500])
        return json.loads(text)


def main() -> None:
    options = parse_options()
    filled = WORK / "filled.db"
    if not filled.exists():
        print(f"filling {filled} …", flush=True)
        fill(filled)
    folder = WORK / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(filled, folder / "darkroom.db")
    here = Installation(folder, free_port())
    with process(here, "serve") as server:
        wait_for(lambda: here.ask("GET", "/api/health"))
        found = {
            "list": slow_ones(here, "/api/jobs?limit=50", options.requests),
            "list by state": slow_ones(
                here, "/api/jobs?limit=50&status=queued&order=queue", options.requests
            ),
            "list of what ended": slow_ones(
                here,
                "/api/jobs?limit=50&status=completed&status=failed&order=finished",
                options.requests,
            ),
            "one job": slow_ones(here, f"/api/jobs/{BIG_JOB}", options.requests),
            "curve": slow_ones(here, f"/api/jobs/{BIG_JOB}/metrics", options.requests),
        }
        for name, (median, p99) in found.items():
            print(f"{name}: median {median:.1f} ms, p99 {p99:.1f} ms", flush=True)
        with process(here, "work") as worker:
            ids = (worker.pid, server.pid)
            delays, share, server_share = watch_a_training(here, ids, options)
    found["event"] = (percentile(delays, 50), percentile(delays, 99))
    text = as_markdown(found, len(delays), share, server_share)
    print(text)
    shutil.rmtree(folder)
    if options.write:
        write_part(PAGE, PART, text)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Darkroom at scale.")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    parser.add_argument("--seconds", type=float, default=60, help="of watching a training")
    parser.add_argument("--steps-per-second", type=float, default=1.0)
    return parser.parse_args()


def slow_ones(here: Installation, path: str, count: int) -> tuple[float, float]:
    """Median and 99th percentile in ms of a request over one open connection."""
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=60)
    times: list[float] = []
    for number in range(count + 5):
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        size = len(answer.read())
        assert answer.status == 200, (path, answer.status)
        assert size > 100, f"{path} holds nothing"
        if number >= 5:  # the first ones load pages of the database
            times.append((time.perf_counter() - began) * 1000)
    connection.close()
    return percentile(times, 50), percentile(times, 99)


def watch_a_training(
    here: Installation, process_ids: tuple[int, int], options: argparse.Namespace
) -> tuple[list[float], float, float]:
    """Delays in ms from an event's own time to each stream; CPU shares in % of worker and server.

    A batch of steps that arrives in one message counts as many times as there are steps in it.
    """
    # The waiting jobs of the filled database are in the way: nothing else may start.
    here.ask("POST", "/api/queue/pause", {})
    config = here.ask("GET", "/api/job-schema")["example"]
    config["job"] |= {"training_name": "watched", "gpu": "cpu"}
    steps = round((options.seconds + 30) * options.steps_per_second)
    config["training"]["steps"] = steps
    config["job"]["trigger_word"] = f"pace{options.steps_per_second:g}"
    job = here.ask("POST", "/api/jobs", {"config": config, "queue": True})
    here.ask("POST", f"/api/jobs/{job['id']}/move", {"before_job_id": first_in_line(here)})
    with sqlite3.connect(here.folder / "darkroom.db", timeout=30) as database:
        database.execute(
            "UPDATE jobs SET not_before='2099-01-01' WHERE status='queued' AND id<>?", (job["id"],)
        )
    here.ask("POST", "/api/queue/resume", {})
    wait_for(lambda: here.ask("GET", f"/api/jobs/{job['id']}")["step"] >= 3)
    delays = asyncio.run(listen(here.port, job["id"], options.seconds, process_ids))
    here.ask("POST", f"/api/jobs/{job['id']}/stop")
    wait_for(
        lambda: here.ask("GET", f"/api/jobs/{job['id']}")["status"] in ("stopped", "completed")
    )
    return delays


def first_in_line(here: Installation) -> int:
    return here.ask("GET", "/api/jobs?status=queued&order=queue&limit=1")["items"][0]["id"]


async def listen(
    port: int, job_id: int, seconds: float, process_ids: tuple[int, int]
) -> tuple[list[float], float, float]:
    """Open the streams, hear for a while, and close them."""
    written = WORK / "run" / "output" / "watched"
    heard: dict[tuple[int, int], float] = {}
    opened = [asyncio.Event() for _ in range(NUM_STREAMS)]
    tasks = [
        asyncio.create_task(hear(port, job_id, number, heard, opened[number]))
        for number in range(NUM_STREAMS)
    ]
    await asyncio.gather(*(event.wait() for event in opened))
    worker, server = (psutil.Process(each) for each in process_ids)
    await asyncio.sleep(2)
    began, cpu, server_cpu = time.time(), cpu_seconds(worker), cpu_seconds(server)
    await asyncio.sleep(seconds)
    ended = time.time()
    share = (cpu_seconds(worker) - cpu) / (ended - began) * 100
    server_share = (cpu_seconds(server) - server_cpu) / (ended - began) * 100
    await asyncio.sleep(5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    moments = times_of_steps(written)
    counted = [step for step, moment in moments.items() if began <= moment <= ended]
    missing = [
        (number, step)
        for step in counted
        for number in range(NUM_STREAMS)
        if (number, step) not in heard
    ]
    assert counted, "no step was taken"
    assert not missing, f"{len(missing)} events never arrived: {missing[:3]}"
    delays = [
        (heard[number, step] - moments[step]) * 1000
        for step in counted
        for number in range(NUM_STREAMS)
    ]
    return delays, share, server_share


async def hear(
    port: int, job_id: int, number: int, heard: dict[tuple[int, int], float], opened: asyncio.Event
) -> None:
    """One browser: every tenth shows the job, the others the queue as well."""
    topics = f"job:{job_id}" if number % 10 == 0 else f"queue,job:{job_id}"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    request = f"GET /api/events?topics={topics} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    writer.write(request.encode())
    name = ""
    try:
        while line := await reader.readline():
            if line.startswith(b"event: "):
                name = line[7:].decode().strip()
                if name == "open":
                    opened.set()
            elif line.startswith(b"data: ") and name == "steps":
                now = time.time()
                for item in json.loads(line[6:])["items"]:
                    heard[number, item["step"]] = now
    finally:
        writer.close()


def times_of_steps(folder: Path) -> dict[int, float]:
    """When each step was written, by its own event."""
    (events,) = folder.glob("runs/*/events.jsonl")
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    return {line["step"]: line["time"] for line in lines if line["type"] == "step"}


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@contextlib.contextmanager
def process(here: Installation, command: str) -> Iterator[subprocess.Popen[bytes]]:
    """`darkroom serve` or `work`, ended by a signal."""
    log = (here.folder / f"{command}.log").open("wb")
    started = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", command],
        env=here.environment,
        cwd=ROOT,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield started
    finally:
        started.terminate()
        started.wait(timeout=30)
        log.close()


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.2)
    raise SystemExit("It did not happen in time; see the logs in build/scale/run.")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def as_markdown(
    found: dict[str, tuple[float, float]], num_events: int, share: float, server_share: float
) -> str:
    """The figures as the page shows them."""
    cores = os.cpu_count()
    load = os.getloadavg()[1]
    rows = [
        ("50 of the jobs, newest first", "list"),
        ("50 of those that wait, in order", "list by state"),
        ("50 of those that ended, latest first", "list of what ended"),
        (f"one job of {STEPS_OF_A_CURVE:,} steps", "one job"),
        (f"a curve of {STEPS_OF_A_CURVE:,} steps, thinned to 2,000 points", "curve"),
        (f"from an event on disk to each of {NUM_STREAMS} pages", "event"),
    ]
    lines = [
        f"{NUM_JOBS:,} jobs and {NUM_METRICS:,} steps in the database, {NUM_STREAMS} open streams "
        f"({platform.machine()}, {cores} cores, load {load:.1f} in the meantime, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}).",
        "",
        "| | median | p99 | to be |",
        "|---|---|---|---|",
    ]
    for label, key in rows:
        median, p99 = found[key]
        limit = LIMITS["event" if key == "event" else "curve" if key == "curve" else "list"]
        lines.append(f"| {label} | {median:.1f} ms | {p99:.1f} ms | < {limit:.0f} ms |")
    lines += [
        "",
        f"{num_events:,} arrivals were counted. While a job ran, the worker took {share:.1f} % of "
        f"a core (to be: < {LIMITS['worker']:.0f} %), the server with its {NUM_STREAMS} streams "
        f"{server_share:.1f} %.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
