"""What a drawing was queued with is there when its turn comes, whatever became of the file."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.drawings.kept_loras import remove_half_kept
from backend.settings import Settings
from backend.trash import entries
from tests.backend.drawings.test_drawings_api import codes, create, drawing_config
from tests.backend.loras.files import lora_bytes, write_lora
from trainer.drawing_config import lora_files
from trainer.drawing_door import examine_drawing, parse_drawing
from trainer.errors import BadLora
from trainer.job_folder import LORA_FILE, JobFolder
from trainer.retention import remove_old_checkpoints

OWN = {"step": "250"}


def make_room(settings: Settings, style: JobFolder) -> None:
    assert remove_old_checkpoints(style, keep=1) == [250]


def into_the_trash_and_out(settings: Settings, style: JobFolder) -> None:
    thing = style.checkpoint(250)
    deleted = entries.put(
        settings.output_dir, thing, kind="checkpoint", training_name="style", known={}
    )
    entries.purge(deleted)


def make_another_of_the_same_path(settings: Settings, style: JobFolder) -> None:
    file = style.checkpoint(250) / LORA_FILE
    os.rename(file, style.path / "set-aside.safetensors")
    write_lora(file, step="250", branch="the next")


@pytest.fixture
def style(settings: Settings) -> JobFolder:
    """A training with two checkpoints."""
    folder = JobFolder(settings.output_dir, "style")
    for step in (250, 500):
        write_lora(folder.checkpoint(step) / LORA_FILE, step=str(step))
    return folder


def config_of(style: JobFolder) -> dict[str, Any]:
    return drawing_config((str(style.checkpoint(250) / LORA_FILE),))


def left_in(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("goes", [make_room, into_the_trash_and_out, make_another_of_the_same_path])
@pytest.mark.parametrize("can_link", [True, False])
def test_a_drawing_that_waits_is_drawn_with_the_checkpoint_that_was_chosen(
    client: TestClient,
    settings: Settings,
    style: JobFolder,
    monkeypatch: pytest.MonkeyPatch,
    goes: Callable[[Settings, JobFolder], None],
    can_link: bool,
) -> None:
    if not can_link:
        monkeypatch.setattr(os, "link", _another_disk)
    drawing = create(client, config_of(style))
    goes(settings, style)

    work = parse_drawing({"name": drawing["training_name"], **drawing["config"]})
    assert work.loras == [str(style.checkpoint(250) / LORA_FILE)]
    (kept,) = lora_files(work, settings.folders, settings.output_dir)
    assert isinstance(kept, Path)
    assert kept.read_bytes() == lora_bytes(**OWN)
    verdict = examine_drawing(work.model_dump(), settings.folders, parent=settings.output_dir)
    assert (verdict.errors, verdict.loras) == ([], [kept])
    # "Draw what is missing" passes the door too.
    at = f"/api/jobs/{drawing['id']}"
    assert client.post(f"{at}/stop").status_code == 200
    assert client.post(f"{at}/queue").status_code == 200
    picture = client.get(f"/api/drawings/{drawing['id']}").json()["pictures"][1]
    assert picture["lora_label"] == "style, step 250"


def test_a_link_costs_no_room_and_leaves_nothing_else_behind(
    client: TestClient, settings: Settings, style: JobFolder
) -> None:
    create(client, config_of(style))
    assert (style.checkpoint(250) / LORA_FILE).stat().st_nlink == 2
    assert (style.checkpoint(500) / LORA_FILE).stat().st_nlink == 1
    assert left_in(settings.output_dir) == ["drawing-0001", "style"]
    assert "drawing-0001" not in client.post("/api/system/rescan").text


def test_what_people_bring_is_read_from_where_it_lies(
    client: TestClient, settings: Settings
) -> None:
    write_lora(settings.models_dir / "loras/uploads/ink.safetensors")
    create(client, drawing_config(("loras/uploads/ink.safetensors",)))
    assert not (settings.output_dir / "drawing-0001").exists()


def test_a_full_disk_refuses_the_drawing_and_leaves_nothing_behind(
    client: TestClient, settings: Settings, style: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", _another_disk)
    monkeypatch.setattr(shutil, "copyfile", copy_half)
    answer = client.post("/api/drawings", json={"config": config_of(style)})
    assert (answer.status_code, codes(answer)) == (409, ["loras_not_kept"])
    assert "No space left on device" in answer.json()["errors"][0]["message"]
    assert client.get("/api/drawings").json()["items"] == []
    assert left_in(settings.output_dir) == ["style"]


def test_a_file_that_goes_between_door_and_queue_is_named(
    client: TestClient, settings: Settings, style: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(source: Path, _target: Path) -> None:
        source.unlink(missing_ok=True)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "link", too_late)
    answer = client.post("/api/drawings", json={"config": config_of(style)})
    assert (answer.status_code, codes(answer)) == (422, ["lora_missing"])
    assert left_in(settings.output_dir) == ["style"]


def test_kept_files_go_again_if_the_drawing_cannot_be_queued_after_all(
    settings: Settings,
    client: TestClient,
    style: JobFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the last moment")

    monkeypatch.setattr("backend.drawings.service.read_drawing", fail)
    with pytest.raises(RuntimeError, match="the last moment"):
        client.post("/api/drawings", json={"config": config_of(style)})
    assert left_in(settings.output_dir) == ["style"]


def test_what_a_killed_server_left_half_kept_goes_at_the_next_start(
    settings: Settings, style: JobFolder
) -> None:
    half = settings.output_dir / ".writing-half"
    half.mkdir()
    os.link(style.checkpoint(250) / LORA_FILE, half / "kept.safetensors")
    remove_half_kept(settings)
    assert left_in(settings.output_dir) == ["style"]


def test_kept_files_go_to_the_trash_with_their_drawing_and_come_back(
    client: TestClient, settings: Settings, style: JobFolder
) -> None:
    drawing = create(client, config_of(style))
    make_room(settings, style)
    assert client.delete(f"/api/jobs/{drawing['id']}?files=true").status_code == 204
    assert left_in(settings.output_dir) == [".trash", "style"]
    (entry,) = client.get("/api/trash").json()["items"]
    back = client.post(f"/api/trash/{entry['id']}/restore").json()
    assert client.post(f"/api/jobs/{back['job_id']}/queue").status_code == 200
    # Without it the drawing could not be drawn, which the door says.
    work = parse_drawing({"name": "drawing-0001", **drawing["config"]})
    shutil.rmtree(JobFolder(settings.output_dir, work.name).loras)
    with pytest.raises(BadLora) as refused:
        lora_files(work, settings.folders, settings.output_dir)
    assert refused.value.problems[0].code == "lora_missing"


def _another_disk(*_: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
