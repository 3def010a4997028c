from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.errors import NotFound
from backend.files import existing_file
from backend.settings import Settings

BAD_NAMES = [
    "../secret.txt",
    "a/../../secret.txt",
    "..",
    ".",
    "",
    "/etc/passwd",
    "a//../../secret.txt",
    "a\\..\\..\\secret.txt",
    "C:/secret.txt",
    "~/secret.txt",
    "a\0b",
    "a",  # a folder
    "nothing.txt",
    "x" * 5000,
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_a_name_that_leads_elsewhere_or_to_no_file_is_not_found(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    with pytest.raises(NotFound):
        existing_file(root, name)


def test_a_file_inside_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "あ.png").write_text("x")
    assert existing_file(tmp_path, "a/あ.png") == tmp_path / "a" / "あ.png"


@pytest.mark.parametrize(
    "path",
    [
        "/api/datasets/../pictures/secret.png",
        "/api/datasets/%2e%2e/pictures/secret.png",
        "/api/datasets/shapes/pictures/..%2f..%2fsecret.png",
        "/api/datasets/shapes/pictures/picture-0.txt",
        "/assets/../secret.png",
        "/assets/%2e%2e/secret.png",
        "/%2e%2e/secret.png",
    ],
)
def test_no_address_reads_outside_of_its_folder(
    client: TestClient, settings: Settings, path: str
) -> None:
    (settings.datasets_dir.parent / "secret.png").write_text("secret")
    (settings.datasets_dir / "secret.png").write_text("secret")
    answer = client.get(path)
    assert answer.status_code == 404, answer.text
    assert "secret" not in answer.text.replace("secret.png", "")


def test_datasets_are_listed_with_previews_that_can_be_read(client: TestClient) -> None:
    (entry,) = client.get("/api/datasets").json()["items"]
    assert (entry["name"], entry["num_pictures"], entry["num_captioned"]) == ("shapes", 2, 2)
    assert entry["size_bytes"] > 0
    assert len(entry["preview_urls"]) == 2
    for url in entry["preview_urls"]:
        answer = client.get(url)
        assert answer.headers["content-type"] == "image/webp"


def test_the_page_answers_for_its_own_addresses_and_is_never_cached(
    client: TestClient, settings: Settings
) -> None:
    missing = client.get("/jobs/7")
    assert missing.status_code == 503
    assert "make install" in missing.text
    (settings.pages_dir / "assets").mkdir(parents=True)
    (settings.pages_dir / "index.html").write_text("<!doctype html><title>built</title>")
    (settings.pages_dir / "assets" / "app-1a2b.js").write_text("1")
    for path in ("/", "/jobs/7", "/settings"):
        page = client.get(path)
        assert "built" in page.text
        assert page.headers["cache-control"] == "no-cache"
        assert "default-src 'self'" in page.headers["content-security-policy"]
    asset = client.get("/assets/app-1a2b.js")
    assert "immutable" in asset.headers["cache-control"]
    assert client.get("/assets/gone.js").status_code == 404
    assert asset.headers["x-content-type-options"] == "nosniff"


def test_scripts_and_styles_are_sent_compressed_to_who_can_read_that(
    client: TestClient, settings: Settings
) -> None:
    assets = settings.pages_dir / "assets"
    assets.mkdir(parents=True)
    script = "export const words = 'again and again';\n" * 200
    (assets / "app-1a2b.js").write_text(script)
    (assets / "font-3c4d.woff2").write_bytes(b"no text")

    plain = client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert int(plain.headers["content-length"]) == len(script)
    packed = client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "gzip, deflate"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(script) / 10
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert packed.text == plain.text == script
    head = client.head("/assets/app-1a2b.js", headers={"Accept-Encoding": "gzip"})
    assert head.status_code == 200
    assert "content-encoding" not in client.get("/assets/font-3c4d.woff2").headers
