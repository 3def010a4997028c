"""A job leaves one installation as one file and goes on in another."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete

from backend.bundles.contents import collect
from backend.bundles.importing import import_bundle
from backend.bundles.writing import BundleStream, FileChanged
from backend.cli import main
from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.db.models import Job
from backend.main import create_app
from backend.settings import Settings
from tests.backend.bundles.packed_jobs import (
    files_below,
    make_trained_job,
    members_of,
    visible,
)
from tests.backend.installation import environment_in, job_config, make_dataset, settings_in
from tests.trainer.power_cut import disks, lay_out, recording
from trainer import folder_lock
from trainer.job_folder import JobFolder


@contextmanager
def client_of(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def other(tmp_path: Path) -> Settings:
    """An empty installation: the other machine."""
    folder = tmp_path / "other"
    folder.mkdir()
    settings = settings_in(folder)
    migrate(settings)
    return settings


@pytest.fixture
def elsewhere(other: Settings) -> Iterator[TestClient]:
    with client_of(other) as client:
        yield client


@pytest.fixture
def style(client: TestClient, settings: Settings) -> int:
    """A job with two checkpoints and pictures, known to the database; its id."""
    return bring(client, settings, job_config("style"))


def bring(client: TestClient, settings: Settings, config: dict[str, Any]) -> int:
    make_trained_job(settings, config, (5, 10))
    assert client.post("/api/system/rescan").status_code == 200
    name = config["job"]["training_name"]
    jobs = client.get("/api/jobs").json()["items"]
    return next(job["id"] for job in jobs if job["training_name"] == name)


def download(client: TestClient, job_id: int, query: str = "") -> bytes:
    answer = client.get(f"/api/jobs/{job_id}/bundle{query}")
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    return answer.content


def upload(client: TestClient, bundle: bytes, query: str = "") -> dict[str, Any]:
    answer = client.post(f"/api/bundles{query}", content=bundle)
    assert answer.status_code == 201, answer.text
    return answer.json()


def codes(problems: list[dict[str, Any]]) -> list[str]:
    return [problem["code"] for problem in problems]


def test_a_job_arrives_stopped_with_its_checkpoint_and_everything_it_needs(
    client: TestClient, settings: Settings, style: int, elsewhere: TestClient, other: Settings
) -> None:
    report = upload(elsewhere, download(client, style))
    assert (report["training_name"], report["step"], report["renamed_from"]) == ("style", 10, None)
    assert report["settings"] == []
    job = elsewhere.get(f"/api/jobs/{report['job_id']}").json()
    assert (job["status"], job["step"], job["resumable_from_steps"]) == ("stopped", 10, [10])
    assert "runs_missing" not in codes(job["warnings"])
    assert job["config"] == client.get(f"/api/jobs/{style}").json()["config"]
    here, there = (JobFolder(each.output_dir, "style").checkpoint(10) for each in (settings, other))
    assert files_below(here) == files_below(there)
    shapes = settings.datasets_dir / "shapes", other.datasets_dir / "shapes"
    assert files_below(shapes[0]) == files_below(shapes[1]) != {}
    samples = elsewhere.get(f"/api/jobs/{report['job_id']}/samples").json()["items"]
    assert [sample["step"] for sample in samples] == [5, 10]
    queued = elsewhere.post(f"/api/jobs/{report['job_id']}/queue")
    assert (queued.status_code, queued.json()["status"]) == (200, "queued")


def test_an_imported_job_comes_back_from_its_files_as_it_was(
    client: TestClient, style: int, elsewhere: TestClient, other: Settings
) -> None:
    report = upload(elsewhere, download(client, style))
    lost = Database(other.database_url)
    with lost.write() as session:
        session.execute(delete(Job))
    lost.close()
    again = elsewhere.post("/api/system/rescan").json()
    assert (again["brought_back"], again["problems"]) == (["style"], [])
    (job,) = elsewhere.get("/api/jobs").json()["items"]
    assert (job["status"], job["step"]) == ("stopped", report["step"])
    warnings = elsewhere.get(f"/api/jobs/{job['id']}").json()["warnings"]
    assert "runs_missing" not in codes(warnings)


def test_a_chosen_checkpoint_comes_without_what_was_made_later(
    client: TestClient, style: int, elsewhere: TestClient
) -> None:
    names = [entry.name for entry, _ in members_of(download(client, style, "?step=5"))]
    assert "samples/step-000005-prompt-00.png" in names
    assert "samples/step-000010-prompt-00.png" not in names
    report = upload(elsewhere, download(client, style, "?step=5"))
    job = elsewhere.get(f"/api/jobs/{report['job_id']}").json()
    assert (job["step"], job["resumable_from_steps"]) == (5, [5])
    unknown = client.get(f"/api/jobs/{style}/bundle?step=7")
    assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (
        404,
        "no_such_checkpoint",
    )


def test_a_job_that_never_ran_arrives_as_a_draft(client: TestClient, elsewhere: TestClient) -> None:
    job = client.post("/api/jobs", json={"config": job_config("fresh")}).json()
    report = upload(elsewhere, download(client, job["id"]))
    assert report["step"] is None
    assert elsewhere.get(f"/api/jobs/{report['job_id']}").json()["status"] == "draft"
    assert elsewhere.post(f"/api/jobs/{report['job_id']}/queue").status_code == 200


def test_everything_that_a_job_reads_comes_along_under_names_that_are_free(
    client: TestClient, settings: Settings, elsewhere: TestClient, other: Settings, tmp_path: Path
) -> None:
    for name in ("edits/targets", "edits/sources", "masks", "held", "rest"):
        make_dataset(settings.datasets_dir / name)
    picture = tmp_path / "pose.png"
    picture.write_bytes((settings.datasets_dir / "shapes" / "picture-1.png").read_bytes())
    start = settings.models_dir / "older.safetensors"
    start.parent.mkdir(parents=True)
    start.write_bytes(b"an older LoRA")
    config = job_config("edit", training={"start_from_lora": "older.safetensors"})
    config["datasets"] = [
        {
            "target_dataset": "edits/targets",
            "control_datasets": ["edits/sources"],
            "mask_dataset": "masks",
            "resolutions": [64],
        },
        {"target_dataset": "rest", "is_regularization": True, "resolutions": [64]},
    ]
    config["advanced"] = {"validation": "dataset", "validation_dataset": "held"}
    config["sample"]["prompts"][0]["control_images"] = [str(picture), "rest/picture-0.png"]
    config["job"]["gpu"] = "GPU-5d6a7b8c-0000-0000-0000-000000000000"
    config["model"]["autoencoder_path"] = "/models/of/mine/ae.safetensors"
    job_id = bring(client, settings, config)
    make_dataset(other.datasets_dir / "masks")
    make_dataset(other.datasets_dir / "held")
    (other.datasets_dir / "held" / "picture-0.txt").write_text("another caption")

    report = upload(elsewhere, download(client, job_id))
    assert {d["name"]: (d["becomes"], d["is_reused"]) for d in report["datasets"]} == {
        "edits/targets": ("edits/targets", False),
        "edits/sources": ("edits/sources", False),
        "masks": ("masks", True),
        "rest": ("rest", False),
        "held": ("held-2", False),
    }
    changes = {change["field"]: change["now"] for change in report["settings"]}
    assert changes["job.gpu"] == "any"
    assert changes["advanced.validation_dataset"] == "held-2"
    assert changes["model.autoencoder_path"] == "/models/of/mine/ae.safetensors"
    images = changes["sample.prompts.0.control_images.0"]
    assert (other.datasets_dir / images).read_bytes() == picture.read_bytes()
    assert (other.models_dir / changes["training.start_from_lora"]).read_bytes() == b"an older LoRA"
    config_there = elsewhere.get(f"/api/jobs/{report['job_id']}").json()["config"]
    assert config_there["advanced"]["validation_dataset"] == "held-2"
    assert (other.datasets_dir / "held" / "picture-0.txt").read_text() == "another caption"


def test_the_same_bundle_twice_makes_two_jobs_on_one_dataset(
    client: TestClient, style: int, elsewhere: TestClient, other: Settings
) -> None:
    bundle = download(client, style)
    first, second = upload(elsewhere, bundle), upload(elsewhere, bundle)
    assert [first["training_name"], second["training_name"]] == ["style", "style-2"]
    assert second["renamed_from"] == "style"
    assert second["datasets"][0]["is_reused"]
    assert sorted(entry.name for entry in other.datasets_dir.iterdir()) == ["shapes"]
    named = upload(elsewhere, bundle, "?name=mine")
    assert named["training_name"] == "mine"
    taken = elsewhere.post("/api/bundles?name=STYLE", content=bundle)
    assert (taken.status_code, taken.json()["errors"][0]["code"]) == (409, "job_name_taken")


def test_without_its_dataset_a_bundle_names_what_is_missing(
    client: TestClient, style: int, elsewhere: TestClient
) -> None:
    bundle = download(client, style, "?dataset=false")
    assert not any(entry.name.startswith("datasets/") for entry, _ in members_of(bundle))
    report = upload(elsewhere, bundle)
    assert (report["datasets"], report["missing_datasets"]) == ([], ["shapes"])


def test_a_damaged_checkpoint_is_passed_over_and_refused_when_chosen(
    client: TestClient, settings: Settings, style: int
) -> None:
    folder = JobFolder(settings.output_dir, "style")
    (folder.checkpoint(10) / "state.safetensors").write_bytes(b"state of 1!")
    manifest = json.loads(members_of(download(client, style))[0][1])
    assert manifest["step"] == 5
    chosen = client.get(f"/api/jobs/{style}/bundle?step=10")
    assert (chosen.status_code, chosen.json()["errors"][0]["code"]) == (409, "checkpoint_damaged")


def test_what_cannot_be_packed_is_refused_before_the_download_begins(
    client: TestClient, settings: Settings, style: int
) -> None:
    (settings.datasets_dir / "shapes").rename(settings.datasets_dir / "moved")
    answer = client.get(f"/api/jobs/{style}/bundle")
    assert answer.status_code == 422
    assert "shapes" in answer.json()["errors"][0]["message"]


def test_a_bundle_is_a_plain_archive_that_any_tar_reads(client: TestClient, style: int) -> None:
    with tarfile.open(fileobj=io.BytesIO(download(client, style))) as archive:
        entries = archive.getmembers()
    assert entries[0].name == "bundle.json"
    assert all(entry.isreg() and entry.mode == 0o644 for entry in entries)


def test_a_bundle_is_streamed_a_piece_at_a_time(
    database: Database, settings: Settings, style: int
) -> None:
    large = settings.datasets_dir / "shapes" / "large.png"
    with large.open("wb") as file:
        file.truncate(20 << 20)
    stream = BundleStream(collect(database, settings, style))
    sizes = [len(chunk) for chunk in stream.chunks()]
    assert sum(sizes) == stream.size_bytes > 20 << 20
    assert max(sizes) <= 1 << 20


def test_a_file_that_changes_while_it_is_packed_breaks_the_stream_off(
    database: Database, settings: Settings, style: int
) -> None:
    caption = settings.datasets_dir / "shapes" / "picture-0.txt"
    for changed in ("[trigger] square 1", "short", "[trigger] square 0 and more"):
        stream = BundleStream(collect(database, settings, style))
        before = caption.read_text()
        caption.write_text(changed)
        with pytest.raises(FileChanged, match="picture-0"):
            list(stream.chunks())
        caption.write_text(before)


def test_one_import_runs_at_a_time(
    client: TestClient, style: int, elsewhere: TestClient, other: Settings
) -> None:
    bundle = download(client, style)
    other.output_dir.mkdir(exist_ok=True)
    with folder_lock.held(other.output_dir / ".import.lock"):
        answer = elsewhere.post("/api/bundles", content=bundle)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "import_runs")
    upload(elsewhere, bundle)


def test_what_a_killed_import_left_is_removed_by_the_next(
    client: TestClient, style: int, elsewhere: TestClient, other: Settings
) -> None:
    bundle = download(client, style)
    for root in (other.output_dir, other.datasets_dir):
        (root / ".importing-0123" / "job").mkdir(parents=True)
    upload(elsewhere, bundle)
    assert not [name for name in visible(other) if "importing" in name]
    assert not list(other.output_dir.glob(".importing-*"))


def test_the_command_line_packs_and_takes_in(
    settings: Settings,
    style: int,
    other: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert style
    file = str(tmp_path / "style.tar")
    install(monkeypatch, tmp_path)
    assert main(["export", "style", file, "--step", "5"]) == 0
    assert main(["export", "style", file]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["export", "nothing", str(tmp_path / "nothing.tar")]) == 2
    assert not (tmp_path / "nothing.tar").exists()
    install(monkeypatch, tmp_path / "other")
    capsys.readouterr()
    assert main(["import", file, "--name", "moved"]) == 0
    said = capsys.readouterr().out
    assert "moved (packed as style) is there, stopped at step 5" in said
    assert "dataset shapes: 4 files" in said
    assert main(["import", file, "--name", "a b"]) == 2
    assert main(["import", str(tmp_path / "none.tar")]) == 2
    assert JobFolder(other.output_dir, "moved").checkpoint_steps() == [5]


def install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name, value in environment_in(folder).items():
        monkeypatch.setenv(name, value)


def test_whenever_the_power_goes_the_job_is_there_whole_or_not_at_all(
    client: TestClient, style: int, tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = download(client, style)
    disk, left = tmp_path / "disk", tmp_path / "left"
    disk.mkdir()
    database_file = tmp_path / "of-the-import.db"
    shutil.copy(migrated, database_file)
    outside = {"database_url": f"sqlite:///{database_file}", "cache_dir": tmp_path / "cache"}
    there = settings_in(disk, **outside)
    database = Database(there.database_url)
    with recording(disk, monkeypatch) as recorder:
        import_bundle(database, there, io.BytesIO(bundle))
    database.close()
    expected = {name: data for name, data in files_below(disk).items() if ".lock" not in name}
    num_there = 0
    for moment, tree in disks(recorder, most_at_once=3):
        lay_out(tree, left)
        found = files_below(left)
        if "output/style" not in tree:
            assert not any(path.startswith("output/style") for path in found)
            continue
        num_there += 1
        lost = {name for name, data in expected.items() if found.get(name) != data}
        assert not lost, f"cut after note {moment}"
    assert num_there > 0
