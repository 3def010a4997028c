"""Masks and references: which belongs to which picture, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.dataset_index import DatasetIndex, scan_dataset
from trainer.errors import Severity


def _picture(file: Path, size: tuple[int, int] = (128, 64)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(file)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures of 128 x 64 with masks, and one control folder."""
    for name in ("a", "b", "c"):
        _picture(tmp_path / "cats" / f"{name}.png")
        _picture(tmp_path / "masks" / f"{name}.jpg", size=(64, 32))
        _picture(tmp_path / "before" / f"{name}.webp", size=(200, 100))
    return tmp_path


def _scan(root: Path, **options: Any) -> DatasetIndex:
    return scan_dataset(
        root / "cats",
        caption_extension="txt",
        default_caption="a cat",
        mask_folder=root / "masks",
        control_folders=[root / "before"],
        **options,
    )


def _said(index: DatasetIndex) -> dict[str, tuple[Severity, str | None, list[str]]]:
    return {p.code: (p.severity, p.field, p.params["files"]) for p in index.problems}


def test_files_pair_by_their_stem_whatever_their_format(root: Path) -> None:
    index = _scan(root)
    assert index.problems == []
    assert [item.mask for item in index.items] == [root / "masks" / f"{n}.jpg" for n in "abc"]
    assert [
        [(r.path.name, r.width, r.height) for r in item.references] for item in index.items
    ] == [[(f"{n}.webp", 200, 100)] for n in "abc"]


def test_references_come_in_the_order_of_their_folders(root: Path) -> None:
    for name in "abc":
        _picture(root / "again" / f"{name}.png", size=(64, 64))
    index = scan_dataset(
        root / "cats",
        caption_extension="txt",
        default_caption="",
        control_folders=[root / "again", root / "before"],
    )
    assert [r.path.parent.name for r in index.items[0].references] == ["again", "before"]


def test_what_does_not_pair_is_named_on_both_sides(root: Path) -> None:
    (root / "masks" / "b.jpg").unlink()
    (root / "before" / "c.webp").rename(root / "before" / "d.webp")
    index = _scan(root)
    assert _said(index) == {
        "masks_missing": (Severity.ERROR, "datasets.0.mask_dataset", ["b"]),
        "references_missing": (Severity.ERROR, "datasets.0.control_datasets.0", ["c"]),
        "references_without_picture": (
            Severity.WARNING,
            "datasets.0.control_datasets.0",
            ["d.webp"],
        ),
    }


def test_left_out_are_the_pictures_whose_mask_or_reference_cannot_be_used(root: Path) -> None:
    (root / "masks" / "b.jpg").unlink()
    (root / "before" / "c.webp").write_bytes(b"broken")
    index = _scan(root, leaves_out_bad_files=True)
    assert [item.name for item in index.items] == ["a.png"]
    assert {problem.severity for problem in index.problems} == {Severity.WARNING}
    assert all("left out" in problem.hint for problem in index.problems)


def test_leaving_everything_out_is_an_error(root: Path) -> None:
    for mask in (root / "masks").iterdir():
        mask.unlink()
    index = _scan(root, leaves_out_bad_files=True)
    assert index.items == []
    errors = [p.code for p in index.problems if p.severity == Severity.ERROR]
    assert errors == ["dataset_without_usable_pictures"]


@pytest.mark.parametrize(
    ("size", "reason"),
    [((63, 200), "under 64 px"), ((64, 600), "8 times as long"), ((600, 70), "8 times as long")],
)
def test_a_reference_that_the_pipeline_would_refuse_is_refused(
    root: Path, size: tuple[int, int], reason: str
) -> None:
    _picture(root / "before" / "a.webp", size=size)
    (problem,) = _scan(root).problems
    assert problem.code == "references_unusable"
    assert reason in problem.message


def test_a_mask_of_another_shape_is_refused_and_a_smaller_one_is_not(root: Path) -> None:
    _picture(root / "masks" / "a.jpg", size=(64, 64))
    _picture(root / "masks" / "b.jpg", size=(63, 32))  # half the size, a pixel lost
    (problem,) = _scan(root).problems
    assert problem.code == "masks_unusable"
    assert problem.params["files"] == ["a (64x64 is of another shape than its picture)"]


def test_two_files_of_one_stem_are_not_chosen_between(root: Path) -> None:
    _picture(root / "masks" / "a.png")
    (problem,) = _scan(root).problems
    assert "a (several: a.jpg, a.png)" in problem.message


def test_a_folder_that_cannot_be_read_is_said_once(root: Path) -> None:
    (root / "masks").rename(root / "elsewhere")
    (root / "masks").write_text("a file")
    (problem,) = [p for p in _scan(root).problems if p.code == "masks_unreadable"]
    assert str(root / "masks") in problem.message
