"""Which files hold the weights of one part of a model, whether an index says so or not."""

from __future__ import annotations

import json
import re
from pathlib import Path

_SHARD = re.compile(r".*-(\d+)-of-(\d+)\.safetensors")


def index_file(folder: Path) -> Path | None:
    """The index of a part's shards, if it has one."""
    return next(iter(sorted(folder.glob("*.safetensors.index.json"))), None)


def weight_files(folder: Path) -> list[Path]:
    """The files of a part: those that its index names, else all .safetensors files.

    They need not exist. Raises OSError, or ValueError for an index that is none.
    """
    index = index_file(folder)
    if index is None:
        return sorted(folder.glob("*.safetensors"))
    weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    return [folder / str(name) for name in sorted(set(weight_map.values()))]


def missing_shards(files: list[Path]) -> list[str]:
    """The numbers that are not there, of shards named -00001-of-00003 without an index."""
    numbers = [
        (int(match[1]), int(match[2])) for file in files if (match := _SHARD.fullmatch(file.name))
    ]
    if not numbers:
        return []
    total = max(of for _, of in numbers)
    return [
        f"{number} of {total}"
        for number in range(1, total + 1)
        if number not in {n for n, _ in numbers}
    ]
