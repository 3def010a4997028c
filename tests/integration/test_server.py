"""The real server as a process: streams, signals, and the worker beside it."""

from __future__ import annotations

import json
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import psutil

from backend.db.engine import Database
from backend.jobs.feed import announce, announce_job
from backend.jobs.service import create_job, stop_job
from backend.jobs.status import JobStatus
from backend.settings import Settings
from tests.backend.installation import job_config
from tests.integration.processes import (
    DEADLINE_SECONDS,
    add_job,
    end,
    eventually,
    job_of,
    last_run_of,
    program,
    server,
    until_status,
)
from tests.server_sent_events import events_of


def listen(address: str, topics: str, last_event_id: int | None = None) -> Any:
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    url = f"{address}/api/events"
    timeout = httpx.Timeout(DEADLINE_SECONDS)
    return httpx.stream("GET", url, params={"topics": topics}, headers=headers, timeout=timeout)


def steps(number: int) -> dict[str, Any]:
    return {"job_id": 1, "items": [{"step": number}]}


def test_a_stream_that_was_cut_goes_on_without_a_gap_and_without_a_double(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = create_job(database, settings, job_config(), queue=False).id

    def tell(first: int, last: int) -> None:
        for number in range(first, last):
            with database.write() as session:
                announce(session, "steps", job_id, steps(number))
                announce(session, "steps", job_id + 1, {"not": "for us"})

    heard: list[int] = []
    with server(tmp_path) as (_, address):
        last_id: int | None = None
        told = 0
        for _ in range(3):
            with listen(address, f"job:{job_id}", last_id) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                stream = events_of(answer)
                number, name, _ = next(stream)
                assert name == "open"
                if last_id is not None:
                    assert number == last_id
                tell(told, told + 20)
                told += 20
                # Cut it in the middle: the rest must come with the next stream.
                wanted = told - 10
                while not heard or heard[-1] < wanted:
                    number, name, data = next(stream)
                    assert name == "steps"
                    heard.append(data["items"][0]["step"])
                    last_id = number
            tell(told, told + 5)  # while nobody listens
            told += 5
        with listen(address, f"job:{job_id}", last_id) as answer:
            for _, name, data in events_of(answer):
                if name == "steps":
                    heard.append(data["items"][0]["step"])
                if heard[-1] == told - 1:
                    break
    assert heard == list(range(told))


def test_a_page_hears_of_every_job_on_the_queue_topic_and_of_the_worker_on_system(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    with server(tmp_path) as (_, address), listen(address, "queue,system") as answer:
        # The machine's load is told every few seconds, between whatever else happens.
        stream = (event for event in events_of(answer) if event[1] != "load")
        assert next(stream)[1] == "open"
        _, name, data = next(stream)
        assert (name, data["worker"]["alive"]) == ("system", False)
        created = httpx.post(f"{address}/api/jobs", json={"config": job_config()})
        assert created.status_code == 201
        number, name, data = next(stream)
        assert name == "job"
        assert number is not None
        assert data == {key: created.json()[key] for key in data}
        httpx.delete(f"{address}/api/jobs/{created.json()['id']}")
        assert next(stream)[1:] == ("job_deleted", {"id": created.json()["id"]})
        with program(tmp_path, "backend.worker"):
            _, name, data = next(stream)
        assert (name, data["worker"]["alive"]) == ("system", True)
        assert "cpu" in [device["id"] for device in data["devices"]]


def test_an_answer_says_how_far_the_news_had_come_and_holds_all_of_it(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    with server(tmp_path) as (_, address):
        for created in range(1, 6):
            create_job(database, settings, job_config(name=f"style-{created}"), queue=False)
            with listen(address, "queue") as answer:
                newest, name, _ = next(events_of(answer))
                assert name == "open"
                assert newest is not None
            jobs = eventually(
                lambda newest=newest: (
                    answer
                    if int((answer := httpx.get(f"{address}/api/jobs")).headers["Darkroom-News"])
                    >= newest
                    else None
                ),
                "an answer as new as the stream",
            )
            assert len(jobs.json()["items"]) == created
            assert int(jobs.headers["Darkroom-News"]) == newest, "nothing was made up"


def test_a_number_that_the_feed_has_forgotten_is_answered_with_reset(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    with server(tmp_path) as (_, address):
        with listen(address, "queue", last_event_id=4711) as answer:
            assert next(events_of(answer))[1] == "reset"
        answer = httpx.get(f"{address}/api/events", params={"topics": "queue,job:x"})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "topics"


def test_the_server_ends_at_once_although_streams_are_open(
    tmp_path: Path, settings: Settings
) -> None:
    with server(tmp_path) as (child, address), listen(address, "queue") as answer:
        stream = events_of(answer)
        next(stream)
        ended = threading.Event()
        reader = threading.Thread(target=lambda: (list(stream), ended.set()))
        reader.start()
        output = end(child, signal.SIGINT)
        assert ended.wait(DEADLINE_SECONDS), "the stream ends, too"
        reader.join()
    assert child.returncode == 0
    assert "Traceback" not in output


def test_a_server_that_is_started_again_serves_a_job_that_ran_meanwhile(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    with program(tmp_path, "backend.worker"):
        job_id = add_job(database, settings, behaviour="wait")
        with server(tmp_path) as (child, address):
            eventually(lambda: job_of(database, job_id).step == 5, "half of the steps")
            cursor = httpx.get(f"{address}/api/jobs/{job_id}").json()
            assert cursor["status"] == "running"
            end(child)
        with server(tmp_path) as (_, address):
            answer = httpx.post(f"{address}/api/jobs/{job_id}/stop").json()
            assert answer["status"] == "stopping"
            until_status(database, job_id, JobStatus.STOPPED)
            final = httpx.get(f"{address}/api/jobs/{job_id}").json()
            assert (final["status"], final["step"]) == ("stopped", 5)


def test_up_runs_both_and_ctrl_c_ends_both_while_the_training_goes_on(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    with server(tmp_path, "up") as (child, address):
        job_id = httpx.post(
            f"{address}/api/jobs", json={"config": job_config(behaviour="wait"), "queue": True}
        ).json()["id"]
        eventually(lambda: job_of(database, job_id).step == 5, "half of the steps")
        workers = [
            p for p in psutil.Process(child.pid).children() if "backend.worker" in p.cmdline()
        ]
        assert len(workers) == 1
        # The worker is killed: it is started again and finds its training.
        workers[0].kill()
        stop_job(database, settings, job_id)
        until_status(database, job_id, JobStatus.STOPPED)
        httpx.post(f"{address}/api/jobs/{job_id}/queue").raise_for_status()
        eventually(lambda: job_of(database, job_id).step == 6, "a step of the next run")
        output = end(child, signal.SIGINT)
    assert child.returncode == 0
    assert "Still training, without the page: style" in output
    trainer = last_run_of(database, job_id).process_id
    assert trainer is not None
    assert psutil.pid_exists(trainer)
    stop_job(database, settings, job_id)
    with program(tmp_path, "backend.worker"):
        until_status(database, job_id, JobStatus.STOPPED)


def test_a_port_in_use_is_said_with_its_cure(tmp_path: Path, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with program(tmp_path, "backend.cli", "up", port=port) as child:
            output, _ = child.communicate(timeout=DEADLINE_SECONDS)
    assert child.returncode == 2
    assert f"127.0.0.1:{port} is in use" in output
    assert f"DARKROOM_PORT={port + 1}" in output


def test_another_address_without_a_token_does_not_start(tmp_path: Path) -> None:
    with program(tmp_path, "backend.cli", "serve", host="0.0.0.0") as child:
        output, _ = child.communicate(timeout=DEADLINE_SECONDS)
    assert child.returncode == 2
    assert "DARKROOM_TOKEN" in output
    assert "Traceback" not in output


def test_queue_adds_a_job_file_once(tmp_path: Path, database: Database, settings: Settings) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps(job_config("from-file")))
    for expected in ("from-file is queued.", "from-file is there already (queued)."):
        with program(tmp_path, "backend.cli", "queue", str(file)) as child:
            output, _ = child.communicate(timeout=DEADLINE_SECONDS)
        assert child.returncode == 0, output
        assert expected in output
    file.write_text(json.dumps(job_config("bad", training={"steps": 0})))
    with program(tmp_path, "backend.cli", "queue", str(file)) as child:
        output, _ = child.communicate(timeout=DEADLINE_SECONDS)
    assert child.returncode == 2
    assert "training.steps" in output


def test_a_stream_tells_a_job_that_changed_often_once_and_as_it_is_now(
    tmp_path: Path, database: Database, settings: Settings
) -> None:
    job_id = create_job(database, settings, job_config(), queue=False).id
    with server(tmp_path) as (_, address):
        with listen(address, "queue") as answer:
            first, _, _ = next(events_of(answer))
            assert first is not None
        with database.write() as session:
            for _ in range(50):
                announce_job(session, job_id)
                session.flush()
        with listen(address, "queue", last_event_id=first) as answer:
            stream = events_of(answer)
            assert next(stream)[1] == "open"
            number, name, _ = next(stream)
            assert (number, name) == (first + 50, "job")
