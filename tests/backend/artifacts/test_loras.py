"""A checkpoint's LoRA over HTTP, in either program's names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import load, save_file

from backend.db.engine import Database
from backend.db.models import Job
from backend.settings import Settings
from tests.backend.jobs.test_jobs_api import codes
from tests.backend.rescan.test_rescan import make_job, write_run
from trainer.job_folder import LORA_FILE

BLOCK = "transformer.transformer_blocks.0"


@pytest.fixture
def lora(client: TestClient, settings: Settings) -> Path:
    """The LoRA of a checkpoint of job 1, in Diffusers' names."""
    folder = make_job(settings, "style")
    write_run(folder, 1, begin=None, last=5, outcome="stopped")
    file = folder.checkpoint(5) / LORA_FILE
    values = {
        f"{BLOCK}.attn.to_{name}.{factor}.weight": np.full(shape, number, dtype=np.float16)
        for number, name in enumerate("qkv", start=1)
        for factor, shape in (("lora_A", (2, 8)), ("lora_B", (4, 2)))
    }
    save_file(values, file, metadata={"darkroom.step": "5"})
    client.post("/api/system/rescan")
    return file


def download(client: TestClient, **query: str):
    (row,) = client.get("/api/jobs/1/checkpoints").json()["items"]
    return client.get(row["url"], params=query)


def test_it_comes_as_it_was_saved_unless_other_names_are_asked_for(
    client: TestClient, lora: Path
) -> None:
    for query in ({}, {"format": "diffusers"}):
        answer = download(client, **query)
        assert answer.content == lora.read_bytes()
        assert 'filename="style-step-000005.safetensors"' in answer.headers["content-disposition"]


def test_in_comfyuis_names_q_k_and_v_are_one_layer(client: TestClient, lora: Path) -> None:
    answer = download(client, format="comfyui")
    name = 'filename="style-step-000005-comfyui.safetensors"'
    assert name in answer.headers["content-disposition"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    stem = "diffusion_model.double_blocks.0.img_attn.qkv"
    values = load(answer.content)
    assert values[f"{stem}.lora_A.weight"].shape == (6, 8)
    whole = values[f"{stem}.lora_B.weight"]
    assert whole.shape == (12, 6)
    assert [whole[4 * i, 2 * i] for i in range(3)] == [1, 2, 3]
    assert np.count_nonzero(whole) == 3 * 4 * 2
    header = json.loads(answer.content[8 : 8 + int.from_bytes(answer.content[:8], "little")])
    assert header["__metadata__"]["darkroom.step"] == "5"


def workflow_of(client: TestClient):
    (row,) = client.get("/api/jobs/1/checkpoints").json()["items"]
    return client.get(f"/api/jobs/1/checkpoints/{row['id']}/workflow")


def set_config(database: Database, changes: dict[str, Any]) -> None:
    with database.write() as session:
        job = session.get_one(Job, 1)
        job.config = job.config | changes


@pytest.mark.parametrize(
    ("target_type", "query", "name"),
    [
        ("lora", {"format": "comfyui"}, "style-step-000005-comfyui"),
        ("lokr", {}, "style-step-000005"),  # which has no other names than its own
    ],
)
def test_the_workflow_loads_the_file_that_comfyuis_users_are_given(
    client: TestClient,
    database: Database,
    lora: Path,
    target_type: str,
    query: dict[str, str],
    name: str,
) -> None:
    model = {"model_architecture": "klein-base-4b"}
    prompts = [{"prompt": "a cat", "lora_strength": 0.6}, {"prompt": "a dog"}]
    target = {"target_type": target_type}
    set_config(database, {"model": model, "target": target, "sample": {"prompts": prompts}})
    answer = workflow_of(client)
    assert f'filename="{name}.comfyui.json"' in answer.headers["content-disposition"]
    (loader,) = [n for n in answer.json()["nodes"] if n["type"] == "LoraLoaderModelOnly"]
    assert loader["widgets_values"] == [f"{name}.safetensors", 0.6]
    given = download(client, **query).headers["content-disposition"]
    assert f'filename="{name}.safetensors"' in given

    lora.write_bytes(lora.read_bytes()[:60])
    if target_type == "lora":
        assert (workflow_of(client).status_code, codes(workflow_of(client))) == (
            422,
            ["lora_damaged"],
        )


def test_a_file_in_comfyuis_names_already_is_loaded_by_its_own_name(
    client: TestClient, database: Database, lora: Path
) -> None:
    lora.write_bytes(download(client, format="comfyui").content)
    set_config(database, {"model": {"model_architecture": "klein-base-4b"}})
    assert '"style-step-000005.safetensors"' in workflow_of(client).text
    given = download(client, format="comfyui").headers["content-disposition"]
    assert 'filename="style-step-000005.safetensors"' in given


def test_there_is_no_workflow_for_the_tiny_model_nor_for_a_checkpoint_that_is_not_there(
    client: TestClient, lora: Path
) -> None:
    lora.write_bytes(b"no LoRA")  # which is not looked at: there is nothing to name it in
    answer = workflow_of(client)
    assert (answer.status_code, codes(answer)) == (409, ["no_workflow"])
    assert client.get("/api/jobs/1/checkpoints/99/workflow").status_code == 404


def test_a_damaged_file_and_unknown_names_are_refused(client: TestClient, lora: Path) -> None:
    assert download(client, format="webui").status_code == 422
    lora.write_bytes(lora.read_bytes()[:60])
    answer = download(client, format="comfyui")
    assert (answer.status_code, codes(answer)) == (422, ["lora_damaged"])
