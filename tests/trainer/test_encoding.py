"""Encoding for a run: once, in a child that goes away, found again by content.

Real children on the bundled model. A child spends its seconds on importing torch, so one encoded
set is shared by the tests that only read it, and tests of what *would* be encoded look at the plan
without carrying it out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from PIL import Image

from tests.trainer.short_runs import job_with
from trainer import encoding
from trainer.door import examine_job
from trainer.encoded_run import EncodedRun
from trainer.encoding import encode_missing
from trainer.encoding_plan import EncodingPlan
from trainer.errors import BadDataset, BadModel, ChildFailed, StopRequested
from trainer.events import Event, Progress, Warned
from trainer.file_memory import MEMORY_FILE
from trainer.folders import PROJECT_FOLDER, Folders
from trainer.latents import encode_pictures, load_autoencoder, picture_to_pixels
from trainer.pictures import read_for_bucket
from trainer.prompt_encoding import load_prompt_encoder
from trainer.texts import texts_of_run
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

pytestmark = pytest.mark.slow

JOB: dict[str, Any] = {
    "job": {"training_name": "cats", "trigger_word": "zorvex", "gpu": "cpu"},
    "model": {"model_architecture": "tiny", "vae_data_type": "fp32"},
    "quantization": {"text_encoder": "none"},
    "training": {"data_type": "fp32"},
    "regularization": {"differential_output_preservation": True},
    "datasets": [{"target_dataset": "cats", "resolutions": [64], "caption_dropout_rate": 0.1}],
    "sample": {"prompts": [{"prompt": "[trigger], a dog"}]},
}
TEXTS = ["zorvex, a red cat", "zorvex, a blue cat", "photo, a red cat", "photo, a blue cat", ""]


def _make_cats(root: Path) -> None:
    """Two pictures, one turned by its tag and see-through in a corner, the other wide."""
    folder = root / "cats"
    folder.mkdir(parents=True)
    turned = Image.new("RGBA", (64, 96), "red")
    turned.paste((0, 0, 0, 0), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / "red.png", exif=exif)
    Image.linear_gradient("L").resize((160, 64)).save(folder / "blue.jpg")
    for colour in ("red", "blue"):
        (folder / f"{colour}.txt").write_text(f"[trigger], a {colour} cat\n")


@dataclass
class Encoding:
    """Encodes a job in some folders and keeps what was reported."""

    folders: Folders
    events: list[Event] = field(default_factory=list)

    def encode(
        self,
        *,
        stop_requested: Callable[[], bool] = lambda: False,
        report: Callable[[Event], None] | None = None,
        **changes: Any,
    ) -> EncodedRun:
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        verdict = examine_job(job_with(dotted, base=JOB), self.folders)
        return encode_missing(
            verdict.admitted(),
            self.folders,
            verdict.indexes,
            device="cpu",
            report=report or self.events.append,
            stop_requested=stop_requested,
        )


def _folders(root: Path) -> Folders:
    return Folders(root / "datasets", root / "models", root / "cache")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Encoding:
    """`cats`, encoded. Tests that change something copy it."""
    folders = _folders(tmp_path_factory.mktemp("shared"))
    _make_cats(folders.datasets)
    encoding = Encoding(folders)
    encoding.encode().close()
    return encoding


@pytest.fixture
def copied(shared: Encoding, tmp_path: Path) -> Encoding:
    """A copy of the encoded set that the test may change."""
    shutil.copytree(shared.folders.datasets.parent, tmp_path / "copy")
    return Encoding(_folders(tmp_path / "copy"))


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[EncodingPlan]:
    """What the child would be told, in place of starting it."""
    seen: list[EncodingPlan] = []

    def note(plan: EncodingPlan, **_: object) -> None:
        seen.append(plan)
        raise _NotCarriedOut

    monkeypatch.setattr(encoding, "run_child", note)
    return seen


class _NotCarriedOut(Exception):
    pass


def _missing(
    encoding: Encoding, plans: list[EncodingPlan], **changes: Any
) -> tuple[list[str], list[str]]:
    """Names of the pictures and the texts that a start would encode."""
    plans.clear()
    try:
        encoding.encode(**changes).close()
    except _NotCarriedOut:
        (plan,) = plans
        return sorted(t.path.name for t in plan.pictures), sorted(t.text for t in plan.prompts)
    return [], []


def _children() -> list[psutil.Process]:
    """The encoding children of this process; a browser of other tests may be one beside them."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if any("encoding_child" in word for word in process.cmdline())
    ]


def test_the_child_encodes_what_the_parts_encode_here(shared: Encoding) -> None:
    autoencoder = load_autoencoder(BUNDLED_TINY_FOLDER, dtype=torch.float32, device="cpu")
    encoder = load_prompt_encoder(
        BUNDLED_TINY_FOLDER,
        variant=VARIANTS[Architecture.TINY],
        dtype=torch.float32,
        device="cpu",
        quantization="none",
    )
    with shared.encode() as run:
        assert [item.name for item in run.items] == ["blue.jpg", "red.png"]
        for item in run.items:
            picture, _ = read_for_bucket(item.path, item.bucket.size)
            expected = encode_pictures(autoencoder, picture_to_pixels(picture))[0]
            assert torch.equal(run.latents(item), expected)
        for text in [*TEXTS, "zorvex, a dog"]:
            assert torch.equal(run.prompt(text), encoder.encode(text))


def test_progress_ends_at_the_total_of_each_thing_done(shared: Encoding) -> None:
    last = {e.message: (e.done, e.total) for e in shared.events if isinstance(e, Progress)}
    assert last["encoding prompts"] == (8, 8)  # two pictures, six texts
    assert last["checking pictures"] == (2, 2)
    assert {"loading the autoencoder", "loading the text encoder"} <= set(last)


def test_nothing_is_left_of_the_child(shared: Encoding) -> None:
    shared.encode().close()
    assert _children() == []


def test_a_second_start_encodes_nothing_and_loads_no_torch(shared: Encoding) -> None:
    folders = shared.folders
    program = f"""
import sys
from pathlib import Path
from trainer import encoding
from trainer.door import examine_job
from trainer.encoding import encode_missing
from trainer.folders import Folders
def refuse(*args, **options): raise AssertionError("a child was started")
encoding.run_child = refuse
folders = Folders(Path({str(folders.datasets)!r}), Path({str(folders.models)!r}),
                  Path({str(folders.cache)!r}))
verdict = examine_job({JOB!r}, folders)
encode_missing(verdict.admitted(), folders, verdict.indexes, device="cpu",
               report=lambda event: None, stop_requested=lambda: False).close()
print("torch" in sys.modules)
"""
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "False"


def test_a_renamed_picture_is_found_again(copied: Encoding, plans: list[EncodingPlan]) -> None:
    cats = copied.folders.datasets / "cats"
    for suffix in ("png", "txt"):
        (cats / f"red.{suffix}").rename(cats / f"あ.{suffix}")
    assert _missing(copied, plans) == ([], [])


def test_an_edited_picture_is_encoded_again(copied: Encoding, plans: list[EncodingPlan]) -> None:
    Image.new("RGB", (96, 64), "green").save(copied.folders.datasets / "cats" / "red.png")
    assert _missing(copied, plans) == (["red.png"], [])


def test_an_edited_caption_is_encoded_again(copied: Encoding, plans: list[EncodingPlan]) -> None:
    (copied.folders.datasets / "cats" / "red.txt").write_text("[trigger], a ginger cat")
    assert _missing(copied, plans) == ([], ["photo, a ginger cat", "zorvex, a ginger cat"])


def test_the_same_picture_twice_is_encoded_once(
    copied: Encoding, plans: list[EncodingPlan]
) -> None:
    cats = copied.folders.datasets / "cats"
    for name in ("one", "two"):
        Image.new("RGB", (64, 64), "green").save(cats / f"{name}.png")
        (cats / f"{name}.txt").write_text("[trigger], a red cat")
    pictures, texts = _missing(copied, plans)
    assert (len(pictures), texts) == (1, [])


def test_what_the_numbers_depend_on_makes_them_new(
    copied: Encoding, plans: list[EncodingPlan]
) -> None:
    everything = (["blue.jpg", "red.png"], sorted([*TEXTS, "zorvex, a dog"]))
    assert _missing(copied, plans, training__data_type="bf16") == ([], everything[1])
    assert _missing(copied, plans, model__vae_data_type="bf16") == (everything[0], [])
    assert _missing(copied, plans, quantization__text_encoder="float8") == ([], everything[1])
    assert _missing(copied, plans, job__seed=1, training__learning_rate=0.5) == ([], [])


def test_another_autoencoder_or_text_encoder_makes_its_own_tensors(
    copied: Encoding, plans: list[EncodingPlan]
) -> None:
    model = Path(shutil.copytree(BUNDLED_TINY_FOLDER, copied.folders.models / "mine"))
    assert _missing(copied, plans, model__name_or_path="mine") == ([], [])
    for part, expected in (
        ("vae/diffusion_pytorch_model", (["blue.jpg", "red.png"], 0)),
        ("text_encoder/model", (["blue.jpg", "red.png"], 6)),
    ):
        file = model / f"{part}.safetensors"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        pictures, texts = _missing(copied, plans, model__name_or_path="mine")
        assert (pictures, len(texts)) == expected


@pytest.mark.long
def test_damaged_cache_files_are_named_and_encoded_again(copied: Encoding) -> None:
    with copied.encode() as run:
        good = {item.name: run.latents(item) for item in run.items}
        prompts = {text: run.prompt(text) for text in TEXTS}
    files = sorted((copied.folders.cache).rglob("*.safetensors"))
    cut, flipped, foreign = files[0], files[1], files[2]
    cut.write_bytes(cut.read_bytes()[:-10])
    data = bytearray(flipped.read_bytes())
    data[-1] ^= 1
    flipped.write_bytes(data)
    foreign.write_bytes(files[3].read_bytes())

    with copied.encode() as run:
        assert all(torch.equal(run.latents(item), good[item.name]) for item in run.items)
        assert all(torch.equal(run.prompt(text), prompts[text]) for text in TEXTS)
    (warning,) = [event for event in copied.events if isinstance(event, Warned)]
    assert warning.code == "cache_damaged"
    assert sorted(warning.params["files"]) == sorted(map(str, (cut, flipped, foreign)))


@pytest.mark.long
def test_caches_that_are_off_serve_the_run_and_leave_nothing(tmp_path: Path) -> None:
    encoding = Encoding(_folders(tmp_path))
    _make_cats(encoding.folders.datasets)
    with encoding.encode(
        datasets__0__cache_latents=False, training__cache_text_embeddings=False
    ) as run:
        assert run.latents(run.items[0]).shape == (128, *_latent_sides(run, 0))
        assert run.prompt("zorvex, a dog").shape == (48, 288)
        assert list(encoding.folders.cache.rglob("*.safetensors"))
    left = {path.name for path in encoding.folders.cache.rglob("*") if path.is_file()}
    assert left <= {MEMORY_FILE}  # sizes and hashes of pictures that are older than a moment


def _latent_sides(run: EncodedRun, index: int) -> tuple[int, int]:
    bucket = run.items[index].bucket
    return bucket.height_px // 16, bucket.width_px // 16


def test_a_failed_encoding_leaves_no_private_folder(copied: Encoding) -> None:
    with pytest.raises(StopRequested):
        copied.encode(stop_requested=lambda: True, training__cache_text_embeddings=False)
    assert not list((copied.folders.cache / "private").glob("*"))


def test_a_picture_cut_short_is_refused_by_name_before_a_child_starts(
    copied: Encoding, plans: list[EncodingPlan]
) -> None:
    picture = copied.folders.datasets / "cats" / "blue.jpg"
    picture.write_bytes(picture.read_bytes()[:-200])
    with pytest.raises(BadDataset, match=r"blue\.jpg"):
        copied.encode()
    assert plans == []


def test_a_stop_ends_the_child(copied: Encoding) -> None:
    shutil.rmtree(copied.folders.cache)
    seen: list[str] = []

    def report(event: Event) -> None:
        seen.append(getattr(event, "message", ""))

    with pytest.raises(StopRequested):
        copied.encode(
            report=report, stop_requested=lambda: any("loading" in message for message in seen)
        )
    assert _children() == []


def test_what_is_encoded_before_a_stop_is_kept(
    copied: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(copied.folders.cache)
    seen: list[str] = []
    with pytest.raises(StopRequested):
        copied.encode(
            report=lambda event: seen.append(getattr(event, "message", "")),
            stop_requested=lambda: "loading the text encoder" in seen,
        )
    carried_out: list[EncodingPlan] = []

    def note(plan: EncodingPlan, **_: object) -> None:
        carried_out.append(plan)
        raise _NotCarriedOut

    monkeypatch.setattr(encoding, "run_child", note)
    assert _missing(copied, carried_out)[0] == []


def test_a_child_that_is_killed_is_said_to_be(copied: Encoding) -> None:
    shutil.rmtree(copied.folders.cache)

    def kill_at_first_word(event: Event) -> None:
        if getattr(event, "message", "") == "loading the autoencoder":
            (child,) = _children()
            child.kill()

    with pytest.raises(ChildFailed, match="SIGKILL") as failed:
        copied.encode(report=kill_at_first_word)
    assert "memory" in failed.value.hint
    assert _children() == []


def test_what_the_child_finds_wrong_is_the_runs_error(copied: Encoding) -> None:
    model = Path(shutil.copytree(BUNDLED_TINY_FOLDER, copied.folders.models / "broken"))
    weights = model / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(BadModel, match="autoencoder") as failed:
        copied.encode(model__name_or_path="broken")
    assert failed.value.problems[0].field == "model.name_or_path"


def test_every_text_of_the_run_can_be_read(shared: Encoding) -> None:
    verdict = examine_job(JOB, shared.folders)
    with shared.encode() as run:
        for text in texts_of_run(verdict.admitted(), run.items):
            assert run.prompt(text).shape == (48, 288)
