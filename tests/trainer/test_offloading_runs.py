"""Whole runs with Layer Offloading: what they leave behind is what they leave without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import trainer.block_memory
import trainer.loop
import trainer.offload_settling
from tests.trainer.poisoned_stream import PoisonedStream
from tests.trainer.short_runs import ShortRun, job_with, make_squares, run_here
from trainer.config import JobConfig
from trainer.folders import Folders
from trainer.job_file import parse_job, read_yaml
from trainer.offload_settling import settle_offloading
from trainer.offload_shares import with_model
from trainer.trainee import Trainee, load_trainee
from trainer.variants import BUNDLED_TINY_FOLDER

# All that passes through the blocks in other ways than a step: preservation's three passes and the
# probe's, samples of the average in between, a LoRA at half strength, dropout, accumulation.
BUSY = job_with(
    {
        "training.steps": 3,
        "training.gradient_accumulation": 2,
        "training.use_ema": True,
        "training.learning_rate": 0.01,
        "target.dropout": 0.2,
        "regularization.differential_output_preservation": True,
        "regularization.preservation_class": "picture",
        "datasets.0.default_caption": "[trigger], a square",
        "datasets.0.lora_weight": 0.5,
        "advanced.preservation_probe": True,
        "advanced.validate_every": 2,
        "advanced.validation_noise_levels": 1,
        "sample.sample_every": 2,
        "sample.first_sample_at_step_0": True,
        "sample.prompts": [{"prompt": "[trigger], a red square"}],
    }
)
OFFLOADED = {"model.layer_offloading": "on"}


@pytest.fixture(autouse=True)
def streams(monkeypatch: pytest.MonkeyPatch) -> list[PoisonedStream]:
    """Every stream that a test's runs make."""
    made: list[PoisonedStream] = []

    class Noted(PoisonedStream):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(trainer.block_memory, "BlockStream", Noted)
    return made


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("offloading")
    make_squares(root / "datasets")
    return Folders(root / "datasets", root / "models", root / "cache")


@pytest.fixture(scope="module")
def resident(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    return run_here(BUSY, folders, tmp_path_factory.mktemp("resident"))


def left_behind(run: ShortRun) -> tuple[Any, ...]:
    assert run.exit_code == 0
    lora = {n: t.numpy().tobytes() for n, t in load_file(run.folder.result).items()}
    return run.losses, run.samples(), lora


@pytest.mark.slow
@pytest.mark.parametrize("percent", [50, 100])
def test_a_run_leaves_behind_what_it_leaves_without_offloading(
    percent: float,
    resident: ShortRun,
    folders: Folders,
    tmp_path: Path,
    streams: list[PoisonedStream],
) -> None:
    changes = {**OFFLOADED, "model.transformer_offload_percent": percent}
    offloaded = run_here(job_with(changes, base=BUSY), folders, tmp_path)
    assert left_behind(offloaded) == left_behind(resident)
    (stream,) = streams
    assert len(stream.streamed) == 6 * percent / 100
    assert stream.most_in_slots == 2


@pytest.mark.slow
def test_a_run_goes_on_offloaded_where_it_left_off_resident(
    resident: ShortRun, folders: Folders, tmp_path: Path
) -> None:
    first = run_here(job_with({"training.steps": 2}, base=BUSY), folders, tmp_path)
    assert first.exit_code == 0
    rest = run_here(job_with(OFFLOADED, base=BUSY), folders, tmp_path)
    assert rest.losses[3] == resident.losses[3]


def tiny_trainee(changes: dict[str, Any]) -> Trainee:
    job: JobConfig = parse_job(job_with(changes))
    return load_trainee(
        job, BUNDLED_TINY_FOLDER / "transformer", device="cpu", progress=lambda *_: None
    )


@pytest.mark.parametrize(
    ("changes", "streamed"),
    [
        ({}, None),
        ({**OFFLOADED, "model.transformer_offload_percent": 0.0}, None),
        ({**OFFLOADED, "model.transformer_offload_percent": 30.0}, (1, 4)),
        ({**OFFLOADED, "model.transformer_offload_percent": 50.0}, (1, 3, 5)),
        (OFFLOADED, (0, 1, 2, 3, 4, 5)),
    ],
)
def test_the_settings_say_which_blocks_are_streamed(
    changes: dict[str, Any], streamed: tuple[int, ...] | None
) -> None:
    trainee = tiny_trainee(changes)
    assert (trainee.stream.streamed if trainee.stream else None) == streamed


def test_streamed_blocks_are_computed_again_even_without_gradient_checkpointing() -> None:
    plain = {"training.gradient_checkpointing": False}
    assert not tiny_trainee(plain).transformer.is_gradient_checkpointing
    assert tiny_trainee({**OFFLOADED, **plain}).transformer.is_gradient_checkpointing


# ------------------------------------------------------------------------------------------- auto

AUTO = {"model.layer_offloading": "auto"}


# Nothing is loaded: sizes and plan are arithmetic.
DEV = {
    **AUTO,
    "model.model_architecture": "flux2-dev",
    "quantization.transformer": "float8",
    "training.data_type": "bf16",
    "datasets.0.resolutions": [1024],
}


def settled_on(vram_gib: float | None, monkeypatch: pytest.MonkeyPatch, folders: Folders) -> float:
    vram_bytes = None if vram_gib is None else int(vram_gib * 2**30)
    monkeypatch.setattr(trainer.offload_settling, "usable_vram_bytes", lambda _gpu: vram_bytes)
    job = parse_job(job_with(DEV))
    return settle_offloading(job, [], folders, device="cuda").model.percent_streamed


def test_auto_streams_as_few_blocks_as_the_card_needs(
    monkeypatch: pytest.MonkeyPatch, folders: Folders
) -> None:
    shares = [settled_on(gib, monkeypatch, folders) for gib in (80, 32, 24, 2)]
    assert shares[0] == 0
    assert 0 < shares[1] < shares[2] < 100
    assert shares[3] == 100  # the door says that it does not fit
    assert settled_on(None, monkeypatch, folders) == 0  # no card, nothing to take weights off


def test_a_job_that_says_how_much_keeps_what_it_says(folders: Folders) -> None:
    for changes in ({}, OFFLOADED, {**OFFLOADED, "model.transformer_offload_percent": 30.0}):
        job = parse_job(job_with(changes))
        assert settle_offloading(job, [], folders, device="cuda") is job


@pytest.mark.slow
def test_a_run_on_auto_streams_what_was_settled_and_goes_on_saying_auto(
    resident: ShortRun,
    folders: Folders,
    tmp_path: Path,
    streams: list[PoisonedStream],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def settle(job: JobConfig, *_: Any, device: str) -> JobConfig:
        assert job.model.layer_offloading == "auto"
        return with_model(job, layer_offloading="on", transformer_offload_percent=50.0)

    monkeypatch.setattr(trainer.loop, "settle_offloading", settle)
    run = run_here(job_with(AUTO, base=BUSY), folders, tmp_path)
    assert left_behind(run) == left_behind(resident)
    assert [stream.streamed for stream in streams] == [(1, 3, 5)]
    saved = read_yaml(run.folder.path / "job.yaml")
    assert saved["model"]["layer_offloading"] == "auto"
