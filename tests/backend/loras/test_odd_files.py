"""Names and files that nobody means: each is refused by name, and none stands in others' way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.loras.labels import lora_label
from backend.settings import Settings
from tests.backend.drawings.test_drawings_api import codes, drawing_config
from tests.backend.installation import job_config
from tests.backend.loras.files import LAYER, write_lora

LONG = "a" * 5_000
KEY = f"transformer.{LAYER}"


def safetensors(shapes: dict[str, Any], **about: Any) -> bytes:
    """A file of four bytes a tensor, whatever its shape says."""
    header = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [4 * place, 4 * place + 4]} | about
        for place, (name, shape) in enumerate(shapes.items())
    }
    return raw(json.dumps(header)) + bytes(4 * len(shapes))


def raw(header: str) -> bytes:
    head = header.encode()
    return len(head).to_bytes(8, "little") + head


def pair(down: Any, up: Any) -> dict[str, Any]:
    return {f"{KEY}.lora_A.weight": down, f"{KEY}.lora_B.weight": up}


LOKR = {f"{KEY}.lokr_w1_a": [], f"{KEY}.lokr_w1_b": [1, 1], f"{KEY}.lokr_w2": [1, 1]}
BLOCK = KEY.replace("blocks.0", f"blocks.{'9' * 5_000}")
ODD = {
    "no-dimension-lokr": (safetensors(LOKR), "lora_unmapped_keys"),
    "no-dimension-lora": (safetensors(pair([], [1, 1])), "lora_unmapped_keys"),
    "shape-of-words": (safetensors(pair(["a", "b"], ["c", "d"])), "lora_damaged"),
    "offsets-of-nothing": (safetensors(pair([1, 1], [1, 1]), data_offsets=[]), "lora_damaged"),
    "name-of-no-text": (safetensors({"\ud800": [1, 1]}), "lora_damaged"),
    "nested-too-deep": (raw("[" * 200_000), "lora_damaged"),
    "block-of-5000-digits": (
        safetensors({f"{BLOCK}.lora_A.weight": [1, 1], f"{BLOCK}.lora_B.weight": [1, 1]}),
        "lora_of_another_base",
    ),
}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("~nosuchuser/x.safetensors", "bad_path"),
        (LONG, "lora_missing"),
        (f"/{LONG}", "lora_missing"),
        ("a\0b", "bad_path"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused_by_name(
    client: TestClient, name: str, code: str
) -> None:
    verdict = client.post("/api/drawings/validate", json={"config": drawing_config((name,))})
    assert (verdict.status_code, codes(verdict)) == (200, [code])
    assert repr(name)[1:-1] in verdict.json()["errors"][0]["message"]
    start = job_config(training={"start_from_lora": name[:300]})
    assert codes(client.post("/api/jobs/validate", json={"config": start})) == [code]


@pytest.mark.parametrize("name", ["~nosuchuser/x.png", LONG, f"/{LONG}"])
def test_so_is_the_name_of_a_reference(client: TestClient, name: str) -> None:
    config = drawing_config(pictures=[{"prompt": "a circle", "control_images": [name]}])
    verdict = client.post("/api/drawings/validate", json={"config": config})
    assert (verdict.status_code, codes(verdict)) == (200, ["control_image_unusable"])


def test_a_user_who_is_not_there_any_more_leaves_a_label(settings: Settings) -> None:
    assert lora_label("~nosuchuser/ink.safetensors", settings) == "ink"


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_file_is_refused_by_name_and_leaves_the_list_whole(
    client: TestClient, settings: Settings, odd: str
) -> None:
    data, code = ODD[odd]
    folder = settings.models_dir / "loras"
    write_lora(folder / "good.safetensors")
    file = folder / f"{odd}.safetensors"
    file.write_bytes(data)
    listed = client.get("/api/loras")
    assert listed.status_code == 200
    problems = {Path(entry["file"]).stem: entry["problem"] for entry in listed.json()["items"]}
    assert problems["good"] is None
    assert odd in problems[odd]
    name = f"loras/{odd}.safetensors"
    verdict = client.post("/api/drawings/validate", json={"config": drawing_config((name,))})
    assert (verdict.status_code, codes(verdict)) == (200, [code])
    start = job_config(training={"start_from_lora": name})
    answer = client.post("/api/jobs/validate", json={"config": start})
    assert (answer.status_code, answer.json()["valid"]) == (200, False)
