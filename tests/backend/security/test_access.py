from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.main import create_app
from backend.security.hosts import host_is_known, origin_is_own
from backend.settings import Settings
from tests.backend.installation import settings_in

TOKEN = "a-token-for-this-test"


@pytest.fixture
def guarded(settings: Settings) -> Iterator[TestClient]:
    """A server on every address, with a token."""
    app = create_app(
        settings_in(
            settings.database_file.parent,
            token=TOKEN,
            host="0.0.0.0",
            allowed_hosts="studio.example",
        )
    )
    with TestClient(app, base_url="http://192.168.1.5:8600") as client:
        yield client


def all_get_paths(client: TestClient) -> list[str]:
    app = client.app
    paths = app.openapi()["paths"]  # pyright: ignore[reportAttributeAccessIssue]
    numbered = {"{job_id}": "1", "{sample_id}": "1", "{checkpoint_id}": "1", "{name}": "shapes"}
    found = []
    for path, methods in paths.items():
        for placeholder, value in numbered.items():
            path = path.replace(placeholder, value)
        if "get" in methods:
            found.append(path.replace("{file}", "picture-0.png"))
    return found


def test_without_the_token_every_route_but_health_answers_401(guarded: TestClient) -> None:
    paths = [*all_get_paths(guarded), "/openapi.json", "/api", "/api/nothing"]
    assert len(paths) > 12
    for path in paths:
        answer = guarded.get(path)
        expected = 200 if path == "/api/health" else 401
        assert answer.status_code == expected, path
        if expected == 401:
            assert answer.json()["errors"][0]["code"] == "token_needed"
    assert guarded.post("/api/jobs", json={"config": {}}).status_code == 401


def test_the_pages_are_open_since_they_ask_for_the_token(guarded: TestClient) -> None:
    assert guarded.get("/").status_code in (200, 503)


def test_the_token_opens_as_a_header_or_as_a_session(guarded: TestClient) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.get("/api/jobs", headers=bearer).status_code == 200
    assert guarded.get("/api/jobs", headers={"Authorization": "Bearer no"}).status_code == 401
    assert guarded.post("/api/session", json={"token": "no"}).status_code == 401
    assert guarded.get("/api/jobs").status_code == 401
    opened = guarded.post("/api/session", json={"token": TOKEN})
    assert opened.status_code == 204
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert guarded.get("/api/jobs").status_code == 200
    guarded.delete("/api/session")
    assert guarded.get("/api/jobs").status_code == 401


def test_secrets_are_never_sent(settings: Settings) -> None:
    secret = settings_in(settings.database_file.parent, token=TOKEN)
    secret = secret.model_copy(update={"hf_token": secret.token})
    with TestClient(create_app(secret), base_url="http://localhost") as client:
        answer = client.get("/api/system", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.json()["hub_token_set"] is True
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8600", 200),
        ("127.0.0.1:8600", 200),
        ("[::1]:8600", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("192.168.1.5", 400),
        ("", 400),
        ("[bad", 400),
    ],
)
def test_on_loopback_only_loopback_names_are_known(
    client: TestClient, host: str, status: int
) -> None:
    answer = client.get("/api/health", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["errors"][0]["code"] == "unknown_host"


def test_with_a_token_addresses_and_listed_names_are_known(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path, token=TOKEN, host="0.0.0.0", allowed_hosts="Studio.example, other.example"
    )
    for host in ("192.168.1.5:80", "[fe80::1]:8600", "studio.example", "other.example:1"):
        assert host_is_known(host, settings), host
    assert not host_is_known("rebound.example", settings)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Origin": "http://localhost"}, 201),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:9999"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
    ],
)
def test_only_our_own_page_changes_state(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    body = {"config": {"job": {"training_name": "x"}}}
    answer = client.post("/api/jobs", json=body, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["errors"][0]["code"] == "foreign_origin"
        assert client.get("/api/jobs").json()["items"] == []


def test_a_page_behind_a_proxy_that_is_listed_is_our_own(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, token=TOKEN, allowed_hosts="studio.example")
    assert origin_is_own("https://studio.example", None, "127.0.0.1:8600", settings)
    assert not origin_is_own("https://evil.example", None, "127.0.0.1:8600", settings)
