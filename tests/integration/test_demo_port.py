"""Where `make demo` finds its port: beside what is there already, and never a second Darkroom."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.settings import Settings

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import demo  # noqa: E402


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def other_program() -> Iterator[int]:
    """The port of a web server that is no Darkroom."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def settings_of(folder: Path, port: int) -> Settings:
    return Settings(
        host="127.0.0.1",
        port=port,
        output_dir=folder / "output",
        cache_dir=folder / "cache",
        database_url=f"sqlite:///{folder / 'darkroom.db'}",
    )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Settings]:
    """A server of this folder, on a free port."""
    settings = settings_of(tmp_path, 0)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "DARKROOM_HOST": "127.0.0.1",
        "DARKROOM_PORT": "0",
        "DARKROOM_OUTPUT_DIR": str(settings.output_dir),
        "DARKROOM_DATABASE_URL": settings.database_url,
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "serve"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    ready = server.stdout.readline()
    port = int(ready.split("http://127.0.0.1:")[1].split()[0])
    yield settings_of(tmp_path, port)
    server.terminate()
    server.wait(timeout=30)
    server.stdout.close()


def test_a_port_that_another_program_has_is_stepped_over_and_said(
    other_program: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port, is_running = demo.choose_port(settings_of(tmp_path, other_program))
    assert port > other_program
    assert not is_running
    assert f"Port {other_program} is taken by another program" in capsys.readouterr().out


def test_this_folder_s_darkroom_is_recognised(running: Settings) -> None:
    assert demo.choose_port(running) == (running.port, True)


def test_a_darkroom_of_another_folder_counts_as_another_program(
    running: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = settings_of(tmp_path_factory.mktemp("elsewhere"), running.port)
    port, is_running = demo.choose_port(elsewhere)
    assert port > running.port
    assert not is_running
