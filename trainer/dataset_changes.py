"""Whether a dataset is still the one that a checkpoint was trained on, and what is another.

A checkpoint keeps a short digest of each picture with its caption, mask and references, by dataset
and file name. Datasets are compared by name, those that both sides have: one that the job has added
or dropped was changed in the job, not behind its back. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from trainer.errors import Problem
from trainer.file_problems import problem_of_files

Digests = Mapping[str, Mapping[str, str]]


def dataset_digests(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """{dataset: {file: digest}} of a `dataset_manifest`."""
    digests: dict[str, dict[str, str]] = {}
    for dataset in manifest["datasets"]:
        of_files = digests.setdefault(dataset["name"], {})
        for picture in dataset["pictures"]:
            of_files[picture["file"]] = _digest(picture)
    return digests


def dataset_problems(checkpoint: Digests, now: Digests, *, step: int) -> list[Problem]:
    """One problem for each dataset that is another than at the checkpoint; empty if none is."""
    problems: list[Problem] = []
    for name in checkpoint.keys() & now.keys():
        then, present = checkpoint[name], now[name]
        changes = {
            "added": sorted(present.keys() - then.keys()),
            "removed": sorted(then.keys() - present.keys()),
            "changed": sorted(f for f in then.keys() & present.keys() if then[f] != present[f]),
        }
        files = [f"{file} ({what})" for what, found in changes.items() for file in found]
        if files:
            problems.append(
                problem_of_files(
                    "dataset_changed",
                    f"The dataset {name} is not the one that the checkpoint at step {step} was "
                    "trained on: {names}.",
                    "Put it back; or set Changed Dataset (Advanced) to go on with it as it is; or "
                    "start over (--resume never).",
                    files,
                    "advanced.changed_dataset",
                )
            )
    return sorted(problems, key=lambda problem: problem.message)


def _digest(picture: Mapping[str, Any]) -> str:
    what = {
        "sha256": picture["sha256"],
        "caption": picture["caption"],
        "mask": picture.get("mask", {}).get("sha256"),
        "references": [reference["sha256"] for reference in picture.get("references", [])],
    }
    text = json.dumps(what, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=10).hexdigest()
