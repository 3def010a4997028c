"""Single pictures deleted and taken back: row, file, star, and what stands in the way."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import FeedEntry, Job
from backend.jobs.status import JobStatus
from backend.jobs.work import DRAWING
from tests.backend.jobs.test_jobs_api import codes, put
from tests.backend.rescan.test_rescan import draw, without_ids, write_run
from tests.backend.trash.test_trash_api import restore, style, trash
from trainer.job_folder import JobFolder

__all__ = ["style"]  # a fixture of the neighbour's


def pictures(client: TestClient) -> list[dict[str, Any]]:
    return client.get("/api/jobs/1/samples?superseded=true").json()["items"]


def remove(client: TestClient, picture: dict[str, Any]) -> Any:
    return client.delete(f"/api/jobs/1/samples/{picture['id']}")


def news(database: Database, name: str) -> list[dict[str, Any]]:
    with database.read() as session:
        rows = session.scalars(select(FeedEntry).where(FeedEntry.name == name))
        return [row.data or {} for row in rows]


def test_a_picture_comes_back_as_it_was_with_its_star(
    client: TestClient, database: Database, style: JobFolder
) -> None:
    first, second = pictures(client)
    client.patch(f"/api/jobs/1/samples/{first['id']}", json={"starred": True, "note": "bees"})
    before = pictures(client)
    data = style.sample(5, 0).read_bytes()
    answer = remove(client, first)
    assert answer.status_code == 200, answer.text
    entry = answer.json()
    assert (entry["kind"], entry["step"], entry["prompt"]) == ("picture", 5, "a circle")
    assert entry["size_bytes"] == len(data)
    assert [picture["id"] for picture in pictures(client)] == [second["id"]]
    assert not style.sample(5, 0).exists()
    assert news(database, "sample_removed") == [{"job_id": 1, "id": first["id"]}]

    assert restore(client, trash(client)[0]).json() == {"job_id": 1}
    assert without_ids(pictures(client)) == without_ids(before)
    assert style.sample(5, 0).read_bytes() == data
    assert news(database, "sample")[-1]["is_starred"], "open pages show it again"
    assert trash(client) == []


def test_a_picture_that_a_resume_set_aside_goes_back_to_its_branch(
    client: TestClient, style: JobFolder
) -> None:
    aside = style.superseded / "0002" / "samples" / style.sample(10, 0).name
    aside.parent.mkdir(parents=True)
    style.sample(10, 0).rename(aside)
    client.post("/api/system/rescan")
    branch = next(one for one in pictures(client) if one["superseded_by"] == 2)
    entry = remove(client, branch).json()
    assert not aside.exists()
    restore(client, entry)
    back = next(one for one in pictures(client) if one["superseded_by"] == 2)
    assert client.get(back["url"]).content == aside.read_bytes()


def test_a_picture_of_a_branch_that_was_left_meanwhile_goes_to_that_branch(
    client: TestClient, style: JobFolder
) -> None:
    kept, left = pictures(client)
    for picture in (kept, left):
        remove(client, picture)
    write_run(style, 2, begin=5, last=7, outcome="stopped")
    client.post("/api/system/rescan")
    for entry in trash(client):
        assert restore(client, entry).json() == {"job_id": 1}
    back = {one["step"]: one for one in pictures(client)}
    assert {step: one["superseded_by"] for step, one in back.items()} == {5: None, 10: 2}
    assert style.sample(5, 0).is_file()
    assert not style.sample(10, 0).exists()
    aside = style.superseded / "0002" / "samples" / style.sample(10, 0).name
    assert client.get(back[10]["url"]).content == aside.read_bytes()
    assert trash(client) == []
    assert client.post("/api/system/rescan").json()["unchanged"] == ["style"]
    # Deleted there, it comes back to there.
    assert remove(client, back[10]).status_code == 200
    restore(client, trash(client)[0])
    assert aside.is_file()


def test_pictures_of_a_job_that_runs_can_be_deleted_and_taken_back(
    client: TestClient, database: Database, style: JobFolder
) -> None:
    client.post("/api/jobs/1/queue")
    put(database, 1, JobStatus.RUNNING, with_run=False)
    entry = remove(client, pictures(client)[0]).json()
    assert restore(client, entry).status_code == 200
    assert len(pictures(client)) == 2


def test_what_was_drawn_anew_or_has_lost_its_job_keeps_a_picture_in_the_trash(
    client: TestClient, style: JobFolder
) -> None:
    first = pictures(client)[0]
    entry = remove(client, first).json()
    draw(style, 5)
    answer = restore(client, entry)
    assert (answer.status_code, codes(answer)) == (409, ["picture_exists"])
    client.delete("/api/jobs/1?files=true")
    assert codes(restore(client, entry)) == ["job_is_gone"]
    assert {left["kind"] for left in trash(client)} == {"job", "picture"}


@pytest.mark.parametrize("picture_id", [999, 2**62])
def test_a_picture_that_is_not_there_is_refused(
    client: TestClient, style: JobFolder, picture_id: int
) -> None:
    answer = remove(client, {"id": picture_id})
    assert (answer.status_code, codes(answer)) == (404, ["no_such_sample"])
    assert trash(client) == []


def test_a_drawings_picture_is_not_taken_from_it(
    client: TestClient, database: Database, style: JobFolder
) -> None:
    first = pictures(client)[0]
    with database.write() as session:
        session.get_one(Job, 1).kind = DRAWING
    answer = remove(client, first)
    assert (answer.status_code, codes(answer)) == (409, ["picture_of_drawing"])
    assert style.sample(5, 0).exists()


def test_a_lost_database_does_not_bring_a_deleted_picture_back_and_the_trash_still_can(
    client: TestClient, style: JobFolder
) -> None:
    entry = remove(client, pictures(client)[0]).json()
    client.delete("/api/jobs/1")
    client.post("/api/system/rescan")
    (job,) = client.get("/api/jobs").json()["items"]
    steps = f"/api/jobs/{job['id']}/samples"
    assert [one["step"] for one in client.get(steps).json()["items"]] == [10]
    assert restore(client, entry).json() == {"job_id": job["id"]}
    assert [one["step"] for one in client.get(steps).json()["items"]] == [5, 10]
