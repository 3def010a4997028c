"""A job's datasets over HTTP: pictures, bucket table, problems; of an unfinished form too."""

from __future__ import annotations

import io
from typing import Any

from fastapi.testclient import TestClient
from PIL import ExifTags, Image

from backend.settings import Settings
from tests.backend.installation import job_config


def contents(client: TestClient, config: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/api/datasets/contents", json={"config": config})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_pictures_sizes_and_epochs_of_a_dataset(client: TestClient) -> None:
    found = contents(client, job_config(training={"steps": 10}))
    (dataset,) = found["datasets"]
    assert (dataset["name"], dataset["num_pictures"], dataset["num_captioned"]) == ("shapes", 2, 2)
    first = dataset["pictures"][0]
    assert (first["caption"], first["width"]) == ("[trigger] square 0", 64)
    assert client.get(first["url"]).status_code == 200
    (bucket,) = dataset["buckets"]
    assert (bucket["width"], bucket["height"], bucket["num_batches"]) == (64, 64, 2)
    assert (found["num_steps"], found["num_epochs"]) == (2, 5)


def test_problems_stand_with_the_dataset_that_has_them(
    client: TestClient, settings: Settings
) -> None:
    (settings.datasets_dir / "shapes" / "torn.png").write_bytes(b"no picture")
    config = job_config()
    config["datasets"].append({"target_dataset": "nowhere"})
    torn, missing = contents(client, config)["datasets"]
    codes = [problem["code"] for problem in torn["problems"]]
    assert codes == ["pictures_damaged", "captions_missing"]
    assert [problem["code"] for problem in missing["problems"]] == ["dataset_missing"]


def test_a_form_without_names_has_an_answer(client: TestClient) -> None:
    config = job_config(name="")
    config["datasets"] = [{"target_dataset": ""}]
    found = contents(client, config)
    assert found["datasets"] == [
        {
            "name": "",
            "num_pictures": 0,
            "num_captioned": 0,
            "pictures": [],
            "buckets": [],
            "problems": [],
        }
    ]
    assert found["num_epochs"] is None


def test_what_the_schema_refuses_has_no_contents(client: TestClient) -> None:
    config = job_config(training={"steps": -1})
    answer = client.post("/api/datasets/contents", json={"config": config})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "training.steps"


def test_a_picture_is_scaled_down_for_a_page_and_stays_upright(
    client: TestClient, settings: Settings
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # lies on its side
    Image.new("RGB", (400, 200)).save(settings.datasets_dir / "shapes" / "tall.jpg", exif=exif)
    answer = client.get("/api/datasets/shapes/pictures/tall.jpg", params={"side": 64})
    assert answer.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(answer.content)).size == (32, 64)


def test_a_torn_picture_has_no_small_one(client: TestClient, settings: Settings) -> None:
    (settings.datasets_dir / "shapes" / "torn.png").write_bytes(b"no picture")
    answer = client.get("/api/datasets/shapes/pictures/torn.png", params={"side": 64})
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "picture_unreadable"
