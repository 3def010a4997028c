"""Lock files: in step with pyproject.toml, checked by hash, free of torch and of any index."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ["runtime.txt", "build.txt", "dev.txt"]
PINNED = re.compile(r"^([a-z0-9.-]+)==(\S+)(.*)$", re.MULTILINE)
ADDRESS = re.compile(r"https?://|--(extra-)?index-url|--find-links|--trusted-host")


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / name).read_text()


def pins(name: str) -> dict[str, str]:
    return {
        canonicalize_name(package): version
        for package, version, _ in PINNED.findall(lock_text(name))
    }


def direct(group: str | None = None) -> list[Requirement]:
    if group is None:
        lines = PROJECT["project"]["dependencies"]
    else:
        lines = [line for line in PROJECT["dependency-groups"][group] if isinstance(line, str)]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime.txt", direct()),
        ("build.txt", direct("build")),
        ("dev.txt", direct() + direct("build") + direct("dev")),
    ],
    ids=LOCKS,
)
def test_a_lock_holds_what_pyproject_asks_for(lock: str, wanted: list[Requirement]) -> None:
    locked = pins(lock)
    for requirement in wanted:
        if requirement.name == "torch":
            continue
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{lock} lacks {requirement.name}: run `make lock`."
        assert requirement.specifier.contains(version), f"{lock}: {requirement}; run `make lock`."


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_checksums(lock: str) -> None:
    for block in re.split(r"\n(?=[a-z])", lock_text(lock)):
        if PINNED.match(block):
            assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_torch(lock: str) -> None:
    assert not ADDRESS.search(lock_text(lock))
    cuda = re.compile(r"^(torch|torchvision|triton|cuda-.*|nvidia-(?!ml-py).*)$")
    assert not [package for package in pins(lock) if cuda.match(package)]


def test_the_locks_agree_with_each_other() -> None:
    everything = pins("dev.txt")
    for lock in ("runtime.txt", "build.txt"):
        assert pins(lock).items() <= everything.items()


def test_torch_has_one_range_everywhere() -> None:
    (torch,) = [str(requirement) for requirement in direct() if requirement.name == "torch"]
    for file in ("scripts/install.py", "Dockerfile", "requirements/README.md"):
        assert torch in (ROOT / file).read_text(), f"{file} installs another torch than {torch}"


def npm_packages() -> dict[str, Any]:
    """Path in node_modules -> what the lock says of it; the project itself is left out."""
    packages = json.loads((ROOT / "frontend" / "package-lock.json").read_text())["packages"]
    return {path: package for path, package in packages.items() if path}


def test_the_npm_lock_names_no_registry_but_the_public_one() -> None:
    for path, package in npm_packages().items():
        resolved = package.get("resolved", "https://registry.npmjs.org/")
        assert resolved.startswith("https://registry.npmjs.org/"), f"{path}: {resolved}"


def test_every_npm_package_that_linux_installs_has_a_checksum() -> None:
    for path, package in npm_packages().items():
        elsewhere = "linux" not in package.get("os", ["linux"]) or "musl" in package.get("libc", [])
        assert elsewhere or package.get("integrity"), f"{path} has no checksum"


def test_the_npm_lock_holds_the_packages_of_every_platform() -> None:
    """`npm ci` refuses a lock that lacks one, even one that this machine would never install."""
    names = {path.rsplit("node_modules/", 1)[1] for path in npm_packages()}
    for path, package in npm_packages().items():
        missing = package.get("optionalDependencies", {}).keys() - names
        assert not missing, f"{path} may need {', '.join(sorted(missing))}, which is not locked"
