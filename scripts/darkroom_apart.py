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


@contextmanager
def darkroom_in(folder: Path, command: str = "up", **settings: Any) -> Iterator[Darkroom]:
    """Start one with the repository's datasets; `command` is `up`, or `serve` for no worker.

    `settings` are the DARKROOM_* variables in small letters. Raises DidNotStart.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
    printed = folder / "darkroom.log"
    with printed.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "backend.cli", command],
            cwd=folder,
            env=others | own | {"PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running = Darkroom(f"http://127.0.0.1:{port}", folder)
        try:
            _wait_until_healthy(running, server, printed)
            yield running
        finally:
            _end(server, folder)


def _wait_until_healthy(running: Darkroom, server: subprocess.Popen[bytes], printed: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            running.get("/api/health")
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"Darkroom did not start:\n{printed.read_text()}") from None
            time.sleep(0.1)


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Ctrl-C for server and worker; then whatever trainer still works in the folder."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    for process in psutil.process_iter():
        try:
            if any(Path(word).is_relative_to(folder) for word in process.cmdline()):
                process.kill()
                process.wait(10)
        except psutil.Error:
            continue
