"""What a run trained on, picture by picture: kept in the run's folder as `dataset.json`.

It names each file with the hash of its content, its caption, the size that it was scaled to and
the box that was cut out of it, so that anybody can tell later what the LoRA has seen, and a dataset
that was changed since can be told from the one that a checkpoint knows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer.buckets import fit_to_bucket
from trainer.config import JobConfig
from trainer.durable_write import write_text
from trainer.training_items import TrainingItem


def dataset_manifest(
    job: JobConfig, items: Sequence[TrainingItem], sha256_of: Callable[[Path], str]
) -> dict[str, Any]:
    """The pictures of each of the job's datasets, in order; the Validation Dataset's come last, if
    there is one. sha256_of: the hash of a file.

    crop: the scaled picture's size and the upper left corner of the box of `bucket_px` cut from it.
    """
    of_validation = job.dataset_of_validation
    datasets = [*job.datasets, *([of_validation] if of_validation else [])]
    return {
        "datasets": [
            {
                "name": dataset.target_dataset,
                "pictures": [_entry(item, sha256_of) for item in items if item.dataset == number],
            }
            for number, dataset in enumerate(datasets)
        ]
    }


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """The identity of what a run trains on; file names count, since they give the order."""
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def marked(manifest: Mapping[str, Any], held_out: Sequence[TrainingItem]) -> dict[str, Any]:
    """The manifest with `held_out: true` at the pictures that are measured on and never train."""
    places = {(item.dataset, item.name) for item in held_out}
    return {
        "datasets": [
            {
                "name": dataset["name"],
                "pictures": [
                    {**picture, "held_out": True}
                    if (number, picture["file"]) in places
                    else picture
                    for picture in dataset["pictures"]
                ],
            }
            for number, dataset in enumerate(manifest["datasets"])
        ]
    }


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest with its own hash. Raises OSError."""
    data = {"sha256": manifest_sha256(manifest), **manifest}
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def _entry(item: TrainingItem, sha256_of: Callable[[Path], str]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "file": item.name,
        "sha256": sha256_of(item.path),
        "caption": item.caption,
        "size_px": list(item.size),
        "bucket_px": list(item.bucket.size),
        "crop": asdict(fit_to_bucket(*item.size, item.bucket.size)),
    }
    if item.mask is not None:
        entry["mask"] = {"file": item.mask.name, "sha256": sha256_of(item.mask)}
    if item.references:
        entry["references"] = [
            {
                "file": reference.path.name,
                "sha256": sha256_of(reference.path),
                "size_px": list(reference.size),
            }
            for reference in item.references
        ]
    return entry
