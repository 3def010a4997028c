"""The jobs that the pictures of `make screenshots` show, one in each state.

The example is trained to its end, since its samples and curve are what the pictures are about. The
others are the example's job with a few settings changed: one is deleted, one finds a picture of its
dataset broken off and fails, and of the rest one runs when the pictures are drawn. A drawing with
the example's result is beside them.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from darkroom_apart import Darkroom, darkroom_in
from steps import ROOT

EXAMPLE = ROOT / "examples" / "tiny-style.yaml"
EXAMPLE_ID, DRAFT_ID = 1, 2  # jobs are numbered as they are made
BROKEN_DATASET = "half-copied"
TRAINING_SECONDS = 3600  # four minutes on a free processor, and patience for a busy one


class TrainingFailed(Exception):
    """A job did not end as it should; its status and error are the message."""


@contextmanager
def darkroom_with_jobs(folder: Path, steps: int | None) -> Iterator[Darkroom]:
    """A Darkroom in `folder` with all the jobs, made there unless they are there already.

    `steps` shortens the example. Raises DidNotStart or TrainingFailed.
    """
    folder.mkdir(exist_ok=True)
    is_new = not (folder / "darkroom.db").exists()
    datasets = folder / "datasets"
    if is_new:
        shutil.copytree(ROOT / "datasets", datasets)
        shutil.copytree(datasets / "tiny-hatch", datasets / BROKEN_DATASET)
    with darkroom_in(folder, datasets_dir=datasets) as darkroom:
        if is_new:
            make_jobs(darkroom, datasets, steps)
        wait_until_one_runs(darkroom)
        yield darkroom


def make_jobs(darkroom: Darkroom, datasets: Path, steps: int | None) -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    if steps is not None:
        shorten(example, steps)
    example_id = post_job(darkroom, example)
    draft_id = post_job(
        darkroom,
        changed(example, "tiny-style-rank-4", linear_rank=4, learning_rate=0.001),
        queue=False,
    )
    assert (example_id, draft_id) == (EXAMPLE_ID, DRAFT_ID)

    first_try = changed(example, "first-try", steps=4)
    first_try["sample"]["prompts"] = first_try["sample"]["prompts"][:1]
    first_try_id = post_job(darkroom, first_try)
    broken = changed(example, "half-copied-pictures")
    broken["datasets"][0]["target_dataset"] = BROKEN_DATASET
    broken_id = post_job(darkroom, broken)
    break_off(next((datasets / BROKEN_DATASET).glob("*.png")))  # it passed the door, whole

    wait_until(darkroom, EXAMPLE_ID, "completed")
    wait_until(darkroom, first_try_id, "completed")
    wait_until(darkroom, broken_id, "failed")
    wait_until(darkroom, post_drawing(darkroom, example), "completed")
    checkpoints = darkroom.get(f"/api/jobs/{EXAMPLE_ID}/checkpoints")["items"]
    darkroom.delete(f"/api/jobs/{EXAMPLE_ID}/checkpoints/{checkpoints[0]['id']}")
    darkroom.delete(f"/api/jobs/{first_try_id}?files=true")

    long_id = post_job(darkroom, changed(example, "tiny-style-long", steps=3000))
    post_job(darkroom, changed(example, "tiny-style-no-preservation", preserve=False))
    post_job(darkroom, changed(example, "tiny-style-rank-32", linear_rank=32))
    tonight = datetime.now(UTC).replace(hour=22, minute=0) + timedelta(days=1)
    scheduled = [
        ("tiny-style-overnight", {"not_before": tonight.isoformat()}),
        ("tiny-style-slower", {"run_after_job_id": long_id}),
    ]
    for name, place in scheduled:
        job_id = post_job(darkroom, changed(example, name, steps=1000), queue=False)
        darkroom.post(f"/api/jobs/{job_id}/queue", place)


def post_job(darkroom: Darkroom, config: dict[str, Any], *, queue: bool = True) -> int:
    return darkroom.post("/api/jobs", {"config": config, "queue": queue})["id"]


def post_drawing(darkroom: Darkroom, example: dict[str, Any]) -> int:
    """The example's result and the checkpoint halfway, at three strengths beside the base model."""
    loras = darkroom.get(f"/api/loras?job_id={EXAMPLE_ID}")["items"]
    steps = sorted({lora["step"] for lora in loras})
    halfway = steps[(len(steps) - 1) // 2]
    files = [
        next(lora["file"] for lora in loras if lora["step"] == halfway),
        next(lora["file"] for lora in loras if lora["is_final"]),
    ]
    prompts = [prompt["prompt"] for prompt in example["sample"]["prompts"][:2]]
    variants: list[dict[str, Any]] = [{}]
    variants += [
        {"lora": place, "lora_strength": strength}
        for place in range(len(files))
        for strength in (0.5, 1.0, 1.25)
    ]
    config = {
        "model": example["model"],
        "trigger_word": example["job"]["trigger_word"],
        "loras": files,
        "pictures": [{"prompt": prompt} | own for prompt in prompts for own in variants],
    }
    return darkroom.post("/api/drawings", {"config": config})["id"]


def changed(
    example: dict[str, Any],
    name: str,
    *,
    steps: int | None = None,
    linear_rank: int | None = None,
    learning_rate: float | None = None,
    preserve: bool = True,
) -> dict[str, Any]:
    """The example's job under another name, with some settings of its own."""
    config = deepcopy(example)
    config["job"]["training_name"] = name
    config["regularization"]["differential_output_preservation"] = preserve
    for panel, setting, value in (
        ("training", "steps", steps),
        ("training", "learning_rate", learning_rate),
        ("target", "linear_rank", linear_rank),
    ):
        if value is not None:
            config[panel][setting] = value
    return config


def shorten(config: dict[str, Any], steps: int) -> None:
    """As many columns of pictures and as many checkpoints, in fewer steps."""
    share = steps / config["training"]["steps"]
    config["training"]["steps"] = steps
    for panel, name in (("sample", "sample_every"), ("save", "save_every")):
        config[panel][name] = max(1, round(config[panel][name] * share))


def break_off(picture: Path) -> None:
    """As a copy that ended too early leaves it."""
    picture.write_bytes(picture.read_bytes()[:16])


def wait_until_one_runs(darkroom: Darkroom) -> None:
    deadline = time.monotonic() + TRAINING_SECONDS
    while not darkroom.get("/api/jobs?status=running")["items"]:
        if time.monotonic() > deadline:
            raise TrainingFailed("None of the jobs that wait has started.")
        time.sleep(1)


def wait_until(darkroom: Darkroom, job_id: int, status: str) -> None:
    """Raises TrainingFailed if the job ends in another way, or has not come there in an hour."""
    deadline = time.monotonic() + TRAINING_SECONDS
    said = ""
    while (job := darkroom.get(f"/api/jobs/{job_id}"))["status"] != status:
        ended = job["status"] in ("completed", "failed", "interrupted", "stopped")
        if ended or time.monotonic() > deadline:
            raise TrainingFailed(f"{job['training_name']} is {job['status']}: {job['error']}")
        now = f"  {job['phase'] or job['status']}, step {job['step']} of {job['total_steps']}"
        if now != said and (job["step"] % 10 == 0):
            print(now, flush=True)
            said = now
        time.sleep(1)
