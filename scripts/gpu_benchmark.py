"""Train models of true size on random weights under a cap, and set measured peaks beside the plan.

    python scripts/gpu_benchmark.py                         every row, on an NVIDIA GPU
    python scripts/gpu_benchmark.py --only "dev, 24 GB"     the rows whose names have this in them
    python scripts/gpu_benchmark.py --write                 every row, into docs/benchmarks.md

A row is a job on a card of some size: a large card is held to it as a run is (`vram_cap.py`), and
*auto* offloading is settled for it. What then runs is the trainer's own: a pass of the autoencoder,
`load_trainee` with its quantizer and its block stream, steps, a sample, a checkpoint. Only the
weights come from elsewhere: `random_weights` gives the loader tensor after tensor, on the host and
in bf16, as files do. So 64 GB of dev never exist, neither on the disk nor in memory. Each row has
a process of its own.

Measured is `torch.cuda.max_memory_allocated` in each phase, planned is `PhasePlan.tensor_bytes`.
Texts are not encoded: prompts are random numbers of the size that the cache holds, on the host, and
that leaves on the card what a job with cached prompts leaves there.

Ends with 0 if every peak is within 15 % of its plan, 1 if not, and 2 where there is no GPU. On a
CPU `measure` does the same with a tiny model, which is how it is tested; a peak is then resident
anonymous memory, of which nothing is claimed at that size.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import Flux2Transformer2DModel
from torch import nn

from marked_page import write_part
from memory_benchmark import TOLERANCE, peak_of_process, rss_anon_bytes
from model_shapes import build_autoencoder, build_transformer, tensors_of
from steps import ROOT
from trainer.attention import set_attention
from trainer.batches import Batch
from trainer.checkpoint import save_checkpoint
from trainer.config import JobConfig
from trainer.encoding_passes import pictures_per_pass
from trainer.errors import OutOfMemory
from trainer.failures import named_failure
from trainer.latents import encode_pictures, load_autoencoder
from trainer.machine import machine_at_hand
from trainer.memory_plan import PhaseName, PhasePlan, plan_memory
from trainer.memory_sizes import GIB
from trainer.memory_workload import LATENT_CHANNELS, workload_of
from trainer.model_loading import load_drawing_parts
from trainer.model_parts import parts_of_pipeline
from trainer.model_shapes import (
    ModelShapes,
    autoencoder_shapes,
    known_shapes,
    transformer_shapes,
)
from trainer.offload_settling import usable_vram_bytes
from trainer.offload_shares import settled
from trainer.panels.field import SIDE_MULTIPLE_PX
from trainer.sampling import build_pipeline, draw, sample_requests
from trainer.trainee import DTYPES, Trainee, load_trainee
from trainer.variants import VARIANTS, Architecture
from trainer.versions import running_versions
from trainer.vram_cap import VARIABLE
from trainer.vram_limit import cap_vram

PAGE = ROOT / "docs" / "benchmarks.md"
MARKER = "true sizes on a GPU"
NUM_STEPS = 5
NO_GPU = 2
NOT_MEASURED = "*not measured*"
# Weights of different tensors begin at different places of one piece of random numbers, so many
# apart: a prime, so that they do not fall together.
_STRIDE, _SPREAD = 7919, 1 << 20
# A card has a little less than its name says.
_SMALLEST_SHARE_OF_CAP = 0.95


@dataclass(frozen=True)
class Row:
    """A job on a card. card_gb: as in its name. settings: that differ from `job_of`'s, by dotted
    path. sizes: of the transformer, by their names in its configuration, that differ from its own.
    """

    architecture: Architecture
    card_gb: float
    side_px: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        said = (self.architecture.value, f"{self.card_gb:g} GB", f"{self.side_px} px", self.note)
        return ", ".join(part for part in said if part)


ROWS = (
    Row(Architecture.FLUX2_DEV, 24, 1024),
    Row(Architecture.FLUX2_DEV, 16, 768),
    Row(Architecture.FLUX2_DEV, 16, 1024),
    Row(Architecture.FLUX2_DEV, 16, 1024, {"model.low_vram": True}, note="Low VRAM"),
    Row(Architecture.KLEIN_BASE_9B, 16, 1024),
    Row(Architecture.KLEIN_BASE_4B, 16, 1024),
)


@dataclass(frozen=True)
class Peak:
    """A phase's largest moment, as planned and as measured."""

    phase: PhaseName
    label: str
    planned_bytes: int
    measured_bytes: int

    @property
    def ratio(self) -> float:
        """Planned of measured."""
        return self.planned_bytes / self.measured_bytes

    @property
    def is_near(self) -> bool:
        return abs(self.ratio - 1) <= TOLERANCE


@dataclass(frozen=True)
class Measured:
    """What came of a row. peaks: of the phases that were gone through, in order.

    percent_streamed: of the transformer's blocks. reserved_bytes: the most that torch's allocator
    held; 0 on a CPU. failure: where memory ran out, with what was said; blank if it did not.
    """

    peaks: tuple[Peak, ...]
    percent_streamed: float
    step_seconds: float | None
    reserved_bytes: int = 0
    failure: str = ""

    @property
    def is_as_planned(self) -> bool:
        return not self.failure and all(peak.is_near for peak in self.peaks)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--write", action="store_true", help=f"into docs/{PAGE.name}")
    chosen.add_argument("--only", default="", help="rows with this in their names; writes nothing")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("There is no NVIDIA GPU here that torch can use: nothing was measured.")
        return NO_GPU
    rows = [row for row in ROWS if options.only in row.name]
    found: dict[int, Measured | None] = {}
    # Asked of the driver: torch would set up a context of its own beside the rows'.
    machine = f"{machine_at_hand('any').card}, torch {torch.__version__}"
    for index, row in enumerate(rows):
        print(f"{row.name} ...", flush=True)
        found[index] = in_own_process(row)
        text = tables([(row, found.get(place)) for place, row in enumerate(rows)], machine)
        print(text, flush=True)
        if options.write:  # after every row: what was measured stays if a later one is cut off
            write_part(PAGE, MARKER, text)
    return 0 if all(one is not None and one.is_as_planned for one in found.values()) else 1


def in_own_process(row: Row) -> Measured | None:
    """The row in a process that has held nothing yet; None where the card is smaller than its."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(measure_under_cap, row).result()


def measure_under_cap(row: Row) -> Measured | None:
    """The same in this process, whose card is from now on held to the row's size."""
    os.environ[VARIABLE] = f"{row.card_gb:g}"
    available = cap_vram("cuda")
    assert available is not None
    if available < row.card_gb * GIB * _SMALLEST_SHARE_OF_CAP:
        return None
    with tempfile.TemporaryDirectory(prefix="darkroom-benchmark-") as folder:
        return measure(row, Path(folder), device="cuda")


# ----------------------------------------------------------------------------------------- one row


def measure(row: Row, folder: Path, *, device: str) -> Measured:
    """Go through the job's phases on `device`, each with its peak. folder: empty, for what a run
    reads and writes.
    """
    shapes = save_model(row, folder)
    job = job_of(row, gpu="any" if device == "cuda" else "cpu")
    workload = workload_of(job, [], on_gpu=device == "cuda")
    vram_bytes = usable_vram_bytes(job.job.gpu) if device == "cuda" else None
    job = settled(job, shapes, workload, vram_bytes)
    plan = plan_memory(job, shapes, workload, on_gpu=device == "cuda")
    went = _Phases(job, row, folder, device)
    peaks: list[Peak] = []
    failure, reserved_bytes = "", 0
    for phase, go_through in went.in_order().items():
        planned = plan.phase(phase)
        try:
            with peak_on(device) as peak_bytes:
                go_through()
        except Exception as error:
            named = named_failure(error)
            if not isinstance(named, OutOfMemory):
                raise
            failure = f"{planned.label}: {named.message}"
        peaks.append(Peak(phase, planned.label, planned_on(device, planned), peak_bytes()))
        if device == "cuda":
            reserved_bytes = max(reserved_bytes, torch.cuda.max_memory_reserved())
        if failure:
            break
    return Measured(
        tuple(peaks),
        job.model.percent_streamed,
        # The first steps set up what later ones find.
        statistics.median(went.step_seconds[2:]) if len(went.step_seconds) > 2 else None,
        reserved_bytes,
        failure,
    )


def save_model(row: Row, folder: Path) -> ModelShapes:
    """A pipeline's folder: the transformer's configuration without weights, an autoencoder of true
    size with random ones. What the plan has to know of the model.
    """
    with torch.device("meta"):
        transformer = build_transformer(row.architecture, **row.sizes)
    transformer.save_config(folder / "transformer")
    torch.manual_seed(0)
    autoencoder = build_autoencoder(row.architecture)
    autoencoder.save_pretrained(folder / "vae")
    return replace(
        known_shapes(row.architecture),
        transformer=transformer_shapes(tensors_of(transformer)),
        autoencoder=autoencoder_shapes(tensors_of(autoencoder)),
    )


def job_of(row: Row, *, gpu: str) -> JobConfig:
    """Float8, a LoRA of rank 32, AdamW in 8 bits, preservation in every step, batch 1."""
    job: dict[str, Any] = {
        "job": {"training_name": "benchmark", "trigger_word": "zorvex", "gpu": gpu},
        "model": {"model_architecture": row.architecture, "layer_offloading": "auto"},
        "quantization": {"transformer": "float8", "text_encoder": "float8"},
        "target": {"linear_rank": 32},
        "training": {"optimizer": "adamw8bit", "data_type": "bf16"},
        "regularization": {"differential_output_preservation": True},
        "sample": {
            "prompts": [{"prompt": "[trigger]"}],
            "width": row.side_px,
            "height": row.side_px,
            "sample_steps": 2,
        },
        "datasets": [{"target_dataset": "random", "resolutions": [row.side_px]}],
    }
    for path, value in row.settings.items():
        panel, setting = path.split(".")
        job[panel][setting] = value
    return JobConfig.model_validate(job)


def random_weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """The model's parameters by name, on the host and in bf16, as files give them.

    Matrices are views of one piece of random numbers, as large as the largest of them, so that no
    more than that is ever there. Their spread keeps a signal's size in layers as wide as the model.
    Vectors, which are scales, are ones.
    """
    assert isinstance(model, Flux2Transformer2DModel)
    width = model.config["num_attention_heads"] * model.config["attention_head_dim"]
    largest = max(parameter.numel() for parameter in model.parameters())
    numbers = torch.empty(largest + _SPREAD, dtype=torch.bfloat16)
    numbers.normal_(std=width**-0.5, generator=torch.Generator().manual_seed(7))
    for turn, (name, parameter) in enumerate(model.named_parameters()):
        if parameter.ndim == 1:
            yield name, torch.ones(parameter.shape, dtype=torch.bfloat16)
            continue
        start = turn * _STRIDE % _SPREAD
        yield name, numbers[start : start + parameter.numel()].view(parameter.shape)


class RandomBatches:
    """One picture with a caption and a class caption a step, as the caches give them."""

    def __init__(self, job: JobConfig, *, prompt_width: int, side_px: int) -> None:
        self._dtype = DTYPES[job.training.data_type]
        self._rows, self._width = job.variant.max_sequence_length, prompt_width
        self._side = side_px // SIDE_MULTIPLE_PX

    def prompt(self, seed: int) -> torch.Tensor:
        """[T, D]."""
        return self._randn(seed, self._rows, self._width)

    def batch(self, step: int, micro: int) -> Batch:
        seed = 1000 * step + micro
        return Batch(
            latents=self._randn(seed, 1, LATENT_CHANNELS, self._side, self._side),
            prompt_embeds=self.prompt(seed)[None],
            class_embeds=self.prompt(seed + 1)[None],
            has_class=torch.tensor([True]),
            names=["picture.png"],
        )

    def _randn(self, seed: int, *shape: int) -> torch.Tensor:
        draw_from = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=draw_from).to(self._dtype)


class _Phases:
    """What a run does in each phase, with the trainer's own functions."""

    def __init__(self, job: JobConfig, row: Row, folder: Path, device: str) -> None:
        self._job, self._row, self._folder, self._device = job, row, folder, device
        self._trainee: Trainee | None = None
        self.step_seconds: list[float] = []

    def in_order(self) -> dict[PhaseName, Callable[[], None]]:
        return {
            "encode_pictures": self._encode_pictures,
            "load": self._load,
            "train": self._train,
            "sample": self._sample,
            "save": self._save,
        }

    @property
    def _loaded(self) -> Trainee:
        assert self._trainee is not None
        return self._trainee

    def _encode_pictures(self) -> None:
        job, side_px = self._job, self._row.side_px
        count = pictures_per_pass(
            job.training.encoding_batch_size, (side_px, side_px), device=self._device
        )
        autoencoder = load_autoencoder(
            self._folder / "vae", dtype=DTYPES[job.model.vae_data_type], device=self._device
        )
        encode_pictures(autoencoder, torch.zeros(count, 3, side_px, side_px))
        # In a run this is a process of its own, and all that it held goes with it.
        del autoencoder
        gc.collect()
        torch.cuda.empty_cache()

    def _load(self) -> None:
        self._trainee = load_trainee(
            self._job,
            self._folder / "transformer",
            device=self._device,
            progress=lambda done, total: None,
            source=random_weights,
        )
        set_attention(self._trainee.transformer, self._job.model.attention_backend)

    def _train(self) -> None:
        batches: Any = self._batches()
        for _ in range(NUM_STEPS):
            began = time.perf_counter()
            result = self._loaded.take_step(batches)
            self.step_seconds.append(time.perf_counter() - began)
            # A step that is skipped makes no state of the optimizer, which is a part of the plan.
            assert result.is_finite, f"random weights gave {result}"

    def _sample(self) -> None:
        job, variant = self._job, self._job.variant
        parts = load_drawing_parts(
            # Without a scheduler's settings of its own, as with a model in a single file.
            replace(
                parts_of_pipeline(self._folder, variant.architecture), scheduler=None, index=None
            ),
            vae_dtype=DTYPES[job.model.vae_data_type],
        )
        (request,) = sample_requests(job)
        prompts = self._batches()
        with ExitStack() as room:
            picture = draw(
                build_pipeline(variant, self._loaded.transformer, parts),
                request,
                variant=variant,
                prompt_embeds=prompts.prompt(1),
                negative_embeds=None if request.negative_prompt is None else prompts.prompt(2),
                stop_requested=lambda: False,
                before_decoding=lambda: (
                    room.enter_context(self._loaded.transformer_aside())
                    if job.model.low_vram
                    else None
                ),
            )
        assert picture is not None

    def _save(self) -> None:
        save_checkpoint(
            self._folder / "checkpoint",
            self._loaded.state(),
            job=self._job,
            base_model="random",
            dtype=DTYPES[self._job.save.data_type],
            versions=running_versions(),
            dataset={},
        )

    def _batches(self) -> RandomBatches:
        width = self._row.sizes.get("joint_attention_dim")
        if width is None:
            width = known_shapes(self._row.architecture).transformer.prompt_width
        return RandomBatches(self._job, prompt_width=width, side_px=self._row.side_px)


@contextmanager
def peak_on(device: str) -> Iterator[Callable[[], int]]:
    """A function that says what was held at most within the block: tensors on the card, or on a CPU
    resident anonymous memory. To be called after the block.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        # torch counts what it has given out, not what the card has used of it.
        yield torch.cuda.max_memory_allocated
        return
    held = rss_anon_bytes()
    with peak_of_process() as risen:
        yield lambda: held + risen()


def planned_on(device: str, phase: PhasePlan) -> int:
    """What `peak_on` would measure by the plan."""
    return phase.tensor_bytes if device == "cuda" else phase.ram_bytes


# ------------------------------------------------------------------------------------- the record


def tables(found: Sequence[tuple[Row, Measured | None]], machine: str) -> str:
    """The record for docs/benchmarks.md: the rows, then their phases. None: not measured."""
    lines = [
        f"{machine}; {NUM_STEPS} steps each.",
        "",
        "| model | card | resolution | blocks streamed | largest peak | its plan | torch held "
        "| seconds a step |",
        "|---|---|---|---|---|---|---|---|",
        *(_line_of_row(row, measured) for row, measured in found),
    ]
    if any(measured for _, measured in found):
        lines += ["", "| job | phase | peak | planned | planned / peak |", "|---|---|---|---|---|"]
    for row, measured in found:
        if measured is None:
            continue
        for peak in measured.peaks:
            numbers = f"{_gb(peak.measured_bytes)} | {_gb(peak.planned_bytes)} | {peak.ratio:.2f}"
            lines.append(f"| {row.name} | {peak.label} | {numbers} |")
        lines.append(f"| {row.name} | Encode texts | {NOT_MEASURED} | | |")
    failures = [f"* {row.name}: {one.failure}" for row, one in found if one and one.failure]
    return "\n".join([*lines, "", *failures]).rstrip() + "\n"


def row_start(row: Row) -> str:
    """How the row's line in the first table begins."""
    label = VARIANTS[row.architecture].label + (f", {row.note}" if row.note else "")
    return f"| {label} | {row.card_gb:g} GB | {row.side_px} px |"


def _line_of_row(row: Row, measured: Measured | None) -> str:
    start = row_start(row)
    if measured is None:
        return f"{start} | {NOT_MEASURED} | | | |"
    largest = max(measured.peaks, key=lambda peak: peak.measured_bytes)
    seconds = "" if measured.step_seconds is None else f"{measured.step_seconds:.2f}"
    if measured.failure:
        seconds = "out of memory"
    return (
        f"{start} {measured.percent_streamed:g} % | {_gb(largest.measured_bytes)} | "
        f"{_gb(largest.planned_bytes)} | {_gb(measured.reserved_bytes)} | {seconds} |"
    )


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.2f} GB"


if __name__ == "__main__":
    sys.exit(main())
