"""A Darkroom of its own: server, worker and pages in a given folder, on a free port.

The browser tests and `make screenshots` work on one, so that neither sees what the person at this
machine has in theirs. It ends with every process that it started.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from steps import ROOT

START_SECONDS = 60
STOP_SECONDS = 20


class DidNotStart(Exception):
    """The server ended or kept silent; what it printed is the message."""


@dataclass(frozen=True)
class Darkroom:
    """One running Darkroom."""

    address: str
    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def get(self, path: str) -> Any:
        """The JSON answer of the API."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=20) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer of the API to a POST."""
        return self._send("POST", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """The JSON answer of the API to a PATCH."""
        return self._send("PATCH", path, body)

    def _send(self, method: str, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.address}{path}",
            data=json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def delete(self, path: str) -> None:
        request = urllib.request.Request(f"{self.address}{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=20).close()


@dataclass(frozen=True)
class TwoPrograms(Darkroom):
    """The same with the worker as a program of its own, so that the server can go and come back."""

    servers: list[subprocess.Popen[bytes]]
    environment: dict[str, str]

    def start_server(self) -> None:
        """Serve at the same address as before; returns when it answers."""
        server = _started(self.folder, "serve", self.environment)
        self.servers.append(server)
        _wait_until_healthy(self, server)

    def kill_server(self) -> None:
        """As a power cut would, with no time for a last word to any page."""
        self.servers[-1].kill()
        self.servers[-1].wait()


@contextmanager
def darkroom_in(folder: Path, command: str = "up", **settings: Any) -> Iterator[Darkroom]:
    """Start one with the repository's datasets; `command` is `up`, or `serve` for no worker.

    `settings` are the DARKROOM_* variables in small letters. Raises DidNotStart.
    """
    port = _free_port()
    server = _started(folder, command, _environment(folder, port, settings))
    running = Darkroom(_address(port), folder)
    try:
        _wait_until_healthy(running, server)
        yield running
    finally:
        _end([server], folder)


@contextmanager
def two_programs_in(folder: Path, **settings: Any) -> Iterator[TwoPrograms]:
    """Start a server and a worker apart from each other; otherwise as `darkroom_in`."""
    port = _free_port()
    environment = _environment(folder, port, settings)
    running = TwoPrograms(_address(port), folder, [], environment)
    programs = running.servers
    try:
        running.start_server()
        worker = _started(folder, "work", environment)
        programs.insert(0, worker)
        yield running
    finally:
        _end(programs, folder)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _environment(folder: Path, port: int, settings: dict[str, Any]) -> dict[str, str]:
    values = {
        "host": "127.0.0.1",
        "port": port,
        "datasets_dir": ROOT / "datasets",
        "output_dir": folder / "output",
        "cache_dir": folder / "cache",
        "models_dir": folder / "models",
        "database_url": f"sqlite:///{folder / 'darkroom.db'}",
    } | settings
    others = {k: v for k, v in os.environ.items() if not k.startswith("DARKROOM_")}
    own = {f"DARKROOM_{name.upper()}": str(value) for name, value in values.items()}
    return others | own | {"PYTHONPATH": str(ROOT)}


def _started(folder: Path, command: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with _printed(folder).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "backend.cli", command],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _printed(folder: Path) -> Path:
    return folder / "darkroom.log"


def _wait_until_healthy(running: Darkroom, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            running.get("/api/health")
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                printed = _printed(running.folder).read_text()
                raise DidNotStart(f"Darkroom did not start:\n{printed}") from None
            time.sleep(0.1)


def _end(programs: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """Ctrl-C for server and worker; then whatever trainer still works in the folder."""
    for program in programs:
        program.send_signal(signal.SIGINT)
    for program in programs:
        try:
            program.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
    for process in psutil.process_iter():
        try:
            if any(Path(word).is_relative_to(folder) for word in process.cmdline()):
                process.kill()
                process.wait(10)
        except psutil.Error:
            continue
