"""Promises that hold for every route."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from backend.db.engine import Database
from backend.db.models import Checkpoint, Metric, Run, Sample
from backend.main import create_app
from backend.openapi import openapi_text
from backend.settings import Settings
from tests.backend.installation import job_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def filled(client: TestClient, database: Database, settings: Settings) -> TestClient:
    """An installation with one job that has some of everything, and a drawing that waits."""
    job = client.post("/api/jobs", json={"config": job_config(), "queue": True}).json()
    model = {"model_architecture": "tiny"}
    drawing = {"model": model, "gpu": "cpu", "pictures": [{"prompt": "a circle"}]}
    assert client.post("/api/drawings", json={"config": drawing}).status_code == 201
    folder = settings.output_dir / "style"
    for name in ("samples/a.png", "checkpoints/step-000005/lora.safetensors"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(name.encode())
    Image.new("RGB", (16, 16), "teal").save(folder / "samples/a.png")
    lora = (folder / "checkpoints/step-000005/lora.safetensors").read_bytes()
    of_lora = {"size_bytes": len(lora), "sha256": hashlib.sha256(lora).hexdigest()}
    manifest = {"step": 5, "files": {"lora.safetensors": of_lora}}
    (folder / "checkpoints/step-000005/checkpoint.json").write_text(json.dumps(manifest))
    ids = {"job_id": job["id"], "run_id": 1}
    with database.write() as session:
        session.add(
            Run(job_id=job["id"], number=1, token="t", worker_id="w", host="h", device="cpu")
        )
        session.flush()
        session.add(
            Sample(
                **ids,
                step=0,
                prompt_index=0,
                prompt="p",
                seed=1,
                width=16,
                height=16,
                guidance_scale=1,
                sample_steps=4,
                path="samples/a.png",
            )
        )
        session.add(
            Checkpoint(**ids, step=5, size_bytes=1, path="checkpoints/step-000005/lora.safetensors")
        )
        for step in range(1, 1001):
            session.add(
                Metric(
                    **ids,
                    step=step,
                    loss=1,
                    objective=1,
                    learning_rate=1,
                    gradient_norm=1,
                    step_seconds=1,
                )
            )
    log = folder / "runs" / "0001" / "trainer.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {number}\n" for number in range(1200)) + "half a li")
    log.with_name("preview.png").write_bytes(b"a preview")
    return client


def get_paths(client: TestClient) -> list[str]:
    paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    values = {"job_id": "1", "sample_id": "1", "checkpoint_id": "1", "name": "shapes"}
    values |= {"file": "picture-0.png", "drawing_id": "2"}
    found = [path for path, methods in paths.items() if "get" in methods]
    filled = [re.sub(r"{(\w+)}", lambda match: values[match[1]], path) for path in found]
    return [path for path in filled if path != "/api/events"]


def dump(settings: Settings) -> list[str]:
    connection = sqlite3.connect(settings.database_file)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def files_below(folder: Path) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        # A cache may fill: what was learnt of pictures by looking is kept for the next look.
        if not path.name.startswith("darkroom.db") and "cache" not in path.parts
    }


def test_reading_changes_nothing(filled: TestClient, settings: Settings) -> None:
    before = dump(settings), files_below(settings.database_file.parent)
    paths = get_paths(filled)
    assert len(paths) >= 13
    for path in paths:
        for method in ("GET", "HEAD"):
            answer = filled.request(method, path)
            # A tiny model's LoRA has no workflow for ComfyUI.
            refusals = (405, 409) if path.endswith("/workflow") else (405,)
            assert answer.status_code in (200, *refusals), path
    filled.get("/")
    assert (dump(settings), files_below(settings.database_file.parent)) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/jobs/9", None, 404),
        ("GET", "/api/jobs/9/samples", None, 404),
        ("GET", "/api/jobs/9/checkpoints", None, 404),
        ("GET", "/api/jobs/9/metrics", None, 404),
        ("GET", "/api/jobs/9/log", None, 404),
        ("GET", "/api/jobs/9/log/file", None, 404),
        ("GET", "/api/jobs/9/yaml", None, 404),
        ("GET", "/api/jobs/9/bundle", None, 404),
        ("GET", "/api/jobs/1/bundle?step=-1", None, 422),
        ("POST", "/api/bundles", None, 422),
        ("POST", "/api/bundles?name=a%20b", None, 422),
        ("GET", "/api/jobs/1/samples/9/image", None, 404),
        ("GET", "/api/jobs/1/checkpoints/9/file", None, 404),
        ("GET", "/api/jobs/1/log?run=7", None, 404),
        ("GET", "/api/jobs/1/metrics?run=7", None, 404),
        ("GET", "/api/jobs/1/metrics?run=0", None, 422),
        ("GET", "/api/jobs/1/measurements?run=7", None, 404),
        ("GET", "/api/jobs/1/log?run=99999999999999999999", None, 422),
        ("GET", "/api/jobs/1/log?offset=99999999999999999999", None, 422),
        ("GET", "/api/jobs/1/log?before=99999999999999999999", None, 422),
        ("GET", "/api/jobs/1/metrics?run=99999999999999999999", None, 422),
        ("GET", "/api/jobs/1/metrics?after_step=99999999999999999999", None, 422),
        ("GET", "/api/jobs/1/metrics?through_step=99999999999999999999", None, 422),
        ("GET", "/api/jobs/1/measurements?run=99999999999999999999", None, 422),
        ("GET", "/api/jobs/zero", None, 422),
        ("GET", "/api/jobs/0", None, 422),
        ("GET", "/api/jobs/99999999999999999999", None, 422),
        ("GET", "/api/jobs?limit=0", None, 422),
        ("GET", "/api/jobs?status=happy", None, 422),
        ("GET", "/api/jobs?after=x", None, 422),
        ("GET", "/api/drawings/9", None, 404),
        ("GET", "/api/drawings/1", None, 404),
        ("GET", "/api/drawings?limit=0", None, 422),
        ("POST", "/api/drawings", {"config": {}}, 422),
        ("POST", "/api/drawings", {"config": {"name": "mine"}}, 422),
        ("POST", "/api/loras", None, 422),
        ("POST", "/api/loras?name=..%2Fup", None, 422),
        ("DELETE", "/api/loras/none.safetensors", None, 404),
        ("PATCH", "/api/jobs/2", {"config": job_config()}, 409),
        ("GET", "/api/nothing/here", None, 404),
        ("GET", "/api", None, 404),
        ("GET", "/missing.js", None, 404),
        ("PUT", "/api/jobs", None, 405),
        ("POST", "/api/nothing", {}, 405),
        ("POST", "/api/jobs", None, 422),
        ("POST", "/api/jobs", {"config": {}, "priority": 3}, 422),
        ("POST", "/api/jobs/9/queue", None, 404),
        ("POST", "/api/jobs/9/stop", None, 404),
        ("POST", "/api/jobs/9/commands", {"command": "save"}, 404),
        ("PATCH", "/api/jobs/9", {"config": job_config()}, 404),
        ("DELETE", "/api/jobs/9", None, 404),
        ("GET", "/api/datasets/shapes/pictures/none.png", None, 404),
        ("GET", "/api/datasets/none/pictures/none.png", None, 404),
    ],
)
def test_every_error_has_the_one_shape(
    filled: TestClient, method: str, path: str, body: Any, status: int
) -> None:
    answer = filled.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    for error in answer.json()["errors"]:
        assert set(error) == {"code", "message", "hint", "field", "params"}
        assert error["code"]
        assert error["message"]


def test_a_mistake_of_our_own_has_the_shape_too(settings: Settings) -> None:
    app: FastAPI = create_app(settings)
    broken = APIRouter()

    @broken.get("/api/broken")
    def fail() -> None:
        raise ZeroDivisionError("secret detail")

    app.router.routes.insert(0, broken.routes[0])
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.get("/api/broken")
    assert answer.status_code == 500
    assert answer.json()["errors"][0]["code"] == "server_error"
    assert "secret detail" not in answer.text


def test_body_that_is_no_json_is_an_error_with_its_place(client: TestClient) -> None:
    answer = client.post("/api/jobs", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "json_invalid"


def test_every_route_documents_the_error_shape_and_what_it_answers(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            assert route["summary"], path
            assert route["description"], path
            for code in ("400", "401", "422", "500"):
                schema = route["responses"][code]["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, (method, path)


def test_the_openapi_file_depends_on_the_code_alone(tmp_path: Path) -> None:
    environment = {"PATH": "", "DARKROOM_PORT": "1", "DARKROOM_OUTPUT_DIR": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-m", "backend.openapi"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == openapi_text()
    assert json.loads(said.stdout)["info"]["title"] == "Darkroom"


def test_a_curve_is_thinned_to_about_so_many_points_with_its_last_step(filled: TestClient) -> None:
    points = filled.get("/api/jobs/1/metrics", params={"max_points": 100}).json()["items"]
    assert 90 <= len(points) <= 101
    assert points[-1]["step"] == 1000
    rest = filled.get("/api/jobs/1/metrics", params={"after_step": 990}).json()["items"]
    assert [point["step"] for point in rest] == list(range(991, 1001))


def test_a_part_of_a_curve_is_thinned_less_than_the_whole(filled: TestClient) -> None:
    asked = {"after_step": 500, "through_step": 560, "max_points": 100}
    part = filled.get("/api/jobs/1/metrics", params=asked).json()["items"]
    assert [point["step"] for point in part] == list(range(501, 561))
    thinned = filled.get("/api/jobs/1/metrics", params=asked | {"max_points": 7}).json()["items"]
    assert [point["step"] for point in thinned] == [504, 513, 522, 531, 540, 549, 558, 560]
    assert filled.get("/api/jobs/1/metrics", params=asked | {"through_step": 500}).json() == {
        "items": [],
        "next": None,
    }


def test_the_log_is_read_from_its_end_and_on_from_there(
    filled: TestClient, settings: Settings
) -> None:
    part = filled.get("/api/jobs/1/log").json()
    assert [item["line"] for item in part["items"]] == [f"line {n}" for n in range(700, 1200)]
    assert part["run"] == 1
    log = settings.output_dir / "style" / "runs" / "0001" / "trainer.log"
    with log.open("a") as file:
        file.write("ne, now whole\n10 %\r50 %\r100 %\n")
    more = filled.get("/api/jobs/1/log", params={"offset": part["next"]}).json()
    assert [item["line"] for item in more["items"]] == ["half a line, now whole", "100 %"]
    assert int(more["next"]) == log.stat().st_size


def test_the_log_is_read_back_from_its_end_to_its_beginning(
    filled: TestClient, settings: Settings
) -> None:
    log = settings.output_dir / "style" / "runs" / "0001" / "trainer.log"
    part = filled.get("/api/jobs/1/log", params={"limit": 500}).json()
    lines = part["items"]
    while lines[0]["offset"] > 0:
        before = {"before": lines[0]["offset"], "limit": 300}
        lines = filled.get("/api/jobs/1/log", params=before).json()["items"] + lines
    assert [item["line"] for item in lines] == [f"line {n}" for n in range(1200)]
    written = log.read_bytes()
    assert all(
        written[item["offset"] :].startswith(item["line"].encode() + b"\n") for item in lines
    )
    assert filled.get("/api/jobs/1/log", params={"before": 0}).json()["items"] == []
    both = filled.get("/api/jobs/1/log", params={"before": 9, "offset": 9})
    assert both.status_code == 422
    assert both.json()["errors"][0]["code"] == "two_log_places"


def test_a_line_longer_than_what_is_read_at_once_does_not_stop_a_reader_who_goes_back(
    filled: TestClient, settings: Settings
) -> None:
    log = settings.output_dir / "style" / "runs" / "0001" / "trainer.log"
    log.write_bytes(b"first\n" + b"x" * 3_000_000 + b"\nlast\n")
    lines = filled.get("/api/jobs/1/log").json()["items"]
    while lines[0]["offset"] > 0:
        before = {"before": lines[0]["offset"]}
        lines = filled.get("/api/jobs/1/log", params=before).json()["items"] + lines
    assert lines[0] == {"line": "first", "offset": 0}
    assert lines[-1] == {"line": "last", "offset": 3_000_007}


def test_the_whole_log_of_a_run_is_a_file(filled: TestClient, settings: Settings) -> None:
    log = settings.output_dir / "style" / "runs" / "0001" / "trainer.log"
    answer = filled.get("/api/jobs/1/log/file", params={"run": 1})
    assert answer.content == log.read_bytes()
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-disposition"] == 'attachment; filename="style-run-1.log"'
    assert int(answer.headers["content-length"]) == log.stat().st_size
    assert filled.get("/api/jobs/1/log/file", params={"run": 7}).status_code == 404


def test_pages_of_samples_follow_each_other(filled: TestClient, database: Database) -> None:
    with database.write() as session:
        for step, index in ((0, 1), (10, 0), (10, 1)):
            session.add(
                Sample(
                    job_id=1,
                    run_id=1,
                    step=step,
                    prompt_index=index,
                    prompt="p",
                    seed=1,
                    width=16,
                    height=16,
                    guidance_scale=1,
                    sample_steps=4,
                    path=f"samples/{step}-{index}.png",
                )
            )
    found: list[tuple[int, int]] = []
    after: str | None = None
    for _ in range(4):
        params = {"limit": 1} | ({"after": after} if after else {})
        page = filled.get("/api/jobs/1/samples", params=params).json()
        found += [(item["step"], item["prompt_index"]) for item in page["items"]]
        after = page["next"]
    assert found == [(0, 0), (0, 1), (10, 0), (10, 1)]
    assert after is None


def test_a_checkpoint_is_downloaded_under_the_trainings_name(filled: TestClient) -> None:
    entry = filled.get("/api/jobs/1/checkpoints").json()["items"][0]
    answer = filled.get(entry["url"])
    assert answer.content == b"checkpoints/step-000005/lora.safetensors"
    assert 'filename="style-step-000005.safetensors"' in answer.headers["content-disposition"]


def test_a_sample_belongs_to_its_job_only(filled: TestClient) -> None:
    other = filled.post("/api/jobs", json={"config": job_config("other")}).json()["id"]
    assert filled.get("/api/jobs/1/samples/1/image").status_code == 200
    assert filled.get(f"/api/jobs/{other}/samples/1/image").status_code == 404
