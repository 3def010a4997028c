"""A whole Darkroom for the browser: real server, real worker, real trainer, the built pages.

Everything lives in a temporary folder and on a free port; each test's Darkroom starts empty.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from ensure_browser import ensure_browser  # noqa: E402

START_SECONDS = 60
# A training computes beside the page; on two busy cores an answer may take seconds.
expect.set_options(timeout=30_000)
QUIET_BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


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
        request = urllib.request.Request(
            f"{self.address}{path}",
            data=json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


@pytest.fixture
def darkroom(tmp_path: Path) -> Iterator[Darkroom]:
    """A Darkroom of its own for one test; ends with every process that it started."""
    if not (ROOT / "frontend" / "dist" / "index.html").is_file():
        pytest.fail("The pages are not built. `make install` builds them.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "DARKROOM_HOST": "127.0.0.1",
        "DARKROOM_PORT": str(port),
        "DARKROOM_DATASETS_DIR": str(ROOT / "datasets"),
        "DARKROOM_OUTPUT_DIR": str(tmp_path / "output"),
        "DARKROOM_CACHE_DIR": str(tmp_path / "cache"),
        "DARKROOM_MODELS_DIR": str(tmp_path / "models"),
        "DARKROOM_DATABASE_URL": f"sqlite:///{tmp_path / 'darkroom.db'}",
        "PYTHONPATH": str(ROOT),
    }
    log = (tmp_path / "darkroom.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "up"],
        cwd=tmp_path,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    running = Darkroom(f"http://127.0.0.1:{port}", tmp_path)
    try:
        _wait_until_healthy(running, server, tmp_path / "darkroom.log")
        yield running
    finally:
        _end(server, tmp_path)
        log.close()


def _wait_until_healthy(running: Darkroom, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            running.get("/api/health")
            return
        except OSError:
            ended = server.poll() is not None
            if ended or time.monotonic() > deadline:
                pytest.fail(f"Darkroom did not start:\n{log.read_text()}")
            time.sleep(0.1)


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    """Ctrl-C for server and worker; then whatever trainer still works in the test's folder."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()):
                process.kill()
                process.wait(10)
        except psutil.Error:
            continue


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium for all tests of the session."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(ensure_browser()), args=QUIET_BROWSER
        )
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, darkroom: Darkroom) -> Iterator[Page]:
    """A fresh browser profile at the dashboard; errors on the page's console fail the test."""
    with PageWithoutErrors(browser, darkroom.address) as opened:
        yield opened


class PageWithoutErrors:
    """A page in a profile of its own that must not log an error while it is open."""

    def __init__(self, browser: Browser, address: str, **profile: Any) -> None:
        self._context = browser.new_context(base_url=address, accept_downloads=True, **profile)
        self._context.set_default_timeout(30_000)
        self._errors: list[str] = []

    def __enter__(self) -> Page:
        page = self._context.new_page()
        page.on("pageerror", lambda error: self._errors.append(str(error)))
        page.on("console", self._note)
        page.goto("/")
        return page

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._context.close()
        if kind is None:
            assert not self._errors, self._errors

    def _note(self, message: Any) -> None:
        if message.type == "error" and "net::ERR" not in message.text:
            self._errors.append(message.text)


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    """Ask until the answer is true: `wait_for(lambda: ..., "what is awaited", seconds=60)`."""

    def wait(ask: Callable[[], Any], what: str, *, seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            answer = ask()
            if answer:
                return answer
            if time.monotonic() > deadline:
                pytest.fail(f"After {seconds:.0f} s still waiting for {what}; last: {answer!r}")
            time.sleep(0.2)

    return wait
