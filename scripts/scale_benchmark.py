"""Ten thousand jobs, five million steps and two hundred open pages: how long does anything take?

    python scripts/scale_benchmark.py                  measure and print
    python scripts/scale_benchmark.py --write          and write docs/benchmarks.md

Makes a database of that size in build/scale (once; it is copied for each measurement), starts the
real server and the real worker on it, and a trainer that only writes events, at the pace of a real
one. Two hundred streams are opened and what each hears is compared with the moment at which the
event was written; while they are open and the job runs, lists and curves are asked over HTTP, from
a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import multiprocessing
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
from concurrent.futures import ProcessPoolExecutor
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
        with process(here, "work") as worker:
            heard = watch_a_training(here, (worker.pid, server.pid), options)
    found = {**heard.answers, "event": (percentile(heard.delays, 50), percentile(heard.delays, 99))}
    text = as_markdown(found, len(heard.delays), heard.worker_share, heard.server_share)
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


ASKED = {
    "list": "/api/jobs?limit=50",
    "list by state": "/api/jobs?limit=50&status=queued&order=queue",
    "list of what ended": "/api/jobs?limit=50&status=completed&status=failed&order=finished",
    "one job": f"/api/jobs/{BIG_JOB}",
    "curve": f"/api/jobs/{BIG_JOB}/metrics",
}
BETWEEN_REQUESTS_SECONDS = 0.05  # many people, not a flood


@dataclass(frozen=True)
class Heard:
    """Under 200 open streams and a job that runs.

    delays: from an event's own time to each stream, in ms; a batch of steps that arrives in one
    message counts as many times as there are steps in it. Shares: of a core, in %, while nothing
    is asked. answers: median and 99th percentile in ms.
    """

    delays: list[float]
    worker_share: float
    server_share: float
    answers: dict[str, tuple[float, float]]


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
        time.sleep(BETWEEN_REQUESTS_SECONDS)
    connection.close()
    return percentile(times, 50), percentile(times, 99)


def watch_a_training(
    here: Installation, process_ids: tuple[int, int], options: argparse.Namespace
) -> Heard:
    """A job of this pace under open streams, stopped when enough was heard."""
    # The waiting jobs of the filled database are in the way: nothing else may start.
    here.ask("POST", "/api/queue/pause", {})
    config = here.ask("GET", "/api/job-schema")["example"]
    config["job"] |= {"training_name": "watched", "gpu": "cpu"}
    asking = len(ASKED) * options.requests * (BETWEEN_REQUESTS_SECONDS + 0.1)
    steps = round((options.seconds + asking + 60) * options.steps_per_second)
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
    heard = asyncio.run(listen(here, job["id"], options, process_ids))
    here.ask("POST", f"/api/jobs/{job['id']}/stop")
    wait_for(
        lambda: here.ask("GET", f"/api/jobs/{job['id']}")["status"] in ("stopped", "completed")
    )
    return heard


def first_in_line(here: Installation) -> int:
    return here.ask("GET", "/api/jobs?status=queued&order=queue&limit=1")["items"][0]["id"]


async def listen(
    here: Installation, job_id: int, options: argparse.Namespace, process_ids: tuple[int, int]
) -> Heard:
    """Open the streams, hear for a while, ask, and close them."""
    written = WORK / "run" / "output" / "watched"
    heard: dict[tuple[int, int], float] = {}
    opened = [asyncio.Event() for _ in range(NUM_STREAMS)]
    tasks = [
        asyncio.create_task(hear(here.port, job_id, number, heard, opened[number]))
        for number in range(NUM_STREAMS)
    ]
    await asyncio.gather(*(event.wait() for event in opened))
    worker, server = (psutil.Process(each) for each in process_ids)
    await asyncio.sleep(2)
    began, cpu, server_cpu = time.time(), cpu_seconds(worker), cpu_seconds(server)
    await asyncio.sleep(options.seconds)
    passed = time.time() - began
    share = (cpu_seconds(worker) - cpu) / passed * 100
    server_share = (cpu_seconds(server) - server_cpu) / passed * 100
    answers = await ask_meanwhile(here, options.requests)
    ended = time.time()
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
    return Heard(delays, share, server_share, answers)


async def ask_meanwhile(here: Installation, count: int) -> dict[str, tuple[float, float]]:
    """Everything that is asked, one after the other, in a process that listens to nothing."""
    loop = asyncio.get_running_loop()
    found = {}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as one:
        for name, path in ASKED.items():
            found[name] = await loop.run_in_executor(one, slow_ones, here, path, count)
            print(
                f"{name}: median {found[name][0]:.1f} ms, p99 {found[name][1]:.1f} ms", flush=True
            )
    return found


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
        f"All of it at once: lists and curves were asked about {1 / BETWEEN_REQUESTS_SECONDS:.0f} "
        f"times a second beside the streams and the job that ran. {num_events:,} arrivals were "
        f"counted. While nothing was asked, the worker took {share:.1f} % of "
        f"a core (to be: < {LIMITS['worker']:.0f} %), the server with its {NUM_STREAMS} streams "
        f"{server_share:.1f} %.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
