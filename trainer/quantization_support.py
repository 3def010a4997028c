"""Which kinds of quantization this machine can run, without loading torch.

Every kind runs on every device that torch runs on, as plain tensor operations; what can be missing
is a package, or the compiled library in it. bitsandbytes brings one library for CPUs and one for
each CUDA (or ROCm) version, and takes the one that torch was built for, or the nearest of the same
major version. Without a library it would try to compile its formulas, which nobody's machine has to
be able to do: so such an installation counts as lacking NF4.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from trainer.config import JobConfig
from trainer.errors import Problem
from trainer.quantization_kinds import KINDS, QUANTIZATION_KINDS, QuantizationKind

_BUILT_FOR = re.compile(r"^(cuda|hip)\b[^=]*= '(\d+)\.(\d+)", re.MULTILINE)
_LIBRARY = re.compile(r"libbitsandbytes_(cpu|cuda|rocm)(\d*)\.(?:so|dll|dylib)")


@dataclass(frozen=True)
class Obstacle:
    """Why a kind cannot be run here, and what to do about it."""

    reason: str
    cure: str


def obstacle(kind: QuantizationKind, *, on_gpu: bool) -> Obstacle | None:
    """What keeps this machine from storing weights as `kind`; None if nothing does."""
    package = KINDS[kind].package
    if package is None:
        return None
    if not _is_installed(package):
        return Obstacle(f"{package} is not installed", f"run `pip install {package}`")
    return _library_obstacle(on_gpu) if package == "bitsandbytes" else None


def kind_problems(job: JobConfig) -> list[Problem]:
    """The errors that a chosen kind cannot be run on this machine."""
    on_gpu = job.job.gpu != "cpu" and torch_platform() is not None
    found = []
    for part in ("transformer", "text_encoder"):
        kind: QuantizationKind = getattr(job.quantization, part)
        missing = obstacle(kind, on_gpu=on_gpu)
        if missing is not None:
            label = type(job.quantization).model_fields[part].title
            found.append(
                Problem(
                    "quantization_unavailable",
                    f"{KINDS[kind].label} for the {label} cannot be run on this machine: "
                    f"{missing.reason}.",
                    f"Either {missing.cure}, or choose another kind.",
                    f"quantization.{part}",
                    params={"kind": kind},
                )
            )
    return found


def unavailable_kinds() -> dict[QuantizationKind, str]:
    """Why, for each kind that this machine can run neither on a GPU nor on the CPU."""
    devices = (False,) if torch_platform() is None else (True, False)
    found = {}
    for kind in QUANTIZATION_KINDS:
        obstacles = [obstacle(kind, on_gpu=on_gpu) for on_gpu in devices]
        if obstacles[0] is not None and all(obstacles):
            found[kind] = f"{obstacles[0].reason}: {obstacles[0].cure}"
    return found


def kinds_for_the_cpu_only() -> dict[QuantizationKind, str]:
    """Why, for each kind that this machine can run on the CPU and not on a GPU.

    bitsandbytes' wheels always bring the library for CPUs, so this is how NF4 lacks one for CUDA.
    """
    if torch_platform() is None:
        return {}
    found = {}
    for kind in QUANTIZATION_KINDS:
        on_gpu = obstacle(kind, on_gpu=True)
        if on_gpu is not None and obstacle(kind, on_gpu=False) is None:
            found[kind] = f"on the CPU only; {on_gpu.reason}: {on_gpu.cure}"
    return found


def torch_platform() -> tuple[str, int, int] | None:
    """("cuda" or "rocm", major, minor) that the installed torch was built for; None for a CPU."""
    folder = _package_folder("torch")
    if folder is None:
        return None
    try:
        match = _BUILT_FOR.search((folder / "version.py").read_text(encoding="utf-8"))
    except OSError:
        return None
    if match is None:
        return None
    return "rocm" if match[1] == "hip" else "cuda", int(match[2]), int(match[3])


def _library_obstacle(on_gpu: bool) -> Obstacle | None:
    folder = _package_folder("bitsandbytes")
    libraries = {
        (match[1], match[2])
        for path in (folder.iterdir() if folder is not None else ())
        if (match := _LIBRARY.fullmatch(path.name))
    }
    cure = "reinstall bitsandbytes from a wheel for this platform"
    platform = torch_platform()
    if not on_gpu or platform is None:
        # Next to a GPU its library is loaded for the CPU too, and holds the CPU's code as well.
        return None if libraries else Obstacle("bitsandbytes has no library for this CPU", cure)
    name, major, minor = platform
    forced = os.environ.get(f"BNB_{name.upper()}_VERSION")
    versions = {digits for kind, digits in libraries if kind == name}
    if forced is not None:
        has_one = forced in versions
    else:
        has_one = any(digits.startswith(str(major)) for digits in versions)
    if has_one:
        return None
    return Obstacle(f"bitsandbytes has no library for {name.upper()} {major}.{minor}", cure)


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _package_folder(module: str) -> Path | None:
    """Where the module lies; finding a top-level module does not import it."""
    spec = find_spec(module)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
