"""Measure the memory plan: resident memory of real phases at mid size, beside what the plan says.

    python scripts/memory_benchmark.py [--write]

Real classes with random weights of 80 to 160 million parameters, each case in a process of its own:
load, train, encode. Measured is the highest resident anonymous memory (RssAnon, looked at every two
milliseconds) less what the process had before; planned is the sum of the phase's parts less the
program's. Freed memory is given back at once, so that what is measured is what is held; with
--usual-malloc the C library keeps some. None of the plan's numbers was fitted to these. On a CPU; a
card's peaks are measured by gpu_benchmark.py.

Then two starts of one quantized job, from after the imports to before the first step: the second
reads the weights that the first kept. Both in CPU seconds, which other programs on the machine do
not change, and on the clock, which is what a person waits for.

--write puts both tables into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from transformers import Mistral3Config, Mistral3ForConditionalGeneration

from trainer.activation_memory import Tokens
from trainer.batches import Batch
from trainer.config import JobConfig
from trainer.folders import Folders
from trainer.latents import encode_pictures, load_autoencoder
from trainer.memory_plan import PhaseName, plan_memory
from trainer.memory_workload import SampleSize, Workload
from trainer.model_shapes import shapes_of
from trainer.text_encoder_loading import load_text_encoder
from trainer.trainee import DTYPES, load_trainee

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- memory plan: begin -->", "<!-- memory plan: end -->"
STARTS_BEGIN, STARTS_END = "<!-- two starts: begin -->", "<!-- two starts: end -->"
TOLERANCE = 0.15
STARTS_HEADER = (
    "| weights | first, CPU | second, CPU | second / first | first, clock | second, clock "
    "| second / first |",
    "|---|---|---|---|---|---|---|",
)
STARTED_KINDS = ("float8", "int4")
HEADER = ("| phase | planned | measured | planned / measured |", "|---|---|---|---|")
_LOOK_EVERY_SECONDS = 0.002
# Read by glibc when a process starts: pieces from 1 MB on go back to the system when they are
# freed. Left alone, it keeps those below 32 MB, and tensors of a mid-size model are smaller.
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_TRIM_THRESHOLD_": "1048576"}
# Around the tensors, and not held by what is measured here.
_AROUND = frozenset({"program", "recent", "autoencoder_waiting", "pictures", "file"})

TOKENS = Tokens(batch=1, image=256, text=128)
SIDE_PX = 256


@dataclass(frozen=True)
class Case:
    """What is measured: a phase of a job. offload_percent: of Layer Offloading, for both parts."""

    name: str
    phase: PhaseName
    quantization: str = "none"
    checkpointing: bool = True
    dtype: str = "fp32"
    batch: int = 1
    offload_percent: float = 0.0


CASES = (
    Case("load, fp32 from bf16 files", "load"),
    Case("load, int8", "load", quantization="int8"),
    Case("load, float8", "load", quantization="float8"),
    Case("load, NF4", "load", quantization="nf4"),
    Case("train, fp32", "train"),
    Case("train, fp32, batch 2", "train", batch=2),
    Case("train, fp32, no checkpointing", "train", checkpointing=False),
    Case("train, int8", "train", quantization="int8"),
    Case("train, float8", "train", quantization="float8"),
    Case("train, int8, 50 % offloaded", "train", quantization="int8", offload_percent=50),
    Case("train, float8, 100 % offloaded", "train", quantization="float8", offload_percent=100),
    Case("encode texts, fp32", "encode_texts"),
    Case("encode texts, float8", "encode_texts", quantization="float8"),
    Case(
        "encode texts, float8, 50 % offloaded",
        "encode_texts",
        quantization="float8",
        offload_percent=50,
    ),
    Case(
        "encode texts, int8, 100 % offloaded",
        "encode_texts",
        quantization="int8",
        offload_percent=100,
    ),
    Case("encode a picture, 256 px", "encode_pictures"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description="The memory plan beside measured peaks.")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    parser.add_argument(
        "--usual-malloc", action="store_true", help="let freed memory stay, as a run does"
    )
    parser.add_argument("--only", metavar="PHASE", nargs="+", help="these rows, and no starts")
    options = parser.parse_args()
    unknown = set(options.only or ()) - {case.name for case in CASES}
    if unknown or (options.only and options.write):
        parser.error(f"--only takes rows of the table, and is not written: {sorted(unknown)}")
    if not options.usual_malloc and _GIVE_BACK.keys() - os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **_GIVE_BACK})
    cases = [case for case in CASES if not options.only or case.name in options.only]
    rows: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory(prefix="darkroom-benchmark-") as folder:
        models = Path(folder)
        in_own_process(save_models, models)
        print("\n".join(HEADER))
        for case in cases:
            rows.append(in_own_process(measure, case, models))
            print(table_line(case, *rows[-1]), flush=True)
        starts = [] if options.only else list(start_lines(models))
    if options.write:
        lines = [table_line(case, *row) for case, row in zip(cases, rows, strict=True)]
        page = PAGE.read_text(encoding="utf-8")
        page = between(page, BEGIN, END, [*HEADER, *lines])
        page = between(page, STARTS_BEGIN, STARTS_END, [*STARTS_HEADER, *starts])
        PAGE.write_text(page, encoding="utf-8")
    return 0 if all(abs(planned / found - 1) <= TOLERANCE for planned, found in rows) else 1


def table_line(case: Case, planned: int, found: int) -> str:
    ratio = planned / found
    return f"| {case.name} | {planned / 1e6:.0f} MB | {found / 1e6:.0f} MB | {ratio:.2f} |"


def between(page: str, begin: str, end: str, lines: list[str]) -> str:
    """The page with other lines between two marks."""
    before, rest = page.split(begin)
    return "\n".join([before + begin, *lines, end + rest.split(end)[1]])


def start_lines(models: Path) -> Iterator[str]:
    """Two starts with each kind of weights, as lines of the table."""
    print("\n".join(STARTS_HEADER))
    for kind in STARTED_KINDS:
        case = Case(f"start, {kind}", "load", quantization=kind)
        with tempfile.TemporaryDirectory(prefix="darkroom-kept-") as cache:
            first, second = (
                in_own_process(seconds_to_start, case, models, Path(cache)) for _ in range(2)
            )
        line = start_line(kind, first, second)
        print(line, flush=True)
        yield line


def start_line(kind: str, first: tuple[float, float], second: tuple[float, float]) -> str:
    """first, second: (CPU, clock) seconds."""
    figures = [
        f"{one:.2f} s | {other:.2f} s | {other / one:.2f}"
        for one, other in zip(first, second, strict=True)
    ]
    return f"| {' | '.join([kind, *figures])} |"


def seconds_to_start(case: Case, models: Path, cache: Path) -> tuple[float, float]:
    """(CPU, clock) seconds of a start that keeps its weights in `cache`, or reads them there."""
    job = job_of(case, models)
    cpu, clock = time.process_time(), time.perf_counter()
    load_trainee(
        job,
        models / "transformer",
        device="cpu",
        progress=lambda done, total: None,
        cache=cache,
    )
    return time.process_time() - cpu, time.perf_counter() - clock


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function gives in a process that has held nothing but its libraries."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=lambda: results.put(function(*arguments)))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"{function.__name__}{arguments} failed; its words are above.")
    return results.get()


def measure(case: Case, models: Path) -> tuple[int, int]:
    """(planned, measured) bytes of the case in this process."""
    job = job_of(case, models)
    planned = planned_bytes(case, job, models)
    ready = {
        "load": _load,
        "train": _train,
        "encode_texts": _encode_texts,
        "encode_pictures": _encode_pictures,
    }[case.phase](case, job, models)
    gc.collect()
    with peak_of_process() as peak:
        ready()
    return planned, peak()


def planned_bytes(case: Case, job: JobConfig, models: Path) -> int:
    tokens = Tokens(case.batch, TOKENS.image, TOKENS.text)
    workload = Workload(
        training=(tokens,),
        samples=(SampleSize(TOKENS, SIDE_PX * SIDE_PX, 0),),
        encoded_area_px=SIDE_PX * SIDE_PX,
        text_rows=TOKENS.text,
        latent_numbers=0,
        mask_numbers=0,
        num_prompts=1,
    )
    shapes = shapes_of(job.model, Folders(models, models, models))
    phase = plan_memory(job, shapes, workload, on_gpu=False).phase(case.phase)
    return sum(part.num_bytes for part in phase.parts if part.key not in _AROUND)


def job_of(case: Case, models: Path) -> JobConfig:
    return JobConfig.model_validate(
        {
            "job": {"training_name": "benchmark", "gpu": "cpu"},
            "model": {
                "model_architecture": "tiny",
                "name_or_path": str(models),
                "vae_data_type": case.dtype,
                "layer_offloading": "on" if case.offload_percent else "off",
                "transformer_offload_percent": case.offload_percent,
                "text_encoder_offload_percent": case.offload_percent,
            },
            "quantization": {
                "transformer": case.quantization,
                "text_encoder": case.quantization,
                "keep_on_disk": False,
            },
            "training": {
                "data_type": case.dtype,
                "gradient_checkpointing": case.checkpointing,
                "optimizer": "adamw",
            },
            "datasets": [{"target_dataset": "none"}],
        }
    )


def _load(_case: Case, job: JobConfig, models: Path) -> Callable[[], Any]:
    held: list[Any] = []
    return lambda: held.append(
        load_trainee(job, models / "transformer", device="cpu", progress=lambda done, total: None)
    )


def _train(case: Case, job: JobConfig, models: Path) -> Callable[[], Any]:
    """Loading and two steps: a step's peak comes on top of what was loaded."""
    side = round(TOKENS.image**0.5)
    dtype = DTYPES[case.dtype]

    class OneBatch:
        def batch(self, _step: int, _micro: int) -> Batch:
            return Batch(
                latents=torch.randn(case.batch, 128, side, side, dtype=dtype),
                prompt_embeds=torch.randn(case.batch, TOKENS.text, JOINT_DIM, dtype=dtype),
                class_embeds=None,
                has_class=torch.zeros(case.batch, dtype=torch.bool),
                names=[],
            )

    def run() -> Any:
        trainee = load_trainee(
            job, models / "transformer", device="cpu", progress=lambda done, total: None
        )
        batches: Any = OneBatch()
        for _ in range(2):
            trainee.take_step(batches)
        return trainee

    return run


def _encode_texts(case: Case, job: JobConfig, models: Path) -> Callable[[], Any]:
    def run() -> Any:
        encoder = load_text_encoder(
            models / "text_encoder",
            variant=job.variant,
            dtype=DTYPES[case.dtype],
            device="cpu",
            quantization=job.quantization.text_encoder,
            percent_streamed=job.model.percent_of_encoder_streamed,
        )
        with torch.no_grad():
            return encoder(
                input_ids=torch.ones(1, TOKENS.text, dtype=torch.long),
                output_hidden_states=True,
                use_cache=False,
            )

    return run


def _encode_pictures(case: Case, _job: JobConfig, models: Path) -> Callable[[], Any]:
    def run() -> Any:
        autoencoder = load_autoencoder(models / "vae", dtype=DTYPES[case.dtype], device="cpu")
        return encode_pictures(autoencoder, torch.zeros(1, 3, SIDE_PX, SIDE_PX))

    return run


@contextmanager
def peak_of_process() -> Iterator[Callable[[], int]]:
    """A function that says by how many bytes RssAnon rose at most within the block."""
    before = rss_anon_bytes()
    most = before
    is_over = threading.Event()

    def look() -> None:
        nonlocal most
        while not is_over.wait(_LOOK_EVERY_SECONDS):
            most = max(most, rss_anon_bytes())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield lambda: most - before
    finally:
        most = max(most, rss_anon_bytes())
        is_over.set()
        watcher.join()


def rss_anon_bytes() -> int:
    """Resident anonymous memory of this process: without pages of files."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("This machine has no RssAnon in /proc/self/status.")


JOINT_DIM = 1536


def save_models(folder: Path) -> None:
    """A transformer of 155 M, a text encoder of 113 M and the autoencoder of 84 M parameters."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    transformer = Flux2Transformer2DModel(
        num_layers=2,
        num_single_layers=6,
        num_attention_heads=8,
        joint_attention_dim=JOINT_DIM,
    )
    transformer.save_pretrained(folder / "transformer", max_shard_size="100MB")
    del transformer
    text_encoder = Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config={
                "model_type": "mistral",
                "vocab_size": 32000,
                "hidden_size": 1024,
                "intermediate_size": 6144,
                "num_hidden_layers": 4,
                "num_attention_heads": 8,
                "num_key_value_heads": 2,
                "head_dim": 128,
            },
            vision_config={
                "model_type": "pixtral",
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 1,
                "head_dim": 32,
            },
        )
    )
    text_encoder.save_pretrained(folder / "text_encoder")
    del text_encoder
    AutoencoderKLFlux2().save_pretrained(folder / "vae")
    torch.set_default_dtype(torch.float32)
    (folder / "model_index.json").write_text('{"_class_name": "Flux2Pipeline"}', encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
