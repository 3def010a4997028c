"""Fine contrast: what overshoots has more of it than the base and than what it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw, ImageFilter

from backend.artifacts.fine_contrast import evenly, fine_contrast, of_datasets
from backend.db.engine import Database
from backend.settings import Settings
from tests.backend.artifacts.test_pictures import draw
from tests.backend.runs.test_record import begins, job_id, say, started
from trainer.job_folder import JobFolder

__all__ = ["job_id"]  # a fixture of the neighbour's
SIDE_PX = 512


def plain() -> Image.Image:
    """A disc and a bar, as a base model draws them: edges, and calm between them."""
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), (206, 198, 180))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((90, 70, 300, 280), fill=(150, 90, 70))
    pen.rectangle((260, 330, 470, 430), fill=(80, 110, 150))
    return picture.filter(ImageFilter.GaussianBlur(1.5))


def hatched() -> Image.Image:
    """The same drawn with a pen."""
    picture = plain()
    pen = ImageDraw.Draw(picture)
    for start in range(-SIDE_PX, SIDE_PX, 12):
        pen.line((start, 0, start + SIDE_PX, SIDE_PX), fill=(60, 50, 50), width=2)
    return picture


def overshot(picture: Image.Image, times: float) -> Image.Image:
    """Further along the way from its soft version to itself, as a target pushed too far leads."""
    values = numpy.asarray(picture, dtype=float)
    soft = numpy.asarray(picture.filter(ImageFilter.GaussianBlur(3)), dtype=float)
    pushed = values + (times - 1) * (values - soft)
    return Image.fromarray(pushed.clip(0, 255).astype("uint8"))


def test_halos_have_more_of_it_than_the_picture_they_surround() -> None:
    for picture in (plain(), hatched()):
        assert fine_contrast(overshot(picture, 3)) > 1.5 * fine_contrast(picture)


def test_a_soft_picture_has_less_of_it() -> None:
    soft = hatched().filter(ImageFilter.GaussianBlur(4))
    assert fine_contrast(soft) < 0.7 * fine_contrast(hatched())


def test_a_style_of_fine_lines_has_what_its_training_pictures_have() -> None:
    turned = hatched().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert fine_contrast(turned) == pytest.approx(fine_contrast(hatched()), rel=0.1)
    assert fine_contrast(hatched()) > 1.5 * fine_contrast(plain())


def test_it_is_the_same_at_any_size_of_the_file() -> None:
    large = plain().resize((3 * SIDE_PX, 3 * SIDE_PX), Image.Resampling.BICUBIC)
    assert fine_contrast(large) == pytest.approx(fine_contrast(plain()), rel=0.1)
    assert fine_contrast(Image.new("RGB", (9, 700), "white")) == 0


def test_of_a_dataset_the_finest_of_a_few_pictures_counts(tmp_path: Path) -> None:
    for number in range(20):
        (hatched() if number == 19 else plain()).save(tmp_path / f"{number:02}.png")
    (tmp_path / "note.txt").write_text("no picture")
    (tmp_path / "00.png").write_bytes(b"broken off")
    assert of_datasets([tmp_path, tmp_path / "gone"], 384) == pytest.approx(
        fine_contrast(hatched()), rel=0.01
    )
    assert of_datasets([tmp_path / "gone"], 384) is None
    names = [path.name for path in evenly(sorted(tmp_path.glob("*.png")))]
    assert (names[0], names[-1], len(names)) == ("00.png", "19.png", 8)


def test_the_newest_samples_are_compared_with_the_base_models_of_the_same_prompt(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    folder = JobFolder(settings.output_dir, "style")
    address = f"/api/jobs/{job_id}/fine-contrast"
    assert client.get(address).json() == {"training_pictures": None, "samples": []}
    base = [draw(folder, 0), draw(folder, 0, 1, prompt="a hill")]
    early = draw(folder, 5)
    newest = [draw(folder, 10), draw(folder, 10, 1, prompt="another one since")]
    plain().save(folder.path / base[0].path)
    overshot(plain(), 3).save(folder.path / newest[0].path)
    say(database, settings, job_id, started(), begins(), *base, early, *newest)

    said = client.get(address).json()
    assert [(one["step"], one["prompt_index"]) for one in said["samples"]] == [(10, 0)]
    assert said["samples"][0]["sample"] > 1.5 * said["samples"][0]["base"] > 0
    assert said["training_pictures"] is not None

    (folder.path / newest[0].path).unlink()
    assert client.get(address).json()["samples"] == []


def test_of_no_job_there_is_none(client: TestClient) -> None:
    assert client.get("/api/jobs/77/fine-contrast").status_code == 404
