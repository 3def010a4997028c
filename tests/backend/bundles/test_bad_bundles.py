"""What is damaged, or made to do harm, is refused whole: nothing of it is to be seen afterwards."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.bundles.contents import collect
from backend.bundles.writing import BundleStream
from backend.db.engine import Database
from backend.settings import Settings
from tests.backend.bundles.packed_jobs import (
    make_trained_job,
    members_of,
    packed,
    plain,
    visible,
    with_manifest,
)
from tests.backend.installation import job_config

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def bundle(client: TestClient, database: Database, settings: Settings) -> bytes:
    """A bundle of a job with a checkpoint."""
    make_trained_job(settings, job_config("style"), (5,))
    client.post("/api/system/rescan")
    (job,) = client.get("/api/jobs").json()["items"]
    return b"".join(BundleStream(collect(database, settings, job["id"])).chunks())


def refusal(client: TestClient, settings: Settings, bundle: bytes) -> str:
    """The code of the answer; and nothing may have changed."""
    before = visible(settings), client.get("/api/jobs").json()
    answer = client.post("/api/bundles?name=arrived", content=bundle)
    assert answer.status_code == 422, answer.text
    assert (visible(settings), client.get("/api/jobs").json()) == before
    hidden = [*settings.output_dir.glob(".importing-*"), *settings.datasets_dir.glob(".im*")]
    assert hidden == []
    return answer.json()["errors"][0]["code"]


def test_the_whole_bundle_is_taken(client: TestClient, bundle: bytes) -> None:
    """What the tests below change is all that is wrong there."""
    again = packed(members_of(bundle))
    assert client.post("/api/bundles?name=arrived", content=again).status_code == 201


def entry_of(bundle: bytes, path: str) -> int:
    return next(n for n, (entry, _) in enumerate(members_of(bundle)) if entry.name == path)


def test_a_path_that_leads_out_is_refused(
    client: TestClient, settings: Settings, bundle: bytes
) -> None:
    for path in ("../evil.txt", "/tmp/evil.txt", "datasets/shapes/../../evil", "job.yaml/x"):
        members = members_of(bundle)
        members[2][0].name = path
        assert refusal(client, settings, packed(members)) == "bundle_unsafe"


def test_what_is_no_plain_file_is_refused(
    client: TestClient, settings: Settings, bundle: bytes
) -> None:
    links, others = (tarfile.SYMTYPE, tarfile.LNKTYPE), (tarfile.DIRTYPE, tarfile.FIFOTYPE)
    for kind in (*links, *others, tarfile.CHRTYPE):
        members = members_of(bundle)
        entry = members[3][0]
        entry.type, entry.linkname = kind, "/etc/passwd"
        members[3] = (entry, b"")
        assert refusal(client, settings, packed(members)) == "bundle_unsafe"


def test_a_file_more_or_twice_is_refused(
    client: TestClient, settings: Settings, bundle: bytes
) -> None:
    members = members_of(bundle)
    assert refusal(client, settings, packed([*members, plain("more", b"x")])) == "bundle_unsafe"

    def twice(manifest: dict[str, Any]) -> None:
        manifest["samples"] *= 2

    assert refusal(client, settings, with_manifest(bundle, twice)) == "bundle_unsafe"


def test_every_byte_counts(client: TestClient, settings: Settings, bundle: bytes) -> None:
    for number, (entry, data) in enumerate(members_of(bundle)):
        if number == 0 or not data:
            continue
        members = members_of(bundle)
        members[number] = (entry, bytes([data[0] ^ 1]) + data[1:])
        assert refusal(client, settings, packed(members)) == "bundle_damaged", entry.name


def test_a_bundle_that_is_cut_off_is_refused_wherever_it_is_cut(
    client: TestClient, settings: Settings, bundle: bytes
) -> None:
    for length in (0, 100, 512, 700, *range(1024, len(bundle) - 2048, len(bundle) // 12)):
        assert refusal(client, settings, bundle[:length]) in ("bundle_damaged", "no_bundle")


LIES: list[tuple[Change, str]] = [
    (lambda m: m.update(format=2, checkpoint="elsewhere"), "bundle_format"),
    (lambda m: m.update(format=99), "bundle_format"),
    (lambda m: m.update(training_name="../up"), "bundle_damaged"),
    (lambda m: m.update(training_name="other"), "bundle_damaged"),
    (lambda m: m.update(step=None), "bundle_damaged"),
    (lambda m: m.update(step=4), "bundle_damaged"),
    (lambda m: m.update(checkpoint=m["checkpoint"][1:]), "bundle_unsafe"),
    (lambda m: m["checkpoint"][0].update(name="../../x"), "bundle_damaged"),
    (lambda m: m["checkpoint"][0].update(name=".hidden"), "bundle_damaged"),
    (lambda m: m["checkpoint"][0].update(size_bytes=-1), "bundle_damaged"),
    (lambda m: m["checkpoint"][0].update(size_bytes=1 << 39), "no_room"),
    (lambda m: m["checkpoint"][0].update(size_bytes=1 << 60), "bundle_damaged"),
    (lambda m: m["checkpoint"][0].update(sha256="x"), "bundle_damaged"),
    (lambda m: m["job"].update(size_bytes=1 << 30), "bundle_unsafe"),
    (lambda m: m["job"].update(name="other.yaml"), "bundle_unsafe"),
    (lambda m: m["samples"][0].update(name="evil.png"), "bundle_damaged"),
    (lambda m: m["datasets"][0].update(name="../shapes"), "bundle_damaged"),
    (lambda m: m["datasets"][0].update(name="/shapes"), "bundle_damaged"),
    (lambda m: m["datasets"][0].update(name="a//b"), "bundle_damaged"),
    (lambda m: m["datasets"][0].update(name="a\u0000b"), "bundle_damaged"),
    (lambda m: m["datasets"][0]["files"][0].update(name="a/b.png"), "bundle_damaged"),
    (lambda m: m["datasets"][0]["files"][0].update(name="x" * 300), "bundle_damaged"),
    (lambda m: m.pop("datasets"), "bundle_damaged"),
]


def test_a_manifest_that_lies_is_refused(
    client: TestClient, settings: Settings, bundle: bytes
) -> None:
    for number, (change, code) in enumerate(LIES):
        assert refusal(client, settings, with_manifest(bundle, change)) == code, number


def test_a_header_that_would_fill_memory_is_refused(client: TestClient, settings: Settings) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        entry = tarfile.TarInfo("header")
        entry.type, entry.size = kind, 1 << 40
        block = entry.tobuf(format=tarfile.GNU_FORMAT)
        assert refusal(client, settings, block + bytes(4096)) == "bundle_unsafe"


def test_a_manifest_that_would_fill_memory_is_refused(
    client: TestClient, settings: Settings
) -> None:
    entry = tarfile.TarInfo("bundle.json")
    entry.size = 1 << 40
    block = entry.tobuf(format=tarfile.GNU_FORMAT)
    assert refusal(client, settings, block + bytes(4096)) == "bundle_unsafe"


def test_what_is_no_bundle_is_refused(client: TestClient, settings: Settings) -> None:
    for data in (b"", b"PK\x03\x04 no tar" * 100, packed([plain("readme.txt", b"hello")])):
        assert refusal(client, settings, data) in ("no_bundle", "bundle_damaged")


def test_a_job_that_this_version_cannot_read_is_named(
    client: TestClient, settings: Settings, bundle: bytes
) -> None:
    members = members_of(bundle)
    text = members[1][1] + b"dreams: {depth: 3}\n"

    def change(manifest: dict[str, Any]) -> None:
        manifest["job"] |= {
            "size_bytes": len(text),
            "sha256": hashlib.sha256(text).hexdigest(),
        }

    changed = members_of(with_manifest(bundle, change))
    changed[1] = (changed[1][0], text)
    before = visible(settings)
    answer = client.post("/api/bundles?name=arrived", content=packed(changed))
    assert answer.status_code == 422
    assert "dreams" in json.dumps(answer.json())
    assert visible(settings) == before


def test_checkpoint_files_that_are_not_those_of_a_checkpoint_are_refused(
    client: TestClient, settings: Settings, bundle: bytes
) -> None:
    """Every hash in the manifest holds, and the checkpoint still says otherwise."""
    number = entry_of(bundle, "checkpoint/lora.safetensors")

    def change(manifest: dict[str, Any]) -> None:
        entry = manifest["checkpoint"][0]
        assert entry["name"] == "lora.safetensors"
        entry |= {"size_bytes": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}

    changed = members_of(with_manifest(bundle, change))
    changed[number] = (changed[number][0], b"evil")
    assert refusal(client, settings, packed(changed)) == "bundle_damaged"
