"""Hooks told of what happens: a real web server, real commands."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from backend.db.engine import Database
from backend.db.models import HookDelivery, Job
from backend.errors import BadSettings
from backend.hooks import outbox
from backend.hooks.sender import HookSender
from backend.main import create_app
from backend.settings import Settings, read_settings
from tests.backend.hooks.receiver import Receiver, bare_socket, receiver
from tests.backend.installation import settings_in


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiver() as state:
        yield state


def hooked(tmp_path: Path, database: Database, **more: Any) -> Settings:
    """Settings of the test's installation with hooks; attempts follow at once."""
    return settings_in(tmp_path, hook_retry_seconds=0.001, **more)


def note(database: Database, settings: Settings, event: str = "finished", times: int = 1) -> None:
    with database.write() as session:
        job = session.scalar(select(Job))
        if job is None:
            job = Job(training_name="style", config={}, step=7)
            session.add(job)
            session.flush()
        for number in range(times):
            outbox.note(session, settings, event, job, number=number)  # type: ignore[arg-type]


def rows(database: Database) -> list[HookDelivery]:
    with database.read() as session:
        return list(session.scalars(select(HookDelivery).order_by(HookDelivery.id)))


def send_all(settings: Settings, database: Database) -> None:
    """Until nothing waits any more."""
    sender = HookSender(settings, database)
    while any(row.settled_at is None for row in rows(database)):
        sender.send_next()


def test_a_webhook_gets_the_event_the_job_and_a_signature(
    tmp_path: Path, database: Database, server: Receiver
) -> None:
    settings = hooked(tmp_path, database, hook_url=server.address, hook_secret="key")
    note(database, settings)
    send_all(settings, database)
    ((headers, body),) = server.received
    said = json.loads(body)
    assert (said["event"], said["job"]["training_name"], said["job"]["step"]) == (
        "finished",
        "style",
        7,
    )
    expected = hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert headers["Darkroom-Signature"] == f"sha256={expected}"
    assert headers["Darkroom-Delivery"] == str(said["id"])
    (row,) = rows(database)
    assert (row.attempts, row.error) == (1, None)


def test_what_nobody_asked_for_is_not_noted(
    tmp_path: Path, database: Database, server: Receiver
) -> None:
    settings = hooked(tmp_path, database, hook_url=server.address, hook_events="failed,sample")
    note(database, settings, "finished")
    note(database, settings, "sample")
    assert [row.event for row in rows(database)] == ["sample"]
    without = hooked(tmp_path, database)
    note(database, without, "failed")
    assert len(rows(database)) == 1


def test_what_fails_is_tried_again_with_the_same_id_until_it_arrives(
    tmp_path: Path, database: Database, server: Receiver
) -> None:
    settings = hooked(tmp_path, database, hook_url=server.address)
    server.answers = [500, 302]
    note(database, settings)
    send_all(settings, database)
    assert len({headers["Darkroom-Delivery"] for headers, _ in server.received}) == 1
    assert len({body for _, body in server.received}) == 1
    (row,) = rows(database)
    assert (len(server.received), row.attempts, row.error) == (3, 3, None)


def test_pauses_double_and_after_the_last_attempt_it_is_given_up(
    tmp_path: Path, database: Database
) -> None:
    settings = hooked(tmp_path, database, hook_url="http://127.0.0.1:9/")
    note(database, settings)
    pauses = []
    for attempt in range(1, outbox.MOST_ATTEMPTS + 1):
        with database.write() as session:
            row = session.scalars(select(HookDelivery)).one()
            row.attempts = attempt
            again = outbox.settle(session, row.id, error="no", first_pause_seconds=5)
            if again is not None:
                pauses.append(round((again - row.created_at).total_seconds()))
    assert pauses[:4] == pytest.approx([5, 10, 20, 40], abs=2)
    assert max(pauses) <= outbox.LONGEST_PAUSE_SECONDS + 2
    assert len(pauses) == outbox.MOST_ATTEMPTS - 1
    assert rows(database)[0].settled_at is not None
    assert rows(database)[0].error == "no"


def test_a_clock_that_was_turned_back_by_a_day_holds_nothing_back(
    tmp_path: Path, database: Database, server: Receiver
) -> None:
    settings = hooked(tmp_path, database, hook_url=server.address)
    note(database, settings, times=2)
    with database.write() as session:
        first, second = session.scalars(select(HookDelivery).order_by(HookDelivery.id))
        first.next_try_at += timedelta(days=1)
        second.next_try_at += timedelta(minutes=50)
    sender = HookSender(settings, database)
    assert (sender.send_next(), sender.send_next()) == (True, False), "a pause may be as long"
    assert [row.attempts for row in rows(database)] == [1, 0]


def test_a_receiver_that_hangs_is_left_in_time(
    tmp_path: Path, database: Database, server: Receiver
) -> None:
    settings = hooked(tmp_path, database, hook_url=server.address, hook_timeout_seconds=0.3)
    server.hangs = True
    note(database, settings)
    began = time.monotonic()
    assert HookSender(settings, database).send_next()
    assert time.monotonic() - began < 20
    (row,) = rows(database)
    assert row.error == "no answer within 0.3 s"
    assert row.settled_at is None


@pytest.mark.parametrize(
    "answer",
    [b"\x15\x03\x03\x00\x02\x02\x46", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, b""],
    ids=["TLS", "a line without end", "nothing"],
)
def test_what_does_not_answer_in_http_is_an_attempt_that_failed(
    tmp_path: Path, database: Database, answer: bytes
) -> None:
    with bare_socket(answer) as address:
        settings = hooked(tmp_path, database, hook_url=address)
        note(database, settings)
        assert HookSender(settings, database).send_next()
    (row,) = rows(database)
    assert row.error is not None
    assert "secret-word" not in row.error
    assert (row.attempts, row.settled_at) == (1, None)


def test_a_note_that_cannot_be_sent_at_all_keeps_no_other_waiting(
    tmp_path: Path, database: Database, server: Receiver
) -> None:
    """A word with a NUL is no word of a command, and Popen says so in a way of its own."""
    settings = hooked(tmp_path, database, hook_url=server.address, hook_command="a\0b")
    note(database, settings)
    sender = HookSender(settings, database)
    sender.start()
    try:
        deadline = time.monotonic() + 60
        while not all(row.error or row.settled_at for row in rows(database)):
            assert time.monotonic() < deadline, "the notes wait"
            time.sleep(0.01)
    finally:
        sender.end()
    errors = {row.target: row.error for row in rows(database)}
    assert (errors["command"], errors["webhook"]) == ("it cannot be sent: ValueError", None)


def test_a_command_gets_the_event_and_none_of_our_secrets(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DARKROOM_TOKEN", "HF_TOKEN", "DARKROOM_HOOK_SECRET"):
        monkeypatch.setenv(name, "secret-word")
    script, out = tmp_path / "hook.py", tmp_path / "out.json"
    script.write_text(
        "import json, os, sys\n"
        "said = {'stdin': json.load(sys.stdin), 'environment': dict(os.environ)}\n"
        f"open({str(out)!r}, 'w').write(json.dumps(said))\n"
    )
    settings = hooked(tmp_path, database, hook_command=f"{sys.executable} {script}")
    note(database, settings)
    send_all(settings, database)
    said = json.loads(out.read_text())
    assert said["stdin"]["job"]["training_name"] == "style"
    assert said["environment"]["DARKROOM_EVENT"] == "finished"
    assert said["environment"]["DARKROOM_JOB"] == "style"
    assert "secret-word" not in out.read_text()


def test_a_command_that_fails_or_is_not_there_is_said_and_tried_again(
    tmp_path: Path, database: Database
) -> None:
    for command, error in (("false", "it ended with 1"), ("/nowhere/at-all", "cannot be started")):
        settings = hooked(tmp_path, database, hook_command=command)
        note(database, settings)
        HookSender(settings, database).send_next()
        row = rows(database)[-1]
        assert error in (row.error or "")
        assert row.settled_at is None
        with database.write() as session:
            session.query(HookDelivery).delete()


def test_a_command_that_does_not_end_is_ended_with_what_it_started(
    tmp_path: Path, database: Database
) -> None:
    script, ids = tmp_path / "hook.py", tmp_path / "ids"
    script.write_text(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(ids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)\n"
    )
    settings = hooked(
        tmp_path, database, hook_command=f"{sys.executable} {script}", hook_timeout_seconds=8
    )
    note(database, settings)
    HookSender(settings, database).send_next()
    assert rows(database)[0].error == "it did not end within 8 s"
    for number in map(int, ids.read_text().split()):
        deadline = time.monotonic() + 60
        while psutil.pid_exists(number) and _lives(number):
            assert time.monotonic() < deadline, "the command was left behind"
            time.sleep(0.01)


def _lives(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_two_workers_on_one_box_tell_each_note_once(
    tmp_path: Path, database: Database, server: Receiver
) -> None:
    settings = hooked(tmp_path, database, hook_url=server.address)
    note(database, settings, times=12)
    senders = [threading.Thread(target=send_all, args=(settings, database)) for _ in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    numbers = [json.loads(body)["number"] for _, body in server.received]
    assert sorted(numbers) == list(range(12))


def test_a_full_box_keeps_the_newest(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 3)
    settings = hooked(tmp_path, database, hook_url="http://127.0.0.1:9/")
    note(database, settings, times=5)
    assert [row.body["number"] for row in rows(database)] == [2, 3, 4]


def test_of_what_arrived_the_latest_are_remembered(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "KEPT_SETTLED", 2)
    settings = hooked(tmp_path, database, hook_command="true")
    note(database, settings, times=4)
    send_all(settings, database)
    assert [row.body["number"] for row in rows(database)] == [2, 3]


def test_neither_address_nor_secret_is_ever_sent_back(
    tmp_path: Path, database: Database, server: Receiver
) -> None:
    settings = hooked(
        tmp_path,
        database,
        hook_url=server.address,
        hook_secret="secret-word",
        hook_command="tell secret-word",
    )
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert client.post("/api/hooks/test").json() == {"num_hooks": 2}
        server.answers = [500]
        sender = HookSender(settings, database)
        assert sender.send_next()
        assert sender.send_next()
        answer = client.get("/api/hooks")
        state = answer.json()
        assert (state["webhook_set"], state["command_set"]) == (True, True)
        assert state["events"] == ["finished", "failed", "stalled"]
        assert sorted(row["error"] for row in state["deliveries"])[0] == "it answered 500"
        assert "secret-word" not in answer.text
        assert "secret-word" not in client.get("/api/system").text


def test_without_hooks_a_test_is_refused(client: TestClient, database: Database) -> None:
    answer = client.post("/api/hooks/test")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "no_hooks")
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(HookDelivery)) == 0


def test_an_address_that_is_none_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = ["file:///secret-word", "http://host:secret-word/", "http://host:99999/secret-word"]
    for address in [*addresses, "http://:80/secret-word", "http://[::1/secret-word"]:
        monkeypatch.setenv("DARKROOM_HOOK_URL", address)
        with pytest.raises(BadSettings, match="DARKROOM_HOOK_URL") as refusal:
            read_settings()
        assert "secret-word" not in str(refusal.value)
    monkeypatch.setenv("DARKROOM_HOOK_URL", "https://example.org/x")
    monkeypatch.setenv("DARKROOM_HOOK_EVENTS", "finished,everything")
    with pytest.raises(BadSettings, match="DARKROOM_HOOK_EVENTS"):
        read_settings()
