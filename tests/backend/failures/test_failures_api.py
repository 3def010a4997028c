"""Failures over HTTP: what happened, and cures that change and queue the job with one request."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.models import Job, Run, Worker
from backend.jobs import machines, queries
from backend.jobs.moves import move
from backend.jobs.status import JobStatus
from backend.launchers.launcher import Ended
from backend.runs.memory_kill import with_memory_kill
from backend.runs.outcome import LastKnown, outcome_of
from backend.runs.settle import settle
from backend.settings import Settings
from backend.system.schemas import HostMemory
from tests.backend.installation import job_config
from tests.backend.jobs.test_jobs_api import codes, create, put
from trainer import errors
from trainer.config import JobConfig
from trainer.disk_places import Folder, Place
from trainer.errors import DarkroomError
from trainer.job_folder import JobFolder

GIB = 1 << 30
CARD = "GPU-11111111-1111-1111-1111-111111111111"


@pytest.fixture(autouse=True)
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[Folder, Place]:
    """The machine's disks, unknown until a test says what they are."""
    known: dict[Folder, Place] = {}
    monkeypatch.setattr(machines, "places_of", lambda **_folders: known)
    return known


@pytest.fixture
def card(database: Database) -> None:
    """A worker with a card of 24 GB in a machine of 64 GB."""
    devices = [
        {"id": CARD, "name": "a card", "memory_total_bytes": 24 * GIB, "memory_used_bytes": 0},
        {"id": "cpu", "name": "cpu", "memory_total_bytes": 64 * GIB, "memory_used_bytes": 0},
    ]
    with database.write() as session:
        session.add(
            Worker(
                id="w", host="h", machine="m", process_id=1, process_start_ticks=1, devices=devices
            )
        )


@pytest.fixture(autouse=True)
def large_pictures(settings: Settings) -> None:
    """A dataset that trains at 1024 px."""
    folder = settings.datasets_dir / "large"
    folder.mkdir()
    for colour in ("teal", "plum"):
        Image.new("RGB", (1024, 1024), colour).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text(f"[trigger] {colour}")


LARGE = {"target_dataset": "large", "resolutions": [768, 896, 1024]}


def dev_job() -> dict[str, Any]:
    """FLUX.2 dev in float8, which is too much for the card."""
    config = job_config()
    config["job"]["gpu"] = "any"
    config["model"] = {"model_architecture": "flux2-dev"}
    config["training"] |= {"batch_size": 2, "gradient_checkpointing": False, "steps": 1000}
    config["datasets"] = [LARGE]
    config["advanced"] = {"memory_plan": "go_on"}
    return config


def fail(
    database: Database,
    error: DarkroomError | None,
    *,
    exit_code: int | None = None,
    phase: str | None = "train",
    device: str = "cpu",
    memory_was_short: bool = False,
    **params: Any,
) -> None:
    """Let job 1, which waits, run and end with this error as its last word, or with none."""
    put(database, 1, JobStatus.RUNNING)
    finish = None
    if error is not None:
        problems = [p.as_dict() for p in error.problems]
        problems[0]["params"] = {**problems[0]["params"], **params}
        exit_code = error.exit_code
        finish = {"outcome": "failed", "exit_code": exit_code, "step": 7, "problems": problems}
    with database.write() as session:
        job = session.get_one(Job, 1)
        run = session.scalars(select(Run).where(Run.job_id == 1)).one()
        run.finish, run.phase, run.device = finish, phase, device
        tail = [f"line {number}" for number in range(30)]
        known = LastKnown(finish, exit_code, False, False, phase, 7, tail)
        ended = Ended(exit_code, was_memory_short=memory_was_short, peak_resident_bytes=60 * GIB)
        memory = HostMemory(total_bytes=64 * GIB, available_bytes=0, swap_used_bytes=GIB)
        outcome = with_memory_kill(outcome_of(known), ended, memory)
        settle(session, job, run, outcome, exit_code, ended_at=datetime.now(UTC))


def failure(client: TestClient) -> dict[str, Any]:
    answer = client.get("/api/jobs/1/failure")
    assert answer.status_code == 200, answer.text
    return answer.json()


def queue_dev(client: TestClient, database: Database) -> None:
    """The job of dev, as if the model had been here when it was queued."""
    job_id = create(client, dev_job())["id"]
    with database.write() as session:
        move(
            session,
            job_id,
            from_status=JobStatus.DRAFT,
            to_status=JobStatus.QUEUED,
            reason="",
            config=JobConfig.model_validate(dev_job()).model_dump(mode="json"),
        )


def greedy_job() -> dict[str, Any]:
    """The tiny model, with more pictures and larger ones than it needs."""
    config = job_config()
    config["job"]["gpu"] = "any"
    config["quantization"] = {"transformer": "none", "text_encoder": "none"}
    config["training"] |= {"batch_size": 2, "gradient_checkpointing": False, "steps": 1000}
    config["datasets"] = [LARGE]
    return config


def queue(client: TestClient, config: dict[str, Any] | None = None) -> None:
    create(client, config or job_config(), queue=True)


def save(settings: Settings, *steps: int) -> JobFolder:
    folder = JobFolder(settings.output_dir, "style")
    for step in steps:
        folder.checkpoint(step).mkdir(parents=True)
    return folder


def apply(client: TestClient, cure: dict[str, Any]) -> dict[str, Any]:
    request = cure["request"]
    answer = client.request(request["method"], request["path"], json=request["body"])
    assert answer.status_code == 200, answer.text
    return answer.json()


def titles(found: dict[str, Any]) -> list[str]:
    return [cure["title"] for cure in found["cures"]]


def test_a_job_that_did_not_fail_has_no_failure_and_nothing_to_cure(client: TestClient) -> None:
    queue(client)
    assert client.get("/api/jobs/1/failure").json() is None
    answer = client.post("/api/jobs/1/cures/retry")
    assert (answer.status_code, codes(answer)) == (409, ["wrong_state"])
    assert answer.json()["errors"][0]["params"]["status"] == "queued"
    assert client.get("/api/jobs/9/failure").status_code == 404
    assert client.post("/api/jobs/9/cures/retry").status_code == 404


def test_a_failure_says_phase_exit_code_last_lines_and_likely_cause(
    client: TestClient, database: Database
) -> None:
    queue(client)
    fail(database, None, exit_code=-11)
    found = failure(client)
    assert (found["failure_class"], found["code"]) == ("crash", "crash")
    assert (found["exit_code"], found["signal"]) == (-11, "SIGSEGV")
    assert (found["phase"], found["step"], found["run"]) == ("train", 7, 1)
    assert found["last_lines"] == [f"line {number}" for number in range(30)]
    assert found["likely_cause"]
    (listed,) = client.get("/api/jobs").json()["items"]
    assert listed["likely_cause"] == found["likely_cause"], "without asking for each job"
    assert [cure["key"] for cure in found["cures"]] == ["retry"]


@pytest.mark.usefixtures("card")
def test_every_cure_of_a_full_card_lowers_the_planned_peak_in_the_order_of_trying(
    client: TestClient, database: Database
) -> None:
    queue_dev(client, database)
    fail_on_the_card(database)
    found = failure(client)
    assert found["failure_class"] == "out_of_memory"
    cures = [cure for cure in found["cures"] if cure["key"] != "retry"]
    assert titles(found)[:4] == [
        "Lower Resolutions to at most 896",
        "Lower Resolutions to at most 768",
        "Turn Gradient Checkpointing on",
        "Lower Batch Size to 1 and raise Gradient Accumulation to 2",
    ]
    for cure in cures:
        effect = cure["effect"]
        assert effect["place"] == "vram"
        assert effect["after_bytes"] < effect["before_bytes"], cure["title"]
        assert effect["available_bytes"] == 24 * GIB
        assert cure["why"]
        # What is said of the changed job is what the plan says of it.
        config = client.get("/api/jobs/1").json()["config"]
        changed = changed_by(config, cure["settings"])
        (plan,) = client.post("/api/jobs/plan", json={"config": changed}).json()["devices"]
        assert plan["fits"] is effect["fits"], cure["title"]
    assert any(cure["effect"]["fits"] for cure in cures)
    assert "retry" not in [cure["key"] for cure in found["cures"]], "by the plan, it cannot fit"


def fail_on_the_card(database: Database) -> None:
    error = errors.OutOfMemory("The GPU ran out of memory.", "Less.", params={"device": "gpu"})
    fail(database, error, device=CARD)


@pytest.mark.usefixtures("card")
def test_a_cure_changes_and_queues_the_job_with_one_request(
    client: TestClient, database: Database, settings: Settings
) -> None:
    queue(client, greedy_job())
    save(settings, 5, 10)
    fail_on_the_card(database)
    (cure,) = [c for c in failure(client)["cures"] if c["title"].endswith("at most 768")]
    assert (cure["goes_on_from_step"], cure["is_new_job"]) == (10, False)
    job = apply(client, cure)
    assert (job["id"], job["status"]) == (1, "queued")
    assert job["config"]["datasets"][0]["resolutions"] == [768]
    assert client.get("/api/jobs/1/failure").json() is None
    again = client.post(cure["request"]["path"])
    assert (again.status_code, codes(again)) == (409, ["wrong_state"]), "a second click"


@pytest.mark.usefixtures("card")
def test_what_was_trained_is_not_lost_to_a_cure_that_does_not_fit_it(
    client: TestClient, database: Database, settings: Settings
) -> None:
    queue(client, greedy_job())
    folder = save(settings, 5, 10)
    write_lora(folder.checkpoint(10) / "lora.safetensors")
    fail_on_the_card(database)
    (cure,) = [
        c
        for c in failure(client)["cures"]
        if c["title"] == "Choose float8 for the Transformer (Quantization)"
    ]
    assert cure["is_new_job"]
    assert "step 10" in cure["why"]
    answer = client.post(cure["request"]["path"])
    # The stand-in of a LoRA is none of dev's; the door says so of the new job, and nothing changes.
    assert answer.status_code == 422, answer.text
    assert {error["field"] for error in answer.json()["errors"]} == {"training.start_from_lora"}
    assert client.get("/api/jobs/1").json()["status"] == "failed"
    (folder.checkpoint(5)).rmdir()
    (folder.checkpoint(10) / "lora.safetensors").unlink()
    folder.checkpoint(10).rmdir()
    (fresh,) = [c for c in failure(client)["cures"] if c["settings"] == cure["settings"]]
    assert not fresh["is_new_job"], "nothing was trained yet"
    assert apply(client, fresh)["config"]["quantization"]["transformer"] == "float8"


def test_non_finite_numbers_halve_the_rate_from_the_last_good_checkpoints(
    client: TestClient, database: Database, settings: Settings
) -> None:
    queue(client, job_config(training={"steps": 20, "learning_rate": 1e-3}))
    save(settings, 5, 10)
    fail(database, errors.NonFinite("Loss is not finite.", ""))
    found = failure(client)
    assert found["failure_class"] == "non_finite"
    newest, before = found["cures"]
    assert (newest["goes_on_from_step"], before["goes_on_from_step"]) == (10, 5)
    job = apply(client, before)
    assert job["config"]["training"]["learning_rate"] == 5e-4
    with database.read() as session:
        assert session.get_one(Job, 1).resume_from_step == 5


def test_bad_files_are_left_out_only_if_that_helps(
    client: TestClient, database: Database, settings: Settings
) -> None:
    queue(client)
    save(settings, 5)
    (settings.datasets_dir / "shapes" / "picture-0.png").write_bytes(b"torn")
    fail(database, errors.BadDataset("picture-0.png cannot be read.", ""), phase=None)
    (cure,) = failure(client)["cures"]
    assert cure["settings"] == {
        "datasets.0.bad_files": "leave_out",
        "advanced.changed_dataset": "go_on",
    }
    assert apply(client, cure)["status"] == "queued"


def test_a_dataset_that_is_gone_has_no_cure_until_it_is_back(
    client: TestClient, database: Database, settings: Settings
) -> None:
    queue(client)
    away = settings.datasets_dir / "elsewhere"
    (settings.datasets_dir / "shapes").rename(away)
    fail(database, errors.BadDataset("There is no dataset shapes.", ""), phase=None)
    assert failure(client)["cures"] == []
    away.rename(settings.datasets_dir / "shapes")
    (cure,) = failure(client)["cures"]
    assert (cure["key"], cure["title"]) == ("retry", "Start it again")
    assert apply(client, cure)["status"] == "queued"


@pytest.mark.usefixtures("card")
def test_a_full_disk_is_cured_by_writing_less_or_by_room(
    client: TestClient, database: Database, settings: Settings, disk: dict[Folder, Place]
) -> None:
    queue(client, job_config(save={"save_every": 2}))
    fail(database, errors.DiskFull("Nothing can be written any more.", ""), phase="save")
    disk["output"] = Place(settings.output_dir, 1, 20 << 20)
    found = failure(client)
    assert found["failure_class"] == "disk_full"
    (cure,) = found["cures"]
    assert cure["settings"] == {"save.max_step_saves_to_keep": 2}
    assert cure["effect"]["place"] == "disk"
    assert cure["effect"]["after_bytes"] < cure["effect"]["before_bytes"]
    assert cure["effect"]["fits"]
    disk["output"] = Place(settings.output_dir, 1, 20 << 30)
    assert [cure["key"] for cure in failure(client)["cures"]] == ["retry"]
    stale = client.post(cure["request"]["path"])
    assert (stale.status_code, codes(stale)) == (409, ["cure_not_offered"])


def test_a_damaged_checkpoint_is_passed_over_or_everything_begun_anew(
    client: TestClient, database: Database, settings: Settings
) -> None:
    queue(client)
    save(settings, 2, 4, 6, 8)
    error = errors.BadCheckpoint("It is damaged.", "", code="checkpoint_damaged")
    fail(database, error, phase="load")
    found = failure(client)
    assert [cure["goes_on_from_step"] for cure in found["cures"]] == [6, 4, None]
    assert apply(client, found["cures"][-1])["status"] == "queued"
    with database.read() as session:
        assert session.get_one(Job, 1).resume_from_step == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.BadModel("", "", code="model_needs_token"), "gated_model"),
        (errors.BadModel("", "", code="model_licence_not_accepted"), "gated_model"),
        (errors.BadModel("", "", code="model_offline"), "offline"),
        (errors.JobRefused("", "", code="disk_too_small"), "disk_full"),
        (errors.FolderInUse("", ""), "folder_in_use"),
        (errors.ChildFailed("", ""), "encoding_failed"),
        (errors.BadLora("", ""), "bad_lora"),
    ],
)
def test_every_class_can_be_tried_again_once_its_reason_is_gone(
    client: TestClient, database: Database, error: DarkroomError, kind: str
) -> None:
    queue(client)
    fail(database, error, phase="load")
    found = failure(client)
    assert found["failure_class"] == kind
    assert found["cures"][-1]["key"] == "retry"
    assert apply(client, found["cures"][-1])["status"] == "queued"


def test_a_job_that_was_refused_offers_no_more_of_the_same(
    client: TestClient, database: Database
) -> None:
    queue(client)
    fail(database, errors.JobRefused("training.steps: too many.", ""), phase=None)
    assert failure(client)["failure_class"] == "bad_job"
    assert failure(client)["cures"] == []


def test_a_compiler_that_fails_is_done_without(client: TestClient, database: Database) -> None:
    queue(client)
    fail(database, errors.JobRefused("No compiler.", "", code="compile_failed"))
    (cure,) = failure(client)["cures"]
    assert apply(client, cure)["config"]["advanced"]["compile"] is False


@pytest.mark.usefixtures("card")
def test_a_killed_trainer_is_taken_for_lack_of_host_memory(
    client: TestClient, database: Database
) -> None:
    queue_dev(client, database)
    fail(database, None, exit_code=-9, device=CARD, phase="load")
    found = failure(client)
    assert (found["failure_class"], found["signal"]) == ("crash", "SIGKILL")
    assert "memory was full" in found["likely_cause"]
    assert {cure["effect"]["place"] for cure in found["cures"] if cure["effect"]} <= {"ram"}
    assert found["cures"][-1]["key"] == "retry"


def test_a_trainer_that_the_system_killed_for_lack_of_memory_is_out_of_memory_on_the_host(
    client: TestClient, database: Database
) -> None:
    queue_dev(client, database)
    fail(database, None, exit_code=-9, device=CARD, phase="load", memory_was_short=True)
    found = failure(client)
    assert (found["failure_class"], found["code"]) == ("out_of_memory", "out_of_memory")
    assert (found["signal"], found["phase"]) == ("SIGKILL", "load")
    assert "60.00 GB at most; the machine has 64.0 GB" in found["message"]
    assert found["last_lines"][-1] == "line 29"
    assert {cure["effect"]["place"] for cure in found["cures"] if cure["effect"]} <= {"ram"}


def test_an_adopted_trainer_that_vanished_while_memory_was_short_is_not_an_interruption(
    client: TestClient, database: Database
) -> None:
    queue(client)
    fail(database, None, memory_was_short=True)
    found = failure(client)
    assert (found["failure_class"], found["signal"]) == ("out_of_memory", None)
    assert client.get("/api/jobs/1").json()["status"] == "failed", "it does not resume by itself"


@pytest.mark.parametrize("exit_code", [-15, 1])
def test_memory_that_was_short_explains_no_other_end(
    client: TestClient, database: Database, exit_code: int
) -> None:
    queue(client)
    fail(database, None, exit_code=exit_code, memory_was_short=True)
    assert failure(client)["failure_class"] == "crash"


def test_memory_that_was_short_explains_no_signal_that_the_trainer_told_of() -> None:
    finish = {"outcome": "stopped", "exit_code": 3, "step": 7, "problems": []}
    outcome = outcome_of(LastKnown(finish, None, False, False, "train", 7))
    memory = HostMemory(total_bytes=64 * GIB, available_bytes=0, swap_used_bytes=0)
    assert with_memory_kill(outcome, Ended(None, was_memory_short=True), memory) == outcome


@pytest.fixture
def cpu(database: Database) -> None:
    """A worker with no card, in a machine of 64 GB."""
    device = {"id": "cpu", "name": "cpu", "memory_total_bytes": 64 * GIB, "memory_used_bytes": 0}
    with database.write() as session:
        session.add(
            Worker(
                id="w", host="h", machine="m", process_id=1, process_start_ticks=1, devices=[device]
            )
        )


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(("batch_size", "is_offered"), [(None, False), (1, False), (8, True)])
def test_a_smaller_encoding_batch_is_offered_only_where_the_plan_says_that_it_takes_less(
    client: TestClient, database: Database, batch_size: int | None, is_offered: bool
) -> None:
    config = greedy_job()
    config["training"]["encoding_batch_size"] = batch_size
    queue(client, config)
    fail(database, errors.ChildFailed("The encoding process was killed.", ""), phase="encode")
    found = failure(client)
    (*cures, last) = found["cures"]
    assert last["key"] == "retry"
    assert ("Set Encoding Batch Size to 1" in titles(found)) is is_offered
    for cure in cures:
        assert cure["effect"]["after_bytes"] < cure["effect"]["before_bytes"]


def test_an_interrupted_job_goes_on_from_its_newest_checkpoint(
    client: TestClient, database: Database, settings: Settings
) -> None:
    queue(client)
    save(settings, 5)
    fail(database, None, exit_code=None)
    found = failure(client)
    assert found["failure_class"] == "lost_process"
    (cure,) = found["cures"]
    assert cure["title"] == "Go on from step 5"
    assert apply(client, cure)["status"] == "queued"


def test_each_run_tells_its_class_and_the_job_its_latest_moves(
    client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(client)
    assert client.get("/api/jobs/1").json()["moves"][0]["to_status"] == "queued"
    fail(database, errors.OutOfMemory("The GPU ran out of memory.", "Lower Resolutions."))
    job = client.get("/api/jobs/1").json()
    assert [run["failure_class"] for run in job["runs"]] == ["out_of_memory"]
    newest = job["moves"][0]
    assert (newest["from_status"], newest["to_status"]) == ("running", "failed")
    assert newest["reason"] == "failed: out_of_memory"
    assert newest["moved_at"]
    assert job["moves"][-1]["from_status"] == "draft"
    client.post("/api/jobs/1/queue")
    put(database, 1, JobStatus.RUNNING, with_run=False)
    with database.write() as session:
        session.add(Run(job_id=1, number=2, token="t", worker_id="w", host="h", device="cpu"))
    classes = [run["failure_class"] for run in client.get("/api/jobs/1").json()["runs"]]
    assert classes == ["out_of_memory", None], "a run that is under way has not failed"
    monkeypatch.setattr(queries, "SHOWN_MOVES", 2)
    moves = client.get("/api/jobs/1").json()["moves"]
    assert [each["to_status"] for each in moves] == ["running", "starting"]


def changed_by(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for path, value in changes.items():
        *parents, leaf = path.split(".")
        place: Any = config
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place[key]
        place[leaf] = value
    return config


def write_lora(file: Path) -> None:
    """A safetensors file without tensors: no LoRA of any model."""
    file.write_bytes((2).to_bytes(8, "little") + b"{}")
