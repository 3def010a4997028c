"""What a dataset's folder holds, and what is wrong with it, by file name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.dataset_index import DatasetIndex, scan_dataset
from trainer.errors import Severity


def _scan(folder: Path, *, default_caption: str = "", extension: str = "txt") -> DatasetIndex:
    return scan_dataset(folder, caption_extension=extension, default_caption=default_caption)


def _picture(folder: Path, name: str, caption: str | None = "a cat", side_px: int = 64) -> Path:
    file = folder / name
    Image.new("RGB", (side_px, side_px), "red").save(file)
    if caption is not None:
        file.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return file


def _codes(index: DatasetIndex) -> dict[str, Severity]:
    return {problem.code: problem.severity for problem in index.problems}


def test_pairs_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "い.webp", "あ.PNG", "c.v2.bmp"):
        _picture(tmp_path, name, caption=f"caption of {name}\n")
    index = _scan(tmp_path)
    assert [item.name for item in index.items] == [
        "a.jpg",
        "b.png",
        "c.v2.bmp",
        "あ.PNG",
        "い.webp",
    ]
    assert all(item.caption == f"caption of {item.name}" for item in index.items)
    assert all(item.has_own_caption for item in index.items)
    assert {(item.width, item.height) for item in index.items} == {(64, 64)}
    assert index.problems == []


def test_another_caption_extension_reads_other_files(tmp_path: Path) -> None:
    _picture(tmp_path, "a.png", caption="from txt")
    (tmp_path / "a.caption").write_text("from caption")
    assert _scan(tmp_path, extension="caption").items[0].caption == "from caption"


def test_a_picture_without_a_caption_file_takes_the_default_caption(tmp_path: Path) -> None:
    _picture(tmp_path, "a.png", caption=None)
    index = _scan(tmp_path, default_caption="[trigger], a thing")
    assert index.items[0].caption == "[trigger], a thing"
    assert not index.items[0].has_own_caption
    assert index.problems == []


def test_pictures_that_train_with_the_empty_prompt_are_named(tmp_path: Path) -> None:
    _picture(tmp_path, "bare.png", caption=None)
    _picture(tmp_path, "empty.png", caption="\n")
    index = _scan(tmp_path)
    assert [(item.caption, item.has_own_caption) for item in index.items] == [
        ("", False),
        ("", True),
    ]
    assert _codes(index) == {
        "captions_empty": Severity.WARNING,
        "captions_missing": Severity.WARNING,
    }
    by_code = {problem.code: problem for problem in index.problems}
    assert "empty.png" in by_code["captions_empty"].message
    assert "bare.png" in by_code["captions_missing"].message


def test_an_empty_caption_file_counts_even_beside_a_default_caption(tmp_path: Path) -> None:
    _picture(tmp_path, "empty.png", caption="")
    index = _scan(tmp_path, default_caption="a default")
    assert index.items[0].caption == ""
    assert _codes(index) == {"captions_empty": Severity.WARNING}


@pytest.mark.parametrize(
    "make",
    [lambda folder: None, lambda folder: folder.write_text("a file")],
    ids=["nothing there", "a file there"],
)
def test_a_missing_folder_is_an_error(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "cats")
    index = _scan(tmp_path / "cats")
    assert _codes(index) == {"dataset_missing": Severity.ERROR}
    assert str(tmp_path / "cats") in index.problems[0].message


def test_an_empty_folder_is_an_error_that_says_where_pictures_belong(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    _picture(tmp_path / "inner", "a.png")
    index = _scan(tmp_path)
    assert index.items == []
    assert _codes(index) == {
        "dataset_empty": Severity.ERROR,
        "subfolders_not_searched": Severity.WARNING,
    }


def test_what_is_passed_over_is_said(tmp_path: Path) -> None:
    _picture(tmp_path, "a.png")
    (tmp_path / "originals").mkdir()
    (tmp_path / "b.heic").write_bytes(b"")
    (tmp_path / "lonely.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "notes.md").write_text("nothing to do with it")
    index = _scan(tmp_path)
    assert [item.name for item in index.items] == ["a.png"]
    said = {problem.code: problem.params["files"] for problem in index.problems}
    assert said == {
        "pictures_not_read": ["b.heic"],
        "subfolders_not_searched": ["originals"],
        "captions_without_picture": ["lonely.txt"],
    }


def test_a_file_that_is_no_picture_is_an_error_that_names_it(tmp_path: Path) -> None:
    _picture(tmp_path, "good.png")
    (tmp_path / "bad.png").write_bytes(b"not a picture at all")
    (tmp_path / "bad.txt").write_text("a cat")
    index = _scan(tmp_path)
    assert [item.name for item in index.items] == ["good.png"]
    assert _codes(index) == {"pictures_damaged": Severity.ERROR}
    assert "bad.png" in index.problems[0].message


def test_a_picture_with_a_side_under_64_px_is_an_error(tmp_path: Path) -> None:
    _picture(tmp_path, "small.png", side_px=63)
    assert _codes(_scan(tmp_path)) == {"pictures_too_small": Severity.ERROR}
    assert "small.png (63x63)" in _scan(tmp_path).problems[0].message


def test_a_caption_that_is_not_utf8_is_an_error_that_says_where(tmp_path: Path) -> None:
    _picture(tmp_path, "a.png", caption=None)
    (tmp_path / "a.txt").write_bytes("café".encode("latin-1"))
    index = _scan(tmp_path)
    assert _codes(index) == {"captions_unreadable": Severity.ERROR}
    assert "a.txt (not UTF-8 at byte 3)" in index.problems[0].message


def test_many_files_with_one_fault_make_one_problem(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.png").write_bytes(b"broken")
    (problem,) = [p for p in _scan(tmp_path).problems if p.code == "pictures_damaged"]
    assert problem.message.endswith("and 7 more.")
    assert problem.params["count"] == 12


def test_names_in_a_message_are_never_taken_for_placeholders(tmp_path: Path) -> None:
    (tmp_path / "{names} {0}.png").write_bytes(b"broken")
    assert "{names} {0}.png" in _scan(tmp_path).problems[0].message


def test_a_picture_cut_short_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (problem,) = [one for one in _scan(tmp_path).problems if one.code == "pictures_damaged"]
    assert "cut.png (it cannot be read to its end" in problem.message


def test_damage_inside_a_picture_passes_since_it_is_not_decoded(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "torn.png")
    whole = bytearray((tmp_path / "torn.png").read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "torn.png").write_bytes(whole)
    assert "pictures_damaged" not in _codes(_scan(tmp_path))


def test_the_problems_name_the_dataset_that_they_belong_to(tmp_path: Path) -> None:
    index = scan_dataset(
        tmp_path, caption_extension="txt", default_caption="", field_prefix="datasets.3"
    )
    assert index.problems[0].field == "datasets.3.target_dataset"
