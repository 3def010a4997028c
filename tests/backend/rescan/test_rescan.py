"""The database lost, and brought back from the output folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file
from sqlalchemy import delete

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.db.models import Run
from backend.main import create_app
from backend.settings import Settings
from tests.backend.installation import job_config
from trainer import events, folder_lock
from trainer.commands import append_command
from trainer.config import JobConfig
from trainer.job_file import write_job_file
from trainer.job_folder import LORA_FILE, MANIFEST_FILE, RECIPE_CHUNK, JobFolder

LORA = (2).to_bytes(8, "little") + b"{}"


@pytest.fixture
def style(settings: Settings) -> JobFolder:
    """A job of two runs: stopped at step 6, then completed from the checkpoint of step 5."""
    folder = make_job(settings, "style")
    write_run(folder, 1, begin=None, last=6, outcome="stopped")
    write_run(folder, 2, begin=5, last=10, outcome="completed")
    return folder


def make_job(settings: Settings, name: str) -> JobFolder:
    folder = JobFolder(settings.output_dir, name)
    write_job_file(folder.job_file, JobConfig.model_validate(job_config(name)))
    return folder


def write_run(
    folder: JobFolder, number: int, *, begin: int | None, last: int, outcome: str | None
) -> None:
    """What a trainer leaves: events, log, a picture at every fifth step, checkpoints."""
    run = folder.run(number)
    shutil.copy(folder.job_file, run_file(run.job_file))
    log = events.EventLog(run.events)
    token = f"{folder.training_name}-{number}"
    log.append(
        events.RunStarted(
            training_name=folder.training_name,
            run_number=number,
            token=token,
            process_id=1,
            host="here",
            device="cpu",
            total_steps=10,
        )
    )
    log.append(events.RunBegins(resumed_from_step=begin))
    for step in range((begin or 0) + 1, last + 1):
        log.append(
            events.Step(
                step=step,
                loss=number / step,
                objective=1.0,
                learning_rate=1e-4,
                gradient_norm=1.0,
                step_seconds=0.1,
            )
        )
        if step % 5 == 0:
            log.append(draw(folder, step))
            log.append(save(folder, step))
    result = None
    if outcome == "completed":
        folder.result.write_bytes(LORA)
        result = folder.result.name
    if outcome == "stopped":
        append_command(run.commands, "stop")
    if outcome is not None:
        exit_code = {"completed": 0, "stopped": 3}[outcome]
        log.append(
            events.RunFinished(outcome=outcome, exit_code=exit_code, step=last, lora=result)  # type: ignore[arg-type]
        )
    log.close()
    run.log.write_text(f"run {number}\n")


def run_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def draw(folder: JobFolder, step: int) -> events.Sample:
    file = run_file(folder.sample(step, 0))
    recipe = {
        "training_name": folder.training_name,
        "step": step,
        "prompt_index": 0,
        "prompt": "a circle",
        "seed": 42,
        "width": 16,
        "height": 16,
        "guidance_scale": 1.0,
        "sample_steps": 4,
    }
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(RECIPE_CHUNK, json.dumps(recipe))
    Image.new("RGB", (16, 16)).save(file, pnginfo=chunks)
    return events.Sample.model_validate({**recipe, "path": folder.relative(file)})


def save(folder: JobFolder, step: int) -> events.CheckpointSaved:
    lora = run_file(folder.checkpoint(step) / LORA_FILE)
    lora.write_bytes(LORA)
    manifest = {"step": step, "files": {LORA_FILE: {"size_bytes": len(LORA)}}}
    (lora.parent / MANIFEST_FILE).write_text(json.dumps(manifest))
    return events.CheckpointSaved(
        step=step,
        path=folder.relative(lora.parent),
        lora=folder.relative(lora),
        size_bytes=len(LORA),
    )


def rescan(client: TestClient) -> dict[str, Any]:
    answer = client.post("/api/system/rescan")
    assert answer.status_code == 200, answer.text
    return answer.json()


def codes(report: dict[str, Any]) -> list[str]:
    return [problem["code"] for problem in report["problems"]]


def one_job(client: TestClient) -> dict[str, Any]:
    (summary,) = client.get("/api/jobs").json()["items"]
    return client.get(f"/api/jobs/{summary['id']}").json()


def items(client: TestClient, job: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return client.get(f"/api/jobs/{job['id']}/{what}").json()["items"]


def everything(client: TestClient) -> dict[str, Any]:
    """What the API tells of the only job."""
    job = one_job(client)
    of_runs = [f"metrics?run={run['number']}" for run in job["runs"]]
    told = ("metrics", *of_runs, "measurements", "samples", "checkpoints", "log")
    return {"job": job} | {what: items(client, job, what) for what in told}


@contextmanager
def without_database(settings: Settings) -> Iterator[TestClient]:
    """A server on an empty database."""
    for file in settings.database_file.parent.glob("darkroom.db*"):
        file.unlink()
    migrate(settings)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


def test_a_job_comes_back_with_its_runs_curve_pictures_and_checkpoints(
    client: TestClient, style: JobFolder
) -> None:
    assert rescan(client) == {
        "brought_back": ["style"],
        "completed": [],
        "unchanged": [],
        "left_alone": [],
        "problems": [],
    }
    job = one_job(client)
    assert (job["status"], job["step"], job["error"]) == ("completed", 10, None)
    assert job["config"] == JobConfig.model_validate(job_config("style")).model_dump(mode="json")
    assert [(run["number"], run["status"], run["last_step"]) for run in job["runs"]] == [
        (1, "stopped", 6),
        (2, "completed", 10),
    ]
    curve = [
        (point["step"], point["loss"], point["run"]) for point in items(client, job, "metrics")
    ]
    assert curve == [(s, (1 if s <= 5 else 2) / s, 1 if s <= 5 else 2) for s in range(1, 11)]
    own = [(p["step"], p["loss"], p["run"]) for p in items(client, job, "metrics?run=1")]
    assert own == [(s, 1 / s, 1) for s in range(1, 7)], "with step 6, which run 2 took back"
    assert [p["step"] for p in items(client, job, "metrics?run=2")] == list(range(6, 11))
    assert [sample["step"] for sample in items(client, job, "samples")] == [5, 10]
    saved = [(c["step"], c["is_final"]) for c in items(client, job, "checkpoints")]
    assert saved == [(5, False), (10, False), (10, True)]
    picture = items(client, job, "samples")[0]["url"]
    assert client.get(picture).status_code == 200
    assert items(client, job, "log") == [{"line": "run 2", "offset": 0}]


def test_a_second_rescan_changes_nothing(
    client: TestClient, database: Database, style: JobFolder
) -> None:
    rescan(client)
    before = everything(client)
    assert rescan(client)["unchanged"] == ["style"]
    assert everything(client) == before


def test_a_job_whose_files_end_in_the_middle_is_interrupted_and_does_not_start_by_itself(
    client: TestClient, settings: Settings
) -> None:
    folder = make_job(settings, "style")
    write_run(folder, 1, begin=None, last=7, outcome=None)
    with folder.run(1).events.open("ab") as file:
        file.write(b'{"type": "step", "st')
    assert codes(rescan(client)) == ["torn_event"]
    job = one_job(client)
    assert (job["status"], job["step"]) == ("interrupted", 7)
    assert job["error"]["code"] == "lost_process"
    assert client.post(f"/api/jobs/{job['id']}/queue").json()["status"] == "queued"


def test_a_folder_that_is_locked_is_left_alone_and_named(
    client: TestClient, style: JobFolder
) -> None:
    with folder_lock.held(style.lock):
        report = rescan(client)
    assert (report["left_alone"], codes(report)) == (["style"], ["job_is_busy"])
    assert client.get("/api/jobs").json()["items"] == []
    assert rescan(client)["brought_back"] == ["style"]


def test_an_older_database_gets_the_runs_that_it_lacks(
    client: TestClient, settings: Settings
) -> None:
    folder = make_job(settings, "style")
    write_run(folder, 1, begin=None, last=6, outcome="stopped")
    rescan(client)
    first = one_job(client)
    client.patch(f"/api/jobs/{first['id']}/place", json={"priority": 1})
    write_run(folder, 2, begin=5, last=10, outcome="completed")
    report = rescan(client)
    assert (report["completed"], report["problems"]) == (["style"], [])
    again = everything(client)
    job = again["job"]
    assert (job["id"], job["priority"]) == (first["id"], 1), "the job is the one it was"
    assert (job["status"], job["step"], len(job["runs"])) == ("completed", 10, 2)
    assert job["runs"][0] == first["runs"][0]
    assert [(p["step"], p["run"]) for p in again["metrics"]] == [
        (s, 1 if s <= 5 else 2) for s in range(1, 11)
    ]
    with without_database(settings) as empty:
        rescan(empty)
        anew, kept = without_ids(everything(empty)), without_ids(again)
    # The moves are the database's own: the older one had seen the job stopped.
    for told in (anew, kept):
        assert told["job"].pop("moves")[0]["to_status"] == "completed"
    kept["job"]["priority"] = 0
    assert anew == kept, "told in two parts or at once, it is the same"


def test_a_run_that_is_missing_in_the_middle_is_put_in_its_place(
    client: TestClient, database: Database, settings: Settings, style: JobFolder
) -> None:
    write_run(style, 3, begin=10, last=10, outcome="stopped")
    rescan(client)
    before = everything(client)
    with database.write() as session:
        session.execute(delete(Run).where(Run.number < 3))
    assert len(one_job(client)["runs"]) == 1
    report = rescan(client)
    assert (report["completed"], report["problems"]) == (["style"], [])
    assert without_ids(everything(client)) == without_ids(before)


def without_ids(value: Any) -> Any:
    """The answer without what a second database numbers and times anew."""
    anew = {"id", "url", "thumbnail_url", "updated_at", "created_at", "moved_at"}
    if isinstance(value, dict):
        return {key: without_ids(inner) for key, inner in value.items() if key not in anew}
    return [without_ids(inner) for inner in value] if isinstance(value, list) else value


def test_an_address_never_shows_another_picture_than_before_the_database_was_lost(
    client: TestClient, settings: Settings, style: JobFolder
) -> None:
    for number in style.run_numbers():  # which would keep the number of the lost picture
        style.run(number).events.unlink()
    rescan(client)
    kept_by_a_browser = shown_at(client)
    style.sample(5, 0).unlink()
    with without_database(settings) as again:
        rescan(again)
        now = shown_at(again)
    left = {url.partition("?")[0] for url in now}
    assert left < {url.partition("?")[0] for url in kept_by_a_browser}, "numbered as the lost one"
    assert not now & kept_by_a_browser


def shown_at(client: TestClient) -> set[str]:
    """The addresses of pictures and thumbnails."""
    samples = items(client, one_job(client), "samples")
    return {sample[of] for sample in samples for of in ("url", "thumbnail_url")}


def test_pictures_and_checkpoints_come_back_although_the_events_are_lost(
    client: TestClient, style: JobFolder
) -> None:
    for number in style.run_numbers():
        style.run(number).events.unlink()
    style.sample(5, 7).write_bytes(b"no picture")
    report = rescan(client)
    assert codes(report) == ["file_left_out", "file_left_out"]
    assert "step-000005-prompt-07.png" in " ".join(p["message"] for p in report["problems"])
    job = one_job(client)
    assert (job["status"], job["step"]) == ("interrupted", 10)
    (sample, _) = items(client, job, "samples")
    assert (sample["prompt"], sample["seed"]) == ("a circle", 42)
    assert [c["step"] for c in items(client, job, "checkpoints")] == [5, 10]
    assert job["resumable_from_steps"] == [5, 10]
    again = rescan(client)
    assert (again["unchanged"], again["completed"]) == (["style"], [])
    assert codes(again) == codes(report), "they are still left out"


def test_a_folder_without_runs_still_has_its_pictures(client: TestClient, style: JobFolder) -> None:
    shutil.rmtree(style.runs)
    rescan(client)
    job = one_job(client)
    assert "runs_missing" in [warning["code"] for warning in job["warnings"]]
    assert len(items(client, job, "samples")) == 2


def test_a_renamed_folder_is_named_with_its_cure(
    client: TestClient, settings: Settings, style: JobFolder
) -> None:
    style.path.rename(settings.output_dir / "other")
    report = rescan(client)
    assert codes(report) == ["folder_renamed"]
    assert "Rename it to style" in report["problems"][0]["hint"]
    (settings.output_dir / "other").rename(style.path)
    assert rescan(client)["brought_back"] == ["style"]


@pytest.mark.parametrize("with_its_job_file", [False, True])
def test_a_copied_folder_is_named_and_the_original_comes_back(
    client: TestClient, settings: Settings, style: JobFolder, with_its_job_file: bool
) -> None:
    copy = JobFolder(settings.output_dir, "a-copy")
    shutil.copytree(style.path, copy.path)
    if with_its_job_file:
        write_job_file(copy.job_file, JobConfig.model_validate(job_config("a-copy")))
    report = rescan(client)
    assert (report["brought_back"], codes(report)) == (["style"], ["folder_copied"])
    assert report["problems"][0]["params"]["folder"] == "a-copy"


def test_a_folder_renamed_with_its_job_file_is_not_taken_for_a_second_job(
    client: TestClient, settings: Settings, style: JobFolder
) -> None:
    rescan(client)
    style.path.rename(settings.output_dir / "other")
    other = JobFolder(settings.output_dir, "other")
    write_job_file(other.job_file, JobConfig.model_validate(job_config("other")))
    report = rescan(client)
    assert (report["brought_back"], codes(report)) == ([], ["folder_renamed"])


def test_what_is_damaged_is_said_once_each_and_stops_nothing_else(
    client: TestClient, settings: Settings, style: JobFolder
) -> None:
    style.job_file.write_text("job: [")
    with style.run(2).events.open("ab") as file:
        file.write(b"not json\n" * 3 + b"x" * (2 << 20) + b'\n{"type": "from_the_future"}\n')
    (style.checkpoint(5) / LORA_FILE).write_bytes(LORA[:4])
    shutil.copytree(style.run(2).path, style.run(3).path)
    make_job(settings, "whole")
    texts = {"hopeless": "- a list", "dated": "a: 2026-13-01", "nested": "[" * 3_000}
    for name, text in texts.items():
        (settings.output_dir / name).mkdir()
        (settings.output_dir / name / "job.yaml").write_text(text)
    report = rescan(client)
    assert sorted(report["brought_back"]) == ["style", "whole"]
    assert sorted(codes(report)) == [
        "checkpoint_damaged",
        "job_file_damaged",
        *["no_job_file"] * 3,
        "run_copied",
        "unknown_event",
        "unreadable_event",
    ]
    jobs = {job["training_name"]: job for job in client.get("/api/jobs").json()["items"]}
    assert jobs["style"]["status"] == "completed"
    assert jobs["whole"]["status"] == "draft"


def test_odd_lines_keep_no_job_from_coming_back(
    client: TestClient, settings: Settings, style: JobFolder
) -> None:
    odd = ['{"type": []}', "[" * 100_000, '{"type": "phase", "phase": "train", "time": 1e18}']
    for number, line in enumerate(odd):
        folder = make_job(settings, f"first-{number}")
        write_run(folder, 1, begin=None, last=5, outcome="stopped")
        file = folder.run(1).events
        file.write_text(f"{line}\n{file.read_text()}")
    taken = {"type": "command", "command": "change", "command_seq": 1, "step": 1}
    with style.run(2).events.open("a") as events_file:
        events_file.writelines(f"{line}\n" for line in odd)
        events_file.write(json.dumps(taken | {"settings": {"datasets.0": 1}}) + "\n")
    report = rescan(client)
    assert sorted(report["brought_back"]) == ["first-0", "first-1", "first-2", "style"]
    assert codes(report).count("unreadable_event") == 4
    jobs = {job["training_name"]: job for job in client.get("/api/jobs").json()["items"]}
    assert (jobs["style"]["status"], jobs["style"]["step"]) == ("completed", 10)
    assert jobs["first-1"]["step"] == 5


def test_a_checkpoint_without_its_lora_is_named_and_rows_of_lost_files_go(
    client: TestClient, style: JobFolder
) -> None:
    rescan(client)
    style.sample(5, 0).unlink()
    (style.checkpoint(10) / LORA_FILE).unlink()
    report = rescan(client)
    assert (report["completed"], codes(report)) == (["style"], ["files_gone", "checkpoint_damaged"])
    job = one_job(client)
    assert [sample["step"] for sample in items(client, job, "samples")] == [10]
    kept = [(c["step"], c["is_final"]) for c in items(client, job, "checkpoints")]
    assert kept == [(5, False), (10, True)]


def test_a_result_without_events_is_that_of_the_step_that_its_file_tells(
    client: TestClient, style: JobFolder
) -> None:
    shutil.rmtree(style.runs)
    save_file({}, style.result, metadata={"darkroom.step": "5"})
    manifest_file = style.checkpoint(5) / MANIFEST_FILE
    manifest = json.loads(manifest_file.read_text())
    manifest_file.write_text(json.dumps(manifest | {"is_best": True}))
    rescan(client)
    saved = items(client, one_job(client), "checkpoints")
    assert [(c["step"], c["is_final"], c["is_best"]) for c in saved] == [
        (5, False, True),
        (5, True, True),
        (10, False, False),
    ]
