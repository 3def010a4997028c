"""LoRA files to draw with: found wherever they lie, taken whole, refused by name."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.errors import Conflict, Unusable
from backend.loras import uploads
from backend.settings import Settings
from tests.backend.bundles.packed_jobs import make_trained_job
from tests.backend.installation import job_config
from tests.backend.loras.files import lora_bytes, write_lora
from trainer.variants import Architecture


def upload(client: TestClient, content: Any, name: str = "ink") -> Any:
    return client.post("/api/loras", params={"name": name}, content=content)


def code_of(answer: Any) -> str:
    return answer.json()["errors"][0]["code"]


def lying_in(settings: Settings) -> list[str]:
    folder = uploads.uploads_folder(settings)
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def test_an_upload_is_listed_drawn_with_and_deleted(client: TestClient, settings: Settings) -> None:
    answer = upload(client, lora_bytes())
    assert answer.status_code == 201, answer.text
    entry = answer.json()
    assert (entry["name"], entry["label"], entry["source"]) == ("ink.safetensors", "ink", "upload")
    assert (entry["fits"], entry["problem"]) == (["tiny"], None)
    assert client.get("/api/loras").json()["items"] == [entry]
    assert (settings.models_dir / entry["file"]).read_bytes() == lora_bytes()
    config = {
        "model": {"model_architecture": "tiny"},
        "gpu": "cpu",
        "loras": [entry["file"]],
        "pictures": [{"prompt": "a circle", "lora": 0}],
    }
    drawing = client.post("/api/drawings", json={"config": config}).json()
    assert drawing["pictures"][0]["lora_label"] == "ink"
    kept = client.delete("/api/loras/ink.safetensors")
    assert (kept.status_code, code_of(kept)) == (409, "lora_in_use")
    client.post(f"/api/jobs/{drawing['id']}/stop")
    assert client.delete("/api/loras/ink.safetensors").status_code == 204
    assert client.get("/api/loras").json()["items"] == []
    again = client.post(f"/api/jobs/{drawing['id']}/queue")
    assert code_of(again) == "lora_missing"
    assert client.delete("/api/loras/ink.safetensors").status_code == 404


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (pickle.dumps({"lora": 1}), "lora_is_pickle"),
        (b"PK\x03\x04" + bytes(100), "lora_is_pickle"),
        (lora_bytes()[:-1], "lora_damaged"),
        (b"", "lora_damaged"),
        (b"a letter to somebody", "lora_damaged"),
        (lora_bytes("decoder.conv_in"), "not_a_lora"),
    ],
)
def test_what_is_no_lora_is_refused_by_name_and_leaves_nothing(
    client: TestClient, settings: Settings, content: bytes, code: str
) -> None:
    answer = upload(client, content, "strange.safetensors")
    assert (answer.status_code, code_of(answer)) == (422, code)
    (error,) = answer.json()["errors"]
    assert error["message"].startswith("strange.safetensors ") or "of strange" in error["message"]
    assert str(settings.models_dir) not in answer.text
    assert lying_in(settings) == []


def test_a_pickle_is_refused_at_its_first_bytes(settings: Settings) -> None:
    class EndlessPickle:
        def __init__(self) -> None:
            self.num_reads = 0

        def read(self, _size: int = -1) -> bytes:
            self.num_reads += 1
            return {1: b"PK", 2: b"\x03\x04" + bytes(20)}.get(self.num_reads, bytes(1 << 16))

    source = EndlessPickle()
    with pytest.raises(Unusable, match=r"^strange\.safetensors is a pickle"):
        uploads.take_upload(settings, source, name="strange")
    assert source.num_reads == 2
    assert lying_in(settings) == []


def test_a_file_without_end_is_cut_off_at_the_limit(
    client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 100)
    answer = upload(client, lora_bytes() + bytes(1000))
    assert code_of(answer) == "lora_too_large"
    assert lying_in(settings) == []


def test_nothing_is_written_over(client: TestClient, settings: Settings) -> None:
    assert upload(client, lora_bytes()).status_code == 201
    other = upload(client, lora_bytes(trigger_word="other"), "ink.safetensors")
    assert (other.status_code, code_of(other)) == (409, "lora_name_taken")
    assert (uploads.uploads_folder(settings) / "ink.safetensors").read_bytes() == lora_bytes()


def test_of_two_uploads_of_one_name_at_once_one_is_kept_whole(settings: Settings) -> None:
    contents = [lora_bytes(number=str(number)) for number in range(4)]
    at_the_end = threading.Barrier(len(contents))
    refused: list[str] = []

    class Slow:
        def __init__(self, content: bytes) -> None:
            self.parts = [content, b""]

        def read(self, _size: int = -1) -> bytes:
            if len(self.parts) == 1:
                at_the_end.wait(30)
            return self.parts.pop(0)

    def take(content: bytes) -> None:
        try:
            uploads.take_upload(settings, Slow(content), name="ink")
        except Conflict as error:
            refused.append(error.problems[0].code)

    threads = [threading.Thread(target=take, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["lora_name_taken"] * 3
    assert lying_in(settings) == ["ink.safetensors"]
    assert (uploads.uploads_folder(settings) / "ink.safetensors").read_bytes() in contents


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\nb", "x" * 200])
def test_a_name_that_leads_elsewhere_is_refused(
    client: TestClient, settings: Settings, name: str
) -> None:
    assert upload(client, lora_bytes(), name).status_code == 422
    assert lying_in(settings) == []


def test_only_uploads_are_deleted(client: TestClient, settings: Settings) -> None:
    own = write_lora(settings.models_dir / "loras" / "mine.safetensors")
    for name in ("mine.safetensors", "..%2Fmine.safetensors", "..", "%2e%2e"):
        assert client.delete(f"/api/loras/{name}").status_code in (404, 405), name
    assert own.exists()


def test_the_models_folder_and_every_job_are_listed_with_what_they_fit(
    client: TestClient, settings: Settings
) -> None:
    loras = settings.models_dir / "loras"
    klein = lora_bytes(architecture_of_sizes=Architecture.KLEIN_BASE_4B)
    (write_lora(loras / "bought" / "klein.safetensors")).write_bytes(klein)
    (loras / "broken.safetensors").write_bytes(klein[:-1])
    make_trained_job(settings, job_config("style"), (5, 10))
    client.post("/api/system/rescan")
    upload(client, lora_bytes(), "ink")
    items = client.get("/api/loras").json()["items"]
    assert [(item["label"], item["source"], item["fits"]) for item in items[:3]] == [
        ("klein", "folder", ["klein-base-4b", "klein-4b"]),
        ("broken", "folder", []),
        ("ink", "upload", ["tiny"]),
    ]
    assert "broken.safetensors" in items[1]["problem"]
    of_job = [(item["label"], item["step"], item["fits"]) for item in items[3:]]
    assert ("style, step 10", 10, ["tiny"]) in of_job
    assert [step for _, step, _ in of_job] == sorted((s for _, s, _ in of_job), reverse=True)
    assert all(Path(item["file"]).is_file() for item in items[3:])
    page = client.get("/api/loras", params={"search": "STYLE", "limit": 1}).json()
    rest = client.get(
        "/api/loras", params={"search": "STYLE", "limit": 9, "after": page["next"]}
    ).json()
    assert [*page["items"], *rest["items"]] == items[3:]
    (job,) = client.get("/api/jobs").json()["items"]
    assert client.get("/api/loras", params={"job_id": job["id"]}).json()["items"] == items[3:]
    Path(items[3]["file"]).unlink()
    assert client.get("/api/loras").json()["items"] == [*items[:3], *items[4:]]
