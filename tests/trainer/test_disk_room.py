"""Room on the disk is planned by file system, less what is there, and a job without it refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.trainer.plan_jobs import planned_job
from trainer.disk_places import Folder, Place, folder_bytes, place_of, places_of
from trainer.disk_room import shortages
from trainer.errors import Problem, Severity
from trainer.machine import Machine
from trainer.memory_check import memory_problems
from trainer.memory_disk import DiskPart, plan_disk
from trainer.memory_sizes import GIB
from trainer.memory_verdict import Judged, judge
from trainer.memory_workload import workload_of
from trainer.model_shapes import known_shapes
from trainer.variants import Architecture

DEV = known_shapes(Architecture.FLUX2_DEV)
FAR = 10**15
PARTS = (
    DiskPart("prompts", "5 encoded prompts", 300, "cache"),
    DiskPart("checkpoints", "3 checkpoints", 600, "output"),
    DiskPart("samples", "4 samples", 50, "output"),
)


def places(tmp_path: Path, **free: tuple[int, int]) -> dict[Folder, Place]:
    """(disk, free bytes) by folder."""
    names: dict[str, Folder] = {"cache": "cache", "output": "output", "models": "models"}
    return {names[name]: Place(tmp_path / name, *numbers) for name, numbers in free.items()}


def short(tmp_path: Path, **free: tuple[int, int]) -> list[tuple[str, int]]:
    found = shortages(planned_job(), PARTS, places(tmp_path, **free), repository="")
    return [(one.folder, one.needed_bytes) for one in found]


def test_folders_on_one_disk_share_its_room(tmp_path: Path) -> None:
    assert short(tmp_path, cache=(1, 950), output=(1, 950)) == []
    assert short(tmp_path, cache=(1, 949), output=(1, 949)) == [("output", 950)]
    assert short(tmp_path, cache=(1, 949), output=(2, 949)) == []
    assert short(tmp_path, cache=(1, 299), output=(2, 649)) == [("cache", 300), ("output", 650)]


def test_what_is_not_known_of_is_not_refused_for(tmp_path: Path) -> None:
    assert short(tmp_path, output=(1, 650)) == []
    assert short(tmp_path) == []


def test_what_lies_there_already_is_not_asked_for_again(tmp_path: Path) -> None:
    put(tmp_path / "cache" / "prompts" / "ab" / "ab12.safetensors", 280)
    assert short(tmp_path, cache=(1, 20), output=(2, 650)) == []
    assert short(tmp_path, cache=(1, 19), output=(2, 650)) == [("cache", 20)]
    put(tmp_path / "output" / "planned" / "checkpoints" / "step-000250" / "lora.safetensors", 590)
    assert short(tmp_path, cache=(1, 300), output=(2, 60)) == []
    assert short(tmp_path, cache=(1, 300), output=(2, 59)) == [("output", 60)]
    put(tmp_path / "output" / "another" / "checkpoints" / "step-000250" / "lora.safetensors", 590)
    assert short(tmp_path, cache=(1, 300), output=(2, 59)) == [("output", 60)], "not this job's"


def test_the_part_of_a_model_that_was_downloaded_is_taken_off_once(tmp_path: Path) -> None:
    parts = (
        DiskPart("transformer", "transformer", 100, "models"),
        DiskPart("text_encoder", "text encoder", 60, "models"),
    )
    put(tmp_path / "models" / "models--a--b" / "blobs" / "x.incomplete", 130)

    def needed(free_bytes: int) -> list[int]:
        there = places(tmp_path, models=(1, free_bytes))
        found = shortages(planned_job(), parts, there, repository="models--a--b")
        return [one.needed_bytes for one in found]

    assert needed(30) == []
    assert needed(29) == [30]


def test_a_place_is_asked_of_the_nearest_folder_that_there_is(tmp_path: Path) -> None:
    place = place_of(tmp_path / "not" / "made")
    assert place is not None
    assert place.disk == os.stat(tmp_path).st_dev
    assert place.free_bytes > 0
    known = places_of(cache=tmp_path, models=tmp_path / "m", output=None)
    assert set(known) == {"cache", "models"}
    assert folder_bytes(tmp_path / "nothing") == 0


def dev_on(there: Mapping[Folder, Place], **changes: object) -> Judged:
    machine = Machine(64 * GIB, 80 * GIB, places=there)
    return judge(planned_job(dict(changes)), DEV, [], machine)


def test_every_cure_of_a_disk_that_is_too_small_makes_the_job_fit(tmp_path: Path) -> None:
    job = planned_job()
    disk = plan_disk(job, DEV, workload_of(job, [], on_gpu=True), has_to_download=False)
    everything = sum(part.num_bytes for part in disk)
    (weights,) = [part.num_bytes for part in disk if part.key == "weights"]
    there = places(tmp_path, cache=(1, everything - 1), output=(1, everything - 1))
    found = dev_on(there)
    assert not found.fits_the_disk
    assert found.fits, "in memory, which is another matter"
    assert [dict(cure.settings) for cure in found.disk_cures] == [
        {"quantization.keep_on_disk": False},
        {"save.max_step_saves_to_keep": 3},
    ]
    for cure in found.disk_cures:
        assert dev_on(there, **cure.settings).fits_the_disk, cure.label
    # Only both together: without the weights, room for one checkpoint and the one in writing.
    (saves,) = [part for part in disk if part.key == "checkpoints"]
    room = everything - weights - saves.num_bytes * 2 // 5
    tight = places(tmp_path, cache=(1, room), output=(1, room))
    (both,) = dev_on(tight).disk_cures
    assert set(both.settings) == {"quantization.keep_on_disk", "save.max_step_saves_to_keep"}
    assert dev_on(tight, **both.settings).fits_the_disk
    assert dev_on(places(tmp_path, cache=(1, 1), output=(1, 1))).disk_cures == ()


def problem_of(there: Mapping[Folder, Place], **changes: object) -> Problem:
    machine = Machine(64 * GIB, 80 * GIB, places=there)
    job = planned_job(dict(changes))
    (problem,) = memory_problems(job, judge(job, DEV, [], machine), machine)
    return problem


def test_a_job_without_room_is_refused_with_the_folder_both_numbers_and_cures(
    tmp_path: Path,
) -> None:
    there = places(tmp_path, cache=(1, FAR), output=(2, 5 * GIB))
    problem = problem_of(there)
    assert (problem.code, problem.severity) == ("disk_too_small", Severity.ERROR)
    assert str(tmp_path / "output") in problem.message
    assert "5.0 GB free" in problem.message
    assert "5 checkpoints" in problem.message
    assert problem.params["available_bytes"] == 5 * GIB
    assert problem.params["needed_bytes"] > 5 * GIB
    assert "Free space on that disk" in problem.hint
    (change,) = problem.params["changes"]
    assert set(change["settings"]) == {"save.max_step_saves_to_keep"}


def test_who_insists_is_only_warned(tmp_path: Path) -> None:
    there = places(tmp_path, cache=(1, FAR), output=(2, GIB))
    problem = problem_of(there, **{"advanced.memory_plan": "go_on"})
    assert problem.severity == Severity.WARNING
    assert "waits for room" in problem.hint


def test_a_machine_whose_disks_are_not_known_refuses_nothing_for_them() -> None:
    machine = Machine(64 * GIB, 80 * GIB)
    assert list(memory_problems(planned_job(), dev_on({}), replace(machine, places={}))) == []


def put(file: Path, num_bytes: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * num_bytes)
