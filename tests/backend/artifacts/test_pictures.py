"""Samples over HTTP: thumbnails, what was set aside, archives."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
import zipfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image, PngImagePlugin
from sqlalchemy import delete, insert, select

from backend.artifacts import thumbnails
from backend.artifacts.base_distance import distance_from_base
from backend.artifacts.thumbnails import prune, thumbnail
from backend.db.engine import Database
from backend.db.models import Sample
from backend.errors import Unusable
from backend.settings import Settings
from tests.backend.jobs.test_jobs_api import codes
from tests.backend.rescan.test_rescan import make_job, write_run
from tests.backend.runs.test_record import begins, job_id, new_run, say, started
from trainer import events
from trainer.job_folder import RECIPE_CHUNK, JobFolder

__all__ = ["job_id"]  # a fixture of the neighbour's


def draw(
    folder: JobFolder,
    step: int,
    index: int = 0,
    *,
    prompt: str = "a Fox, at night!",
    side: int = 400,
) -> events.Sample:
    """A picture on the disk, as a trainer would have written and announced it."""
    file = folder.sample(step, index)
    file.parent.mkdir(parents=True, exist_ok=True)
    recipe = {
        "step": step,
        "prompt_index": index,
        "prompt": prompt,
        "seed": 42,
        "width": side,
        "height": side // 2,
        "guidance_scale": 1.0,
        "sample_steps": 4,
        "lora_strength": 0.5,
    }
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(RECIPE_CHUNK, json.dumps(recipe))
    Image.new("RGB", (side, side // 2), (step % 256, index, 99)).save(file, pnginfo=chunks)
    return events.Sample.model_validate({**recipe, "path": folder.relative(file)})


@pytest.fixture
def folder(settings: Settings) -> JobFolder:
    return JobFolder(settings.output_dir, "style")


def samples(client: TestClient, job_id: int, **query: object) -> list[dict]:
    return client.get(f"/api/jobs/{job_id}/samples", params=query).json()["items"]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# --- thumbnails ----------------------------------------------------------------------------------


def test_a_thumbnail_is_a_small_webp_that_a_browser_may_keep_for_good(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    say(database, settings, job_id, started(), begins(), draw(folder, 5, side=1000))
    (sample,) = samples(client, job_id)
    answer = client.get(sample["thumbnail_url"])
    assert (answer.headers["content-type"], opened(answer.content).size) == (
        "image/webp",
        (256, 128),
    )
    assert "immutable" in answer.headers["cache-control"]
    larger = client.get(sample["thumbnail_url"], params={"side": 640})
    assert opened(larger.content).size == (640, 320)
    assert client.get(sample["thumbnail_url"], params={"side": 9}).status_code == 422
    assert client.get(f"/api/jobs/{job_id}").json()["thumbnail_url"] == sample["thumbnail_url"]


def test_a_picture_that_is_small_already_is_sent_as_it_is(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    say(database, settings, job_id, started(), begins(), draw(folder, 5, side=128))
    (sample,) = samples(client, job_id)
    answer = client.get(sample["thumbnail_url"])
    assert answer.content == folder.sample(5, 0).read_bytes()
    assert answer.headers["content-type"] == "image/png"


def test_a_damaged_picture_is_refused_by_name(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    say(database, settings, job_id, started(), begins(), draw(folder, 5))
    (sample,) = samples(client, job_id)
    file = folder.sample(5, 0)
    file.write_bytes(file.read_bytes()[:200])
    answer = client.get(sample["thumbnail_url"])
    assert (answer.status_code, codes(answer)) == (422, ["picture_damaged"])
    assert file.name in answer.json()["errors"][0]["message"]
    assert list(settings.cache_dir.rglob("*.webp")) == []


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("deed", ["mkdir", "write_bytes"])
def test_a_picture_is_shown_small_where_the_cache_folder_takes_nothing(
    client: TestClient,
    database: Database,
    settings: Settings,
    folder: JobFolder,
    job_id: int,
    monkeypatch: pytest.MonkeyPatch,
    reason: int,
    deed: str,
) -> None:
    say(database, settings, job_id, started(), begins(), draw(folder, 0), draw(folder, 5))
    of_base, sample = samples(client, job_id)

    def refuse(path: Path, *_: object, **__: object) -> None:
        if settings.cache_dir in path.parents:
            raise OSError(reason, os.strerror(reason))

    with monkeypatch.context() as patch:
        patch.setattr(Path, deed, refuse)
        answer = client.get(sample["thumbnail_url"])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert opened(answer.content).size == (256, 128)
        files = (folder.sample(5, 0), folder.sample(0, 0))
        assert distance_from_base(*files, settings.cache_dir) == pytest.approx(
            5 / 255 / 3, abs=0.005
        )
    assert list(settings.cache_dir.rglob("*.webp")) == []
    kept = client.get(of_base["thumbnail_url"])
    (file,) = settings.cache_dir.rglob("*.webp")

    def refuse_to_touch(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    monkeypatch.setattr(os, "utime", refuse_to_touch)
    assert client.get(of_base["thumbnail_url"]).content == kept.content == file.read_bytes()


def test_many_who_ask_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (900, 600)).save(picture)
    made: list[Path] = []
    make = thumbnails._make

    def counted(source: Path, small: Path, side_px: int) -> bool:
        made.append(small)
        return make(source, small, side_px)

    monkeypatch.setattr(thumbnails, "_make", counted)
    found: list[Path] = []
    askers = [
        threading.Thread(target=lambda: found.append(thumbnail(picture, tmp_path, side_px=256)))
        for _ in range(8)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert (len(made), len(set(found)), len(found)) == (1, 1, 8)


def test_a_picture_drawn_anew_has_another_thumbnail(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (300, 300), "red").save(picture)
    before = thumbnail(picture, tmp_path, side_px=256)
    Image.new("RGB", (300, 300), "blue").save(picture)
    after = thumbnail(picture, tmp_path, side_px=256)
    assert before != after
    assert opened(after.read_bytes()).getpixel((9, 9))[2] > 200  # type: ignore[index]


def test_an_empty_thumbnail_left_by_a_power_cut_is_made_anew(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (300, 300), "red").save(picture)
    small = thumbnail(picture, tmp_path, side_px=256)
    small.write_bytes(b"")
    assert opened(thumbnail(picture, tmp_path, side_px=256).read_bytes()).size == (256, 256)


def test_the_cache_stays_within_its_limit_and_loses_what_nobody_asked_for(tmp_path: Path) -> None:
    small: list[Path] = []
    for number in range(4):
        picture = tmp_path / f"{number}.png"
        Image.new("RGB", (300, 300), (number * 60, 0, 0)).save(picture)
        small.append(thumbnail(picture, tmp_path, side_px=256))
        moment = 1_000_000 + number
        os.utime(small[-1], (moment, moment))
    thumbnail(tmp_path / "0.png", tmp_path, side_px=256)  # the oldest is used again
    size = small[0].stat().st_size
    prune(tmp_path / thumbnails.FOLDER, limit_bytes=3 * size)
    assert [file.exists() for file in small] == [True, False, False, True]


def test_what_is_no_picture_raises_no_other_error(tmp_path: Path) -> None:
    for name, data in [
        ("empty.png", b""),
        ("text.png", b"no picture"),
        ("cut.png", b"\x89PNG\r\n"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(Unusable, match=name):
            thumbnail(tmp_path / name, tmp_path, side_px=256)


# --- what was set aside --------------------------------------------------------------------------


def aside(folder: JobFolder, step: int, run: int, index: int = 0, suffix: str = "") -> Path:
    """Move a picture where a resume moves it."""
    file = folder.sample(step, index)
    place = folder.superseded / f"{run:04d}" / "samples" / f"{file.stem}{suffix}.png"
    place.parent.mkdir(parents=True, exist_ok=True)
    return file.rename(place)


def test_what_a_resume_set_aside_stays_in_the_gallery_and_is_marked(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    drawn = [draw(folder, step) for step in (0, 5, 10)]
    say(database, settings, job_id, started(), begins(), *drawn)
    with database.write() as session:
        session.add(new_run(job_id, 2))
    moved = aside(folder, 10, 2)
    gone = events.Superseded(after_step=5, path="superseded/0002")
    say(database, settings, job_id, started(2), begins(5), gone)
    say(database, settings, job_id, draw(folder, 10))
    assert [s["step"] for s in samples(client, job_id)] == [0, 5, 10]
    every = samples(client, job_id, superseded=True)
    assert [(s["step"], s["superseded_by"]) for s in every] == [
        (0, None),
        (5, None),
        (10, 2),
        (10, None),
    ]
    old = every[2]
    assert old["file"] == "superseded/0002/samples/step-000010-prompt-00.png"
    assert client.get(old["url"]).content == moved.read_bytes()
    assert len({s["id"] for s in every}) == 4


def test_a_base_picture_set_aside_twice_by_one_run_is_there_twice(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    say(database, settings, job_id, started(), begins(), draw(folder, 0, prompt="first"))
    for prompt, suffix in [("second", ""), ("third", "-2")]:
        aside(folder, 0, 1, suffix=suffix)
        gone = events.Superseded(after_step=3, path="superseded/0001")
        say(database, settings, job_id, gone, draw(folder, 0, prompt=prompt))
    found = {(s["prompt"], s["superseded_by"]) for s in samples(client, job_id, superseded=True)}
    assert found == {("first", 1), ("second", 1), ("third", None)}
    # Told over again, when every file has reached its last place already.
    with database.write() as session:
        session.execute(delete(Sample))
    said = [draw(folder, 0, prompt="third")]
    said = [
        events.Sample.model_validate(said[0].model_dump() | {"prompt": p})
        for p in ("first", "second", "third")
    ]
    gone = events.Superseded(after_step=3, path="superseded/0001")
    say(database, settings, job_id, said[0], gone, said[1], gone, said[2])
    again = {(s["prompt"], s["superseded_by"]) for s in samples(client, job_id, superseded=True)}
    assert again == found


def test_pages_of_a_list_leave_nothing_out_where_step_and_prompt_are_the_same(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    say(database, settings, job_id, started(), begins(), draw(folder, 0, prompt="first"))
    aside(folder, 0, 1)
    gone = events.Superseded(after_step=3, path="superseded/0001")
    say(database, settings, job_id, gone, draw(folder, 0, prompt="second"), draw(folder, 5))
    path, seen, after = f"/api/jobs/{job_id}/samples", [], None
    while True:
        query = {"superseded": True, "limit": 1} | ({"after": after} if after else {})
        page = client.get(path, params=query).json()
        seen += [s["prompt"] for s in page["items"]]
        if (after := page["next"]) is None:
            break
    assert seen == ["first", "second", "a Fox, at night!"]


# --- archives ------------------------------------------------------------------------------------


def test_all_pictures_come_as_one_archive_with_readable_names(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    drawn = [draw(folder, step, index) for step in (0, 250) for index in (0, 1)]
    say(database, settings, job_id, started(), begins(), *drawn)
    answer = client.get(f"/api/jobs/{job_id}/samples.zip")
    assert 'filename="style-samples.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert "step-000250/02-a-fox-at-night-seed42.png" in archive.namelist()
        assert len(archive.namelist()) == 4
        data = archive.read("step-000250/02-a-fox-at-night-seed42.png")
        flags = {member.flag_bits & 8 for member in archive.infolist()}
    assert data == folder.sample(250, 1).read_bytes()
    assert flags == {0}, "sizes stand before the data, where every unpacker finds them"


def test_some_pictures_come_by_their_numbers_and_a_missing_one_is_named(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    drawn = [draw(folder, step) for step in (0, 5, 10, 15)]
    say(database, settings, job_id, started(), begins(), *drawn)
    ids = [s["id"] for s in samples(client, job_id)]
    folder.sample(5, 0).unlink()
    query = {"ids": f"{ids[0]}-{ids[1]},{ids[3]}"}
    answer = client.get(f"/api/jobs/{job_id}/samples.zip", params=query)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        assert [name[:11] for name in names] == ["step-000000", "step-000015", "missing.txt"]
        assert b"step-000005" in archive.read("missing.txt")
    gone = client.get(f"/api/jobs/{job_id}/samples.zip", params={"ids": "999"})
    assert (gone.status_code, codes(gone)) == (404, ["no_such_samples"])
    assert client.get(f"/api/jobs/{job_id}/samples.zip?ids=../x").status_code == 422


def test_every_second_of_thousands_of_pictures_comes(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    """Each is a span of its own, and SQLite takes no expression of a thousand conditions."""
    say(database, settings, job_id, started(), begins(), draw(folder, 0, side=16))
    with database.write() as session:
        (first,) = session.query(Sample).filter_by(job_id=job_id)
        columns = {c.key: getattr(first, c.key) for c in Sample.__table__.columns if c.key != "id"}
        rows = [columns | {"step": n, "path": f"samples/{n}.png"} for n in range(1, 2500)]
        session.execute(insert(Sample), rows)
        ids = list(session.scalars(select(Sample.id).order_by(Sample.id)))[::2]
    spans = ",".join(str(number) for number in ids)
    answer = client.get(f"/api/jobs/{job_id}/samples.zip", params={"ids": f"{spans},{spans[0]}"})
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (drawn, missing) = archive.namelist()
        assert drawn.startswith("step-000000/")
        assert missing == "missing.txt"
        named = archive.read(missing).decode()
    assert named.count("step-") == 1249, "each once, and none between them"
    assert "step-000002/" in named
    assert "step-000001/" not in named


def test_the_recipe_is_whole(
    client: TestClient, database: Database, settings: Settings, folder: JobFolder, job_id: int
) -> None:
    say(database, settings, job_id, started(), begins(), draw(folder, 5))
    (sample,) = samples(client, job_id)
    assert (sample["lora_strength"], sample["control_images"]) == (0.5, [])
    assert sample["file"] == "samples/step-000005-prompt-00.png"
    name = client.get(sample["url"]).headers["content-disposition"]
    assert name == 'inline; filename="style-step-000005-01-a-fox-at-night-seed42.png"'


def test_a_lost_database_brings_back_what_was_set_aside(
    client: TestClient, settings: Settings
) -> None:
    folder = make_job(settings, "style")
    write_run(folder, 1, begin=None, last=10, outcome="stopped")
    aside(folder, 10, 2)
    client.post("/api/system/rescan")
    every = samples(client, 1, superseded=True)
    assert [(s["step"], s["superseded_by"], s["prompt"]) for s in every] == [
        (5, None, "a circle"),
        (10, 2, "a circle"),
    ]
    assert client.post("/api/system/rescan").json()["unchanged"] == ["style"]
