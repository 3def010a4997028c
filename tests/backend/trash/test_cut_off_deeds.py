"""Who deletes or restores is killed between disk and database: the next start settles it."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.settings import Settings
from backend.trash import entries, pictures, service
from backend.trash.deletion import delete_job
from backend.trash.settling import settle_all
from backend.worker.loop import Worker
from tests.backend.installation import job_config
from tests.backend.queue.puppets import Puppeteer, device
from tests.backend.rescan.test_rescan import everything, without_ids
from tests.backend.trash.test_trash_api import style, trash
from trainer.job_folder import JobFolder

__all__ = ["style"]  # a fixture of the neighbour's

EXIT_CODE = 9
KINDS = pytest.mark.parametrize("kind", ["job", "checkpoint", "picture"])


class Killed(BaseException):
    """In place of SIGKILL."""


def killed(
    settings: Settings, database: Database, deed: Callable[..., Any], *words: Any, point: str
) -> None:
    """Do it, be killed right before `point`, and tidy nothing up."""

    def die(*_: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        if point == "commit":
            patch.setattr(entries, "put_back", lambda *_: None)  # nobody lives to undo it
            patch.setattr(entries, "move_in", lambda *_: None)
            event.listen(Session, "before_commit", die)
        else:
            patch.setattr(entries, point, die)
        try:
            with pytest.raises(Killed):
                deed(database, settings, *words)
        finally:
            if point == "commit":
                event.remove(Session, "before_commit", die)


def delete_and_be_killed(settings: Settings) -> None:
    """In a process of its own, which really dies."""
    event.listen(Session, "before_commit", lambda _: os._exit(EXIT_CODE))
    delete_with_files(Database(settings.database_url), settings, 1)


def delete_with_files(database: Database, settings: Settings, job_id: int) -> None:
    delete_job(database, settings, job_id, files=True)


def deletion(client: TestClient, kind: str) -> tuple[Callable[..., Any], list[int]]:
    """What deletes the first of that kind."""
    if kind == "job":
        return delete_with_files, [1]
    if kind == "checkpoint":
        first = client.get("/api/jobs/1/checkpoints").json()["items"][0]
        return service.delete_checkpoint, [1, first["id"]]
    first = client.get("/api/jobs/1/samples").json()["items"][0]
    return pictures.delete_picture, [1, first["id"]]


def files_of(folder: JobFolder) -> set[str]:
    return {str(path.relative_to(folder.path)) for path in folder.path.rglob("*")}


@KINDS
@pytest.mark.parametrize("point", ["move", "commit"])
def test_a_deletion_that_was_cut_off_is_taken_back(
    client: TestClient,
    settings: Settings,
    database: Database,
    style: JobFolder,
    kind: str,
    point: str,
) -> None:
    before, files = everything(client), files_of(style)
    deed, words = deletion(client, kind)
    killed(settings, database, deed, *words, point=point)
    assert len(trash(client)) == 1
    settle_all(database, settings)
    assert trash(client) == []
    assert everything(client) == before
    assert files_of(style) == files


@KINDS
@pytest.mark.parametrize("point", ["commit", "purge"])
def test_a_restoration_that_was_cut_off_is_finished(
    client: TestClient,
    settings: Settings,
    database: Database,
    style: JobFolder,
    kind: str,
    point: str,
) -> None:
    before, files = everything(client), files_of(style)
    deed, words = deletion(client, kind)
    deed(database, settings, *words)
    (entry,) = trash(client)
    killed(settings, database, service.restore, entry["id"], point=point)
    settle_all(database, settings)
    assert trash(client) == []
    assert without_ids(everything(client)) == without_ids(before)
    assert files_of(style) == files


def test_a_draft_whose_restoration_was_cut_off_is_not_offered_again(
    client: TestClient, settings: Settings, database: Database
) -> None:
    """It has no files, so that only the moment at which it was made says that it is back."""
    made = client.post("/api/jobs", json={"config": job_config("idea")}).json()
    delete_with_files(database, settings, made["id"])
    (entry,) = trash(client)
    killed(settings, database, service.restore, entry["id"], point="purge")
    settle_all(database, settings)
    assert trash(client) == []
    (idea,) = client.get("/api/jobs").json()["items"]
    assert (idea["training_name"], idea["created_at"]) == ("idea", made["created_at"])


def test_what_was_deleted_and_restored_to_the_end_is_left_alone(
    client: TestClient, settings: Settings, database: Database, style: JobFolder
) -> None:
    """Also where another thing has its place by now, or none that is known."""
    for kind in ("picture", "checkpoint", "job"):
        deed, words = deletion(client, kind)
        deed(database, settings, *words)
    client.post("/api/jobs", json={"config": {"job": {"training_name": "style"}}})
    client.post("/api/jobs", json={"config": {"job": {"training_name": "idea"}}})
    ideas = [job["id"] for job in client.get("/api/jobs").json()["items"]]
    client.delete(f"/api/jobs/{max(ideas)}")
    style.checkpoint(5).mkdir(parents=True)
    before = (trash(client), everything(client), files_of(style))
    assert len(before[0]) == 4
    settle_all(database, settings)
    assert (trash(client), everything(client), files_of(style)) == before


def test_a_waiting_job_whose_deletion_was_cut_off_starts_with_its_files(
    client: TestClient, settings: Settings, database: Database, style: JobFolder
) -> None:
    """Its worker need not wait until somebody starts the server again."""
    client.post("/api/jobs/1/queue")
    assert client.get("/api/jobs/1").json()["status"] == "queued"
    killed(settings, database, delete_with_files, 1, point="commit")
    assert not style.path.exists()
    puppeteer = Puppeteer()
    worker = Worker(
        settings, database, puppeteer, clock=lambda: 0.0, ask_devices=lambda: [device("cpu")]
    )
    worker.sign_on()
    worker.turn()
    (puppet,) = puppeteer.living
    assert style.checkpoint_steps() == [5, 10]
    puppet.end(0)


def test_a_deletion_that_a_killed_worker_began_is_done_once(
    client: TestClient, settings: Settings, database: Database, style: JobFolder
) -> None:
    killed(settings, database, delete_with_files, 1, point="commit")
    with database.write() as session:
        session.connection().exec_driver_sql("UPDATE jobs SET delete_request = 'with_files'")
    worker = Worker(
        settings, database, Puppeteer(), clock=lambda: 0.0, ask_devices=lambda: [device("cpu")]
    )
    worker.sign_on()
    worker.turn()
    (entry,) = trash(client)
    assert entry["size_bytes"] > 0
    assert not style.path.exists()
    assert client.get("/api/jobs").json()["items"] == []


def test_the_server_settles_the_trash_when_it_starts(
    client: TestClient, settings: Settings, style: JobFolder
) -> None:
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=delete_and_be_killed, args=(settings,))
    process.start()
    process.join()
    assert process.exitcode == EXIT_CODE
    assert not style.path.exists()
    with TestClient(client.app):
        assert style.path.exists()


@pytest.mark.parametrize("lost", ["config", "job_id", "created_at"])
def test_a_note_that_was_changed_by_hand_stops_nothing(
    client: TestClient, settings: Settings, database: Database, style: JobFolder, lost: str
) -> None:
    delete_with_files(database, settings, 1)
    (entry,) = entries.entries(settings.output_dir)
    entries.move_back(settings.output_dir, entry)  # and then it was killed
    note = entry.path / entries.NOTE
    said = json.loads(note.read_text())
    del said["known"][lost]
    note.write_text(json.dumps(said))
    settle_all(database, settings)
    assert style.checkpoint_steps() == [5, 10]
