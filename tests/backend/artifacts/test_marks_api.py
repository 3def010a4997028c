"""Pins, stars and notes: kept beside the files, told to pages, obeyed by retention, never lost."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, select

from backend.db.engine import Database
from backend.db.models import FeedEntry, Job
from backend.settings import Settings
from tests.backend.jobs.test_jobs_api import codes
from tests.backend.rescan.test_rescan import make_job, write_run
from trainer import folder_lock
from trainer.job_folder import JobFolder
from trainer.retention import remove_old_checkpoints


@pytest.fixture
def style(client: TestClient, settings: Settings) -> JobFolder:
    """A completed job with checkpoints at 5 and 10, the result, and pictures."""
    folder = make_job(settings, "style")
    write_run(folder, 1, begin=None, last=10, outcome="completed")
    client.post("/api/system/rescan")
    return folder


def items(client: TestClient, what: str, job_id: int = 1) -> list[dict[str, Any]]:
    return client.get(f"/api/jobs/{job_id}/{what}").json()["items"]


def mark(client: TestClient, what: str, row: dict[str, Any], **marks: Any) -> dict[str, Any]:
    answer = client.patch(f"/api/jobs/1/{what}/{row['id']}", json=marks)
    assert answer.status_code == 200, answer.text
    return answer.json()


def marks_of(row: dict[str, Any]) -> tuple[bool, str]:
    return row["is_starred"], row["note"]


def test_marks_are_kept_beside_the_files_and_change_one_by_one(
    client: TestClient, style: JobFolder
) -> None:
    first, _, final = items(client, "checkpoints")
    assert (first["is_pinned"], *marks_of(first)) == (False, False, "")
    assert mark(client, "checkpoints", first, pinned=True)["is_pinned"]
    noted = mark(client, "checkpoints", first, note="手 at last", starred=True)
    assert (noted["is_pinned"], *marks_of(noted)) == (True, True, "手 at last")
    mark(client, "checkpoints", final, starred=True)
    picture = items(client, "samples")[0]
    assert marks_of(mark(client, "samples", picture, starred=True)) == (True, "")
    assert json.loads(style.pins.read_text()) == {
        "checkpoints": {"5": {"pinned": True, "note": "手 at last", "starred": True}},
        "results": {"final": {"starred": True}},
        "samples": {"step-000005-prompt-00.png": {"starred": True}},
    }
    mark(client, "checkpoints", first, pinned=False, starred=False, note="")
    mark(client, "samples", picture, starred=False)
    said = json.loads(style.pins.read_text())
    assert said == {"checkpoints": {}, "results": {"final": {"starred": True}}, "samples": {}}


def test_open_pages_hear_of_a_mark(
    client: TestClient, database: Database, style: JobFolder
) -> None:
    first = items(client, "checkpoints")[0]
    entry = mark(client, "checkpoints", first, pinned=True)
    picture = mark(client, "samples", items(client, "samples")[0], note="good")
    with database.read() as session:
        rows = session.scalars(select(FeedEntry).order_by(FeedEntry.id.desc()).limit(2)).all()
        told = [(row.name, row.data) for row in reversed(rows)]
    assert told == [
        ("checkpoint", {"job_id": 1, **entry}),
        ("sample", {"job_id": 1, **picture}),
    ]


@pytest.mark.parametrize("marks", [{"pinned": True}, {"starred": True}])
def test_retention_keeps_what_was_marked_a_moment_ago_and_removes_it_once_it_is_not(
    client: TestClient, style: JobFolder, marks: dict[str, bool]
) -> None:
    first = items(client, "checkpoints")[0]
    mark(client, "checkpoints", first, **marks)
    assert remove_old_checkpoints(style, keep=1) == []
    mark(client, "checkpoints", first, **dict.fromkeys(marks, False))
    assert remove_old_checkpoints(style, keep=1) == [5]
    gone = client.patch(f"/api/jobs/1/checkpoints/{first['id']}", json={"pinned": True})
    assert gone.status_code == 404, "its row is there until the worker hears of it"


def test_the_mark_of_a_result_does_not_trouble_retention(
    client: TestClient, style: JobFolder
) -> None:
    mark(client, "checkpoints", items(client, "checkpoints")[-1], pinned=True)
    assert remove_old_checkpoints(style, keep=1) == [5]


def test_a_rescan_into_an_empty_database_brings_every_mark_back(
    client: TestClient, database: Database, style: JobFolder
) -> None:
    mark(client, "checkpoints", items(client, "checkpoints")[0], pinned=True, note="keep")
    mark(client, "samples", items(client, "samples")[1], starred=True)
    with database.write() as session:
        session.execute(delete(Job))
    client.post("/api/system/rescan")
    job_id = client.get("/api/jobs").json()["items"][0]["id"]
    first, *others = items(client, "checkpoints", job_id)
    assert (first["is_pinned"], first["note"]) == (True, "keep")
    assert not any(other["is_pinned"] for other in others)
    starred = [s["is_starred"] for s in items(client, "samples", job_id)]
    assert starred.index(True) == 1
    assert starred.count(True) == 1


def test_a_pins_file_that_cannot_be_read_is_shown_as_no_marks_and_never_overwritten(
    client: TestClient, style: JobFolder
) -> None:
    style.pins.write_text("[1]")
    first = items(client, "checkpoints")[0]
    assert not first["is_pinned"]
    answer = client.patch(f"/api/jobs/1/checkpoints/{first['id']}", json={"pinned": True})
    assert (answer.status_code, codes(answer)) == (409, ["pins_unreadable"])
    assert style.pins.read_text() == "[1]"


def test_what_somebody_else_wrote_into_the_pins_file_stays(
    client: TestClient, style: JobFolder
) -> None:
    style.pins.write_text('{"checkpoints": {"10": {"pinned": true, "by": "hand"}}, "more": {}}')
    mark(client, "checkpoints", items(client, "checkpoints")[1], note="x")
    said = json.loads(style.pins.read_text())
    assert said == {
        "checkpoints": {"10": {"pinned": True, "by": "hand", "note": "x"}},
        "more": {},
    }


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("checkpoints/9", {"pinned": True}, 404),
        ("samples/99", {"starred": True}, 404),
        ("samples/1", {"pinned": True}, 422),
        ("samples/1", {"note": "x" * 2001}, 422),
        ("checkpoints/1", {"pinned": "perhaps"}, 422),
    ],
)
def test_a_mark_that_makes_no_sense_is_refused(
    client: TestClient, style: JobFolder, path: str, body: dict[str, Any], status: int
) -> None:
    assert client.patch(f"/api/jobs/1/{path}", json=body).status_code == status
    assert not style.pins.exists()


def test_a_picture_that_was_set_aside_keeps_its_own_star(
    client: TestClient, settings: Settings
) -> None:
    folder = make_job(settings, "style")
    write_run(folder, 1, begin=None, last=10, outcome="stopped")
    aside = folder.superseded / "0002"
    old = aside / "samples" / "step-000005-prompt-00.png"
    old.parent.mkdir(parents=True)
    shutil.copy(folder.sample(5, 0), old)
    moved = {"samples": {old.name: {"starred": True}}}
    (aside / "pins.json").write_text(json.dumps(moved))
    client.post("/api/system/rescan")
    every = client.get("/api/jobs/1/samples?superseded=true").json()["items"]
    of_step = {s["superseded_by"]: s for s in every if s["step"] == 5}
    assert {run: s["is_starred"] for run, s in of_step.items()} == {None: False, 2: True}
    mark(client, "samples", of_step[2], note="the old one")
    assert not folder.pins.exists()
    said = json.loads((aside / "pins.json").read_text())
    assert said == {"samples": {old.name: {"starred": True, "note": "the old one"}}}


def test_a_mark_waits_its_turn_and_says_so_when_there_is_none(
    client: TestClient, style: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "TURN_SECONDS", 0.05)
    first = items(client, "checkpoints")[0]
    with folder_lock.turn(style.pins_lock):
        answer = client.patch(f"/api/jobs/1/checkpoints/{first['id']}", json={"pinned": True})
    assert (answer.status_code, codes(answer)) == (409, ["pins_in_use"])
    assert not style.pins.exists()
    assert mark(client, "checkpoints", first, pinned=True)["is_pinned"]


def test_a_mark_makes_no_folder_for_a_job_whose_folder_is_gone(
    client: TestClient, style: JobFolder
) -> None:
    picture = items(client, "samples")[0]
    shutil.move(style.path, style.path.with_name("elsewhere"))
    answer = client.patch(f"/api/jobs/1/samples/{picture['id']}", json={"starred": True})
    assert (answer.status_code, codes(answer)) == (404, ["no_such_file"])
    assert not style.path.exists()
