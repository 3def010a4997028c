"""Presets over HTTP: chosen for the card found, or for any other, and the answer says which."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.db.engine import Database
from backend.db.models import Worker

GIB = 1 << 30
CARD = "GPU-11111111-1111-1111-1111-111111111111"


def presets(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/api/presets", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def a_card_of_24_gb(database: Database) -> None:
    devices = [
        {
            "id": id,
            "name": name,
            "memory_total_bytes": int(gib * GIB),
            "memory_used_bytes": 0,
        }
        for id, name, gib in [(CARD, "Test Card", 23.99), ("cpu", "a processor", 64)]
    ]
    worker: dict[str, Any] = {"host": "h", "machine": "m", "process_start_ticks": 1}
    with database.write() as session:
        session.add(Worker(id="w", process_id=1, devices=devices, **worker))


@pytest.mark.usefixtures("a_card_of_24_gb")
def test_the_tier_is_the_found_card_s_and_the_answer_says_so(client: TestClient) -> None:
    found = presets(client)
    assert (found["card"], found["tier"]) == ("Test Card", "small")
    assert found["reason"] == "Test Card has 24 GB: values for cards of 16-24 GB."
    style = found["presets"][0]
    assert style["key"] == "style"
    assert style["settings"]["target.linear_rank"] == 16
    assert style["settings"]["datasets.*.resolutions"] == [768, 896]


@pytest.mark.usefixtures("a_card_of_24_gb")
def test_klein_is_one_tier_up_and_a_card_can_be_named_that_is_not_here(client: TestClient) -> None:
    klein = presets(client, architecture="klein-base-9b")
    assert klein["tier"] == "medium"
    assert "klein" in klein["reason"]
    assert presets(client, vram_bytes=80 * GIB)["tier"] == "large"


def test_without_a_card_the_tiny_model_is_offered_and_it_is_said(client: TestClient) -> None:
    found = presets(client)
    assert (found["card"], found["tier"], found["presets"]) == (None, None, [])
    assert "No GPU was found" in found["reason"]
    (tiny,) = found["offers"]
    assert tiny["settings"]["model.model_architecture"] == "tiny"


def test_a_card_below_16_gb_is_offered_four_bits_and_klein(client: TestClient) -> None:
    labels = [offer["label"] for offer in presets(client, vram_bytes=12 * GIB)["offers"]]
    assert labels == [
        "FLUX.2 dev (32 B) in 4 bits",
        "FLUX.2 klein base 9B",
        "FLUX.2 klein base 4B",
    ]


def test_the_guides_ranges_and_variants_come_along(client: TestClient) -> None:
    found = presets(client, vram_bytes=24 * GIB)
    style = found["kinds"][0]
    assert style["images"] == {"lowest": 15, "highest": 30}
    assert style["steps"] == {"lowest": 800, "highest": 2000}
    assert style["ranks"] == {"lowest": 16, "highest": 32}
    by_key = {variant["key"]: variant["settings"] for variant in found["variants"]}
    assert by_key["overshoots"] == {"training.learning_rate": 5e-5}
    assert by_key["rings"]["advanced.scale"] == 2
