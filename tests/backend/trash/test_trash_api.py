"""Deleting with undo: jobs, checkpoints, expiry, and what stands in the way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from backend.db.engine import Database
from backend.db.models import Checkpoint, Job, Run
from backend.jobs.status import JobStatus
from backend.runs.outcome import Outcome
from backend.runs.settle import settle
from backend.settings import Settings
from backend.trash import entries
from backend.trash.deletion import delete_as_asked, jobs_to_delete
from backend.worker.deletions import TROUBLE_SECONDS, Deletions
from backend.worker.presence import Presence
from tests.backend.installation import job_config
from tests.backend.jobs.test_jobs_api import codes, create, put
from tests.backend.rescan.test_rescan import everything, make_job, without_ids, write_run
from trainer import folder_lock
from trainer.job_folder import JobFolder


@pytest.fixture
def style(client: TestClient, settings: Settings) -> JobFolder:
    """A job that completed, in the database and on the disk."""
    folder = make_job(settings, "style")
    write_run(folder, 1, begin=None, last=10, outcome="completed")
    client.post("/api/system/rescan")
    return folder


def trash(client: TestClient) -> list[dict[str, Any]]:
    return client.get("/api/trash").json()["items"]


def restore(client: TestClient, entry: dict[str, Any]) -> Any:
    return client.post(f"/api/trash/{entry['id']}/restore")


def checkpoints(client: TestClient) -> list[dict[str, Any]]:
    return client.get("/api/jobs/1/checkpoints").json()["items"]


def end_run(database: Database, job_id: int) -> None:
    """What the worker does when the trainer is gone."""
    with database.write() as session:
        job = session.get_one(Job, job_id)
        run = session.scalars(select(Run).where(Run.job_id == job_id)).one()
        outcome = Outcome(JobStatus.STOPPED, "the trainer stopped")
        settle(session, job, run, outcome, 3, ended_at=datetime.now(UTC))


def test_a_deleted_job_comes_back_as_it_was(client: TestClient, style: JobFolder) -> None:
    before = everything(client)
    assert client.delete("/api/jobs/1?files=true").status_code == 204
    assert not style.path.exists()
    (entry,) = trash(client)
    assert (entry["kind"], entry["training_name"]) == ("job", "style")
    assert entry["size_bytes"] > 0
    kept = datetime.fromisoformat(entry["expires_at"]) - datetime.fromisoformat(entry["deleted_at"])
    assert kept == timedelta(days=30)
    answer = restore(client, entry)
    assert answer.status_code == 200, answer.text
    assert without_ids(everything(client)) == without_ids(before)
    assert trash(client) == []
    assert codes(restore(client, entry)) == ["not_in_trash"]


def test_a_draft_without_files_can_be_taken_back_too(client: TestClient) -> None:
    create(client, {"job": {"training_name": "idea"}, "training": {"steps": "many"}})
    client.delete("/api/jobs/1")
    (entry,) = trash(client)
    job_id = restore(client, entry).json()["job_id"]
    job = client.get(f"/api/jobs/{job_id}").json()
    assert (job["status"], job["config"]["training"]) == ("draft", {"steps": "many"})


def test_a_job_can_be_removed_and_its_files_kept(client: TestClient, style: JobFolder) -> None:
    client.delete("/api/jobs/1")
    assert style.result.is_file()
    assert trash(client) == []
    assert client.post("/api/system/rescan").json()["brought_back"] == ["style"]


@pytest.mark.parametrize("has_files", [True, False])
def test_a_job_whose_name_is_taken_meanwhile_is_not_restored(
    client: TestClient, settings: Settings, style: JobFolder, has_files: bool
) -> None:
    client.delete("/api/jobs/1?files=true")
    if has_files:
        style.path.mkdir()
    else:
        create(client, job_config("STYLE"))
    (entry,) = trash(client)
    answer = restore(client, entry)
    assert (answer.status_code, codes(answer)) == (409, ["job_name_taken"])
    assert "style" in answer.json()["errors"][0]["message"]
    assert len(trash(client)) == 1, "it is still there"


def test_one_checkpoint_is_deleted_and_comes_back_with_what_was_known_of_it(
    client: TestClient, style: JobFolder
) -> None:
    before = checkpoints(client)
    assert [(c["step"], c["is_final"]) for c in before] == [(5, False), (10, False), (10, True)]
    for row in (before[0], before[2]):
        answer = client.delete(f"/api/jobs/1/checkpoints/{row['id']}")
        assert answer.json()["step"] == row["step"]
        assert answer.json()["is_final"] == row["is_final"]
    assert [c["id"] for c in checkpoints(client)] == [before[1]["id"]]
    assert (style.checkpoint_steps(), style.result.exists()) == ([10], False)
    assert client.get("/api/jobs/1").json()["resumable_from_steps"] == [10]
    for entry in trash(client):
        assert restore(client, entry).json() == {"job_id": 1}
    assert without_ids(checkpoints(client)) == without_ids(before)
    moments = [[row["created_at"] for row in rows] for rows in (checkpoints(client), before)]
    assert moments[0] == moments[1], "when it was saved, not when it came back"
    assert (style.checkpoint_steps(), style.result.exists()) == ([5, 10], True)


def test_the_best_and_the_result_that_is_its_lora_come_back_as_the_best(
    client: TestClient, database: Database, style: JobFolder
) -> None:
    with database.write() as session:
        session.execute(
            update(Checkpoint)
            .where(Checkpoint.step == 10)
            .values(is_best=True, preservation_loss=0.25)
        )
    before = checkpoints(client)
    for row in before[1:]:
        client.delete(f"/api/jobs/1/checkpoints/{row['id']}")
    for entry in trash(client):
        restore(client, entry)
    assert without_ids(checkpoints(client)) == without_ids(before)
    assert [c["is_best"] for c in before] == [False, True, True]


def test_a_checkpoint_is_refused_to_a_job_that_runs_is_gone_or_has_another(
    client: TestClient, style: JobFolder
) -> None:
    first = checkpoints(client)[0]
    entry = client.delete(f"/api/jobs/1/checkpoints/{first['id']}").json()
    style.checkpoint(5).mkdir()
    assert codes(restore(client, entry)) == ["checkpoint_exists"]
    style.checkpoint(5).rmdir()
    client.delete("/api/jobs/1?files=true")
    assert codes(restore(client, entry)) == ["job_is_gone"]
    assert len(trash(client)) == 2


@pytest.mark.parametrize("of_result", [False, True])
def test_a_checkpoint_of_a_branch_that_was_left_meanwhile_does_not_become_the_newest_again(
    client: TestClient, style: JobFolder, of_result: bool
) -> None:
    newest, result = checkpoints(client)[1:]
    entry, other = (
        client.delete(f"/api/jobs/1/checkpoints/{row['id']}").json()
        for row in ((result, newest) if of_result else (newest, result))
    )
    write_run(style, 2, begin=5, last=7, outcome="stopped")
    client.post("/api/system/rescan")
    answer = restore(client, entry)
    assert (answer.status_code, codes(answer)) == (409, ["checkpoint_of_another_branch"])
    (problem,) = answer.json()["errors"]
    assert "step 10 cannot go back into style: run 2 went on from step 5" in problem["message"]
    assert Path(problem["params"]["path"]).exists()
    assert problem["params"]["path"] in problem["hint"]
    assert (style.checkpoint_steps(), style.result.exists()) == ([5], False)
    assert {left["id"] for left in trash(client)} == {entry["id"], other["id"]}


@pytest.mark.parametrize("begin", [5, 10])
def test_the_checkpoint_that_a_later_run_went_on_from_can_be_taken_back(
    client: TestClient, style: JobFolder, begin: int
) -> None:
    row = next(c for c in checkpoints(client) if c["step"] == begin and not c["is_final"])
    write_run(style, 2, begin=begin, last=begin, outcome="stopped")
    client.post("/api/system/rescan")
    client.delete(f"/api/jobs/1/checkpoints/{row['id']}")
    assert begin not in style.checkpoint_steps()
    assert restore(client, trash(client)[0]).status_code == 200
    assert begin in style.checkpoint_steps()


def test_what_runs_keeps_its_checkpoints_and_what_waits_the_chosen_one(
    client: TestClient, database: Database, style: JobFolder
) -> None:
    first = checkpoints(client)[0]
    client.post("/api/jobs/1/queue", json={"resume_from_step": 5})
    answer = client.delete(f"/api/jobs/1/checkpoints/{first['id']}")
    assert codes(answer) == ["checkpoint_is_chosen"]
    put(database, 1, JobStatus.RUNNING, with_run=False)
    answer = client.delete(f"/api/jobs/1/checkpoints/{first['id']}")
    assert (answer.status_code, codes(answer)) == (409, ["wrong_state"])
    assert answer.json()["errors"][0]["params"]["status"] == "running"
    assert style.checkpoint_steps() == [5, 10]
    assert trash(client) == []


def test_what_is_purged_is_gone(client: TestClient, settings: Settings, style: JobFolder) -> None:
    row = checkpoints(client)[0]
    entry = client.delete(f"/api/jobs/1/checkpoints/{row['id']}").json()
    client.delete("/api/jobs/1?files=true")
    assert client.delete(f"/api/trash/{entry['id']}").status_code == 204
    assert [left["kind"] for left in trash(client)] == ["job"]
    assert client.delete("/api/trash").status_code == 204
    assert trash(client) == []
    assert list((settings.output_dir / ".trash").iterdir()) == []
    assert client.delete(f"/api/trash/{entry['id']}").status_code == 404


def age(entry: entries.Entry, days: float) -> None:
    note = json.loads((entry.path / entries.NOTE).read_text())
    note["deleted_at"] = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    (entry.path / entries.NOTE).write_text(json.dumps(note))


def thrown(output: Path, name: str) -> entries.Entry:
    (output / name).mkdir(parents=True)
    return entries.put(output, output / name, kind="job", training_name=name, known={})


def test_the_worker_purges_what_has_expired_and_follows_no_link(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    output = settings.output_dir
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    output.mkdir(exist_ok=True)
    (output / "linked").symlink_to(precious)
    linked = entries.put(output, output / "linked", kind="job", training_name="linked", known={})
    inside = thrown(output, "inside")
    (inside.content / "link").symlink_to(precious)
    fresh = thrown(output, "fresh")
    for entry in (linked, inside):
        age(entry, days=30.1)
    age(fresh, days=29.9)
    (output / ".trash" / "elsewhere-20200101-000000-000000").symlink_to(precious)
    (output / ".trash" / "of a person").mkdir()
    clock = [0.0]
    presence = Presence(database, settings, lambda: clock[0])
    presence.sign_on()
    clock[0] = 1000.0
    presence.beat()
    left = sorted(path.name for path in (output / ".trash").iterdir())
    assert left == ["elsewhere-20200101-000000-000000", fresh.id, "of a person"]
    assert (precious / "file").read_text() == "x"


def test_nothing_expires_where_the_setting_says_so(tmp_path: Path) -> None:
    entry = thrown(tmp_path, "old")
    age(entry, days=10_000)
    assert entries.purge_expired(tmp_path, days=0, now=datetime.now(UTC)) == []
    assert len(entries.purge_expired(tmp_path, days=1, now=datetime.now(UTC))) == 1


def test_a_trash_that_is_a_link_is_refused_before_anything_moves(
    client: TestClient, settings: Settings, style: JobFolder, tmp_path: Path
) -> None:
    (settings.output_dir / ".trash").symlink_to(tmp_path)
    answer = client.delete("/api/jobs/1?files=true")
    assert codes(answer) == ["trash_is_a_link"]
    assert style.path.is_dir()
    assert client.get("/api/jobs/1").status_code == 200


def test_a_note_that_leads_elsewhere_is_no_entry(tmp_path: Path) -> None:
    entry = thrown(tmp_path, "style")
    note = json.loads((entry.path / entries.NOTE).read_text())
    for path in ("../style", "style/../../x", "/style", "other"):
        (entry.path / entries.NOTE).write_text(json.dumps(note | {"path": path}))
        assert entries.entries(tmp_path) == []
    (entry.path / entries.NOTE).write_text(json.dumps(note))
    assert [found.id for found in entries.entries(tmp_path)] == [entry.id]


@pytest.mark.parametrize("status", [JobStatus.STARTING, JobStatus.RUNNING, JobStatus.STOPPING])
@pytest.mark.parametrize("files", [True, False])
def test_a_job_that_runs_is_stopped_first_and_deleted_once_it_has_ended(
    client: TestClient, database: Database, settings: Settings, status: JobStatus, files: bool
) -> None:
    create(client, job_config(), queue=True)
    put(database, 1, status)
    folder = JobFolder(settings.output_dir, "style")
    folder.samples.mkdir(parents=True)
    answer = client.delete(f"/api/jobs/1?files={files}")
    assert answer.status_code == 202
    assert answer.json() == {"job_id": 1, "status": "stopping", "files": files}
    job = client.get("/api/jobs/1").json()
    assert (job["status"], job["is_being_deleted"]) == ("stopping", True)
    assert not delete_as_asked(database, settings, 1), "its trainer may still write"
    end_run(database, 1)
    with database.read() as session:
        assert jobs_to_delete(session) == [1]
    assert delete_as_asked(database, settings, 1)
    assert not delete_as_asked(database, settings, 1), "another worker that comes late"
    assert client.get("/api/jobs/1").status_code == 404
    assert folder.path.exists() is not files
    assert [entry["training_name"] for entry in trash(client)] == ["style"] * files


def test_asked_twice_to_delete_a_job_that_runs_the_last_word_about_its_files_counts(
    client: TestClient, database: Database, settings: Settings
) -> None:
    create(client, job_config(), queue=True)
    put(database, 1, JobStatus.RUNNING)
    JobFolder(settings.output_dir, "style").samples.mkdir(parents=True)
    client.delete("/api/jobs/1?files=true")
    assert client.delete("/api/jobs/1?files=false").json()["files"] is False
    end_run(database, 1)
    delete_as_asked(database, settings, 1)
    assert trash(client) == []


def test_what_is_being_deleted_is_not_queued_or_changed_meanwhile(
    client: TestClient, database: Database
) -> None:
    create(client, job_config(), queue=True)
    put(database, 1, JobStatus.RUNNING)
    client.delete("/api/jobs/1")
    end_run(database, 1)
    for answer in (
        client.post("/api/jobs/1/queue"),
        client.patch("/api/jobs/1", json={"config": job_config()}),
    ):
        assert (answer.status_code, codes(answer)) == (409, ["wrong_state"])
        assert "being deleted" in answer.json()["errors"][0]["message"]
    assert client.delete("/api/jobs/1").status_code == 204, "nobody has to wait for a worker"


def test_trouble_with_the_trash_keeps_the_job_and_is_tried_again(
    client: TestClient, database: Database, settings: Settings
) -> None:
    create(client, job_config(), queue=True)
    put(database, 1, JobStatus.RUNNING)
    folder = JobFolder(settings.output_dir, "style")
    folder.samples.mkdir(parents=True)
    client.delete("/api/jobs/1?files=true")
    end_run(database, 1)
    (settings.output_dir / entries.TRASH).write_text("a file where the trash should be")
    seconds = [100.0]
    deletions = Deletions(database, settings, clock=lambda: seconds[0])
    deletions.carry_out()
    assert client.get("/api/jobs/1").json()["is_being_deleted"]
    answer = client.delete("/api/jobs/1?files=true")
    assert (answer.status_code, codes(answer)) == (409, ["trash_unusable"])
    assert folder.samples.exists()
    (settings.output_dir / entries.TRASH).unlink()
    deletions.carry_out()
    assert client.get("/api/jobs/1").status_code == 200, "not at once, or the log is flooded"
    seconds[0] += TROUBLE_SECONDS
    deletions.carry_out()
    assert client.get("/api/jobs/1").status_code == 404
    assert not folder.path.exists()


def test_a_folder_that_a_trainer_holds_is_not_taken_from_under_it(
    client: TestClient, style: JobFolder
) -> None:
    with folder_lock.held(style.lock):
        answer = client.delete("/api/jobs/1?files=true")
        assert (answer.status_code, codes(answer)) == (409, ["wrong_state"])
        params = answer.json()["errors"][0]["params"]
        assert (params["status"], params["job_id"]) == ("completed", 1)
        assert style.result.is_file()
    assert client.delete("/api/jobs/1?files=true").status_code == 204
