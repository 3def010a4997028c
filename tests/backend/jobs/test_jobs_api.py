from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import Checkpoint, CommandRequest, Job, JobMove, Run
from backend.jobs.moves import move
from backend.jobs.status import JobStatus
from backend.settings import Settings
from tests.backend.installation import job_config
from trainer.config import JobConfig


def create(client: TestClient, config: dict[str, Any], *, queue: bool = False) -> dict[str, Any]:
    answer = client.post("/api/jobs", json={"config": config, "queue": queue})
    assert answer.status_code == 201, answer.text
    return answer.json()


def codes(answer: Any) -> list[str]:
    return [error["code"] for error in answer.json()["errors"]]


def validated(client: TestClient, config: dict[str, Any], job_id: int | None = None) -> Any:
    answer = client.post("/api/jobs/validate", json={"config": config, "job_id": job_id})
    assert answer.status_code == 200, answer.text
    return answer.json()


def codes_of(verdict: Any) -> list[str]:
    return [entry["code"] for entry in verdict["errors"]]


def put(database: Database, job_id: int, status: JobStatus, *, with_run: bool = True) -> None:
    """Bring a queued job where a worker would bring it."""
    with database.write() as session:
        job = session.get_one(Job, job_id)
        assert move(
            session, job_id, from_status=job.status, to_status=JobStatus.STARTING, reason=""
        )
        if with_run:
            session.add(
                Run(job_id=job_id, number=1, token="t", worker_id="w", host="h", device="cpu")
            )
        if status != JobStatus.STARTING:
            first = JobStatus.RUNNING
            move(session, job_id, from_status=JobStatus.STARTING, to_status=first, reason="")
        if status not in (JobStatus.STARTING, JobStatus.RUNNING):
            move(session, job_id, from_status=JobStatus.RUNNING, to_status=status, reason="")


def test_an_incomplete_draft_is_kept_as_it_was_written(client: TestClient) -> None:
    config = {"job": {"training_name": "half"}, "training": {"steps": "not yet"}}
    job = create(client, config)
    assert job["status"] == "draft"
    assert job["config"] == config
    assert job["total_steps"] is None
    assert job["architecture"] == "flux2-dev"
    assert client.get(f"/api/jobs/{job['id']}").json() == job


def test_a_queued_job_has_every_default_written_out(client: TestClient) -> None:
    job = create(client, job_config(), queue=True)
    assert job["status"] == "queued"
    assert job["queue_position"] == 1
    assert job["config"] == JobConfig.model_validate(job_config()).model_dump(mode="json")


def test_a_job_refused_at_the_door_creates_nothing_and_says_all_that_is_wrong(
    client: TestClient,
) -> None:
    config = job_config(training={"steps": 0, "learning_rate": -1}, extra={"a": 1})
    answer = client.post("/api/jobs", json={"config": config, "queue": True})
    assert answer.status_code == 422
    fields = {error["field"] for error in answer.json()["errors"]}
    assert {"training.steps", "training.learning_rate", "extra"} <= fields
    assert client.get("/api/jobs").json() == {"items": [], "next": None}


def test_a_missing_dataset_is_refused_by_name_in_validation_and_in_the_queue(
    client: TestClient,
) -> None:
    config = job_config()
    config["datasets"][0]["target_dataset"] = "shape"
    verdict = client.post("/api/jobs/validate", json={"config": config}).json()
    assert not verdict["valid"]
    assert verdict["errors"][0]["field"] == "datasets.0.target_dataset"
    assert "shapes" in verdict["errors"][0]["hint"]
    draft = create(client, config)
    answer = client.post(f"/api/jobs/{draft['id']}/queue")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["message"] == verdict["errors"][0]["message"]
    assert client.get(f"/api/jobs/{draft['id']}").json()["status"] == "draft"


def test_validation_of_a_good_job_is_valid_and_of_no_object_is_422(client: TestClient) -> None:
    assert client.post("/api/jobs/validate", json={"config": job_config()}).json()["valid"]
    assert client.post("/api/jobs/validate", json={"config": {}}).json()["valid"] is False
    assert client.post("/api/jobs/validate", json={"config": 3}).status_code == 422
    assert client.post("/api/jobs/validate", json=[1]).status_code == 422


@pytest.mark.parametrize(
    "name", ["", "../up", "a/b", "-x", ".hidden", "a b", "x" * 65, "naïve", None, 7, "a\n"]
)
def test_a_training_name_that_is_no_slug_is_refused_with_its_field(
    client: TestClient, name: Any
) -> None:
    answer = client.post("/api/jobs", json={"config": {"job": {"training_name": name}}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "job.training_name"


@pytest.mark.parametrize("value", ["1e999", "NaN", '"\\ud800"', "9" * 30, "[" * 300 + "]" * 300])
def test_a_config_that_no_answer_could_hold_is_refused(client: TestClient, value: str) -> None:
    body = '{"config": {"job": {"training_name": "x"}, "training": {"steps": %s}}}' % value  # noqa: UP031
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/jobs", content=body, headers=headers)
    assert answer.status_code == 422
    assert codes(answer) == ["bad_config"]
    verdict = client.post("/api/jobs/validate", content=body, headers=headers)
    assert codes(verdict) == ["bad_config"]


def test_a_name_is_taken_whatever_its_case(client: TestClient) -> None:
    first = create(client, job_config("Style"))
    answer = client.post("/api/jobs", json={"config": job_config("style")})
    assert answer.status_code == 409
    assert codes(answer) == ["job_name_taken"]
    assert answer.json()["errors"][0]["params"]["job_id"] == first["id"]


def test_validation_says_that_a_name_is_taken_as_the_refusal_would(client: TestClient) -> None:
    first, second = (create(client, job_config(name))["id"] for name in ("one", "two"))
    for config in (job_config("One"), {"job": {"training_name": "One"}}):
        verdict = validated(client, config)
        refused = client.post("/api/jobs", json={"config": config})
        entry = refused.json()["errors"][0]
        assert not verdict["valid"]
        assert entry | {"severity": "error"} in verdict["errors"]
        assert (entry["code"], entry["field"]) == ("job_name_taken", "job.training_name")
    assert "job_name_taken" in codes_of(validated(client, job_config("one"), second))
    assert validated(client, job_config("one"), first)["valid"], "it keeps its own name"
    assert validated(client, job_config("Two"), second)["valid"], "in any case of letters"
    assert validated(client, job_config("three"), second)["valid"]


def test_validation_for_a_job_that_is_not_there_is_404(client: TestClient) -> None:
    answer = client.post("/api/jobs/validate", json={"config": job_config(), "job_id": 9})
    assert (answer.status_code, codes(answer)) == (404, ["no_such_job"])


def test_the_list_is_newest_first_in_pages_and_by_status(client: TestClient) -> None:
    ids = [create(client, job_config(f"job-{i}"), queue=i % 2 == 0)["id"] for i in range(5)]
    page = client.get("/api/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in page["items"]] == [ids[4], ids[3]]
    rest = client.get("/api/jobs", params={"limit": 9, "after": page["next"]}).json()
    assert [job["id"] for job in rest["items"]] == [ids[2], ids[1], ids[0]]
    assert rest["next"] is None
    queued = client.get("/api/jobs", params={"status": "queued"}).json()["items"]
    assert {job["id"]: job["queue_position"] for job in queued} == {ids[0]: 1, ids[2]: 2, ids[4]: 3}
    both = client.get("/api/jobs", params={"status": ["queued", "draft"]}).json()["items"]
    assert len(both) == 5


def test_jobs_that_wait_are_listed_by_who_starts_first(client: TestClient) -> None:
    ids = [create(client, job_config(f"job-{i}"), queue=True)["id"] for i in range(4)]
    client.post(f"/api/jobs/{ids[0]}/stop")
    client.post(f"/api/jobs/{ids[0]}/queue")
    assert every_id(client, status="queued", order="queue") == [ids[1], ids[2], ids[3], ids[0]]


def test_jobs_that_ended_are_listed_by_who_ended_last(
    client: TestClient, database: Database
) -> None:
    ids = [create(client, job_config(f"job-{i}"))["id"] for i in range(5)]
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    with database.write() as session:
        for job_id, end in zip(ids, [late, early, late, None, early], strict=True):
            job = session.get_one(Job, job_id)
            job.status, job.finished_at = JobStatus.COMPLETED, end
            job.updated_at = datetime(2026, 1, 3, tzinfo=UTC)
    # The fourth was taken out of the queue after it had ended before: that is its end.
    expected = [ids[3], ids[2], ids[0], ids[4], ids[1]]
    assert every_id(client, status="completed", order="finished") == expected


def test_a_job_that_leaves_between_two_pages_hides_no_other(client: TestClient) -> None:
    ids = [create(client, job_config(f"job-{i}"), queue=True)["id"] for i in range(4)]
    asked = {"status": "queued", "order": "queue", "limit": 2}
    first = client.get("/api/jobs", params=asked).json()
    client.post(f"/api/jobs/{ids[0]}/stop")
    second = client.get("/api/jobs", params=asked | {"after": first["next"]}).json()
    assert [job["id"] for job in second["items"]] == ids[2:]


@pytest.mark.parametrize(
    ("order", "after"),
    [("finished", "3"), ("queue", "3"), ("newest", "3-3"), ("finished", f"{10**18 - 1}-3")],
)
def test_a_cursor_of_another_order_is_refused(client: TestClient, order: str, after: str) -> None:
    answer = client.get("/api/jobs", params={"order": order, "after": after})
    assert answer.status_code == 422
    assert codes(answer) == ["bad_cursor"]


def every_id(client: TestClient, **asked: str) -> list[int]:
    """Ids of a whole list, fetched in pages of two."""
    ids: list[int] = []
    after: dict[str, str] = {}
    while True:
        page = client.get("/api/jobs", params=asked | {"limit": "2"} | after).json()
        ids += [job["id"] for job in page["items"]]
        if page["next"] is None:
            return ids
        after = {"after": page["next"]}


def test_stopping_a_queued_job_makes_it_a_draft_again_if_it_never_ran(client: TestClient) -> None:
    job = create(client, job_config(), queue=True)
    assert client.post(f"/api/jobs/{job['id']}/stop").json()["status"] == "draft"


def test_stopping_a_queued_job_that_ran_before_makes_it_stopped(
    client: TestClient, database: Database
) -> None:
    job = create(client, job_config(), queue=True)
    put(database, job["id"], JobStatus.COMPLETED)
    assert client.post(f"/api/jobs/{job['id']}/queue").json()["status"] == "queued"
    assert client.post(f"/api/jobs/{job['id']}/stop").json()["status"] == "stopped"


def test_stopping_a_running_job_is_a_request_and_twice_is_harmless(
    client: TestClient, database: Database
) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    put(database, job_id, JobStatus.RUNNING)
    first = client.post(f"/api/jobs/{job_id}/stop")
    second = client.post(f"/api/jobs/{job_id}/stop")
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == first.json()
    assert first.json()["status"] == "stopping"
    assert client.get("/api/jobs", params={"status": "stopping"}).json()["items"]
    assert not client.get("/api/jobs", params={"status": "running"}).json()["items"]
    with database.read() as session:
        assert session.get_one(Job, job_id).status == JobStatus.RUNNING, "the worker's to change"


def test_what_does_not_fit_the_state_is_409_with_the_state(
    client: TestClient, database: Database
) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    assert codes(client.post(f"/api/jobs/{job_id}/queue")) == ["wrong_state"]
    assert codes(client.patch(f"/api/jobs/{job_id}", json={"config": job_config()})) == [
        "wrong_state"
    ]
    assert client.post(f"/api/jobs/{job_id}/commands", json={"command": "save"}).status_code == 409
    put(database, job_id, JobStatus.RUNNING)
    for answer in (
        client.post(f"/api/jobs/{job_id}/queue"),
        client.patch(f"/api/jobs/{job_id}", json={"config": job_config()}),
    ):
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["params"]["status"] == "running"
    with database.write() as session:
        move(
            session,
            job_id,
            from_status=JobStatus.RUNNING,
            to_status=JobStatus.COMPLETED,
            reason="",
        )
    assert codes(client.post(f"/api/jobs/{job_id}/stop")) == ["wrong_state"]


def test_a_command_is_noted_for_the_worker_while_the_job_runs(
    client: TestClient, database: Database
) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    put(database, job_id, JobStatus.RUNNING)
    answer = client.post(f"/api/jobs/{job_id}/commands", json={"command": "sample"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": True})
    assert client.post(f"/api/jobs/{job_id}/commands", json={"command": "rm"}).status_code == 422
    with database.read() as session:
        assert [row.command for row in session.scalars(select(CommandRequest))] == ["sample"]


def test_a_change_of_settings_is_noted_whole_or_refused_at_its_field(
    client: TestClient, database: Database
) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    put(database, job_id, JobStatus.RUNNING)
    address = f"/api/jobs/{job_id}/commands"
    settings = {"training.steps": 30, "sample.prompts": [{"prompt": "a hexagon"}]}
    answer = client.post(address, json={"command": "change", "settings": settings})
    assert answer.status_code == 202, answer.text
    with database.read() as session:
        (row,) = session.scalars(select(CommandRequest))
    assert (row.command, row.settings) == ("change", settings)

    for bad, field in (
        ({"training.steps": 0}, "training.steps"),
        ({"training.steps": 40, "training.learning_rate": 0.1}, "training.learning_rate"),
        ({"sample.prompts": [{"prompt": 7}]}, "sample.prompts.0.prompt"),
    ):
        refused = client.post(address, json={"command": "change", "settings": bad})
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert client.post(address, json={"command": "change"}).status_code == 422
    assert client.post(address, json={"command": "save", "settings": settings}).status_code == 422
    with database.read() as session:
        assert len(session.scalars(select(CommandRequest)).all()) == 1


def test_a_change_made_from_an_older_config_does_not_undo_the_newer_one(client: TestClient) -> None:
    job_id = create(client, job_config(), queue=False)["id"]
    url = f"/api/jobs/{job_id}"
    read = client.get(url).json()["config"]
    theirs = job_config(training={"steps": 20, "learning_rate": 5e-5})
    assert client.patch(url, json={"config": theirs, "instead_of": read}).status_code == 200
    mine = job_config(training={"steps": 40})
    late = client.patch(url, json={"config": mine, "instead_of": read})
    assert late.status_code == 409
    assert codes(late) == ["job_changed"]
    assert client.get(url).json()["config"] == theirs
    assert client.patch(url, json={"config": mine, "instead_of": theirs}).status_code == 200
    assert client.patch(url, json={"config": mine, "instead_of": theirs}).status_code == 200
    # Who does not say what it was made from replaces whatever is there.
    assert client.patch(url, json={"config": theirs}).status_code == 200


def test_a_job_that_ran_can_be_edited_but_not_what_its_checkpoints_are_made_of(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    put(database, job_id, JobStatus.STOPPED)
    (settings.output_dir / "style" / "checkpoints" / "step-000005").mkdir(parents=True)
    changed = job_config(training={"steps": 20, "learning_rate": 5e-5})
    answer = client.patch(f"/api/jobs/{job_id}", json={"config": changed})
    assert answer.status_code == 200
    assert answer.json()["total_steps"] == 20
    assert answer.json()["resumable_from_steps"] == [5]
    other = job_config("renamed", target={"linear_rank": 8}, quantization={"transformer": "none"})
    answer = client.patch(f"/api/jobs/{job_id}", json={"config": other})
    assert answer.status_code == 409
    assert set(codes(answer)) == {"needs_clone"}
    assert {error["field"] for error in answer.json()["errors"]} == {
        "job.training_name",
        "target.linear_rank",
        "quantization.transformer",
    }
    assert client.get(f"/api/jobs/{job_id}").json()["config"] == changed
    verdict = validated(client, other, job_id)
    assert [entry | {"severity": "error"} for entry in answer.json()["errors"]] == [
        entry for entry in verdict["errors"] if entry["code"] == "needs_clone"
    ], "validation says beforehand what saving refuses"
    (rank,) = (one for one in verdict["errors"] if one["field"] == "target.linear_rank")
    assert rank["message"].startswith("Linear Rank is 32 in what was trained so far")
    assert "needs_clone" not in codes_of(validated(client, other)), "a new job may"


def test_a_result_without_checkpoints_keeps_the_model_that_it_is_for(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    put(database, job_id, JobStatus.COMPLETED)
    result = settings.output_dir / "style" / "style.safetensors"
    result.parent.mkdir(parents=True)
    result.write_bytes(b"a LoRA")
    other = job_config(target={"linear_rank": 8}, model={"model_architecture": "klein-base-4b"})
    answer = client.patch(f"/api/jobs/{job_id}", json={"config": other})
    assert answer.status_code == 409
    assert [error["field"] for error in answer.json()["errors"]] == ["model.model_architecture"]
    result.unlink()
    assert client.patch(f"/api/jobs/{job_id}", json={"config": other}).status_code == 200


def test_validation_of_a_job_that_ran_does_not_call_its_checkpoints_an_earlier_training(
    client: TestClient, database: Database, settings: Settings
) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    put(database, job_id, JobStatus.STOPPED)
    (settings.output_dir / "style" / "checkpoints" / "step-000005").mkdir(parents=True)
    verdict = validated(client, job_config(), job_id)
    assert verdict["valid"]
    assert "goes_on_from_folder" not in [entry["code"] for entry in verdict["warnings"]]


def test_validation_and_queueing_warn_of_checkpoints_that_are_gone(
    client: TestClient, database: Database
) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    put(database, job_id, JobStatus.STOPPED)
    with database.write() as session:
        run_id = session.scalars(select(Run.id)).one()
        session.add(Checkpoint(job_id=job_id, run_id=run_id, step=5, size_bytes=1, path="x"))
    warned = validated(client, job_config(), job_id)["warnings"]
    queued = client.post(f"/api/jobs/{job_id}/queue").json()["warnings"]
    assert warned == queued
    assert "checkpoints_gone" in [entry["code"] for entry in warned]


def test_a_draft_can_be_renamed_but_not_to_a_name_that_is_taken(client: TestClient) -> None:
    create(client, job_config("one"))
    second = create(client, job_config("two"))
    url = f"/api/jobs/{second['id']}"
    assert client.patch(url, json={"config": job_config("one")}).status_code == 409
    assert client.patch(url, json={"config": job_config("Two")}).json()["training_name"] == "Two"


def test_deleting_keeps_the_files_unless_asked_and_then_moves_them_to_the_trash(
    client: TestClient, settings: Settings
) -> None:
    for name, files in (("kept", False), ("thrown", True)):
        job = create(client, job_config(name))
        folder = settings.output_dir / name
        folder.mkdir(parents=True)
        (folder / "x.txt").write_text(name)
        answer = client.delete(f"/api/jobs/{job['id']}", params={"files": files})
        assert answer.status_code == 204
        assert client.get(f"/api/jobs/{job['id']}").status_code == 404
        assert folder.exists() is not files
    (trashed,) = (settings.output_dir / ".trash").iterdir()
    assert trashed.name.startswith("thrown-")
    assert (trashed / "thrown" / "x.txt").read_text() == "thrown"


def test_a_new_job_over_an_old_folder_is_warned_that_it_goes_on_there(
    client: TestClient, settings: Settings
) -> None:
    (settings.output_dir / "style" / "checkpoints" / "step-000250").mkdir(parents=True)
    verdict = client.post("/api/jobs/validate", json={"config": job_config()}).json()
    assert verdict["valid"]
    assert [
        (w["code"], w["params"]) for w in verdict["warnings"] if w["code"] == "goes_on_from_folder"
    ] == [("goes_on_from_folder", {"step": 250})]


def test_a_job_that_goes_on_needs_no_lora_to_start_from(
    client: TestClient, settings: Settings
) -> None:
    config = job_config(training={"steps": 10, "start_from_lora": "/gone/lora.safetensors"})
    body = {"config": config}
    assert "lora_missing" in codes(client.post("/api/jobs/validate", json=body))
    (settings.output_dir / "style" / "checkpoints" / "step-000005").mkdir(parents=True)
    assert client.post("/api/jobs/validate", json=body).json()["valid"]


def test_every_move_leaves_a_row_with_its_reason(client: TestClient, database: Database) -> None:
    job_id = create(client, job_config(), queue=True)["id"]
    client.post(f"/api/jobs/{job_id}/stop")
    with database.read() as session:
        rows = session.scalars(select(JobMove).order_by(JobMove.id)).all()
        moves = [(row.from_status, row.to_status, row.reason) for row in rows]
    assert moves == [
        (JobStatus.DRAFT, JobStatus.QUEUED, "created and queued"),
        (JobStatus.QUEUED, JobStatus.DRAFT, "taken out of the queue"),
    ]


def test_the_yaml_of_a_job_is_a_job_file(client: TestClient, tmp_path: Path) -> None:
    from trainer.job_file import read_job_file

    job = create(client, job_config())
    answer = client.get(f"/api/jobs/{job['id']}/yaml")
    assert answer.headers["content-type"].startswith("text/yaml")
    assert 'filename="style.yaml"' in answer.headers["content-disposition"]
    file = tmp_path / "style.yaml"
    file.write_text(answer.text)
    assert read_job_file(file) == JobConfig.model_validate(job_config())


def test_the_job_schema_gives_ten_panels_and_defaults_that_need_only_two_names(
    client: TestClient,
) -> None:
    schema = client.get("/api/job-schema").json()
    assert [panel["key"] for panel in schema["panels"]] == [
        "job", "model", "quantization", "target", "training", "save", "regularization",
        "advanced", "datasets", "sample",
    ]  # fmt: skip
    assert "JobPanel" in schema["schema"]["$defs"]
    defaults = schema["defaults"]
    assert defaults["job"]["training_name"] == ""
    defaults["job"]["training_name"] = defaults["datasets"][0]["target_dataset"] = "x"
    JobConfig.model_validate(defaults)
    assert JobConfig.model_validate(schema["example"]).job.training_name == "tiny-style"


def test_a_job_for_a_card_that_no_worker_has_is_refused(
    client: TestClient, database: Database
) -> None:
    from backend.db.models import Worker

    with database.write() as session:
        session.add(
            Worker(
                id="w",
                host="h",
                machine="m",
                process_id=1,
                process_start_ticks=1,
                devices=[
                    {"id": "cpu", "name": "", "memory_total_bytes": 1, "memory_used_bytes": 1}
                ],
            )
        )
    config = job_config(job={"gpu": "GPU-12345678-aaaa"})
    verdict = client.post("/api/jobs/validate", json={"config": config}).json()
    assert [(e["code"], e["field"]) for e in verdict["errors"]] == [("gpu_missing", "job.gpu")]


def test_validation_gives_advice_by_what_the_lora_is_to_learn(client: TestClient) -> None:
    config = job_config(model={"model_architecture": "flux2-dev"}, training={"steps": 3000})

    def advised(**more: str) -> set[str]:
        verdict = client.post("/api/jobs/validate", json={"config": config} | more).json()
        assert all(one["severity"] == "info" for one in verdict["advice"])
        return {one["code"] for one in verdict["advice"]}

    assert advised() == set()
    assert advised(kind="style") == {"steps_outside_guides", "few_pictures_for_kind"}
    assert (
        client.post("/api/jobs/validate", json={"config": config, "kind": "x"}).status_code == 422
    )
