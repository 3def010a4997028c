"""Thumbnails are there before anybody asks: made in the worker as pictures arrive."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.artifacts import thumbnails
from backend.artifacts.thumbnails import Side, ThumbnailsAhead, thumbnail
from backend.db.engine import Database
from backend.settings import Settings
from backend.worker.loop import Worker
from tests.backend.artifacts.test_pictures import draw, samples
from tests.backend.installation import job_config
from tests.backend.queue.puppets import Puppeteer, device
from trainer.job_folder import JobFolder


def made_ahead(cache_dir: Path, *pictures: Path) -> list[Path]:
    """The thumbnails that are there after all were told of."""
    ahead = ThumbnailsAhead(cache_dir)
    for picture in pictures:
        ahead.tell(picture)
    ahead.start()
    ahead.end()
    return sorted((cache_dir / thumbnails.FOLDER).rglob("*.webp"))


def test_both_sizes_are_those_that_a_page_asks_for(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (800, 400), "red").save(picture)
    made = made_ahead(tmp_path, picture)
    assert made == sorted(thumbnail(picture, tmp_path, side_px=side) for side in Side)


def test_a_picture_that_is_damaged_or_gone_keeps_no_other_from_its_own(tmp_path: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"\x89PNG\r\n")
    good = tmp_path / "good.png"
    Image.new("RGB", (300, 300), "red").save(good)
    assert len(made_ahead(tmp_path, torn, tmp_path / "gone.png", good)) == 1


def test_what_a_run_draws_is_small_before_a_page_asks(
    client: TestClient,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.post("/api/jobs", json={"config": job_config("style"), "queue": True})
    puppeteer = Puppeteer()
    worker = Worker(settings, database, puppeteer, ask_devices=lambda: [device("cpu")])
    worker.sign_on()
    worker.turn()
    (puppet,) = puppeteer.living
    puppet.begin(0)
    puppet.say(draw(JobFolder(settings.output_dir, "style"), 5, side=400))
    worker.turn()
    worker._thumbnails.start()
    worker._thumbnails.end()

    def none_is_made(*_: object) -> bool:
        raise AssertionError("it should have been there")

    monkeypatch.setattr(thumbnails, "_make", none_is_made)
    (sample,) = samples(client, 1)
    assert client.get(sample["thumbnail_url"]).headers["content-type"] == "image/webp"
