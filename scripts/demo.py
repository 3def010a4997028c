"""`make demo`: queue the example job once, start Darkroom and stay until Ctrl-C.

Run with the Python of the virtual environment, after the install. It only chooses the port and says
what to expect; the rest is `darkroom queue` and `darkroom up`, as anybody would type them. Settings
come from the environment and `.env` as always.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import urllib.request

from backend.errors import BadSettings
from backend.settings import Settings, read_settings
from steps import ROOT, VENV

DARKROOM = str(VENV / "bin" / "darkroom")
EXAMPLE = ROOT / "examples" / "tiny-style.yaml"
PORTS_TO_TRY = 20

WHAT_TO_EXPECT = """\
  A tiny FLUX.2 learns a drawing style on this machine's processor, in a few minutes.
  Open the address below: pictures and curve arrive while it trains. Ctrl-C ends the server.
"""


class NotOurs(Exception):
    """Something else answers on this port, or a Darkroom of another folder."""


def main() -> None:
    try:
        settings = read_settings()
    except BadSettings as error:
        sys.exit(str(error))

    port, is_running = choose_port(settings)
    queued = subprocess.run([DARKROOM, "queue", str(EXAMPLE)], cwd=ROOT, check=False)
    if queued.returncode != 0:
        sys.exit(queued.returncode)
    if is_running:
        print(f"Darkroom is already running: {address(settings, port)}")
        return
    print(WHAT_TO_EXPECT, flush=True)
    os.environ["DARKROOM_PORT"] = str(port)
    os.chdir(ROOT)
    os.execv(DARKROOM, [DARKROOM, "up"])


def choose_port(settings: Settings) -> tuple[int, bool]:
    """The port to use, and whether this folder's Darkroom is running there already."""
    for port in range(settings.port, settings.port + PORTS_TO_TRY):
        if is_free(settings.host, port):
            return port, False
        try:
            ask_installation(settings, port)
        except NotOurs:
            print(f"Port {port} is taken by another program; trying {port + 1}.", flush=True)
        else:
            return port, True
    last = settings.port + PORTS_TO_TRY - 1
    sys.exit(f"Ports {settings.port} to {last} are all taken: set DARKROOM_PORT to a free one.")


def ask_installation(settings: Settings, port: int) -> None:
    """Return if this folder's Darkroom answers on the port. Raises NotOurs otherwise."""
    headers = {}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    request = urllib.request.Request(f"{address(settings, port)}/api/system", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            output = json.load(answer)["folders"]["output"]
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as reason:
        raise NotOurs(str(reason)) from reason
    if output != str(settings.output_dir):
        raise NotOurs(f"a Darkroom that keeps its jobs in {output}")


def address(settings: Settings, port: int) -> str:
    host = settings.host.strip("[]")
    if host in ("0.0.0.0", "::"):  # listening everywhere; this machine is one of the places
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main()
