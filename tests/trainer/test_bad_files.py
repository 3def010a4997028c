"""Files that fail only when they are read to their end: named, and refused or left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.trainer.short_runs import job_with
from trainer.bad_files import unusable_files
from trainer.caching import Slot
from trainer.config import JobConfig
from trainer.dataset_checks import examine_datasets
from trainer.door import examine_job
from trainer.encoding import encode_missing
from trainer.encoding_plan import MaskTask
from trainer.errors import BadDataset, DarkroomError, JobRefused, Problem, Severity
from trainer.events import Event, Warned
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.training_items import TrainingItem, training_items
from trainer.usable_items import usable_items

JOB: dict[str, Any] = {
    "job": {"training_name": "cats", "trigger_word": "zorvex", "gpu": "cpu"},
    "model": {"model_architecture": "tiny"},
    "quantization": {"transformer": "none", "text_encoder": "none"},
    "datasets": [{"target_dataset": "cats", "resolutions": [64], "caption_dropout_rate": 0.0}],
}


def _noise(file: Path, size: tuple[int, int] = (64, 64)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(file)
    return file


def _tear(file: Path) -> None:
    """Damage inside, which no header and no end of a file tells."""
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    file.write_bytes(whole)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """`cats`: five pictures with captions, masks and a reference each."""
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    for number in range(5):
        name = f"{number}.png"
        _noise(folders.datasets / "cats" / name).with_suffix(".txt").write_text(f"cat {number}")
        _noise(folders.datasets / "before" / name)
        Image.new("L", (64, 64), "white").save(_noise(folders.datasets / "masks" / name))
    return folders


FULL = {"datasets.0.mask_dataset": "masks", "datasets.0.control_datasets": ["before"]}


def _items(folders: Folders, **changes: Any) -> tuple[JobConfig, list[TrainingItem]]:
    job = parse_job(job_with({**FULL, **changes}, base=JOB))
    verdict = examine_job(job_with({**FULL, **changes}, base=JOB), folders)
    assert verdict.errors == []
    return job, training_items(job, verdict.indexes)


def _codes(problems: tuple[Problem, ...] | list[Problem]) -> dict[str, list[str]]:
    return {problem.code: problem.params["files"] for problem in problems}


def test_what_cannot_be_decoded_and_black_masks_are_found(folders: Folders, tmp_path: Path) -> None:
    torn, black = folders.datasets / "cats" / "1.png", folders.datasets / "masks" / "2.png"
    _tear(torn)
    Image.new("L", (64, 64), "black").save(black)
    pictures = sorted((folders.datasets / "cats").glob("*.png"))
    masks = [
        MaskTask(path, (64, 64), (64, 64), Slot(tmp_path, "key"))
        for path in sorted((folders.datasets / "masks").glob("*.png"))
    ]
    ticks: list[int] = []
    faults = unusable_files(pictures, masks, tick=ticks.append)
    assert set(faults) == {torn, black}
    assert "black" in faults[black]
    assert ticks == list(range(1, 11))


def test_checking_can_be_given_up(folders: Folders) -> None:
    class GivenUp(Exception):
        pass

    def give_up(done: int) -> None:
        raise GivenUp

    with pytest.raises(GivenUp):
        unusable_files(sorted((folders.datasets / "cats").glob("*.png")), [], tick=give_up)


def test_everything_wrong_is_refused_at_once(folders: Folders) -> None:
    job, items = _items(folders)
    root = folders.datasets
    files = {
        root / "cats" / "0.png": "torn",
        root / "masks" / "1.png": "black throughout",
        root / "before" / "2.png": "torn",
    }
    with pytest.raises(BadDataset) as refused:
        usable_items(job, items, files=files, captions={"cat 3": "600 of 512 tokens"})
    assert _codes(list(refused.value.problems)) == {
        "pictures_damaged": ["0.png (torn)"],
        "masks_unusable": ["1.png (black throughout)"],
        "references_unusable": ["2.png (torn)"],
        "captions_too_long": ["3.png (600 of 512 tokens)"],
    }


def test_left_out_are_just_the_pictures_concerned(folders: Folders) -> None:
    job, items = _items(folders, **{"datasets.0.bad_files": "leave_out"})
    kept, problems = usable_items(
        job,
        items,
        files={folders.datasets / "cats" / "0.png": "torn"},
        captions={"cat 3": "600 of 512 tokens"},
    )
    assert [item.name for item in kept] == ["1.png", "2.png", "4.png"]
    assert {problem.severity for problem in problems} == {Severity.WARNING}


def test_leaving_all_out_is_refused(folders: Folders) -> None:
    job, items = _items(folders, **{"datasets.0.bad_files": "leave_out"})
    with pytest.raises(BadDataset, match="no picture"):
        usable_items(job, items, files={item.path: "torn" for item in items}, captions={})


@pytest.mark.slow
def test_a_run_is_encoded_without_what_is_left_out(folders: Folders) -> None:
    _tear(folders.datasets / "cats" / "1.png")
    (folders.datasets / "cats" / "2.txt").write_text("very " * 100 + "long")
    Image.new("L", (64, 64), "black").save(folders.datasets / "masks" / "3.png")
    events: list[Event] = []

    def encode(changes: dict[str, Any]) -> list[str]:
        # As when the model was not there yet: the door itself would count the prompts too.
        job = parse_job(job_with({**FULL, **changes}, base=JOB))
        with encode_missing(
            job,
            folders,
            examine_datasets(job, folders)[0],
            device="cpu",
            report=events.append,
            stop_requested=lambda: False,
        ) as run:
            for item in run.items:
                assert run.latents(item).shape == (128, 4, 4)
                (reference,) = run.references(item)
                assert reference.shape == (128, 4, 4)
                mask = run.mask(item)
                assert mask is not None
                assert mask.tolist() == [[1.0] * 4] * 4
                assert run.prompt(item.caption).shape == (48, 288)
            return [item.name for item in run.items]

    with pytest.raises(DarkroomError) as refused:
        encode({})
    assert set(_codes(list(refused.value.problems))) == {
        "pictures_damaged",
        "captions_too_long",
        "masks_unusable",
    }
    assert encode({"datasets.0.bad_files": "leave_out"}) == ["0.png", "4.png"]
    warned = {event.code for event in events if isinstance(event, Warned)}
    assert warned == {"pictures_damaged", "captions_too_long", "masks_unusable"}

    with pytest.raises(JobRefused, match="of 48 tokens") as refused_prompt:
        encode(
            {
                "datasets.0.bad_files": "leave_out",
                "sample.prompts": [{"prompt": "a cat"}, {"prompt": "endless " * 90}],
            }
        )
    assert refused_prompt.value.problems[0].field == "sample.prompts.1.prompt"
