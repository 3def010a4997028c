"""Versions of what computes: part of a run's record and of what its files say about themselves."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "optimum-quanto",
    "bitsandbytes",
    "safetensors",
)


def running_versions() -> dict[str, str]:
    """Package name to version, with Python's; imports none of them."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
