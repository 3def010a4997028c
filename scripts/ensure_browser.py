"""Find or fetch a Chromium for the browser tests: `python scripts/ensure_browser.py`.

In this order: `DARKROOM_TEST_BROWSER`, one that the system has, Playwright's own download, the
package manager (apt-get, as root only). Each is started once before it counts, since a package may
be a mere pointer to another one, or lack its libraries. Prints the path of the one that works.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# What keeps a Chromium from calling home, and lets it start without a display or as root.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]

MISSING = """\
The browser tests need a Chromium, and none works here. One of these helps:
  Debian:  sudo apt-get install chromium
  Fedora:  sudo dnf install chromium
  any:     .venv/bin/python -m playwright install --with-deps chromium
A browser in another place: DARKROOM_TEST_BROWSER=/path/to/chromium make test
`make check` runs everything that needs no browser."""


def ensure_browser() -> Path:
    """The path of a Chromium that starts. Exits with what helps if there is none to be had."""
    return find_browser() or download_browser() or install_browser() or sys.exit(MISSING)


def find_browser() -> Path | None:
    """A Chromium that is here already, the system's before Playwright's."""
    chosen = os.environ.get("DARKROOM_TEST_BROWSER")
    if chosen:
        if not starts(chosen):
            sys.exit(f"DARKROOM_TEST_BROWSER={chosen} does not start: name another, or unset it.")
        return Path(chosen)
    return system_browser() or playwright_browser()


def system_browser() -> Path | None:
    found = (path for name in NAMES if (path := shutil.which(name)))
    return next((Path(path) for path in found if starts(path)), None)


def playwright_browser() -> Path | None:
    # In a process of its own: the caller may be inside Playwright already, which does not nest.
    ask = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as playwright: print(playwright.chromium.executable_path)"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    path = done.stdout.strip()
    return Path(path) if starts(path) else None


def download_browser() -> Path | None:
    print("No Chromium here; fetching Playwright's (about 180 MB) …", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        subprocess.run(command, stdout=sys.stderr, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        print("The download took more than ten minutes; given up.", file=sys.stderr)
    return playwright_browser()


def install_browser() -> Path | None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    print("Installing the system's chromium package …", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        subprocess.run(["apt-get", *words], stdout=sys.stderr, env=environment, check=False)
    return system_browser()


def starts(path: str) -> bool:
    """Whether this browser draws an empty page within a minute and a half."""
    if not os.access(path, os.X_OK):
        return False
    with tempfile.TemporaryDirectory() as profile:
        try:
            done = subprocess.run(
                [path, "--headless", *QUIET, f"--user-data-dir={profile}", "--dump-dom"]
                + ["data:text/html,<p>works</p>"],
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return "works" in done.stdout


if __name__ == "__main__":
    print(ensure_browser())
