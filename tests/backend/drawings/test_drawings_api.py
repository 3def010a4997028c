"""Drawings as jobs of another kind: made, listed, refused, brought back."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import delete, select

from backend.db.engine import Database
from backend.db.models import HookDelivery, Job
from backend.jobs.moves import move
from backend.jobs.status import JobStatus
from backend.settings import Settings
from backend.worker.claim import Identity, claim_next, free_devices
from tests.backend.installation import job_config
from tests.backend.loras.files import lora_bytes, write_lora
from tests.stand_in_trainer import draw as stand_in_draw
from trainer.drawing_door import parse_drawing
from trainer.job_file import read_yaml, write_job_file
from trainer.job_folder import JobFolder
from trainer.variants import Architecture

ME = Identity("w", "here", "this")


def drawing_config(loras: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    pictures: list[dict[str, Any]] = [{"prompt": "a circle"}]
    pictures += [{"prompt": "a circle", "lora": n, "lora_strength": 0.5} for n in range(len(loras))]
    model = {"model_architecture": "tiny"}
    config = {"model": model, "gpu": "cpu", "loras": list(loras), "pictures": pictures}
    return config | changes


def create(client: TestClient, config: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/drawings", json={"config": config or drawing_config(), **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def codes(answer: Any) -> list[str]:
    return [error["code"] for error in answer.json()["errors"]]


def drawn(settings: Settings, name: str, config: dict[str, Any], number: int = 1) -> JobFolder:
    """What a trainer leaves of a drawing, in the output folder and nowhere else."""
    folder = JobFolder(settings.output_dir, name)
    drawing = parse_drawing({**config, "name": name})
    write_job_file(folder.job_file, drawing)
    stand_in_draw(drawing, folder, number, f"{name}-{number}")
    return folder


def test_a_drawing_is_queued_at_once_under_the_next_number(
    client: TestClient, settings: Settings
) -> None:
    first = create(client)
    assert (first["training_name"], first["kind"], first["status"]) == (
        "drawing-0001",
        "drawing",
        "queued",
    )
    assert (first["total_steps"], first["step"], first["queue_position"]) == (1, 0, 1)
    assert first["architecture"] == "tiny"
    (picture,) = first["pictures"]
    assert (picture["state"], picture["lora_label"], picture["sample"]) == ("waiting", None, None)
    (settings.output_dir / "Drawing-0007").mkdir(parents=True)
    second = create(client)
    assert second["training_name"] == "drawing-0008"
    assert client.delete(f"/api/jobs/{second['id']}?files=true").status_code == 204
    assert create(client)["training_name"] == "drawing-0009", "the other can be restored"


def test_the_config_that_is_read_makes_another_drawing_like_it(client: TestClient) -> None:
    first = create(client, drawing_config(trigger_word="zorvex"))
    second = create(client, client.get(f"/api/drawings/{first['id']}").json()["config"])
    assert second["config"] == first["config"]
    assert second["id"] != first["id"]


def test_drawings_are_listed_by_themselves_and_trainings_without_them(client: TestClient) -> None:
    training = client.post("/api/jobs", json={"config": job_config(), "queue": True}).json()
    ids = [create(client)["id"] for _ in range(3)]

    def listed(kind: str) -> list[int]:
        page = client.get("/api/jobs", params={"kind": kind}).json()
        return [job["id"] for job in page["items"]]

    assert [job["id"] for job in client.get("/api/jobs").json()["items"]] == [training["id"]]
    assert listed("drawing") == ids[::-1]
    assert listed("all") == [*ids[::-1], training["id"]]
    page = client.get("/api/drawings", params={"limit": 2}).json()
    assert [drawing["id"] for drawing in page["items"]] == [ids[2], ids[1]]
    rest = client.get("/api/drawings", params={"limit": 2, "after": page["next"]}).json()
    assert ([drawing["id"] for drawing in rest["items"]], rest["next"]) == ([ids[0]], None)
    queue = client.get("/api/queue").json()
    assert (queue["num_jobs"], queue["num_drawings"]) == ({"queued": 1}, {"queued": 3})
    assert client.get(f"/api/drawings/{training['id']}").status_code == 404


def test_trainings_and_drawings_wait_in_one_line_for_the_same_device(
    client: TestClient, database: Database, settings: Settings
) -> None:
    training = client.post("/api/jobs", json={"config": job_config(), "queue": True}).json()
    later, sooner = create(client), create(client, priority=1)
    positions = {
        job["id"]: job["queue_position"]
        for job in client.get("/api/jobs", params={"kind": "all"}).json()["items"]
    }
    assert positions == {sooner["id"]: 1, training["id"]: 2, later["id"]: 3}
    with database.write() as session:
        claim = claim_next(session, settings, ME, device="cpu", has_gpus=False)
        assert claim is not None
        assert claim.job_id == sooner["id"]
        assert free_devices(session, ME, devices=["cpu"], has_gpus=False) == []


def test_what_cannot_be_drawn_creates_nothing_and_says_why_at_its_field(
    client: TestClient, settings: Settings
) -> None:
    loras = settings.models_dir
    write_lora(loras / "dev.safetensors", architecture="flux2-dev")
    (loras / "klein.safetensors").write_bytes(
        lora_bytes(architecture_of_sizes=Architecture.KLEIN_4B)
    )
    (loras / "vae.safetensors").write_bytes(lora_bytes("decoder.conv_in"))
    (loras / "pickle.safetensors").write_bytes(b"PK\x03\x04 and so on")
    (loras / "cut.safetensors").write_bytes(lora_bytes()[:-4])
    refused = {
        "dev.safetensors": "lora_of_another_base",
        "klein.safetensors": "lora_of_another_base",
        "vae.safetensors": "not_a_lora",
        "pickle.safetensors": "lora_is_pickle",
        "cut.safetensors": "lora_damaged",
        "none.safetensors": "lora_missing",
    }
    for name, code in refused.items():
        config = drawing_config((name,))
        answer = client.post("/api/drawings", json={"config": config})
        assert (answer.status_code, codes(answer)) == (422, [code])
        assert name in answer.json()["errors"][0]["message"]
        verdict = client.post("/api/drawings/validate", json={"config": config}).json()
        assert (verdict["valid"], verdict["errors"][0]["code"]) == (False, code)
    unknown_card = client.post(
        "/api/drawings", json={"config": drawing_config(pictures=[], gpu="GPU-0")}
    )
    assert unknown_card.json()["errors"][0]["field"] == "pictures"
    out = client.post("/api/drawings", json={"config": drawing_config(("../up.safetensors",))})
    assert out.status_code == 422
    named = client.post("/api/drawings", json={"config": drawing_config(name="mine")})
    assert codes(named) == ["drawing_is_numbered"]
    assert client.get("/api/drawings").json()["items"] == []
    assert client.post("/api/drawings/validate", json={"config": drawing_config()}).json()["valid"]


def test_what_only_a_training_can_is_refused_in_clear_words(
    client: TestClient, database: Database
) -> None:
    drawing = create(client)
    at = f"/api/jobs/{drawing['id']}"
    refused = [
        client.patch(at, json={"config": job_config()}),
        client.post(f"{at}/commands", json={"command": "save"}),
        client.get(f"{at}/bundle"),
    ]
    assert client.post(f"{at}/stop").json()["status"] == "draft"
    refused.append(client.post(f"{at}/queue", json={"resume_from_step": 0}))
    for answer in refused:
        assert (answer.status_code, codes(answer)) == (409, ["not_a_training"])
        assert "drawing-0001 is a drawing" in answer.json()["errors"][0]["message"]
    assert client.get(f"{at}/failure").json() is None
    assert "pictures:" in client.get(f"{at}/yaml").text
    assert client.post(f"{at}/queue").json()["status"] == "queued"
    with database.read() as session:
        assert session.scalars(select(HookDelivery)).all() == []


def test_a_drawing_that_failed_says_so_of_each_picture_that_is_missing(
    client: TestClient, database: Database
) -> None:
    drawing = create(client)
    with database.write() as session:
        for status in (JobStatus.STARTING, JobStatus.FAILED):
            job = session.get_one(Job, drawing["id"])
            values = {"error": {"code": "out_of_memory", "message": "No room.", "hint": ""}}
            values = values if status == JobStatus.FAILED else {}
            move(session, job.id, from_status=job.status, to_status=status, reason="", **values)
    (picture,) = client.get(f"/api/drawings/{drawing['id']}").json()["pictures"]
    assert (picture["state"], picture["message"]) == ("failed", "No room.")
    failure = client.get(f"/api/jobs/{drawing['id']}/failure").json()
    assert (failure["code"], failure["cures"]) == ("out_of_memory", [])
    assert client.post(f"/api/jobs/{drawing['id']}/queue").status_code == 200
    (picture,) = client.get(f"/api/drawings/{drawing['id']}").json()["pictures"]
    assert (picture["state"], picture["message"]) == ("waiting", None)


def test_a_lost_database_gets_its_drawings_back_with_their_pictures(
    client: TestClient, settings: Settings, database: Database
) -> None:
    lora = write_lora(settings.output_dir / "style/checkpoints/step-000250/lora.safetensors")
    pictures = [{"prompt": str(n), "lora": 0 if n else None} for n in range(3)]
    config = drawing_config((str(lora),), pictures=pictures, trigger_word="picky")
    folder = drawn(settings, "drawing-0003", config)
    report = client.post("/api/system/rescan").json()
    assert report["brought_back"] == ["drawing-0003"]
    (found,) = client.get("/api/drawings").json()["items"]
    assert (found["kind"], found["status"], found["step"], found["total_steps"]) == (
        "drawing",
        "completed",
        2,
        3,
    )
    assert [picture["state"] for picture in found["pictures"]] == ["drawn", "failed", "drawn"]
    assert "odd" in found["pictures"][1]["message"]
    assert found["pictures"][1]["message"].endswith(
        "Change its size or its LoRA, and draw it again."
    )
    assert [picture["lora_label"] for picture in found["pictures"]] == [
        None,
        "style, step 250",
        "style, step 250",
    ]
    assert client.get(found["pictures"][2]["sample"]["url"]).status_code == 200
    assert client.get("/api/jobs").json()["items"] == []
    assert client.post("/api/system/rescan").json()["unchanged"] == ["drawing-0003"]
    again = read_yaml(folder.job_file)
    assert again["trigger_word"] == "picky"
    # Its events lost: the pictures tell their own recipes.
    with database.write() as session:
        session.execute(delete(Job))
    folder.run(1).events.unlink()
    client.post("/api/system/rescan")
    (found,) = client.get("/api/drawings").json()["items"]
    assert (found["step"], found["status"]) == (2, "interrupted")


def test_a_drawing_goes_to_the_trash_and_comes_back_as_one(
    client: TestClient, settings: Settings
) -> None:
    drawn(settings, "drawing-0001", drawing_config())
    client.post("/api/system/rescan")
    (found,) = client.get("/api/drawings").json()["items"]
    waiting = create(client)
    for job_id in (found["id"], waiting["id"]):
        client.delete(f"/api/jobs/{job_id}?files=true")
    assert client.get("/api/drawings").json()["items"] == []
    for entry in client.get("/api/trash").json()["items"]:
        client.post(f"/api/trash/{entry['id']}/restore")
    back = client.get("/api/drawings").json()["items"]
    assert {drawing["training_name"]: drawing["status"] for drawing in back} == {
        "drawing-0001": "completed",
        "drawing-0002": "draft",
    }
