"""What docker-compose.yml promises, read from the file itself: no container engine is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.settings import Settings
from backend.worker.keeper import WORKER_STOP_SECONDS

ROOT = Path(__file__).parents[1]
DATA_FOLDERS = {
    "DARKROOM_DATASETS_DIR": "/data/datasets",
    "DARKROOM_OUTPUT_DIR": "/data/output",
    "DARKROOM_MODELS_DIR": "/data/models",
    "DARKROOM_CACHE_DIR": "/data/cache",
}
SECONDS = {"s": 1, "m": 60, "h": 3600}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def server(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]["server"]


@pytest.fixture(scope="module")
def worker(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]["worker"]


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Path in the container -> volume or folder of the host."""
    return {path: source for source, path in (entry.rsplit(":", 1) for entry in service["volumes"])}


def seconds(duration: str) -> int:
    parts = re.findall(r"(\d+)([smh])", duration)
    assert parts, f"{duration} is no duration"
    return sum(int(number) * SECONDS[unit] for number, unit in parts)


def test_there_is_a_server_and_a_worker_from_one_image(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"server", "worker"}
    assert services["server"]["image"] == services["worker"]["image"]
    assert services["server"]["command"] == ["darkroom", "serve"]


def test_the_gpu_is_reserved_for_the_worker_only(
    server: dict[str, Any], worker: dict[str, Any]
) -> None:
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    for key in ("deploy", "devices", "gpus", "runtime"):
        assert key not in server


def test_both_share_every_folder_and_the_database(
    server: dict[str, Any], worker: dict[str, Any]
) -> None:
    assert mounts(server) == mounts(worker)
    for variable, path in DATA_FOLDERS.items():
        assert server["environment"][variable] == worker["environment"][variable] == path
        assert path in mounts(server)
    url = server["environment"]["DARKROOM_DATABASE_URL"]
    assert url == worker["environment"]["DARKROOM_DATABASE_URL"]
    database = Path(url.removeprefix("sqlite:///"))
    assert str(database.parent) in mounts(server), "the database would be lost with the container"


def test_named_volumes_are_declared_and_used(
    compose: dict[str, Any], server: dict[str, Any]
) -> None:
    named = {source for source in mounts(server).values() if re.fullmatch(r"[a-z]+", source)}
    assert named == set(compose["volumes"]) == {"models", "cache", "state"}


def test_datasets_and_output_are_folders_of_the_host(server: dict[str, Any]) -> None:
    assert mounts(server)["/data/datasets"] == "${DARKROOM_DATASETS_DIR:-./datasets}"
    assert mounts(server)["/data/output"] == "${DARKROOM_OUTPUT_DIR:-./output}"


def test_it_does_not_start_without_a_token_and_carries_none(
    server: dict[str, Any], worker: dict[str, Any]
) -> None:
    for service in (server, worker):
        assert service["environment"]["DARKROOM_TOKEN"].startswith("${DARKROOM_TOKEN:?")
        assert service["environment"]["HF_TOKEN"] == "${HF_TOKEN:-}"


def test_only_this_machine_reaches_the_published_port(
    server: dict[str, Any], worker: dict[str, Any]
) -> None:
    (port,) = server["ports"]
    assert port.startswith("127.0.0.1:")
    assert port.endswith(f":{server['environment']['DARKROOM_PORT']}")
    assert "ports" not in worker


def test_the_health_check_asks_the_port_the_server_listens_on(server: dict[str, Any]) -> None:
    port = server["environment"]["DARKROOM_PORT"]
    assert f"http://127.0.0.1:{port}/api/health" in " ".join(server["healthcheck"]["test"])


def test_the_worker_runs_under_the_keeper_with_time_to_save(worker: dict[str, Any]) -> None:
    command = worker["command"]
    assert command[:3] == ["python", "-m", "backend.worker.keeper"]
    to_save = float(command[command.index("--stop-seconds") + 1])
    assert seconds(worker["stop_grace_period"]) > to_save + WORKER_STOP_SECONDS
    # An init in front would adopt the trainings in the keeper's place.
    assert "init" not in worker


def test_every_variable_set_in_a_container_is_one_that_the_settings_read(
    server: dict[str, Any], worker: dict[str, Any]
) -> None:
    known = {f"DARKROOM_{name}".upper() for name in Settings.model_fields} | {"HF_TOKEN"}
    for service in (server, worker):
        assert set(service["environment"]) <= known


def test_the_image_keeps_its_data_where_the_volumes_are_and_runs_as_nobody_special(
    server: dict[str, Any],
) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for variable, path in DATA_FOLDERS.items():
        assert f"{variable}={path}" in dockerfile
    for path in mounts(server):
        assert f" {path}" in dockerfile, f"the image makes no folder {path} for the volume"
    assert re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)[-1] == "darkroom"


def test_the_image_copies_only_what_exists_and_the_context_lets_through() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), f"the Dockerfile copies {source}, which is not there"
        assert source.split("/")[0] in let_through, f".dockerignore keeps {source} out"
