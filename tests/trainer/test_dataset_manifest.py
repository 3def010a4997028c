"""What `dataset.json` says of a picture is what was done to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.short_runs import job_with
from trainer.dataset_checks import examine_datasets
from trainer.dataset_manifest import dataset_manifest, manifest_sha256, marked
from trainer.fingerprints import file_sha256
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.pictures import read_for_bucket
from trainer.training_items import training_items


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """One picture that is scaled and cut, with a mask and a reference."""
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    noise = np.random.default_rng(0).integers(0, 256, (151, 233, 3), dtype=np.uint8)
    for name in ("pictures", "masks", "before"):
        (folders.datasets / name).mkdir(parents=True)
        Image.fromarray(noise).save(folders.datasets / name / "cat.png")
    (folders.datasets / "pictures" / "cat.txt").write_text("[trigger], a cat")
    return folders


JOB = parse_job(
    job_with(
        {
            "datasets.0.target_dataset": "pictures",
            "datasets.0.mask_dataset": "masks",
            "datasets.0.control_datasets": ["before"],
            "datasets.0.resolutions": [96],
        }
    )
)


def test_the_recorded_crop_makes_the_picture_that_trains(folders: Folders) -> None:
    indexes, _ = examine_datasets(JOB, folders)
    items = training_items(JOB, indexes)
    manifest = dataset_manifest(JOB, items, file_sha256)
    ((entry,),) = [dataset["pictures"] for dataset in manifest["datasets"]]
    file = folders.datasets / "pictures" / "cat.png"
    assert (entry["file"], entry["sha256"]) == ("cat.png", file_sha256(file))
    assert entry["caption"] == "zorvex, a cat"
    assert entry["size_px"] == [233, 151]

    crop, (width, height) = entry["crop"], entry["bucket_px"]
    scaled = Image.open(file).resize(
        (crop["scaled_width_px"], crop["scaled_height_px"]), Image.Resampling.LANCZOS
    )
    left, top = crop["left_px"], crop["top_px"]
    by_the_record = scaled.crop((left, top, left + width, top + height))
    trained, _ = read_for_bucket(file, items[0].bucket.size)
    assert np.array_equal(np.asarray(by_the_record), np.asarray(trained))
    assert (left, top) == (5, 0)


def test_masks_and_references_are_named_by_their_content(folders: Folders) -> None:
    def manifest() -> dict[str, object]:
        indexes, _ = examine_datasets(JOB, folders)
        return dataset_manifest(JOB, training_items(JOB, indexes), file_sha256)

    before = manifest()
    assert manifest_sha256(before) == manifest_sha256(manifest())
    for name in ("masks", "before"):
        file = folders.datasets / name / "cat.png"
        old = file.read_bytes()
        Image.new("RGB", (233, 151), "white").save(file)
        assert manifest_sha256(manifest()) != manifest_sha256(before), name
        file.write_bytes(old)
    assert manifest_sha256(manifest()) == manifest_sha256(before)


def test_what_is_held_out_is_marked_and_the_rest_is_not(folders: Folders) -> None:
    (folders.datasets / "pictures" / "dog.png").write_bytes(
        (folders.datasets / "pictures" / "cat.png").read_bytes()
    )
    job = parse_job(job_with({"datasets.0.target_dataset": "pictures"}))
    indexes, _ = examine_datasets(job, folders)
    items = training_items(job, indexes)
    found = marked(dataset_manifest(job, items, file_sha256), items[:1])
    (pictures,) = [dataset["pictures"] for dataset in found["datasets"]]
    assert [(p["file"], p.get("held_out", False)) for p in pictures] == [
        ("cat.png", True),
        ("dog.png", False),
    ]
