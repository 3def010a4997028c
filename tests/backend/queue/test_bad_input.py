"""What other hands put into a job's folder is reported once, clearly, and stops nothing else.

What a rescan says of damaged, renamed and copied folders is in tests/backend/rescan; what a resume
says of a damaged checkpoint in tests/trainer.
"""

from __future__ import annotations

import errno
import json
import shutil
import signal
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.launchers.launcher import Order, TrainerProcess
from backend.settings import Settings
from backend.worker import watch
from backend.worker.loop import Worker
from tests.backend.bundles.packed_jobs import save_checkpoint
from tests.backend.installation import job_config
from tests.backend.queue.puppets import Puppet, Puppeteer, device
from tests.backend.worker.worker_rows import ANOTHER_BOOT, claim_as, worker_row
from trainer.events import (
    AnyEvent,
    CheckpointSaved,
    CommandTaken,
    Event,
    PhaseStarted,
    RunBegins,
    RunStarted,
    Sample,
    Superseded,
)
from trainer.job_folder import LORA_FILE, JobFolder

DEVICES = ("GPU-aaaa", "cpu")


@pytest.fixture
def puppeteer() -> Iterator[Puppeteer]:
    puppeteer = Puppeteer()
    yield puppeteer
    for puppet in puppeteer.living:
        puppet.end(0)


@pytest.fixture
def worker(settings: Settings, database: Database, puppeteer: Puppeteer) -> Worker:
    worker = Worker(
        settings,
        database,
        puppeteer,
        clock=lambda: 0.0,
        ask_devices=lambda: [device(name) for name in DEVICES],
    )
    worker.sign_on()
    return worker


def queue(client: TestClient, name: str, gpu: str = "cpu") -> int:
    config = job_config(name, job={"gpu": gpu})
    answer = client.post("/api/jobs", json={"config": config, "queue": True})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def puppet_of(puppeteer: Puppeteer, name: str) -> Puppet:
    (found,) = [puppet for puppet in puppeteer.living if puppet.training_name == name]
    return found


def job(client: TestClient, job_id: int) -> dict[str, Any]:
    return client.get(f"/api/jobs/{job_id}").json()


def test_nonsense_among_the_events_is_told_once_for_each_kind(
    client: TestClient, worker: Worker, puppeteer: Puppeteer
) -> None:
    broken, fine = queue(client, "broken"), queue(client, "fine", DEVICES[0])
    worker.turn()
    puppet = puppet_of(puppeteer, "broken")
    nonsense = [
        "half a li\n",
        '{"type": "step", "step": "five"}\n',
        '{"type": "step", "step": 3, "loss": NaN}\n',
        json.dumps({"type": "sample", "step": -1, "path": 7}) + "\n",
        json.dumps({"type": "from_a_later_version", "seq": 9, "time": 1.0}) + "\n",
        "[1, 2, 3]\n",
        json.dumps({"type": "step", "step": 10**30, "loss": 1e400}) + "\n",
        "\x00\x01\x02\n",
        "x" * (3 << 20) + "\n",
    ]
    for _ in range(2):
        for line in nonsense:
            with puppet.files.events.open("a") as events:
                events.write(line)
            worker.turn()
    puppet.begin(0)
    puppet_of(puppeteer, "fine").begin(0)
    with puppet.files.events.open("a") as events:
        events.write('{"type": "step", "st')
    for _ in range(9):  # a look reads a window of the file, and the huge lines fill several
        worker.turn()
    assert [job(client, each)["status"] for each in (broken, fine)] == ["running", "running"]
    assert [job(client, each)["step"] for each in (broken, fine)] == [1, 1]
    codes = [problem["code"] for problem in job(client, broken)["runs"][0]["problems"]]
    assert codes, "it is told"
    assert len(codes) == len(set(codes)), "once for each kind"
    assert job(client, fine)["runs"][0]["problems"] == []
    with puppet.files.events.open("a") as events:
        events.write('ep": 2}\n')
    puppet.finish("completed")
    puppet_of(puppeteer, "fine").finish("completed")
    worker.turn()
    assert [job(client, each)["status"] for each in (broken, fine)] == ["completed", "completed"]


ODD_LINES = [
    '{"type": []}',
    '{"type": {}}',
    "[" * 100_000,
    *(
        '{"type": "warning", "code": "x", "message": "m", "params": '
        + '{"a":' * depth
        + "1"
        + "}" * (depth + 1)
        for depth in (250, 700)
    ),
    '{"type": "phase", "phase": "train", "time": 1e18}',
    '{"type": "run_finished", "outcome": "failed", "exit_code": 1, "step": 1, "problems": [{}]}',
    '{"type": "run_finished", "outcome": "failed", "exit_code": 0, "step": 1, "ended_early": {}}',
]


@pytest.mark.parametrize("ends", ["by itself", "by force"])
def test_odd_lines_keep_no_run_from_its_end(
    client: TestClient,
    settings: Settings,
    database: Database,
    puppeteer: Puppeteer,
    ends: str,
) -> None:
    seconds = [0.0]
    worker = Worker(
        settings,
        database,
        puppeteer,
        clock=lambda: seconds[0],
        ask_devices=lambda: [device("cpu")],
    )
    worker.sign_on()
    job_id = queue(client, "odd")
    worker.turn()
    puppet = puppet_of(puppeteer, "odd")
    puppet.begin(0)
    worker.turn()
    for file in (puppet.files.events, puppet.files.commands):
        with file.open("a") as lines:
            lines.writelines(f"{line}\n" for line in ODD_LINES)
    if ends == "by itself":
        puppet.finish("failed")
        worker.turn()
        expected = "failed"
    else:
        client.post(f"/api/jobs/{job_id}/stop")
        for _ in range(4):
            worker.turn()
            seconds[0] += settings.stop_patience_seconds + settings.kill_patience_seconds
        expected = "stopped"
    ended = job(client, job_id)
    assert ended["status"] == expected
    codes = [problem["code"] for problem in ended["runs"][0]["problems"]]
    assert codes.count("unreadable_event") == 1
    if ends == "by itself":
        assert ended["error"]["code"] == "disk_full", "what the trainer itself said"
    queue(client, "next")
    worker.turn()
    assert puppet_of(puppeteer, "next"), "the device is free"


def test_a_trainer_whose_events_cannot_be_read_is_stopped_all_the_same(
    client: TestClient, settings: Settings, database: Database, puppeteer: Puppeteer
) -> None:
    seconds = [0.0]
    worker = Worker(
        settings,
        database,
        puppeteer,
        clock=lambda: seconds[0],
        ask_devices=lambda: [device("cpu")],
    )
    worker.sign_on()
    job_id = queue(client, "odd")
    worker.turn()
    puppet = puppet_of(puppeteer, "odd")
    puppet.begin(0)
    worker.turn()
    kept = puppet.files.events.rename(puppet.files.events.with_name("kept"))
    puppet.files.events.mkdir()
    client.post(f"/api/jobs/{job_id}/stop")
    for _ in range(4):
        worker.turn()
        seconds[0] += settings.stop_patience_seconds + settings.kill_patience_seconds
    assert not puppet.is_alive
    puppet.files.events.rmdir()
    kept.rename(puppet.files.events)
    worker.turn()
    assert job(client, job_id)["status"] == "stopped"


@pytest.mark.parametrize("waits", ["nothing else", "a save"])
def test_a_stop_that_cannot_be_written_ends_in_a_signal(
    client: TestClient,
    settings: Settings,
    database: Database,
    puppeteer: Puppeteer,
    monkeypatch: pytest.MonkeyPatch,
    waits: str,
) -> None:
    seconds = [0.0]
    worker = Worker(
        settings,
        database,
        puppeteer,
        clock=lambda: seconds[0],
        ask_devices=lambda: [device(name) for name in DEVICES],
    )
    worker.sign_on()
    job_id = queue(client, "full")
    worker.turn()
    puppet = puppet_of(puppeteer, "full")
    puppet.begin(0)
    worker.turn()

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(watch, "append_command", no_room)
    if waits == "a save":
        client.post(f"/api/jobs/{job_id}/commands", json={"command": "save"})
    client.post(f"/api/jobs/{job_id}/stop")
    worker.turn()
    seconds[0] += settings.stop_patience_seconds - 1
    worker.turn()
    assert puppet.is_alive, "it is given its time"
    seconds[0] += 6
    worker.turn()
    assert (puppet.is_alive, puppet.exit_code) == (False, -signal.SIGTERM)
    seconds[0] += 6
    worker.turn()
    assert job(client, job_id)["status"] == "stopped"


def test_a_half_written_last_line_is_told_of_once_the_run_is_over(
    client: TestClient, worker: Worker, puppeteer: Puppeteer
) -> None:
    job_id = queue(client, "torn")
    worker.turn()
    puppet = puppet_of(puppeteer, "torn")
    puppet.begin(0)
    with puppet.files.events.open("a") as events:
        events.write('{"type": "step", "st')
    worker.turn()
    assert job(client, job_id)["runs"][0]["problems"] == [], "it may yet be ended"
    puppet.end(0)
    worker.turn()
    ended = job(client, job_id)
    assert ended["status"] == "completed"
    (problem,) = ended["runs"][0]["problems"]
    assert (problem["code"], problem["severity"]) == ("torn_event", "warning")
    assert problem["params"] == {"line": '{"type": "step", "st', "num_bytes": 20}


def test_a_run_whose_files_stay_unreadable_is_closed_after_a_minute(
    settings: Settings, client: TestClient, database: Database, puppeteer: Puppeteer
) -> None:
    clock = [0.0]
    worker = Worker(
        settings,
        database,
        puppeteer,
        clock=lambda: clock[0],
        ask_devices=lambda: [device(name) for name in DEVICES],
    )
    worker.sign_on()
    lost, next_one = queue(client, "lost"), queue(client, "next")
    worker.turn()
    puppet = puppet_of(puppeteer, "lost")
    puppet.begin(0)
    worker.turn()
    puppet.files.events.unlink()
    puppet.files.events.mkdir()  # which is what no read gets past, with any user's rights
    (puppet.files.events / ("x" * 200)).touch()
    puppet.end(1)
    for seconds in (0, 30, 59):
        clock[0] = seconds
        worker.turn()
        assert job(client, lost)["status"] == "running", "it may come back"
    clock[0] = 70
    worker.turn()
    ended = job(client, lost)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "crash")
    assert [problem["code"] for problem in ended["runs"][0]["problems"]] == [
        "run_unreadable",
        "crash",
    ]
    worker.turn()
    assert job(client, next_one)["status"] in ("starting", "running")


def test_after_a_reboot_one_unreadable_folder_does_not_hold_up_the_queue(
    settings: Settings, client: TestClient, database: Database, puppeteer: Puppeteer
) -> None:
    clock = [0.0]
    worker = Worker(
        settings,
        database,
        puppeteer,
        clock=lambda: clock[0],
        ask_devices=lambda: [device(name) for name in DEVICES],
    )
    worker.sign_on()
    lost = queue(client, "lost")
    claim_as(database, settings, worker_row("before", machine=ANOTHER_BOOT))
    next_one = queue(client, "next", DEVICES[0])
    settings.output_dir.mkdir(exist_ok=True)
    (settings.output_dir / "lost").write_text("where a folder was")
    worker.turn()
    assert job(client, next_one)["status"] in ("starting", "running")
    assert job(client, lost)["status"] == "starting", "it may come back"
    clock[0] = 70
    worker.turn()
    worker.turn()
    ended = job(client, lost)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "launch_failed")


def test_an_event_that_no_row_can_be_made_of_is_left_out_alone(
    client: TestClient, worker: Worker, puppeteer: Puppeteer
) -> None:
    job_id = queue(client, "odd")
    worker.turn()
    puppet = puppet_of(puppeteer, "odd")
    drawn = {"prompt_index": 0, "prompt": "p", "seed": 1, "width": 8, "height": 8}
    drawn |= {"guidance_scale": 1.0, "sample_steps": 1, "path": "samples/a.png"}
    puppet.say(Sample(step=1, **drawn))
    for _ in range(2):
        puppet.say(
            CommandTaken(command="change", command_seq=1, step=1, settings={"datasets.0": 1})
        )
        puppet.say(Superseded(after_step=0, path="x" * 300))
    puppet.begin(0)
    worker.turn()
    told = job(client, job_id)
    assert (told["status"], told["step"]) == ("running", 1)
    assert [problem["code"] for problem in told["runs"][0]["problems"]] == ["unrecorded_event"]
    puppet.finish("completed")
    worker.turn()
    assert job(client, job_id)["status"] == "completed"


def test_no_value_in_any_field_of_an_event_stops_the_queue(
    client: TestClient, worker: Worker, puppeteer: Puppeteer
) -> None:
    """Each field of each event, with each kind of value in it."""
    broken, fine = queue(client, "broken"), queue(client, "fine", DEVICES[0])
    worker.turn()
    puppet = puppet_of(puppeteer, "broken")
    puppet.begin(0)
    values = [None, True, -1, 10**30, 2**63 - 1, 1e18, -1e18, "", "\0", "\ud800", "x" * 300]
    values += [[], [1], [{}], {}, {"a": {}}, {"code": 1}, {"job": 1}, [{"code": "x", "params": []}]]
    kinds: tuple[type[Event], ...] = get_args(get_args(AnyEvent)[0])
    with puppet.files.events.open("a") as events:
        for kind in kinds:
            whole = sound_values(kind)
            for name in kind.model_fields:
                if kind is RunStarted and name == "token":
                    continue  # of another run, whose lines are passed over
                for value in values:
                    events.write(json.dumps(whole | {name: value}) + "\n")
    worker.turn()
    assert job(client, fine)["status"] == "running"
    puppet.finish("completed")
    puppet_of(puppeteer, "fine").finish("completed")
    worker.turn()
    assert [job(client, each)["status"] for each in (broken, fine)] == ["completed", "completed"]
    again = client.post(f"/api/jobs/{broken}/queue")
    assert again.status_code == 200, again.text


def sound_values(kind: type[Event]) -> dict[str, Any]:
    """Something that fits, for each field that has no default."""
    fitting = {
        "phase": "train",
        "outcome": "failed",
        "problems": [],
        "path": "a.png",
        "lora": "a.safetensors",
    }
    texts = {"training_name", "host", "prompt", "message", "code", "command", "folder"}
    return {
        name: fitting.get(name, "x" if name in texts else 1)
        for name, field in kind.model_fields.items()
        if field.is_required()
    } | {"type": kind.model_fields["type"].default}


def test_a_job_file_changed_by_hand_is_kept_beside_and_named(
    client: TestClient, worker: Worker, puppeteer: Puppeteer, settings: Settings
) -> None:
    job_id = queue(client, "style")
    folder = JobFolder(settings.output_dir, "style")
    for changed in ("steps: 77", "steps: [no", "steps: 2026-13-01"):
        worker.turn()
        puppet = puppet_of(puppeteer, "style")
        shutil.copy(folder.job_file, puppet.files.job_file)  # as the trainer does
        client.post(f"/api/jobs/{job_id}/stop")
        puppet.finish("stopped")
        worker.turn()
        text = folder.job_file.read_text().replace("steps: 10", changed, 1)
        folder.job_file.write_text(text)
        client.post(f"/api/jobs/{job_id}/queue")
        worker.turn()
        latest = job(client, job_id)["runs"][-1]
        assert [problem["code"] for problem in latest["problems"]] == ["job_file_changed"]
        assert "steps: 10" in folder.job_file.read_text()
        kept = folder.path / latest["problems"][0]["params"]["kept_as"]
        assert kept.read_text() == text
        assert job(client, job_id)["config"]["training"]["steps"] == 10
        puppet = puppet_of(puppeteer, "style")
        shutil.copy(folder.job_file, puppet.files.job_file)
        client.post(f"/api/jobs/{job_id}/stop")
        puppet.finish("stopped")
        worker.turn()
        client.post(f"/api/jobs/{job_id}/queue")
    worker.turn()
    assert job(client, job_id)["runs"][-1]["problems"] == [], "what was said once is not repeated"


def test_a_run_folder_that_cannot_be_read_fails_its_job_and_no_other(
    client: TestClient,
    worker: Worker,
    puppeteer: Puppeteer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, fine = queue(client, "broken"), queue(client, "fine")
    folder = JobFolder(settings.output_dir, "broken")
    run_numbers = JobFolder.run_numbers

    def refused(self: JobFolder) -> list[int]:
        """Of a folder without the right to read it, which root always has."""
        if self == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(self.runs))
        return run_numbers(self)

    monkeypatch.setattr(JobFolder, "run_numbers", refused)
    for _ in range(3):
        worker.turn()
    ended = job(client, broken)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "launch_failed")
    assert "Permission denied" in ended["error"]["message"]
    assert len(ended["runs"]) == 1
    assert job(client, fine)["status"] == "running"


def test_a_mistake_of_ours_at_a_start_fails_that_job_alone(
    client: TestClient, worker: Worker, puppeteer: Puppeteer, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, fine = queue(client, "broken"), queue(client, "fine")
    start = puppeteer.start

    def mistaken(order: Order) -> TrainerProcess:
        assert "broken" not in str(order.log), "a mistake"
        return start(order)

    monkeypatch.setattr(puppeteer, "start", mistaken)
    for _ in range(3):
        worker.turn()
    assert job(client, broken)["error"]["code"] == "launch_failed"
    assert job(client, fine)["status"] == "running"


@pytest.mark.parametrize(
    "change",
    [
        {"known": None},
        {"known": {"path": [1]}, "kind": "picture"},
        {"path": 7},
        {"size_bytes": "x"},
        {"training_name": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_note_in_the_trash_changed_by_hand_keeps_nothing_waiting(
    client: TestClient,
    worker: Worker,
    puppeteer: Puppeteer,
    settings: Settings,
    change: dict[str, Any],
) -> None:
    gone = queue(client, "style", DEVICES[0])
    client.post(f"/api/jobs/{gone}/stop")
    assert client.delete(f"/api/jobs/{gone}?files=true").status_code == 204
    (note,) = settings.output_dir.glob(".trash/*/trash.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | change))
    again = queue(client, "style")
    worker.turn()
    assert job(client, again)["status"] == "starting"
    worker.turn()
    client.delete(f"/api/jobs/{again}?files=true")
    puppet_of(puppeteer, "style").finish("stopped")
    worker.turn()
    assert client.get(f"/api/jobs/{again}").status_code == 404
    assert client.get("/api/trash").status_code == 200


def save(puppet: Puppet, settings: Settings, step: int = 5) -> JobFolder:
    """A checkpoint, said and on the disk; the job's folder."""
    folder = JobFolder(settings.output_dir, puppet.training_name)
    save_checkpoint(folder, step)
    saved = folder.checkpoint(step)
    puppet.say(
        CheckpointSaved(
            step=step,
            path=folder.relative(saved),
            lora=folder.relative(saved / LORA_FILE),
            size_bytes=1,
        )
    )
    return folder


def test_a_job_whose_folder_went_away_says_that_it_begins_anew(
    client: TestClient, worker: Worker, puppeteer: Puppeteer, settings: Settings
) -> None:
    job_id, other = queue(client, "style"), queue(client, "other", DEVICES[0])
    worker.turn()
    puppet = puppet_of(puppeteer, "style")
    puppet.begin(0)
    folder = save(puppet, settings)
    client.post(f"/api/jobs/{job_id}/stop")
    puppet.finish("stopped")
    worker.turn()
    folder.path.rename(settings.output_dir / "renamed")
    queued = client.post(f"/api/jobs/{job_id}/queue").json()
    assert "checkpoints_gone" in [warning["code"] for warning in queued["warnings"]]
    client.post(f"/api/jobs/{job_id}/stop")
    (settings.output_dir / "renamed").rename(folder.path)
    queued = client.post(f"/api/jobs/{job_id}/queue").json()
    assert "checkpoints_gone" not in [warning["code"] for warning in queued["warnings"]]
    assert job(client, other)["status"] in ("starting", "running")


@pytest.mark.parametrize(
    ("how", "told"), [("interrupted", "by a warning"), ("waiting", "by its own choice")]
)
def test_a_job_whose_folder_went_away_begins_anew_only_when_told_to(
    client: TestClient,
    worker: Worker,
    puppeteer: Puppeteer,
    settings: Settings,
    how: str,
    told: str,
) -> None:
    """As with a disk that was not mounted after a restart."""
    job_id = queue(client, "style")
    worker.turn()
    puppet = puppet_of(puppeteer, "style")
    puppet.begin(0)
    folder = save(puppet, settings)
    worker.turn()
    if how == "interrupted":
        puppet.end(None)
    else:
        client.post(f"/api/jobs/{job_id}/stop")
        puppet.finish("stopped")
        worker.turn()
        client.post(f"/api/jobs/{job_id}/queue")
    folder.path.rename(settings.output_dir / "elsewhere")
    worker.turn()
    failed = job(client, job_id)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "checkpoints_gone")
    assert str(folder.path) in failed["error"]["message"]
    assert puppeteer.living == []
    assert "Begin anew" in [cure["title"] for cure in cures(client, job_id)]
    chosen = {} if told == "by a warning" else {"resume_from_step": 0}
    queued = client.post(f"/api/jobs/{job_id}/queue", json=chosen).json()
    warned = "checkpoints_gone" in [warning["code"] for warning in queued["warnings"]]
    assert warned == (told == "by a warning")
    worker.turn()
    puppet = puppet_of(puppeteer, "style")
    puppet.begin(0)
    worker.turn()
    puppet.end(None)
    worker.turn()
    assert job(client, job_id)["status"] == "starting", "nothing is saved yet, and it was told"
    puppet = puppet_of(puppeteer, "style")
    puppet.begin(0)
    save(puppet, settings)
    worker.turn()
    puppet.end(None)
    folder.path.rename(settings.output_dir / "once-more")
    worker.turn()
    assert job(client, job_id)["status"] == "failed", "it has something to lose again"


def test_a_job_whose_folder_is_back_goes_on(
    client: TestClient, worker: Worker, puppeteer: Puppeteer, settings: Settings
) -> None:
    job_id = queue(client, "style")
    worker.turn()
    puppet = puppet_of(puppeteer, "style")
    puppet.begin(0)
    folder = save(puppet, settings)
    worker.turn()
    puppet.end(None)
    away = folder.path.rename(settings.output_dir / "elsewhere")
    worker.turn()
    assert job(client, job_id)["status"] == "failed"
    away.rename(folder.path)
    assert "Go on from step 5" in [cure["title"] for cure in cures(client, job_id)]
    queued = client.post(f"/api/jobs/{job_id}/queue").json()
    assert "checkpoints_gone" not in [warning["code"] for warning in queued["warnings"]]
    worker.turn()
    assert job(client, job_id)["status"] == "starting"


def test_a_run_that_is_cut_off_while_it_sets_the_future_aside_begins_at_the_chosen_step_again(
    client: TestClient,
    worker: Worker,
    puppeteer: Puppeteer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders: list[str] = []
    start = puppeteer.start

    def noting(order: Order) -> TrainerProcess:
        words = list(order.command)
        orders.append(words[words.index("--resume") + 1] if "--resume" in words else "newest")
        return start(order)

    monkeypatch.setattr(puppeteer, "start", noting)
    job_id = queue(client, "style")
    worker.turn()
    puppet = puppet_of(puppeteer, "style")
    puppet.begin(0)
    for step in (5, 6, 7):
        save(puppet, settings, step)
    client.post(f"/api/jobs/{job_id}/stop")
    puppet.finish("stopped")
    worker.turn()
    client.post(f"/api/jobs/{job_id}/queue", json={"resume_from_step": 5})
    worker.turn()
    puppet = puppet_of(puppeteer, "style")
    puppet.say(PhaseStarted(phase="load", message="settings and checkpoints"))
    puppet.say(RunBegins(resumed_from_step=5))
    worker.turn()
    puppet.end(None)  # step 6 is set aside, step 7 is not yet
    worker.turn()
    puppet = puppet_of(puppeteer, "style")
    puppet.say(RunBegins(resumed_from_step=5))
    puppet.say(Superseded(after_step=5, path="superseded/0003"))
    puppet.say(PhaseStarted(phase="load", message="transformer"))
    worker.turn()
    puppet.end(None)
    worker.turn()
    assert orders == ["newest", "5", "5", "newest"]


def cures(client: TestClient, job_id: int) -> list[dict[str, Any]]:
    return client.get(f"/api/jobs/{job_id}/failure").json()["cures"]


def test_what_does_not_fit_the_state_is_answered_with_the_state(
    client: TestClient, worker: Worker, puppeteer: Puppeteer
) -> None:
    job_id = queue(client, "style")
    worker.turn()
    worker.turn()
    for method, path in (("POST", "/queue"), ("POST", "/move")):
        answer = client.request(method, f"/api/jobs/{job_id}{path}", json={})
        assert answer.status_code == 409, path
        assert answer.json()["errors"][0]["params"]["status"] == "running"
    puppet_of(puppeteer, "style").finish("completed")
    worker.turn()
    answer = client.post(f"/api/jobs/{job_id}/stop")
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["params"]["status"] == "completed"
