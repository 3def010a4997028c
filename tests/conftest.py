"""What holds for every test: one thread a process, no network, no GPU pretended.

Where a test lies says what it needs: tests/integration starts real processes, tests/e2e a real
browser, tests/gpu a real card. The marker of that name is put on it here, so that nobody has to
remember it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports torch; children inherit it. See scripts/check.py for the reason.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The network is off in the processes that tests start, too: only local models are loaded.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# What a developer has set for their own Darkroom must not reach a test.
for name in [name for name in os.environ if name.startswith("DARKROOM_")]:
    if name != "DARKROOM_TEST_BROWSER":
        del os.environ[name]

TESTS = Path(__file__).parent
MARKER_OF_FOLDER = {
    "integration": "integration",
    "faults": "integration",
    "e2e": "browser",
    "gpu": "gpu",
}
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0", "::")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_gpu = reason_without_gpu()
    for item in items:
        marker = MARKER_OF_FOLDER.get(item.path.relative_to(TESTS).parts[0])
        if marker:
            item.add_marker(marker)
        if no_gpu and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=no_gpu))


def reason_without_gpu() -> str | None:
    """Why tests marked `gpu` cannot run here, or None if they can. Asks the driver, not torch."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "needs an NVIDIA GPU; there is no nvidia-smi on this machine"
    listed = subprocess.run([tool, "--list-gpus"], capture_output=True, text=True, check=False)
    if "GPU 0" in listed.stdout:
        return None
    said = (listed.stdout + listed.stderr).strip()
    return f"needs an NVIDIA GPU; nvidia-smi lists none: {said or 'no output'}"


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine, with a sentence that says so."""
    connect = socket.socket.connect

    def connect_to_loopback(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(
                f"A test tried to reach {address[0]}:{address[1]}. Tests use this machine only: "
                "give it a local server, or a model and dataset from the repository."
            )
        connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = connect_to_loopback  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]
