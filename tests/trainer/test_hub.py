"""Models from the hub, by the real huggingface_hub against a server on this machine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.trainer.local_hub import COMMIT, LocalHub, serving
from tests.trainer.original_files import write_original_autoencoder, write_original_transformer
from tests.trainer.short_runs import job_with, run_here
from trainer import env_file
from trainer import hub as hub_module
from trainer.door import examine_job
from trainer.errors import BadModel, DiskFull, Problem, Severity, StopRequested
from trainer.events import PhaseStarted, Progress
from trainer.folders import Folders
from trainer.hub import HubAccess, HubRepository, cached_snapshot, download
from trainer.model_check import is_whole, source_problems
from trainer.model_parts import PARTS, ModelSource, local_parts, model_source
from trainer.panels.model import ModelPanel
from trainer.variants import BUNDLED_TINY_FOLDER, Architecture

TINY = "toys/tiny"
DEV = "black-forest-labs/FLUX.2-dev"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """The bundled model under two names, one gated; an empty cache, and no token."""
    repository = tmp_path / "repository"
    shutil.copytree(BUNDLED_TINY_FOLDER, repository)
    (repository / "README.md").write_text("a model\n")
    (repository / "flux2-tiny.safetensors").write_bytes(b"the same in another layout")
    (repository / "text_encoder" / "pytorch_model.bin").write_bytes(b"the same as a pickle")
    served = LocalHub({TINY: repository, DEV: repository}, gated={DEV})
    with serving(served):
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(env_file, "PROJECT_FOLDER", tmp_path)
        hub_module._answers.clear()
        yield served


def _source(tmp_path: Path, architecture: str = "tiny", **fields: Any) -> ModelSource:
    panel = ModelPanel(model_architecture=Architecture(architecture), **fields)
    return model_source(panel, Folders(tmp_path, tmp_path / "models", tmp_path))


def _download(source: ModelSource, **options: Any) -> Path:
    assert isinstance(source.base, HubRepository)
    callbacks = {"progress": lambda *_: None, "stop_requested": lambda: False, **options}
    access = HubAccess.from_environment()
    return download(source.base, source.needed, access=access, **callbacks)


def _only(problems: list[Problem]) -> Problem:
    (problem,) = problems
    return problem


# ------------------------------------------------------------------------------------ downloading


def test_a_model_is_downloaded_whole_once_and_then_needs_no_network(
    hub: LocalHub, tmp_path: Path
) -> None:
    source = _source(tmp_path, name_or_path=TINY)
    seen: list[tuple[int, int, str]] = []
    assert not is_whole(source)
    folder = _download(source, progress=lambda *state: seen.append(state))

    for file in BUNDLED_TINY_FOLDER.rglob("*"):
        if file.is_file():
            copy = folder / file.relative_to(BUNDLED_TINY_FOLDER)
            assert copy.read_bytes() == file.read_bytes()
    # Neither the other layout nor pickles nor pages: they are as large, or of no use.
    kept = {file.name for file in folder.rglob("*") if file.is_file()}
    assert not kept & {"README.md", "flux2-tiny.safetensors", "pytorch_model.bin"}
    assert folder.name == COMMIT
    assert seen == sorted(seen, key=lambda state: state[0])
    assert seen[-1][0] <= seen[-1][1]

    hub.requests.clear()
    assert is_whole(source)
    assert source_problems(source) == []
    assert source.base_folder == folder
    assert hub.requests == []


def test_only_the_parts_that_are_used_are_downloaded(hub: LocalHub, tmp_path: Path) -> None:
    ae = tmp_path / "models" / "ae.safetensors"
    write_original_autoencoder(BUNDLED_TINY_FOLDER, ae)
    encoder = tmp_path / "models" / "encoder"
    shutil.copytree(BUNDLED_TINY_FOLDER / "text_encoder", encoder)
    source = _source(
        tmp_path, name_or_path=TINY, autoencoder_path="ae.safetensors", text_encoder_path="encoder"
    )
    assert source.needed == ("transformer", "tokenizer", "scheduler")
    folder = _download(source)
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == sorted(source.needed)
    assert source_problems(source) == []
    assert source_problems(_source(tmp_path, name_or_path=TINY)) != []


def test_a_single_file_takes_from_the_hub_only_what_it_lacks(hub: LocalHub, tmp_path: Path) -> None:
    file = tmp_path / "models" / "flux2-dev.safetensors"
    write_original_transformer(BUNDLED_TINY_FOLDER, file)
    source = _source(tmp_path, "flux2-dev", name_or_path=file.name)
    assert source.base == HubRepository(DEV)
    assert source.needed == ("vae", "text_encoder", "tokenizer")


def test_a_stopped_download_goes_on_where_it_ended(hub: LocalHub, tmp_path: Path) -> None:
    source = _source(tmp_path, name_or_path=TINY)
    hub.hold.clear()
    with pytest.raises(StopRequested):
        _download(source, stop_requested=lambda: any("safetensors" in f for f in hub.downloads()))
    assert cached_snapshot(HubRepository(TINY)) is None
    assert not is_whole(source)
    hub.hold.set()
    for thread in threading.enumerate():
        if thread.name.startswith("download"):
            thread.join()
    before = hub.downloads()
    hub.requests.clear()
    _download(source)
    assert is_whole(source)
    small = {name for name in before if name.endswith(".json")}
    assert len(small) >= 6
    assert not small & set(hub.downloads())


def test_a_repository_that_is_no_pipeline_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    (hub.repositories[TINY] / "model_index.json").unlink()
    source = _source(tmp_path, name_or_path=TINY)
    problem = _only(source_problems(source))
    assert (problem.code, problem.severity) == ("model_of_another_kind", Severity.ERROR)
    with pytest.raises(BadModel, match=r"no model_index\.json"):
        _download(source)


def test_a_disk_too_small_is_seen_before_the_download(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_free_bytes", lambda _folder: 1_000_000)
    source = _source(tmp_path, name_or_path=TINY)
    assert _only(source_problems(source)).code == "model_disk_too_small"
    with pytest.raises(DiskFull):
        _download(source)
    assert hub.downloads() == []


def test_a_connection_lost_on_the_way_is_told_as_such(hub: LocalHub, tmp_path: Path) -> None:
    source = _source(tmp_path, name_or_path=TINY)
    (hub.repositories[TINY] / "scheduler" / "scheduler_config.json").unlink()
    assert isinstance(source.base, HubRepository)
    access = HubAccess(hub.endpoint, tmp_path / "cache", None, is_offline=False)
    dead = HubAccess("http://127.0.0.1:9", access.cache, None, is_offline=False)
    with pytest.raises(BadModel) as caught:
        download(
            source.base,
            PARTS,
            access=dead,
            progress=lambda *_: None,
            stop_requested=lambda: False,
        )
    assert caught.value.code == "model_offline"
    assert "cannot be reached" in caught.value.message


# --------------------------------------------------------------------------------------- the door


def test_a_model_that_is_to_be_downloaded_is_announced_with_its_size(
    hub: LocalHub, tmp_path: Path
) -> None:
    problem = _only(source_problems(_source(tmp_path, name_or_path=TINY)))
    assert (problem.code, problem.severity) == ("model_will_be_downloaded", Severity.WARNING)
    size = sum(file.stat().st_size for file in BUNDLED_TINY_FOLDER.rglob("*") if file.is_file())
    assert problem.params["bytes"] == size


def test_the_door_asks_the_hub_once_a_minute_at_most(hub: LocalHub, tmp_path: Path) -> None:
    for _ in range(3):
        source_problems(_source(tmp_path, name_or_path=TINY))
    assert len(hub.requests) == 2  # may we, and what is there


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [
        (None, "model_needs_token", "there is no token"),
        ("hf_mistyped", "model_token_wrong", "does not know the token"),
        ("hf_other", "model_licence_not_accepted", "may not read"),
    ],
)
def test_a_gated_model_says_which_thing_is_wrong(
    hub: LocalHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    code: str,
    said: str,
) -> None:
    hub.accounts = {"hf_right": True, "hf_other": False}
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    source = _source(tmp_path, "flux2-dev")
    problem = _only(source_problems(source))
    assert (problem.code, problem.severity) == (code, Severity.ERROR)
    assert said in problem.message
    assert "https://huggingface.co/" in problem.hint
    assert not token or token not in str(problem)
    with pytest.raises(BadModel) as caught:
        _download(source)
    assert caught.value.code == code


def test_a_gated_model_without_a_token_is_refused_without_asking(
    hub: LocalHub, tmp_path: Path
) -> None:
    source_problems(_source(tmp_path, "flux2-dev"))
    assert hub.requests == []


def test_the_token_of_an_account_that_accepted_opens_a_gated_model(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.accounts = {"hf_right": True}
    (tmp_path / ".env").write_text("HF_TOKEN=hf_right\n")
    source = _source(tmp_path, "flux2-dev")
    assert _only(source_problems(source)).code == "model_will_be_downloaded"
    assert is_whole(source) is False
    _download(source)
    assert source.base_folder is not None


def test_offline_a_whole_cache_works_and_one_with_a_gap_does_not(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(tmp_path, name_or_path=TINY)
    folder = _download(source)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert source_problems(source) == []
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    problem = _only(source_problems(source))
    assert (problem.code, problem.severity) == ("model_offline", Severity.ERROR)
    assert "HF_HUB_OFFLINE" in problem.message
    with pytest.raises(BadModel, match="HF_HUB_OFFLINE"):
        _download(source)
    assert hub.requests == []


def test_a_revision_or_a_model_that_is_not_there_is_named_at_its_field(
    hub: LocalHub, tmp_path: Path
) -> None:
    problem = _only(source_problems(_source(tmp_path, name_or_path=TINY, revision="v9")))
    assert (problem.code, problem.field) == ("model_revision_missing", "model.revision")
    problem = _only(source_problems(_source(tmp_path, name_or_path="toys/large")))
    assert problem.code == "model_not_on_hub"


def test_a_commit_is_a_revision(hub: LocalHub, tmp_path: Path) -> None:
    source = _source(tmp_path, name_or_path=TINY, revision=COMMIT)
    assert _download(source).name == COMMIT
    assert is_whole(source)
    assert not is_whole(_source(tmp_path, name_or_path=TINY))  # where main is was not asked


def test_a_download_that_another_program_left_half_done_is_not_taken_for_whole(
    hub: LocalHub, tmp_path: Path
) -> None:
    source = _source(tmp_path, name_or_path=TINY)
    part = _download(source) / "transformer"
    weights = part / "diffusion_pytorch_model.safetensors"
    weights.rename(part / "diffusion_pytorch_model-00001-of-00003.safetensors")
    assert not is_whole(source)


def test_the_token_is_in_no_text_about_the_access(hub: LocalHub) -> None:
    access = HubAccess(hub.endpoint, Path("cache"), "hf_secret", is_offline=False)
    assert "hf_secret" not in repr(access)


# ---------------------------------------------------------------------------------------- a job


@pytest.mark.slow
def test_a_job_downloads_its_model_and_trains_as_with_the_same_folder(
    hub: LocalHub, short_folders: Folders, tmp_path: Path
) -> None:
    folders = Folders(short_folders.datasets, tmp_path / "models", short_folders.cache)
    job = job_with({"model.name_or_path": TINY, "training.steps": 2})
    assert [p.code for p in examine_job(job, folders).warnings][-1] == "model_will_be_downloaded"
    run = run_here(job, folders, tmp_path / "hub")
    assert run.exit_code == 0
    phases = [event.phase for event in run.of_type(PhaseStarted)]
    assert phases[:2] == ["download", "load"]
    downloaded = [event for event in run.of_type(Progress) if event.phase == "download"]
    assert downloaded
    assert downloaded[-1].done <= downloaded[-1].total

    bundled = run_here(job_with({"training.steps": 2}), folders, tmp_path / "bundled")
    assert run.losses == bundled.losses
    panel = ModelPanel(model_architecture=Architecture.TINY, name_or_path=TINY)
    assert local_parts(panel, folders).transformer.parent.name == COMMIT
