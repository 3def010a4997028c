"""Events into rows: what a run says becomes what the API tells."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.models import Checkpoint, CommandRequest, Job, Run
from backend.jobs.commands import close_commands, note_command
from backend.jobs.news import Topics, read_news
from backend.jobs.status import JobStatus
from backend.runs.record import Place, record_events
from backend.settings import Settings
from tests.backend.installation import job_config
from trainer import events
from trainer.config import JobConfig
from trainer.errors import Problem
from trainer.job_folder import LORA_FILE, JobFolder


@pytest.fixture
def job_id(database: Database) -> int:
    """A job whose first run has just been started."""
    config = JobConfig.model_validate(job_config()).model_dump(mode="json")
    with database.write() as session:
        job = Job(training_name="style", config=config, status=JobStatus.STARTING)
        session.add(job)
        session.flush()
        session.add(new_run(job.id, 1))
        return job.id


def new_run(job_id: int, number: int) -> Run:
    return Run(job_id=job_id, number=number, token="t", worker_id="w", host="h", device="cpu")


def say(database: Database, settings: Settings, job_id: int, *said: events.Event) -> None:
    """Record events of the job's latest run."""
    with database.write() as session:
        job = session.get_one(Job, job_id)
        run = session.query(Run).filter_by(job_id=job_id).order_by(Run.number.desc()).first()
        assert run is not None
        place = Place(session, job, run, JobFolder(settings.output_dir, "style"))
        assert record_events(place, said) == []  # type: ignore[arg-type]


def started(number: int = 1) -> events.RunStarted:
    return events.RunStarted(
        training_name="style", run_number=number, process_id=1, host="h", total_steps=10
    )


def begins(step: int | None = None) -> events.RunBegins:
    return events.RunBegins(resumed_from_step=step)


def step(number: int, *, loss: float = 1.0, preservation_loss: float | None = None) -> events.Step:
    return events.Step(
        step=number,
        loss=loss,
        objective=1.0,
        preservation_loss=preservation_loss,
        learning_rate=1e-4,
        gradient_norm=1.0,
        step_seconds=0.1,
    )


def saved(folder: JobFolder, number: int, **checked: Any) -> events.CheckpointSaved:
    """A checkpoint on the disk, as a trainer would have written and announced it."""
    lora = folder.checkpoint(number) / LORA_FILE
    lora.parent.mkdir(parents=True)
    lora.write_bytes(b"a LoRA")
    path = folder.relative(lora.parent)
    return events.CheckpointSaved(
        step=number, path=path, lora=folder.relative(lora), size_bytes=6, **checked
    )


def paced(first: int, *seconds: float) -> list[events.Step]:
    said = [step(number) for number in range(first, first + len(seconds))]
    return [
        each.model_copy(update={"step_seconds": took})
        for each, took in zip(said, seconds, strict=True)
    ]


def measured(number: int, loss: float) -> events.Measured:
    return events.Measured(step=number, validation_loss=loss, seconds=0.1)


def test_the_best_step_time_is_that_of_the_runs_fastest_fifty_however_they_were_read(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    def best() -> float | None:
        return client.get(f"/api/jobs/{job_id}").json()["best_step_seconds"]

    say(database, settings, job_id, started(), begins(), *paced(1, *[3.0] * 20, *[1.0] * 29))
    assert best() is None, "fewer than fifty"
    say(database, settings, job_id, *paced(50, *[1.0] * 11))
    assert best() == 1.0, "31 of the last 50 took a second"
    say(database, settings, job_id, *paced(61, *[4.0] * 60))
    assert best() == 1.0, "what comes later can only be better"


def test_a_job_tells_when_its_trainer_last_spoke_while_its_run_is_alive(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    def last_sign() -> str | None:
        return client.get("/api/jobs").json()["items"][0]["last_sign_at"]

    assert last_sign() is None, "nothing was heard yet"
    spoke = events.PhaseStarted(phase="load", time=1_700_000_000.0)
    say(database, settings, job_id, started(), spoke)
    assert last_sign() == "2023-11-14T22:13:20Z"
    say(database, settings, job_id)
    assert last_sign() == "2023-11-14T22:13:20Z", "nothing new"
    with database.write() as session:
        session.get_one(Job, job_id).status = JobStatus.COMPLETED
    assert last_sign() is None


def test_settings_changed_in_mid_run_are_the_jobs_from_then_on(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    change = {"training.steps": 25, "sample.prompts": [{"prompt": "a hexagon"}]}
    taken = events.CommandTaken(command="change", command_seq=1, step=3, settings=change)
    say(database, settings, job_id, started(), begins(), step(3), taken, step(4))
    job = client.get(f"/api/jobs/{job_id}").json()
    assert (job["total_steps"], job["progress"]["total"]) == (25, 25)
    assert [prompt["prompt"] for prompt in job["config"]["sample"]["prompts"]] == ["a hexagon"]


def test_a_refused_command_is_a_warning_of_the_run(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    problem = Problem("steps_are_done", "Steps cannot become 2.", "Give 3.", "training.steps")
    refused = events.CommandRefused(
        command="change", command_seq=1, step=3, problems=[problem.as_dict()]
    )
    say(database, settings, job_id, started(), begins(), refused)
    (run,) = client.get(f"/api/jobs/{job_id}").json()["runs"]
    (said,) = run["problems"]
    assert (said["code"], said["severity"], said["field"]) == (
        "steps_are_done",
        "warning",
        "training.steps",
    )
    assert "step 3" in said["message"]


def test_a_picture_for_which_memory_ran_out_is_a_warning_with_what_would_help(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    failed = events.SampleFailed(
        step=3,
        prompt_index=1,
        prompt="a fox",
        message="Out of memory while drawing samples.",
        code="out_of_memory",
        hint="In this order: draw samples of at most 512 px. Training goes on.",
        params={"phase": "sample", "device": "gpu", "peak_bytes": 5, "changes": [{"label": "x"}]},
    )
    say(database, settings, job_id, started(), begins(), failed)
    (run,) = client.get(f"/api/jobs/{job_id}").json()["runs"]
    (said,) = run["problems"]
    assert (said["code"], said["severity"]) == ("out_of_memory", "warning")
    assert said["field"] == "sample.prompts.1"
    assert said["message"].endswith("was not drawn: Out of memory while drawing samples.")
    assert said["hint"] == failed.hint
    # The changes are in the hint; a run keeps a problem for each picture.
    measured = {"phase": "sample", "device": "gpu", "peak_bytes": 5}
    assert said["params"] == {**measured, "step": 3, "prompt": "a fox"}


def ask_to_change(database: Database, job_id: int, number: int, steps: int) -> None:
    """As the API and the worker do: noted, and given under a number."""
    with database.write() as session:
        note_command(session, job_id, "change", {"training.steps": steps})
        session.query(CommandRequest).filter_by(number=None).one().number = number


def test_the_answer_to_a_command_is_told_with_its_step_and_its_reasons(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    say(database, settings, job_id, started(), begins())
    for number, steps in ((71, 25), (72, 2), (73, 40)):
        ask_to_change(database, job_id, number, steps)
    problem = Problem("steps_are_done", "Steps cannot become 2.", "Give 3.", "training.steps")
    say(
        database,
        settings,
        job_id,
        events.CommandTaken(
            command="change", command_seq=71, step=3, settings={"training.steps": 25}
        ),
        events.CommandRefused(
            command="change", command_seq=72, step=4, problems=[problem.as_dict()]
        ),
        events.CommandTaken(command="save", command_seq=1, step=4),  # written by hand
    )
    with database.write() as session:
        close_commands(session, job_id)
    items = client.get(f"/api/jobs/{job_id}/commands").json()["items"]
    assert [(c["outcome"], c["step"]) for c in items] == [
        ("unanswered", None),
        ("refused", 4),
        ("taken", 3),
    ]
    assert [p["message"] for p in items[1]["problems"]] == ["Steps cannot become 2."]
    with database.read() as session:
        news = read_news(session, Topics(job_ids=frozenset({job_id})), 0).news
    told = [json.loads(one.json) for one in news if one.name == "command"]
    assert [c["outcome"] for c in told] == ["waiting"] * 3 + ["taken", "refused", "unanswered"]


def test_measurements_make_one_curve_across_resumes(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    say(
        database,
        settings,
        job_id,
        started(),
        begins(),
        measured(0, 0.5),
        measured(2, 0.4),
        measured(4, 0.3),
    )
    with database.write() as session:
        session.get_one(Job, job_id).status = JobStatus.STARTING
        session.add(new_run(job_id, 2))
    say(database, settings, job_id, started(2), begins(2), measured(4, 0.25))
    items = client.get(f"/api/jobs/{job_id}/measurements").json()["items"]
    assert [(p["step"], p["validation_loss"], p["run"]) for p in items] == [
        (0, 0.5, 1),
        (2, 0.4, 1),
        (4, 0.25, 2),
    ]
    assert items[0]["drift_without_trigger"] is None
    assert client.get("/api/jobs/999/measurements").status_code == 404


def test_a_run_keeps_its_own_curve_with_what_a_later_one_took_back(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    first = [step(number, loss=1.0) for number in range(1, 5)]
    say(database, settings, job_id, started(), begins(), *first, measured(2, 0.4), measured(4, 0.3))
    with database.write() as session:
        session.get_one(Job, job_id).status = JobStatus.STARTING
        session.add(new_run(job_id, 2))
    second = [step(number, loss=2.0) for number in (3, 4, 5)]
    say(database, settings, job_id, started(2), begins(2), *second, measured(4, 0.25))

    def curve(what: str, **asked: int) -> list[tuple[int, int]]:
        items = client.get(f"/api/jobs/{job_id}/{what}", params=asked).json()["items"]
        return [(point["step"], point["run"]) for point in items]

    assert curve("metrics") == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]
    assert curve("metrics", run=1) == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert curve("metrics", run=2) == [(3, 2), (4, 2), (5, 2)]
    assert curve("metrics", run=1, after_step=2, through_step=3) == [(3, 1)]
    assert curve("metrics", run=1, max_points=2) == [(2, 1), (4, 1)]
    assert curve("measurements") == [(2, 1), (4, 2)]
    assert curve("measurements", run=1) == [(2, 1), (4, 1)]
    assert curve("measurements", run=2) == [(4, 2)]
    for what in ("metrics", "measurements", "log"):
        answer = client.get(f"/api/jobs/{job_id}/{what}", params={"run": 3})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "no_such_run")


def test_one_checkpoint_is_the_best_at_a_time_and_pinned_ones_are_marked(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    with database.write() as session:
        (run,) = session.query(Run).filter_by(job_id=job_id)
        session.add_all(
            Checkpoint(job_id=job_id, run_id=run.id, step=number, size_bytes=1, path=f"{number}")
            for number in (2, 4)
        )
    for best in (2, 4):
        say(database, settings, job_id, events.BestCheckpoint(step=best))
        items = client.get(f"/api/jobs/{job_id}/checkpoints").json()["items"]
        assert [c["step"] for c in items if c["is_best"]] == [best]
        assert [c["step"] for c in items if c["is_pinned"]] == []
    pins = settings.output_dir / "style" / "pins.json"
    pins.parent.mkdir(parents=True, exist_ok=True)
    pins.write_text('{"checkpoints": {"2": {"pinned": true}}}')
    items = client.get(f"/api/jobs/{job_id}/checkpoints").json()["items"]
    assert [c["step"] for c in items if c["is_pinned"]] == [2]
    pins.write_text("[]")
    assert client.get(f"/api/jobs/{job_id}/checkpoints").status_code == 200


def test_the_result_of_an_early_end_is_told_as_the_best_checkpoint_whose_lora_it_is(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    folder = JobFolder(settings.output_dir, "style")
    said = [
        *[step(n, loss=n / 10, preservation_loss=n / 100) for n in (1, 2)],
        saved(folder, 2, num_layers=40, lora_norm=1.5),
        events.BestCheckpoint(step=2),
        step(3, loss=9.0, preservation_loss=9.0),
        saved(folder, 3, num_layers=40, lora_norm=99.0),
    ]
    folder.result.write_bytes(b"a LoRA")
    end = events.RunFinished(
        outcome="completed", exit_code=0, step=3, lora=folder.result.name, lora_step=2
    )
    say(database, settings, job_id, started(), begins(), *said, end)

    best, final, last = client.get(f"/api/jobs/{job_id}/checkpoints").json()["items"]
    assert [c["is_final"] for c in (best, final, last)] == [False, True, False]
    assert (final["step"], final["is_best"], final["lora_norm"]) == (2, True, 1.5)
    assert (final["loss"], final["preservation_loss"]) == pytest.approx((0.15, 0.015))
    told = ("step", "is_best", "loss", "preservation_loss", "num_layers", "lora_norm")
    assert [final[fact] for fact in told] == [best[fact] for fact in told]
    assert client.get(f"/api/jobs/{job_id}").json()["step"] == 3

    # The job goes on, and a better one comes: then the result is no longer the best one's.
    say(database, settings, job_id, events.BestCheckpoint(step=3))
    items = client.get(f"/api/jobs/{job_id}/checkpoints").json()["items"]
    assert [c["is_best"] for c in items] == [False, False, True]


def test_a_result_that_tells_no_step_is_the_last_steps(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    folder = JobFolder(settings.output_dir, "style")
    folder.result.parent.mkdir(parents=True, exist_ok=True)
    folder.result.write_bytes(b"a LoRA")
    end = events.RunFinished(outcome="completed", exit_code=0, step=3, lora=folder.result.name)
    say(database, settings, job_id, started(), begins(), step(3, loss=0.5), end)
    (final,) = client.get(f"/api/jobs/{job_id}/checkpoints").json()["items"]
    assert (final["step"], final["loss"], final["preservation_loss"]) == (3, 0.5, None)


def test_a_run_that_cannot_begin_leaves_the_earlier_curve_alone(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    say(database, settings, job_id, started(), begins(), step(1), step(2), measured(2, 0.4))
    with database.write() as session:
        session.get_one(Job, job_id).status = JobStatus.STARTING
        session.add(new_run(job_id, 2))
    problem = Problem("checkpoint_damaged", "It cannot be used.", "Resume from another.")
    finished = events.RunFinished(
        outcome="failed", exit_code=7, step=0, problems=[problem.as_dict()]
    )
    say(database, settings, job_id, started(2), finished)
    job = client.get(f"/api/jobs/{job_id}").json()
    assert job["step"] == 2
    assert len(client.get(f"/api/jobs/{job_id}/metrics").json()["items"]) == 2
    assert len(client.get(f"/api/jobs/{job_id}/measurements").json()["items"]) == 1


def test_why_a_run_ended_early_is_kept_with_it(
    client: TestClient, database: Database, settings: Settings, job_id: int
) -> None:
    reason = Problem("early_stop", "Validation Loss has not fallen.", "", params={"best_step": 2})
    finished = events.RunFinished(
        outcome="completed", exit_code=0, step=4, ended_early=reason.as_dict()
    )
    say(database, settings, job_id, started(), begins(), step(4), finished)
    (run,) = client.get(f"/api/jobs/{job_id}").json()["runs"]
    assert [(p["code"], p["severity"]) for p in run["problems"]] == [("early_stop", "warning")]


def test_a_preview_is_told_to_the_pages_of_its_job_and_can_be_fetched(
    database: Database, settings: Settings, client: TestClient, job_id: int
) -> None:
    preview = events.SamplePreview(
        step=4, prompt_index=1, prompt="zorvex, a hat", done=3, total=20, path="preview.png"
    )
    assert client.get(f"/api/jobs/{job_id}/preview").status_code == 404
    file = JobFolder(settings.output_dir, "style").run(1).preview
    file.parent.mkdir(parents=True)
    file.write_bytes(b"a picture")
    say(database, settings, job_id, started(), begins(), preview)
    with database.read() as session:
        told = read_news(session, Topics(job_ids=frozenset({job_id})), 0).news
        elsewhere = read_news(session, Topics(queue=True), 0).news
    (news,) = [one for one in told if one.name == "preview"]
    assert json.loads(news.json) == {
        "job_id": job_id,
        "step": 4,
        "prompt_index": 1,
        "prompt": "zorvex, a hat",
        "done": 3,
        "total": 20,
    }
    assert "preview" not in {one.name for one in elsewhere}
    answer = client.get(f"/api/jobs/{job_id}/preview?n=3")
    assert (answer.status_code, answer.content) == (200, b"a picture")
    assert answer.headers["cache-control"] == "no-store"
    assert client.get("/api/jobs/999/preview").status_code == 404


def test_a_wait_for_space_is_progress_and_no_part_of_how_long_saving_takes(
    database: Database, settings: Settings, job_id: int
) -> None:
    def at(time: float, event: events.Event) -> events.Event:
        return event.model_copy(update={"time": time})

    crowded = events.WaitingForSpace(
        phase="save", folder="/out", needed_bytes=2_500_000_000, free_bytes=900_000
    )
    say(
        database,
        settings,
        job_id,
        at(1, started()),
        at(2, begins()),
        at(10, events.PhaseStarted(phase="train")),
        at(20, events.PhaseStarted(phase="save")),
        at(21, crowded),
        at(3600, crowded),
    )
    with database.read() as session:
        job = session.get_one(Job, job_id)
        assert job.progress == {
            "done": 0, "total": 2500, "message": "waiting for space: needs 2,500 MB, 1 MB free",
        }  # fmt: skip
        assert job.phase == "save"
    say(
        database,
        settings,
        job_id,
        at(5000, events.PhaseStarted(phase="save", message="there is room again")),
        at(5007, events.PhaseStarted(phase="train")),
    )
    with database.read() as session:
        assert session.get_one(Job, job_id).saving_seconds == 7


def test_a_clock_that_is_set_in_the_middle_of_a_save_says_nothing_of_how_long_it_takes(
    database: Database, settings: Settings, job_id: int
) -> None:
    day = 86_400.0
    times = (100, 107 + day, 110 + day, 120, 123)
    for number, phase in enumerate(("save", "train", "save", "train", "save")):
        stamps = {"time": times[number], "elapsed_seconds": 10.0 * number}
        say(
            database,
            settings,
            job_id,
            events.PhaseStarted(phase=phase).model_copy(update=stamps),
        )
    with database.read() as session:
        assert session.get_one(Job, job_id).saving_seconds == 10
