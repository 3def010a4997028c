"""LoRA files of the hub in drawings, by the real huggingface_hub against a server of our own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.trainer.local_hub import LocalHub, serving
from tests.trainer.short_runs import finished_run
from tests.trainer.test_drawings import PROMPT, draw, drawing_of, files  # noqa: F401
from trainer import env_file
from trainer import hub as hub_module
from trainer.drawing_config import lora_files
from trainer.drawing_door import DrawingVerdict, examine_drawing, parse_drawing
from trainer.errors import EXIT_COMPLETED, BadLora, StopRequested
from trainer.events import PhaseStarted, Sample
from trainer.folders import Folders
from trainer.hub_lora import HubLora, hub_lora, obtain_lora

INK, SECRET = "someone/ink-style", "someone/secret"
NAME = f"hub:{INK}/klein/ink.safetensors"


@pytest.fixture
def hub(
    tmp_path: Path,
    files: dict[str, Path],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[LocalHub]:
    """A LoRA in two repositories, one gated; an empty cache, and no token."""
    repository = tmp_path / "repository"
    (repository / "klein").mkdir(parents=True)
    shutil.copy(files["lora"], repository / "klein" / "ink.safetensors")
    (repository / "README.md").write_text("a LoRA\n")
    (repository / "pickle.safetensors").write_bytes(b"PK\x03\x04" + bytes(100))
    with serving(LocalHub({INK: repository, SECRET: repository}, gated={SECRET})) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(env_file, "PROJECT_FOLDER", tmp_path)
        hub_module._answers.clear()
        yield served


def with_lora(files: dict[str, Path], name: str) -> dict[str, Any]:  # noqa: F811
    picture = {"prompt": PROMPT, "width": 64, "height": 64, "guidance_scale": 1.0, "lora": 0}
    return drawing_of(files, loras=[name], pictures=[picture], sample_steps=1)


def judged(files: dict[str, Path], folders: Folders, name: str) -> DrawingVerdict:  # noqa: F811
    return examine_drawing(with_lora(files, name), folders)


def obtained(name: str, **callbacks: Any) -> Path:
    quiet = {"progress": lambda *_: None, "stop_requested": lambda: False}
    return obtain_lora(hub_lora(name, place=0), **(quiet | callbacks))


def test_a_file_is_announced_downloaded_alone_and_used_offline_from_then_on(
    hub: LocalHub,
    files: dict[str, Path],  # noqa: F811
    short_folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verdict = judged(files, short_folders, NAME)
    assert verdict.errors == []
    (warning,) = verdict.warnings
    assert (warning.code, warning.field) == ("model_will_be_downloaded", "loras.0")
    assert f"klein/ink.safetensors of {INK}" in warning.message
    path = obtained(NAME)
    assert path.name == "ink.safetensors"
    assert path.read_bytes() == files["lora"].read_bytes()
    assert set(hub.downloads()) == {"klein/ink.safetensors"}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    num_requests = len(hub.requests)
    assert lora_files(parse_drawing(with_lora(files, NAME)), short_folders) == [path]
    assert judged(files, short_folders, NAME).all_problems == []
    assert len(hub.requests) == num_requests


@pytest.mark.parametrize(
    "name", ["My Ink v2 (1).safetensors", "_final.safetensors", "墨.safetensors"]
)
def test_a_file_may_be_named_as_people_name_files(
    hub: LocalHub,
    files: dict[str, Path],  # noqa: F811
    short_folders: Folders,
    name: str,
) -> None:
    shutil.copy(files["lora"], hub.repositories[INK] / name)
    assert judged(files, short_folders, f"hub:{INK}/{name}").errors == []
    assert obtained(f"hub:{INK}/{name}").name == name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (f"hub:{SECRET}/klein/ink.safetensors", "model_needs_token"),
        (f"hub:{INK}/ink.safetensors", "file_not_on_hub"),
        ("hub:nobody/nothing/ink.safetensors", "model_not_on_hub"),
        (f"hub:{INK}@v9/klein/ink.safetensors", "model_revision_missing"),
        ("hub:ink.safetensors", "bad_hub_name"),
        ("hub:someone/ink-style/../../ink.safetensors", "bad_hub_name"),
        ("hub:someone/ink-style/ink.txt", "bad_hub_name"),
        ("hub:someone/ink-style/ink.ckpt", "lora_is_pickle"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name_at_its_field(
    hub: LocalHub,
    files: dict[str, Path],  # noqa: F811
    short_folders: Folders,
    name: str,
    code: str,
) -> None:
    (problem,) = judged(files, short_folders, name).errors
    assert (problem.code, problem.field) == (code, "loras.0")
    assert "Name or Path" not in problem.hint
    if code not in ("bad_hub_name", "lora_is_pickle"):
        with pytest.raises(BadLora) as refusal:
            obtained(name)
        assert refusal.value.problems[0].field == "loras.0"


def test_offline_without_the_file_is_said(
    hub: LocalHub,
    files: dict[str, Path],  # noqa: F811
    short_folders: Folders,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (problem,) = judged(files, short_folders, NAME).errors
    assert (problem.code, hub.requests) == ("model_offline", [])


def test_a_stop_is_heard_while_it_downloads(hub: LocalHub) -> None:
    with pytest.raises(StopRequested):
        obtained(NAME, stop_requested=lambda: True)
    assert isinstance(hub_lora(NAME, place=0), HubLora)


def test_a_pickle_from_the_hub_is_refused_once_it_is_here(
    hub: LocalHub,
    files: dict[str, Path],  # noqa: F811
    short_folders: Folders,
) -> None:
    obtained(f"hub:{INK}/pickle.safetensors")
    (problem,) = judged(files, short_folders, f"hub:{INK}/pickle.safetensors").errors
    assert problem.code == "lora_is_pickle"


@pytest.mark.slow
def test_a_drawing_downloads_its_lora_as_a_phase_and_draws_with_it(
    hub: LocalHub,
    files: dict[str, Path],  # noqa: F811
    short_folders: Folders,
    tmp_path: Path,
) -> None:
    parent = tmp_path / "output"
    parent.mkdir()
    run = finished_run(parent, "try", draw(with_lora(files, NAME), short_folders, parent))
    assert run.exit_code == EXIT_COMPLETED
    phases = [(event.phase, event.message) for event in run.of_type(PhaseStarted)]
    assert phases[0] == ("download", "klein/ink.safetensors")
    assert len(run.of_type(Sample)) == 1
