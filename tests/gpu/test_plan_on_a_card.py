"""What a card really holds: beside the plan, out of the cache, and when there is no more of it.

True sizes take minutes and are measured by scripts/gpu_benchmark.py; its rows run here at mid size.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from optimum.quanto import WeightQBytesTensor

from scripts.parity_matrix import stack
from tests.trainer.short_runs import job_with, make_squares, run_here
from trainer import model_loading
from trainer.checkpoint import open_checkpoint
from trainer.errors import OutOfMemory
from trainer.events import RunFinished
from trainer.folders import PROJECT_FOLDER, Folders
from trainer.model_loading import load_transformer
from trainer.offloading import frozen_linears
from trainer.quantization_kinds import QuantizationKind
from trainer.quantized_linear import raw_tensors
from trainer.variants import Architecture
from trainer.vram_cap import VARIABLE

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from gpu_benchmark import Row, measure

# The tiny model's number of blocks, in the width of klein 4B: 1.2 billion weights.
MID_SIZE = {
    "attention_head_dim": 128,
    "axes_dims_rope": [32, 32, 32, 32],
    "joint_attention_dim": 7680,
    "mlp_ratio": 3.0,
    "num_attention_heads": 24,
}
ALL_STREAMED = {"model.layer_offloading": "on", "model.transformer_offload_percent": 100.0}
# The tiny autoencoder's passes are smaller than the libraries' work spaces.
COMPARED = ("load", "train", "sample", "save")

CAP_GB = 0.25
# A step of 64 pictures without checkpointing: 0.4 GB.
LARGE_STEPS = {
    "training.steps": 4,
    "training.batch_size": 64,
    "training.gradient_checkpointing": False,
    "datasets.0.num_repeats": 64,
}


@pytest.fixture(autouse=True)
def card_to_itself() -> Iterator[None]:
    """Each test begins with nothing of the others on the card, and leaves no cap behind."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("settings", [{}, ALL_STREAMED], ids=["resident", "streamed"])
@pytest.mark.parametrize("kind", ["none", "float8", "nf4"])
def test_peaks_of_a_mid_size_job_are_within_15_percent_of_its_plan(
    kind: QuantizationKind, settings: dict[str, Any], tmp_path: Path
) -> None:
    changed = settings | {"quantization.transformer": kind}
    row = Row(Architecture.TINY, 24, 1024, settings=changed, sizes=MID_SIZE)
    measured = measure(row, tmp_path, device="cuda")
    assert measured.failure == ""
    assert measured.percent_streamed == settings.get("model.transformer_offload_percent", 0.0)
    compared = [peak for peak in measured.peaks if peak.phase in COMPARED]
    assert [peak.phase for peak in compared] == list(COMPARED)
    assert all(peak.is_near for peak in compared), measured


@pytest.mark.parametrize("kind", ["float8", "int8", "nf4", "int4"])
def test_kept_weights_come_onto_the_card_as_they_were_quantized_there(
    kind: QuantizationKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "transformer"
    stack(num_double=2, num_single=2, heads=4, dtype=torch.bfloat16).save_pretrained(folder)

    def load() -> list[torch.nn.Linear]:
        transformer = load_transformer(
            folder,
            dtype=torch.bfloat16,
            device="cuda",
            quantization=kind,
            progress=lambda *_: None,
            cache=tmp_path / "cache",
        )
        return frozen_linears(transformer)

    def reads_the_source(_path: Path) -> None:
        raise AssertionError("the weights were kept, and the source was read again")

    first = load()
    monkeypatch.setattr(model_loading, "_stored", reads_the_source)
    second = load()
    for one, other in zip(first, second, strict=True):
        kept = raw_tensors(other)
        for name, tensor in raw_tensors(one).items():
            assert kept[name].device.type == "cuda"
            assert torch.equal(kept[name].view(torch.uint8), tensor.view(torch.uint8)), name
        row = torch.ones(1, one.in_features, dtype=torch.bfloat16, device="cuda")
        assert torch.equal(one(row), other(row))
    if kind == "float8":
        classes = {
            type(layer.weight.data) for layer in second if type(layer) is not torch.nn.Linear
        }
        assert classes == {WeightQBytesTensor}


WITHOUT_CONTEXT = """
import torch
from trainer.offload_settling import usable_vram_bytes
torch.cuda.get_device_name()
assert usable_vram_bytes("any") > 0
assert not torch._C._cuda_hasPrimaryContext(0)
torch.ones(1, device="cuda")
assert torch._C._cuda_hasPrimaryContext(0)
"""


def test_what_a_run_asks_of_its_card_before_it_encodes_makes_no_cuda_context() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", WITHOUT_CONTEXT],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT_FOLDER,
    )
    assert asked.returncode == 0, asked.stderr


def test_memory_that_runs_out_under_a_cap_is_told_with_its_phase_and_its_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_squares(tmp_path / "datasets")
    folders = Folders(tmp_path / "datasets", tmp_path / "models", tmp_path / "cache")
    base = {"job.gpu": "any", "training.steps": 2, "save.save_every": 2}
    assert run_here(job_with(base), folders, tmp_path / "output").exit_code == 0
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()

    monkeypatch.setenv(VARIABLE, str(CAP_GB))
    insists = {"advanced.memory_plan": "go_on"}  # the door would refuse it
    run = run_here(job_with(base | LARGE_STEPS | insists), folders, tmp_path / "output")
    assert run.exit_code == OutOfMemory.exit_code
    (finished,) = run.of_type(RunFinished)
    (problem,) = finished.problems
    assert problem["code"] == "out_of_memory"
    assert finished.phase == problem["params"]["phase"] == "train"
    assert problem["params"]["device"] == "gpu"
    cap_bytes = int(CAP_GB * (1 << 30))
    assert cap_bytes / 4 < problem["params"]["peak_bytes"] <= cap_bytes
    assert problem["params"]["available_bytes"] == cap_bytes
    changes = problem["params"]["changes"]
    assert changes[0]["settings"] == {"training.gradient_checkpointing": True}
    assert open_checkpoint(run.folder.checkpoint(2)).step == 2
