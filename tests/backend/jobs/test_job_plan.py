"""The memory plan over HTTP, and the door that refuses what fits no device here."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.models import Worker
from backend.jobs import machines
from backend.settings import Settings
from tests.backend.installation import job_config
from trainer.disk_places import Folder, Place

GIB = 1 << 30
SMALL_CARD = "GPU-11111111-1111-1111-1111-111111111111"
LARGE_CARD = "GPU-22222222-2222-2222-2222-222222222222"


def device(id: str, name: str, gib: float) -> dict[str, Any]:
    total = int(gib * GIB)
    return {"id": id, "name": name, "memory_total_bytes": total, "memory_used_bytes": 0}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[Folder, Place]:
    """The disks of the machine, unknown until a test says what they are: not those of this one."""
    known: dict[Folder, Place] = {}
    monkeypatch.setattr(machines, "places_of", lambda **_folders: known)
    return known


@pytest.fixture
def two_cards(database: Database, disk: dict[Folder, Place]) -> None:
    """A worker whose machine has a card that dev fits on and one that it does not."""
    with database.write() as session:
        session.add(
            Worker(
                id="w",
                host="h",
                machine="m",
                process_id=1,
                process_start_ticks=1,
                devices=[
                    device(SMALL_CARD, "a small card", 16),
                    device(LARGE_CARD, "a large card", 80),
                    device("cpu", "a processor", 64),
                ],
            )
        )


def dev_job(**job: Any) -> dict[str, Any]:
    config = job_config()
    config["job"] |= {"gpu": "any", **job}
    config["model"] = {"model_architecture": "flux2-dev"}
    return config


def planned(client: TestClient, **body: Any) -> list[dict[str, Any]]:
    answer = client.post("/api/jobs/plan", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["devices"]


@pytest.mark.usefixtures("two_cards")
def test_there_is_a_plan_for_each_device_that_the_job_may_get(client: TestClient) -> None:
    small, large = planned(client, config=dev_job())
    assert (small["device"], large["device"]) == (SMALL_CARD, LARGE_CARD)
    assert large["fits"]
    assert large["changes"] == []
    assert not small["fits"]
    short = next(short for short in small["shortfalls"] if short["phase"] == "load")
    assert short["missing"] == "vram"
    assert short["needed_bytes"] > short["available_bytes"] == 16 * GIB
    assert "a small card has 16.0 GB" in short["message"]
    (load,) = [phase for phase in small["phases"] if phase["phase"] == "load"]
    assert load["vram_bytes"] == sum(
        part["num_bytes"] for part in load["parts"] if part["place"] == "vram"
    )


@pytest.mark.usefixtures("two_cards")
def test_a_change_that_is_offered_makes_the_job_fit(client: TestClient) -> None:
    (small,) = planned(client, config=dev_job(gpu=SMALL_CARD))
    assert small["changes"]
    for change in small["changes"]:
        config = dev_job(gpu=SMALL_CARD)
        for path, value in change["settings"].items():
            panel, _, setting = path.partition(".")
            config[panel][setting] = value
        (changed,) = planned(client, config=config)
        assert not [short for short in changed["shortfalls"] if short["missing"] != "disk"]


@pytest.mark.usefixtures("two_cards")
def test_a_job_for_the_cpu_is_planned_in_ram(client: TestClient) -> None:
    (plan,) = planned(client, config=job_config())
    assert plan["device"] == "cpu"
    assert plan["vram_bytes"] is None
    assert plan["fits"]
    assert all(phase["vram_bytes"] == 0 for phase in plan["phases"])


def test_another_machine_can_be_asked_about(client: TestClient) -> None:
    machine = {"vram_bytes": 24 * GIB, "ram_bytes": 64 * GIB}
    (plan,) = planned(client, config=dev_job(), machine=machine)
    assert plan["device"] == "given"
    assert plan["vram_bytes"] == 24 * GIB
    assert plan["changes"]


def test_without_a_worker_nobody_knows_the_devices(client: TestClient) -> None:
    assert planned(client, config=dev_job()) == []


def test_a_config_that_is_no_job_is_answered_with_what_is_wrong(client: TestClient) -> None:
    answer = client.post("/api/jobs/plan", json={"config": {"training": {"steps": -1}}})
    assert answer.status_code == 422
    fields = {error["field"] for error in answer.json()["errors"]}
    assert "training.steps" in fields


@pytest.mark.usefixtures("two_cards")
def test_the_door_refuses_what_does_not_fit_and_lets_in_who_insists(client: TestClient) -> None:
    def codes(config: dict[str, Any], severity: str) -> list[str]:
        verdict = client.post("/api/jobs/validate", json={"config": config}).json()
        return [problem["code"] for problem in verdict[severity]]

    config = dev_job(gpu=SMALL_CARD)
    assert "does_not_fit" in codes(config, "errors")
    config["advanced"] = {"memory_plan": "go_on"}
    assert "does_not_fit" not in codes(config, "errors")
    assert "does_not_fit" in codes(config, "warnings")
    # Any free card may be the large one.
    assert "does_not_fit" not in codes(dev_job(), "errors")


@pytest.mark.usefixtures("two_cards")
def test_a_job_without_room_on_the_disk_is_not_queued_and_the_changes_make_it_fit(
    client: TestClient, settings: Settings, disk: dict[Folder, Place]
) -> None:
    config = job_config(save={"save_every": 2})
    disk["output"] = Place(settings.output_dir, 1, 20 << 20)
    (plan,) = planned(client, config=config)
    (short,) = plan["shortfalls"]
    assert (short["missing"], short["folder"]) == ("disk", "output")
    assert short["path"] == str(settings.output_dir)
    assert short["needed_bytes"] > short["available_bytes"] == 20 << 20
    answer = client.post("/api/jobs", json={"config": config, "queue": True})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["code"] == "disk_too_small"
    assert str(settings.output_dir) in error["message"]
    assert plan["fits"]
    assert not plan["fits_the_disk"]
    assert plan["changes"] == []
    (change,) = plan["disk_changes"]
    assert error["params"]["changes"] == [change]
    assert change["settings"] == {"save.max_step_saves_to_keep": 2}
    config["save"] |= {"max_step_saves_to_keep": 2}
    answer = client.post("/api/jobs", json={"config": config, "queue": True})
    assert answer.status_code == 201, answer.text
