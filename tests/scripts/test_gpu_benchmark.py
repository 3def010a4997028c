"""The measurement for a card goes through every phase, here with the tiny model on a CPU."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.memory_sizes import GIB
from trainer.variants import Architecture

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import gpu_benchmark
from gpu_benchmark import NO_GPU, ROWS, Measured, Peak, Row
from model_shapes import build_transformer

TINY = Row(
    Architecture.TINY,
    16,
    64,
    settings={
        "model.layer_offloading": "on",
        "model.transformer_offload_percent": 50.0,
        "model.low_vram": True,
        "model.vae_data_type": "fp32",
        "training.data_type": "fp32",
    },
)
PHASES = ["encode_pictures", "load", "train", "sample", "save"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return gpu_benchmark.measure(TINY, tmp_path_factory.mktemp("row"), device="cpu")


@pytest.mark.slow
def test_a_row_goes_through_every_phase_of_its_job(measured: Measured) -> None:
    assert [peak.phase for peak in measured.peaks] == PHASES
    assert all(peak.planned_bytes > 0 and peak.measured_bytes > 0 for peak in measured.peaks)
    assert measured.percent_streamed == 50.0
    assert measured.step_seconds is not None
    assert measured.step_seconds > 0
    assert measured.failure == ""


@pytest.mark.slow
def test_memory_that_runs_out_ends_the_row_in_its_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asks_for_too_much(*_: object) -> None:
        torch.empty(2**55)

    monkeypatch.setattr(gpu_benchmark.Trainee, "take_step", asks_for_too_much)
    found = gpu_benchmark.measure(TINY, tmp_path, device="cpu")
    assert [peak.phase for peak in found.peaks] == ["encode_pictures", "load", "train"]
    assert found.failure.startswith("Train: The machine ran out of memory")
    assert not found.is_as_planned


def test_random_weights_are_as_many_as_the_model_has_and_take_the_place_of_one() -> None:
    with torch.device("meta"):
        model = build_transformer(Architecture.TINY)
    given = dict(gpu_benchmark.random_weights(model))
    assert {name: tensor.shape for name, tensor in given.items()} == {
        name: parameter.shape for name, parameter in model.named_parameters()
    }
    matrices = [tensor for tensor in given.values() if tensor.ndim > 1]
    assert len({tensor.untyped_storage().data_ptr() for tensor in matrices}) == 1
    assert len({tensor.data_ptr() for tensor in matrices}) == len(matrices)
    assert {tensor.dtype for tensor in given.values()} == {torch.bfloat16}


def test_the_rows_are_dev_on_24_and_16_gb_and_both_kleins() -> None:
    dev = {(row.card_gb, row.side_px) for row in ROWS if row.architecture == "flux2-dev"}
    assert dev == {(24, 1024), (16, 768), (16, 1024)}
    assert {row.architecture for row in ROWS} >= {"klein-base-4b", "klein-base-9b"}
    for row in ROWS:
        job = gpu_benchmark.job_of(row, gpu="any")
        assert job.regularization.differential_output_preservation
        assert job.quantization.transformer == "float8"


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_without_a_gpu_it_says_so_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = gpu_benchmark.PAGE.read_text()
    assert gpu_benchmark.main(["--write"]) == NO_GPU
    assert "no NVIDIA GPU" in capsys.readouterr().out
    assert gpu_benchmark.PAGE.read_text() == before


def test_the_tables_say_what_was_measured_and_what_was_not() -> None:
    peaks = (
        Peak("load", "Load the transformer", 10 * GIB, 8 * GIB),
        Peak("train", "Train", 11 * GIB, 10 * GIB),
    )
    found = Measured(peaks, 57.1, 2.5, reserved_bytes=12 * GIB)
    assert not found.is_as_planned, "10 of 8 is beyond 15 %"
    assert replace(found, peaks=peaks[1:]).is_as_planned
    text = gpu_benchmark.tables([(ROWS[0], found), (ROWS[1], None)], "A card")
    dev = "| FLUX.2 dev (32 B) |"
    assert f"{dev} 24 GB | 1024 px | 57.1 % | 10.00 GB | 11.00 GB | 12.00 GB | 2.50 |" in text
    assert f"{dev} 16 GB | 768 px | | *not measured* |" in text
    phases = "| flux2-dev, 24 GB, 1024 px |"
    assert f"{phases} Load the transformer | 8.00 GB | 10.00 GB | 1.25 |" in text
    assert f"{phases} Encode texts | *not measured* |" in text


def test_the_page_has_the_rows() -> None:
    written = gpu_benchmark.PAGE.read_text()
    assert f"<!-- {gpu_benchmark.MARKER} -->" in written
    for row in ROWS:
        assert gpu_benchmark.row_start(row) in written
