"""`make demo`: start Darkroom, queue the example job once, and stay until Ctrl-C.

Run with the Python of the virtual environment, after the install. It uses the program as any other
client would: `darkroom up`, and the API. Settings come from the environment and `.env` as always.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import yaml

from backend.errors import BadSettings
from backend.settings import Settings, read_settings
from steps import ROOT, VENV

EXAMPLE = ROOT / "examples" / "tiny-style.yaml"
# Migrations, and a slow disk's first look at a few hundred modules.
START_SECONDS = 90
PORTS_TO_TRY = 20


class NotOurs(Exception):
    """Something else answers on this port, or a Darkroom of another folder."""


def main() -> None:
    try:
        settings = read_settings()
    except BadSettings as error:
        sys.exit(str(error))

    for port in range(settings.port, settings.port + PORTS_TO_TRY):
        if is_free(settings.host, port):
            run_demo(settings, port)
            return
        try:
            ask_installation(settings, port)
        except NotOurs:
            print(f"Port {port} is taken by another program; trying {port + 1}.", flush=True)
            continue
        queue_example(settings, port)
        print(f"\nDarkroom is already running: {address(settings, port)}")
        return
    last = settings.port + PORTS_TO_TRY - 1
    sys.exit(f"Ports {settings.port} to {last} are all taken: set DARKROOM_PORT to a free one.")


def run_demo(settings: Settings, port: int) -> None:
    """Server and worker as a child, for as long as it lives or until Ctrl-C."""
    # A terminal's Ctrl-C reaches the child by itself; a terminate has to be passed on.
    server = subprocess.Popen(
        [str(VENV / "bin" / "darkroom"), "up"],
        cwd=ROOT,
        env={**os.environ, "DARKROOM_PORT": str(port)},
        stdin=subprocess.DEVNULL,
    )
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())

    wait_until_up(settings, port, server)
    queue_example(settings, port)
    print(
        f"\n  Darkroom is running: {address(settings, port)}\n"
        "  The example trains now; its pictures and its curve arrive on the page.\n"
        "  Ctrl-C ends the server. A training goes on by itself; `make run` shows it again.\n",
        flush=True,
    )
    sys.exit(server.wait())


def wait_until_up(settings: Settings, port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < until:
        try:
            ask_installation(settings, port)
            return
        except NotOurs:
            time.sleep(0.1)
    if server.poll() is not None:
        sys.exit(server.returncode or "Darkroom ended before it answered; its messages are above.")
    server.terminate()
    server.wait()
    sys.exit(f"Darkroom did not answer within {START_SECONDS} s; its messages are above.")


def queue_example(settings: Settings, port: int) -> None:
    """Put the example job into the queue, unless there is a job of its name already."""
    config = yaml.safe_load(EXAMPLE.read_text())
    name = config["job"]["training_name"]
    known = every_job(settings, port)
    if name in known:
        print(f"The example job, {name}, is here already ({known[name]}).", flush=True)
        return
    ask(settings, port, "/api/jobs", {"config": config, "queue": True})
    print(f"Queued the example job, {name}.", flush=True)


def every_job(settings: Settings, port: int) -> dict[str, str]:
    """Training name -> status."""
    jobs: dict[str, str] = {}
    query = "?limit=500"
    while True:
        page = ask(settings, port, f"/api/jobs{query}")
        jobs |= {job["training_name"]: job["status"] for job in page["items"]}
        if page["next"] is None:
            return jobs
        query = f"?limit=500&after={page['next']}"


def ask_installation(settings: Settings, port: int) -> None:
    """Return if this folder's Darkroom answers on the port. Raises NotOurs otherwise."""
    try:
        folders = ask(settings, port, "/api/system")["folders"]
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise NotOurs(str(reason)) from reason
    if folders["output"] != str(settings.output_dir):
        raise NotOurs(f"a Darkroom that keeps its jobs in {folders['output']}")


def ask(settings: Settings, port: int, path: str, body: Any = None) -> Any:
    """The API's answer. Ends the program with the API's own sentences if it refuses."""
    headers = {"Content-Type": "application/json"}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address(settings, port)}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        if body is None:
            raise
        for error in json.load(refusal)["errors"]:
            print(f"{error['field'] or path}: {error['message']} {error['hint']}", file=sys.stderr)
        sys.exit("The example job was refused.")


def address(settings: Settings, port: int) -> str:
    host = settings.host
    if host in ("0.0.0.0", "::"):  # listening everywhere; this machine is one of the places
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main()
