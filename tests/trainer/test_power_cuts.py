"""Whenever the power goes, what is on the disk can be read: a checkpoint is whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from backend.trash import entries
from tests.backend.installation import job_config
from tests.trainer.power_cut import Recorder, disks, lay_out, recording
from trainer.checkpoint import TrainingState, mark_best, open_checkpoint, save_checkpoint
from trainer.config import JobConfig
from trainer.durable_write import new_folder, replacing, write_text
from trainer.folders import Folders
from trainer.job_file import read_job_file, write_job_file
from trainer.job_folder import LORA_FILE, MANIFEST_FILE, JobFolder
from trainer.loop import finish
from trainer.lora_header import read_metadata
from trainer.optim import OptimizerState
from trainer.resume import set_aside_from
from trainer.retention import read_pins, remove_old_checkpoints

NAME = "style"


def save(folder: JobFolder, step: int, taste: str = "") -> None:
    """A checkpoint as the trainer writes one: filled under another name, with its own sums."""
    with new_folder(folder.checkpoint(step)) as path:
        files = {LORA_FILE: f"lora {taste}{step}".encode() * 20, "state.safetensors": b"state" * 9}
        for name, data in files.items():
            (path / name).write_bytes(data)
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        manifest = {"step": step, "taste": taste, "sums": sums}
        (path / MANIFEST_FILE).write_text(json.dumps(manifest))


def taste_of(path: Path) -> str:
    """Which training a checkpoint is of; an error if it is not whole."""
    manifest = json.loads((path / MANIFEST_FILE).read_text())
    for name, expected in manifest["sums"].items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == expected, path / name
    assert {entry.name for entry in path.iterdir()} == {*manifest["sums"], MANIFEST_FILE}
    return manifest["taste"]


def after_each_cut(recorder: Recorder, place: Path, check: Callable[[JobFolder], None]) -> int:
    """Lay out every disk that may be left and look at the job; how many there were."""
    number = 0
    for moment, tree in disks(recorder):
        lay_out(tree, place)
        try:
            check(JobFolder(place, NAME))
        except (AssertionError, OSError, ValueError) as error:
            pytest.fail(f"cut after note {moment}: {error!r}; on the disk: {sorted(tree)}")
        number += 1
    return number


def test_a_save_with_retention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JobFolder(tmp_path / "disk", NAME)
    for step in (1, 2):
        save(folder, step)
    with recording(tmp_path / "disk", monkeypatch) as recorder:
        save(folder, 3)
        assert remove_old_checkpoints(folder, keep=2) == [1]

    def check(job: JobFolder) -> None:
        steps = job.checkpoint_steps()
        assert {taste_of(job.checkpoint(step)) for step in steps} == {""}
        assert 2 in steps, "the one before is whole at every moment"
        assert 1 in steps or 3 in steps, "an old one goes when the new one is there for certain"

    assert after_each_cut(recorder, tmp_path / "left", check) > 30


def real_save(folder: JobFolder, job: JobConfig, step: int) -> None:
    """A checkpoint by the trainer's own hand, of a LoRA with one layer."""
    lora = {
        f"transformer_blocks.0.attn.to_q.{factor}": torch.full(shape, float(step))
        for factor, shape in (("lora_A.weight", (2, 8)), ("lora_B.weight", (8, 2)))
    }
    state = TrainingState(
        step=step,
        lora=lora,
        average=None,
        optimizer=OptimizerState({f"{name}/exp_avg": value for name, value in lora.items()}, {}),
        num_skipped_in_a_row=0,
    )
    save_checkpoint(
        folder.checkpoint(step),
        state,
        job=job,
        base_model="mini",
        dtype=torch.float32,
        versions={},
        dataset={},
    )


def write_result(folder: JobFolder, job: JobConfig, step: int) -> None:
    """The end of a run of so many steps, which has done them and is not measured."""
    trainee: Any = SimpleNamespace(step=step, job=job, measurements=[])
    record: Any = SimpleNamespace(job_folder=folder, phase=lambda *_: None)
    room: Any = SimpleNamespace(wait_for=lambda _: True)
    folders = Folders(folder.parent, folder.parent, folder.parent)
    assert finish(trainee, record, room, folders).completed


def a_job(num_steps: int) -> JobConfig:
    return JobConfig.model_validate(job_config(NAME, training={"steps": num_steps}))


def test_a_save_of_the_trainer_and_the_mark_of_the_best_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = JobFolder(tmp_path / "disk", NAME)
    real_save(folder, a_job(3), 1)
    mark_best(folder, 1)
    with recording(tmp_path / "disk", monkeypatch) as recorder:
        real_save(folder, a_job(3), 2)
        assert mark_best(folder, 2)

    def check(job: JobFolder) -> None:
        steps = job.checkpoint_steps()
        assert steps in ([1], [1, 2]), "the one before stays"
        for step in steps:
            assert open_checkpoint(job.checkpoint(step)).step == step

    assert after_each_cut(recorder, tmp_path / "left", check) > 30


def test_the_result_and_the_job_file_are_the_old_ones_or_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = JobFolder(tmp_path / "disk", NAME)
    jobs = {steps: a_job(steps) for steps in (1, 2)}
    for step, job in jobs.items():
        real_save(folder, job, step)
    write_job_file(folder.job_file, jobs[1])
    write_result(folder, jobs[1], 1)
    with recording(tmp_path / "disk", monkeypatch) as recorder:
        write_job_file(folder.job_file, jobs[2])
        write_result(folder, jobs[2], 2)
    seen: set[tuple[int, str]] = set()

    def check(job: JobFolder) -> None:
        steps = read_job_file(job.job_file).training.steps
        result = read_metadata(job.result)["step"]
        assert load_file(job.result), "every tensor of it can be read"
        seen.add((steps, result))

    assert after_each_cut(recorder, tmp_path / "left", check) > 5
    assert seen == {(1, "1"), (2, "1"), (2, "2")}


def test_what_a_resume_sets_aside_never_comes_back_beside_its_successors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = JobFolder(tmp_path / "disk", NAME)
    for step in (1, 2, 3):
        save(folder, step, "old ")
    write_text(folder.pins, json.dumps({"checkpoints": {"3": {"pinned": True}}, "samples": {}}))
    folder.samples.mkdir()
    for step in (1, 3):
        with replacing(folder.sample(step, 0)) as path:
            path.write_bytes(b"picture %d" % step)
    with recording(tmp_path / "disk", monkeypatch) as recorder:
        set_aside_from(folder, 2, run_number=2)
        save(folder, 2, "new ")

    def check(job: JobFolder) -> None:
        tastes = {step: taste_of(job.checkpoint(step)) for step in job.checkpoint_steps()}
        assert tastes[1] == "old "
        if "new " in tastes.values():
            assert tastes == {1: "old ", 2: "new "}, "the old future is gone before the new begins"
        aside = job.superseded / "0002" / "checkpoints"
        for step in (2, 3):
            places = [job.checkpoint(step), aside / job.checkpoint(step).name]
            found = [taste_of(place) for place in places if place.exists()]
            assert found.count("old ") == 1, f"step {step} is in one place, whole"
        pinned = read_pins(job.pins), read_pins(job.superseded / "0002" / "pins.json")
        assert any("3" in pins.get("checkpoints", {}) for pins in pinned), "no mark is lost"
        if "new " not in tastes.values():  # the next run is told the same step, and ends the job
            set_aside_from(job, 2, run_number=3)
            assert job.checkpoint_steps() == [1]

    assert after_each_cut(recorder, tmp_path / "left", check) > 30


def test_pins_are_the_old_ones_or_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = JobFolder(tmp_path / "disk", NAME)
    versions = [{"checkpoints": {str(step): {"pinned": True}}} for step in range(3)]
    write_text(folder.pins, json.dumps(versions[0]))
    with recording(tmp_path / "disk", monkeypatch) as recorder:
        for version in versions[1:]:
            write_text(folder.pins, json.dumps(version))
    seen: list[int] = []
    left = tmp_path / "left"
    after_each_cut(recorder, left, lambda job: seen.append(versions.index(read_pins(job.pins))))
    assert set(seen) == {0, 1, 2}


def test_a_deleted_job_is_in_its_place_or_in_the_trash_or_gone_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, left = tmp_path / "disk", tmp_path / "left"
    folder = JobFolder(disk, NAME)
    save(folder, 1)
    save(folder, 2)

    def whole(job: JobFolder) -> None:
        assert job.checkpoint_steps() == [1, 2]
        assert {taste_of(job.checkpoint(step)) for step in (1, 2)} == {""}

    def in_one_place(job: JobFolder) -> None:
        trashed = [entry for entry in entries.entries(left) if entry.has_content]
        assert len(trashed) + job.path.exists() == 1
        whole(JobFolder(trashed[0].path, NAME) if trashed else job)

    with recording(disk, monkeypatch) as recorder:
        entry = entries.put(disk, folder.path, kind="job", training_name=NAME, known={})
    assert after_each_cut(recorder, left, in_one_place) > 3
    with recording(disk, monkeypatch) as recorder:
        entries.put_back(disk, entry)
    assert after_each_cut(recorder, left, in_one_place) > 3

    entry = entries.put(disk, folder.path, kind="job", training_name=NAME, known={})
    with recording(disk, monkeypatch) as recorder:
        entries.purge(entry)

    def whole_or_gone(job: JobFolder) -> None:
        assert not job.path.exists()
        for found in entries.entries(left):
            whole(JobFolder(found.path, NAME))
        entries.purge_expired(left, days=0, now=datetime.now(UTC))
        assert not list((left / entries.TRASH).glob(".going-*")), "what is on its way out goes"

    assert after_each_cut(recorder, left, whole_or_gone) > 3


def test_the_notes_tell_a_careless_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the fsync, a file that was renamed over another may be empty."""
    path = tmp_path / "disk" / "job.yaml"
    path.parent.mkdir()
    write_text(path, "old")
    with recording(path.parent, monkeypatch) as recorder:
        temporary = path.with_name("new")
        temporary.write_text("new")
        temporary.rename(path)
    found = {tree.get("job.yaml") for _, tree in disks(recorder)}
    assert found >= {b"old", b"new", b""}
