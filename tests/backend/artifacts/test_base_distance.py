"""The distance from the base model's pictures, which the advice of frontend/src reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.artifacts.base_distance import distance, distance_from_base
from backend.db.engine import Database
from backend.db.models import Job
from backend.settings import Settings
from tests.backend.artifacts.test_fine_contrast import hatched, plain
from tests.backend.artifacts.test_pictures import draw
from tests.backend.runs.test_record import begins, job_id, say, started
from trainer import events
from trainer.job_folder import JobFolder

__all__ = ["job_id"]  # a fixture of the neighbour's
# The page's rules are tested with these numbers: what the pictures below measure.
DRAWN = json.loads((Path(__file__).parents[3] / "frontend/tests/drawn-distances.json").read_text())


def grainy(picture: Image.Image, levels: int = 2) -> Image.Image:
    """The same but for a grain that no eye sees, as other kernels or a hair of a LoRA leave."""
    values = numpy.asarray(picture, dtype=int)
    grain = numpy.random.default_rng(7).integers(-levels, levels + 1, values.shape)
    return Image.fromarray((values + grain).clip(0, 255).astype("uint8"))


TAUGHT = {
    "hardly_changes": (grainy, grainy),
    "changes_with_the_trigger": (lambda _: hatched(), grainy),
    "changes_everywhere_alike": (lambda _: hatched(), lambda _: hatched()),
}


def test_it_is_the_mean_difference_of_pixels_from_black_to_white() -> None:
    black, white = (Image.new("RGB", (200, 300), name) for name in ("black", "white"))
    assert (distance(black, black), distance(black, white)) == (0, 1)
    half = white.copy()
    half.paste("black", (0, 0, 100, 300))
    assert distance(half, white) == pytest.approx(0.5, abs=0.01)
    assert distance(Image.new("RGB", (64, 64), (51, 0, 0)), Image.new("RGB", (64, 64))) == (
        pytest.approx(0.2 / 3)
    )
    assert distance(black, Image.new("L", (40, 60), 255)) == 1, "of any size and kind"


def test_it_is_the_same_at_any_size_of_the_file_and_of_no_file_there_is_none(
    tmp_path: Path,
) -> None:
    def between(side: int) -> float | None:
        files = [tmp_path / f"{side}-{name}.png" for name in ("sample", "base")]
        for file, picture in zip(files, (hatched(), plain()), strict=True):
            picture.resize((side, side), Image.Resampling.LANCZOS).save(file)
        return distance_from_base(files[0], files[1], tmp_path / "cache")

    assert between(1024) == pytest.approx(between(512), rel=0.05)
    gone, broken = tmp_path / "gone.png", tmp_path / "broken.png"
    broken.write_bytes(b"broken off")
    for file in (gone, broken):
        assert distance_from_base(file, tmp_path / "512-base.png", tmp_path / "cache") is None


def test_it_is_worked_out_once_until_one_of_the_two_files_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, base = tmp_path / "sample.png", tmp_path / "base.png"
    hatched().save(sample)
    plain().save(base)
    first = distance_from_base(sample, base, tmp_path / "cache")
    assert first is not None
    assert first > 0
    with monkeypatch.context() as without:
        without.setattr("backend.artifacts.base_distance.distance", None)
        assert distance_from_base(sample, base, tmp_path / "cache") == first
    plain().save(sample)
    assert distance_from_base(sample, base, tmp_path / "cache") == 0


@pytest.mark.parametrize("taught", TAUGHT)
def test_the_drawn_pictures_measure_what_the_rules_of_the_page_are_tested_with(
    taught: str, client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    folder = JobFolder(settings.output_dir, "style")
    said: list[events.Sample] = []
    for index, (prompt, learned) in enumerate(
        zip(("ok a disc", "a disc"), TAUGHT[taught], strict=True)
    ):
        for step, picture in ((0, plain()), (250, learned(plain()))):
            said.append(draw(folder, step, index, prompt=prompt))
            picture.save(folder.path / said[-1].path)
    say(database, settings, job_id, started(), begins(), *said)

    samples = client.get(f"/api/jobs/{job_id}/fine-contrast").json()["samples"]
    assert [one["with_trigger"] for one in samples] == [
        one["with_trigger"] for one in DRAWN[taught]
    ]
    assert [one["distance_from_base"] for one in samples] == pytest.approx(
        [one["distance_from_base"] for one in DRAWN[taught]], abs=0.002
    )


def test_a_job_without_a_trigger_word_has_no_prompt_with_or_without_it(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    folder = JobFolder(settings.output_dir, "style")
    with database.write() as session:
        job = session.get_one(Job, job_id)
        job.config = job.config | {"job": job.config["job"] | {"trigger_word": ""}}
    say(database, settings, job_id, started(), begins(), draw(folder, 0), draw(folder, 5))
    (sample,) = client.get(f"/api/jobs/{job_id}/fine-contrast").json()["samples"]
    assert sample["with_trigger"] is None


def test_what_was_drawn_without_the_lora_is_not_compared(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    folder = JobFolder(settings.output_dir, "style")
    off = draw(folder, 5).model_copy(update={"lora_strength": 0.0})
    say(database, settings, job_id, started(), begins(), draw(folder, 0), off)
    assert client.get(f"/api/jobs/{job_id}/fine-contrast").json()["samples"] == []
