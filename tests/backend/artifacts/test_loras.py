"""A checkpoint's LoRA over HTTP, in either program's names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import load, save_file

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


def test_a_damaged_file_and_unknown_names_are_refused(client: TestClient, lora: Path) -> None:
    assert download(client, format="webui").status_code == 422
    lora.write_bytes(lora.read_bytes()[:60])
    answer = download(client, format="comfyui")
    assert (answer.status_code, codes(answer)) == (422, ["lora_damaged"])
