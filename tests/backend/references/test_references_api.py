"""Reference images: kept whole under a name of their own, or refused by name."""

from __future__ import annotations

import io
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.references import uploads
from backend.settings import Settings


def picture(colour: str = "red", size: tuple[int, int] = (96, 64), kind: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, kind)
    return written.getvalue()


def upload(client: TestClient, content: bytes, name: str = "cat.png") -> Any:
    return client.post("/api/references", params={"name": name}, content=content)


def lying_in(settings: Settings) -> list[str]:
    folder = settings.datasets_dir / uploads.FOLDER
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def test_a_reference_is_kept_shown_and_may_be_drawn_with(
    client: TestClient, settings: Settings
) -> None:
    answer = upload(client, picture())
    assert answer.status_code == 201, answer.text
    entry = answer.json()
    assert (entry["name"], entry["width"], entry["height"]) == (".references/cat.png", 96, 64)
    assert client.get(entry["url"]).headers["content-type"] == "image/webp"
    config = {
        "model": {"model_architecture": "tiny"},
        "gpu": "cpu",
        "pictures": [{"prompt": "a hat", "control_images": [entry["name"]]}],
    }
    assert client.post("/api/drawings/validate", json={"config": config}).json()["errors"] == []
    names = [dataset["name"] for dataset in client.get("/api/datasets").json()["items"]]
    assert names == ["shapes"], "it is no dataset"


def test_the_same_picture_is_one_file_and_another_of_its_name_another(
    client: TestClient, settings: Settings
) -> None:
    names = [upload(client, picture(colour)).json()["name"] for colour in ("red", "blue", "red")]
    assert names == [".references/cat.png", ".references/cat-2.png", ".references/cat.png"]
    assert lying_in(settings) == ["cat-2.png", "cat.png"]


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"a letter", "cat.png", "cat.png"),
        (picture()[:-40], "cat.png", "cat.png"),
        (b"", "cat.png", "cat.png"),
        (picture(), "cat.gif", ".gif is no kind of picture"),
        (picture(), "cat", "a name without an ending"),
        (picture(size=(2000, 8)), "cat.png", "2000 x 8 px"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name_and_leaves_nothing(
    client: TestClient, settings: Settings, content: bytes, name: str, reason: str
) -> None:
    answer = upload(client, content, name)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (422, "control_image_unusable")
    assert error["message"].startswith(f"The reference image {name} cannot be used")
    assert reason in error["message"]
    assert str(settings.datasets_dir) not in answer.text
    assert lying_in(settings) == []


def test_a_picture_without_end_is_cut_off_at_the_limit(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 50)
    (error,) = upload(client, picture()).json()["errors"]
    assert error["code"] == "picture_too_large"
    assert lying_in(settings) == []


@pytest.mark.parametrize("name", ["../cat.png", "a/cat.png", ".cat.png", ""])
def test_a_name_leads_nowhere_else(client: TestClient, settings: Settings, name: str) -> None:
    assert upload(client, picture(), name).status_code == 422
    assert lying_in(settings) == []
