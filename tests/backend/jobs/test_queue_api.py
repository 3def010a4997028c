"""Who starts next: order, priority, moments, other jobs, pauses, and where a run begins."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.models import Job
from backend.jobs import feed
from backend.jobs.moves import move
from backend.jobs.news import Topics, newest_id, read_news
from backend.jobs.status import JobStatus
from backend.settings import Settings
from backend.worker.claim import Claim, Identity, claim_next
from tests.backend.installation import job_config
from tests.backend.jobs.test_jobs_api import codes, create, put
from trainer.job_folder import JobFolder

HERE = Identity("worker", "host", "machine")


@pytest.fixture
def three(client: TestClient) -> list[int]:
    """Three jobs that wait, in this order."""
    return [create(client, job_config(name), queue=True)["id"] for name in ("a", "b", "c")]


def queue_of(client: TestClient) -> list[int]:
    listed = client.get("/api/jobs", params={"status": "queued", "order": "queue"}).json()
    positions = [job["queue_position"] for job in listed["items"]]
    assert positions == list(range(1, len(positions) + 1)), "the list and the positions agree"
    return [job["id"] for job in listed["items"]]


def claim(database: Database, settings: Settings) -> Claim | None:
    """The next job for the CPU; its lease is given back, so that the next claim gets one."""
    with database.write() as session:
        claimed = claim_next(session, settings, HERE, device="cpu", has_gpus=False)
    with database.write() as session:
        session.connection().exec_driver_sql("DELETE FROM leases")
    return claimed


def claimed_ids(database: Database, settings: Settings) -> list[int]:
    found: list[int] = []
    while (claimed := claim(database, settings)) is not None:
        found.append(claimed.job_id)
    return found


def patch(client: TestClient, job_id: int, **place: Any) -> Any:
    return client.patch(f"/api/jobs/{job_id}/place", json=place)


def test_a_job_is_moved_before_another_and_to_the_end(
    client: TestClient, database: Database, settings: Settings, three: list[int]
) -> None:
    a, b, c = three
    moved = client.post(f"/api/jobs/{c}/move", json={"before_job_id": a})
    assert moved.json()["queue_position"] == 1
    assert queue_of(client) == [c, a, b]
    assert client.post(f"/api/jobs/{c}/move", json={}).json()["queue_position"] == 3
    assert queue_of(client) == [a, b, c]
    client.post(f"/api/jobs/{b}/move", json={"before_job_id": b})
    assert queue_of(client) == [a, c, b], "before itself is nowhere: it goes to the end"
    assert claimed_ids(database, settings) == [a, c, b], "what is shown is what starts"


def test_priority_comes_before_the_order_and_a_moved_job_takes_it_from_its_neighbour(
    client: TestClient, database: Database, settings: Settings, three: list[int]
) -> None:
    a, b, c = three
    assert patch(client, c, priority=1).json()["queue_position"] == 1
    assert patch(client, a, priority=-1).json()["queue_position"] == 3
    assert queue_of(client) == [c, b, a]
    moved = client.post(f"/api/jobs/{a}/move", json={"before_job_id": c}).json()
    assert (moved["priority"], moved["queue_position"]) == (1, 1)
    assert claimed_ids(database, settings) == [a, c, b]


def test_the_list_goes_on_behind_a_job_that_was_put_before_the_first(
    client: TestClient, database: Database, three: list[int]
) -> None:
    a, b, c = three
    with database.write() as session:
        session.get_one(Job, b).queue_order = -1
    for each in three:
        patch(client, each, priority=1)
    asked = {"order": "queue", "limit": 1}
    first = client.get("/api/jobs", params=asked).json()
    assert [job["id"] for job in first["items"]] == [b]
    assert first["next"] == f"-1-{b}"
    second = client.get("/api/jobs", params={**asked, "after": first["next"]})
    assert second.status_code == 200, second.text
    assert [job["id"] for job in second.json()["items"]] == [a]
    third = client.get("/api/jobs", params={**asked, "after": second.json()["next"]}).json()
    assert [job["id"] for job in third["items"]] == [c]


def test_a_job_waits_for_its_moment_and_others_pass_it(
    client: TestClient, database: Database, settings: Settings, three: list[int]
) -> None:
    a, b, c = three
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert patch(client, a, not_before=later).json()["waits_for"] == "time"
    assert claimed_ids(database, settings) == [b, c]
    earlier = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert patch(client, a, not_before=earlier).json()["waits_for"] == "device"
    assert claimed_ids(database, settings) == [a]


def test_a_moment_without_a_zone_is_refused(client: TestClient, three: list[int]) -> None:
    answer = patch(client, three[0], not_before="2026-01-31T23:00:00")
    assert answer.status_code == 422


def test_a_job_waits_for_another_to_complete(
    client: TestClient, database: Database, settings: Settings, three: list[int]
) -> None:
    a, b, c = three
    assert patch(client, a, run_after_job_id=b).json()["waits_for"] == "job"
    first = claim(database, settings)
    assert first is not None
    assert first.job_id == b
    with database.write() as session:
        session.get_one(Job, b).status = JobStatus.FAILED
    assert claimed_ids(database, settings) == [c], "a failed job sets nothing going"
    with database.write() as session:
        session.get_one(Job, b).status = JobStatus.COMPLETED
    assert client.get(f"/api/jobs/{a}").json()["waits_for"] == "device"
    assert claimed_ids(database, settings) == [a]


def test_a_job_whose_forerunner_is_deleted_waits_for_nobody(
    client: TestClient, three: list[int]
) -> None:
    a, b, _ = three
    patch(client, a, run_after_job_id=b)
    assert client.delete(f"/api/jobs/{b}").status_code == 204
    job = client.get(f"/api/jobs/{a}").json()
    assert (job["run_after_job_id"], job["waits_for"]) == (None, "device")


def test_jobs_cannot_wait_for_each_other_in_a_circle(client: TestClient, three: list[int]) -> None:
    a, b, c = three
    patch(client, a, run_after_job_id=b)
    patch(client, b, run_after_job_id=c)
    for last in (a, b, c):
        answer = patch(client, c, run_after_job_id=last)
        assert answer.status_code == 422
        assert codes(answer) == ["circle"]
        assert answer.json()["errors"][0]["field"] == "run_after_job_id"
    assert codes(patch(client, a, run_after_job_id=999)) == ["no_such_job"]


def test_a_paused_queue_starts_nothing_and_says_so(
    client: TestClient, database: Database, settings: Settings, three: list[int]
) -> None:
    assert client.get("/api/queue").json()["paused"] == []
    assert client.post("/api/queue/pause", json={}).json()["paused"] == ["all"]
    client.post("/api/queue/pause", json={"device": "cpu"})
    assert client.post("/api/queue/pause", json={}).json()["paused"] == ["all", "cpu"]
    assert claim(database, settings) is None
    assert client.get(f"/api/jobs/{three[0]}").json()["waits_for"] == "pause"
    assert client.post("/api/queue/resume", json={"device": "cpu"}).json()["paused"] == ["all"]
    assert claim(database, settings) is None
    assert client.post("/api/queue/resume", json={}).json()["paused"] == []
    assert claimed_ids(database, settings) == three


def test_a_paused_device_holds_its_own_jobs_only(
    client: TestClient, database: Database, settings: Settings, three: list[int]
) -> None:
    client.post("/api/queue/pause", json={"device": "GPU-1234"})
    assert claimed_ids(database, settings) == three


def test_a_job_s_own_page_hears_of_a_pause_and_of_its_end(
    client: TestClient, database: Database, three: list[int]
) -> None:
    page = Topics(job_ids=frozenset({three[2]}))
    for deed, waits_for in (("pause", "pause"), ("resume", "device")):
        with database.read() as session:
            before = newest_id(session)
        client.post(f"/api/queue/{deed}", json={})
        with database.read() as session:
            [news] = read_news(session, page, before).news
        assert (news.name, json.loads(news.json)["waits_for"]) == ("job", waits_for)


def test_positions_beyond_those_told_one_by_one_are_to_be_fetched_anew(
    database: Database, three: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard_of_a_start(told: int) -> list[tuple[str, str]]:
        monkeypatch.setattr(feed, "ANNOUNCED_POSITIONS", told)
        with database.write() as session:
            before = newest_id(session)
            feed.announce_queue(session, except_job=three[0])
        with database.read() as session:
            heard = read_news(session, Topics(queue=True), before).news
        return [(one.name, one.json if one.name == "queue" else "") for one in heard]

    assert heard_of_a_start(told=3) == [("job", ""), ("job", "")]
    assert heard_of_a_start(told=1) == [("job", ""), ("queue", '{"paused": []}')]


def test_a_job_is_told_of_when_the_one_that_it_waited_for_has_completed(
    client: TestClient, database: Database, three: list[int]
) -> None:
    a, b, c = three
    patch(client, a, run_after_job_id=b)
    put(database, b, JobStatus.RUNNING)
    with database.read() as session:
        before = newest_id(session)
    with database.write() as session:
        running, completed = JobStatus.RUNNING, JobStatus.COMPLETED
        assert move(session, b, from_status=running, to_status=completed, reason="done")
    with database.read() as session:
        heard = read_news(session, Topics(queue=True), before).news
    said = {news.job_id: json.loads(news.json) for news in heard}
    assert said.keys() == {a, b}, f"{c} waited for nothing that ended"
    assert said[a]["waits_for"] == "device"


def test_what_runs_cannot_be_moved_or_placed(
    client: TestClient, database: Database, three: list[int]
) -> None:
    a, b, _ = three
    put(database, a, JobStatus.RUNNING)
    for answer in (
        client.post(f"/api/jobs/{a}/move", json={}),
        client.post(f"/api/jobs/{b}/move", json={"before_job_id": a}),
        patch(client, a, priority=1),
    ):
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["params"]["status"] == "running"
    assert queue_of(client) == three[1:], "nothing was moved"


def test_a_job_is_queued_to_go_on_from_a_chosen_checkpoint(
    client: TestClient, database: Database, settings: Settings, three: list[int]
) -> None:
    a = three[0]
    put(database, a, JobStatus.STOPPED)
    for step in (5, 10):
        JobFolder(settings.output_dir, "a").checkpoint(step).mkdir(parents=True)
    refused = client.post(f"/api/jobs/{a}/queue", json={"resume_from_step": 7})
    assert codes(refused) == ["no_such_checkpoint"]
    assert "5, 10" in refused.json()["errors"][0]["hint"]
    assert client.get(f"/api/jobs/{a}").json()["status"] == "stopped", "nothing was queued"
    queued = client.post(f"/api/jobs/{a}/queue", json={"resume_from_step": 5, "priority": 1})
    assert queued.json()["queue_position"] == 1
    claimed = claim(database, settings)
    assert claimed is not None
    assert (claimed.job_id, claimed.resume_from_step) == (a, 5)
