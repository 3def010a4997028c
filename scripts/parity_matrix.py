"""Does it matter where weights lie? Every way to store and move them, compared to the bit.

    python scripts/parity_matrix.py                    the whole matrix, 50 steps: hours
    python scripts/parity_matrix.py --steps 2 --pairs  a choice that has every pair of values
    python scripts/parity_matrix.py --write            ... and its record in docs/benchmarks.md
    python scripts/parity_matrix.py --backwards        beside another call: the two meet
    python scripts/parity_matrix.py --model wide --data-type bf16 --pairs --steps 10 --write

Each verdict is kept in build/parity/ as it is found, and the next call goes on from there; `--anew`
forgets them, as after a change to the trainer.

A cell is a training on two models of the real classes: the bundled tiny one, and one of 16 blocks,
so that 30 % of them are more than the slots hold. Both are small, for the sake of 640 cells; `wide`
is a mid-size one of 184 million weights, trained only when asked for. A cell's losses, the
gradients of every step and the parameters at the end must equal, to the bit, those of the same
precision, objective and accumulation with the whole model resident, nothing recomputed and nothing
drawn in between.

What varies: how the blocks' weights are stored, how many of the blocks are streamed, whether the
others are computed again in the backward pass, whether preservation is on (three passes a step, one
of them with the LoRA off), whether a step has one micro-batch or two, and whether the Diffusers
pipeline draws a picture between the steps.

Each pair of values of two of them, streamed 30 % with int8 say, stands in some cell of
`pairwise_cells`: faults mostly need two things to come together. tests/trainer/test_parity.py runs
those with a few steps, and checks that no pair is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch
from diffusers import Flux2Transformer2DModel
from PIL import Image

from trainer.batches import Batch
from trainer.block_memory import manage_blocks, transformer_blocks
from trainer.block_shares import num_streamed_blocks, streamed_blocks
from trainer.lora import add_lora
from trainer.model_loading import BLOCK_LISTS, load_drawing_parts, load_transformer
from trainer.model_parts import parts_of_pipeline
from trainer.quantization import quantize_linears
from trainer.quantization_kinds import QuantizationKind
from trainer.sampling import SampleRequest, build_pipeline, draw
from trainer.training_step import Objective, StepResult, training_step
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
ROOT = Path(__file__).parents[1]
RECORD, KEPT = ROOT / "docs" / "benchmarks.md", ROOT / "build" / "parity"
TINY = VARIANTS[Architecture.TINY]
SIDE = 4  # of the latents: 64 px
TEXT_ROWS = 8
ROUNDS_OF_SAMPLES = 5


@dataclass(frozen=True)
class Cell:
    """One training. percent: of the blocks that are streamed."""

    quantization: QuantizationKind = "none"
    percent: int = 0
    checkpointing: bool = False
    preservation: bool = False
    accumulation: int = 1
    sampling: bool = False

    @property
    def resident(self) -> Cell:
        """The cell that it must be equal to."""
        return replace(self, percent=0, checkpointing=False, sampling=False)


AXES: dict[str, tuple[Any, ...]] = {
    "quantization": get_args(QuantizationKind),
    "percent": (0, 30, 50, 100),
    "checkpointing": (False, True),
    "preservation": (False, True),
    "accumulation": (1, 2),
    "sampling": (False, True),
}
assert list(AXES) == [own.name for own in fields(Cell)]


def whole_matrix() -> list[Cell]:
    """Every combination; those of one resident cell side by side."""
    cells = [Cell(*values) for values in itertools.product(*AXES.values())]
    return sorted(cells, key=lambda cell: repr(cell.resident))


def pairs_of(cell: Cell) -> set[tuple[str, Any, str, Any]]:
    """Each two of the cell's values, with the names of their axes."""
    values = [(name, getattr(cell, name)) for name in AXES]
    return {(*one, *other) for one, other in itertools.combinations(values, 2)}


def pairwise_cells() -> list[Cell]:
    """Cells in which every pair of values occurs: next always the one with the most new pairs."""
    cells = whole_matrix()
    wanting = set().union(*map(pairs_of, cells))
    chosen = []
    while wanting:
        best = max(cells, key=lambda cell: len(pairs_of(cell) & wanting))
        chosen.append(best)
        wanting -= pairs_of(best)
    return chosen


# ------------------------------------------------------------------------------------- a training


def stack(
    *, num_double: int, num_single: int, heads: int, dtype: torch.dtype
) -> Flux2Transformer2DModel:
    """A transformer of heads of 64, random weights, the same at every call."""
    transformer = Flux2Transformer2DModel(
        in_channels=128,
        num_layers=num_double,
        num_single_layers=num_single,
        attention_head_dim=64,
        num_attention_heads=heads,
        joint_attention_dim=96,
        timestep_guidance_channels=64,
        axes_dims_rope=(16, 16, 16, 16),
        guidance_embeds=True,
    )
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.ndim > 1:
                bound = parameter.shape[1] ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * bound)
            parameter.data = parameter.data.to(dtype)
    return transformer.requires_grad_(False).eval()


def tiny(dtype: torch.dtype) -> Flux2Transformer2DModel:
    """The bundled model: 2 double and 4 single blocks."""
    return load_transformer(
        BUNDLED_TINY_FOLDER / "transformer",
        dtype=dtype,
        device="cpu",
        quantization="none",
        progress=lambda *_: None,
    )


def mid(dtype: torch.dtype) -> Flux2Transformer2DModel:
    """4 double and 12 single blocks of width 128."""
    return stack(num_double=4, num_single=12, heads=2, dtype=dtype)


def wide(dtype: torch.dtype) -> Flux2Transformer2DModel:
    """2 double and 8 single blocks of width 1024: 184 million weights."""
    return stack(num_double=2, num_single=8, heads=16, dtype=dtype)


MODELS: dict[str, Callable[[torch.dtype], Flux2Transformer2DModel]] = {
    "tiny": tiny,
    "mid": mid,
    "wide": wide,
}
SMALL = ["tiny", "mid"]


@dataclass
class Trace:
    """What a training leaves: step results, digests of each step's gradients and of the LoRA."""

    results: list[StepResult] = field(default_factory=list)
    gradients: list[str] = field(default_factory=list)
    lora: str = ""


def trace(cell: Cell, transformer: Flux2Transformer2DModel, *, num_steps: int) -> Trace:
    """Train a LoRA on a fresh transformer as the cell says."""
    if cell.quantization != "none":
        quantize_linears(transformer, inside=BLOCK_LISTS, kind=cell.quantization)
    lora = add_lora(transformer, rank=4, alpha=4.0, seed=1)
    num_blocks = len(transformer_blocks(transformer))
    manage_blocks(
        transformer,
        streamed=streamed_blocks(num_blocks, num_streamed_blocks(num_blocks, cell.percent)),
        checkpointing=cell.checkpointing,
        keeper=None,
        device="cpu",
    )
    parameters = list(lora.parameters.values())
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    objective = Objective(
        seed=3,
        batch_size=1,
        timestep_type="weighted",
        timestep_bias="balanced",
        loss_type="mse",
        training_guidance=1.0,
        guidance_scale=None,
        preservation_multiplier=1.0 if cell.preservation else None,
    )
    found = Trace()
    for step in range(num_steps):
        if cell.sampling and step % max(1, num_steps // ROUNDS_OF_SAMPLES) == 0:
            with lora.weighted(0.5):
                draw_picture(transformer)
        batches = [batch(step, micro, transformer) for micro in range(cell.accumulation)]
        found.results.append(
            training_step(
                transformer,
                lora,
                optimizer,
                batches,
                step=step,
                objective=objective,
                max_gradient_norm=1.0,
            )
        )
        found.gradients.append(digest(parameter.grad for parameter in parameters))
    found.lora = digest(parameters)
    return found


def batch(step: int, micro: int, transformer: Flux2Transformer2DModel) -> Batch:
    """One picture with a caption and a class caption, out of random numbers."""
    generator = torch.Generator().manual_seed(1000 * step + micro)
    width = transformer.config["joint_attention_dim"]

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Batch(
        latents=randn(1, 128, SIDE, SIDE),
        prompt_embeds=randn(1, TEXT_ROWS, width),
        class_embeds=randn(1, TEXT_ROWS, width),
        has_class=torch.tensor([True]),
        names=["picture.png"],
    )


def draw_picture(transformer: Flux2Transformer2DModel) -> Image.Image:
    """64 px in two denoising steps, by the Diffusers pipeline."""
    request = SampleRequest(
        prompt_index=0,
        prompt="",
        seed=5,
        width=16 * SIDE,
        height=16 * SIDE,
        guidance_scale=1.0,
        sample_steps=2,
    )
    picture = draw(
        build_pipeline(TINY, transformer, drawing_parts()),
        request,
        variant=TINY,
        prompt_embeds=torch.ones(TEXT_ROWS, transformer.config["joint_attention_dim"]),
        negative_embeds=None,
        stop_requested=lambda: False,
    )
    assert picture is not None
    return picture


@cache
def drawing_parts() -> Any:
    return load_drawing_parts(
        parts_of_pipeline(BUNDLED_TINY_FOLDER, Architecture.TINY), vae_dtype=torch.float32
    )


def digest(tensors: Any) -> str:
    """A fingerprint of values, to the bit."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()


# ---------------------------------------------------------------------------------- the comparison


@dataclass(frozen=True)
class Verdict:
    """What came of a cell. differs: what is not equal, with the first step; blank if all is."""

    model: str
    cell: Cell
    differs: str
    seconds: float = 0.0


def compare(
    cells: Iterable[Cell],
    model: str,
    make: Callable[[torch.dtype], Flux2Transformer2DModel],
    *,
    num_steps: int,
    dtype: torch.dtype,
) -> Iterator[Verdict]:
    """Each cell against its resident one; those are run once."""

    @cache
    def resident(cell: Cell) -> Trace:
        return trace(cell, make(dtype), num_steps=num_steps)

    for cell in cells:
        began = time.monotonic()
        differs = difference(trace(cell, make(dtype), num_steps=num_steps), resident(cell.resident))
        yield Verdict(model, cell, differs, time.monotonic() - began)


class Kept:
    """The verdicts of earlier calls: a file of lines for each model, number of steps and type."""

    def __init__(self, model: str, *, num_steps: int, data_type: str, folder: Path = KEPT) -> None:
        self._model = model
        self._path = folder / f"{model}-{num_steps}-steps-{data_type}.jsonl"

    def read(self) -> dict[Cell, Verdict]:
        """By cell. A line that a kill cut in half is left out."""
        found = {}
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            try:
                kept = json.loads(line)
            except ValueError:
                continue
            verdict = Verdict(self._model, Cell(**kept["cell"]), kept["differs"], kept["seconds"])
            found[verdict.cell] = verdict
        return found

    def add(self, verdict: Verdict) -> None:
        """Append one line."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = {"cell": asdict(verdict.cell)} | {
            "differs": verdict.differs,
            "seconds": round(verdict.seconds, 2),
        }
        with self._path.open("a") as file:
            file.write(f"\n{json.dumps(line)}\n")

    def lacking(self, cells: Iterable[Cell]) -> Iterator[Cell]:
        """Those without a verdict; of each it is asked when its turn comes, for another call may
        have begun at the other end.
        """
        return (cell for cell in cells if cell not in self.read())

    def forget(self) -> None:
        """Begin anew."""
        self._path.unlink(missing_ok=True)


def difference(one: Trace, other: Trace) -> str:
    """What is not equal in two traces, or not finite."""
    for step, (a, b) in enumerate(zip(one.results, other.results, strict=True)):
        if not (a.is_finite and b.is_finite):
            return f"step {step} is not finite"
        if a != b:
            return f"step {step}: {a} is not {b}"
        if one.gradients[step] != other.gradients[step]:
            return f"gradients of step {step}"
    return "" if one.lora == other.lora else "the LoRA at the end"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--pairs", action="store_true", help="every pair of values, not all cells")
    parser.add_argument(
        "--model", choices=MODELS, action="append", help="both small ones by default"
    )
    parser.add_argument("--backwards", action="store_true", help="the last first, beside a call")
    parser.add_argument("--data-type", choices=DTYPES, default="fp32")
    parser.add_argument("--anew", action="store_true", help="forget the verdicts of earlier calls")
    parser.add_argument("--write", action="store_true", help=f"the record, into {RECORD.name}")
    options = parser.parse_args()
    cells = pairwise_cells() if options.pairs else whole_matrix()
    data_type, verdicts = options.data_type, []
    models = options.model or SMALL
    for model in models:
        kept = Kept(model, num_steps=options.steps, data_type=data_type)
        if options.anew:
            kept.forget()
        todo = kept.lacking(cells[::-1] if options.backwards else cells)
        dtype = DTYPES[data_type]
        for verdict in compare(todo, model, MODELS[model], num_steps=options.steps, dtype=dtype):
            kept.add(verdict)
            said = f"{verdict.differs or 'equal'} ({verdict.seconds:.0f} s)"
            print(f"{model} {len(kept.read())}/{len(cells)} {verdict.cell}: {said}", flush=True)
        found = kept.read()
        verdicts += [found[cell] for cell in cells]
    minutes = sum(verdict.seconds for verdict in verdicts) / 60
    how = f"{options.steps} steps in {data_type}"
    text = record(verdicts, how=how, pairs=options.pairs, minutes=minutes)
    print(text)
    if options.write:
        write_record(text, "parity matrix" if models == SMALL else f"parity of {' '.join(models)}")
    if any(verdict.differs for verdict in verdicts):
        sys.exit("Some cells differ from the resident model.")


def record(verdicts: list[Verdict], *, how: str, pairs: bool, minutes: float) -> str:
    """The table for docs/benchmarks.md: equal cells of all, by how weights are stored and moved."""
    what = "a choice with every pair of values" if pairs else "all combinations"
    lines = [
        f"{len(verdicts)} trainings of {how} ({what}; torch {torch.__version__}, CPU, "
        f"{torch.get_num_threads()} thread(s), {minutes:.0f} minutes). A field: trainings equal to "
        "the resident one to the bit, of all.",
        "",
    ]
    for model in dict.fromkeys(verdict.model for verdict in verdicts):
        percents = AXES["percent"]
        lines += [
            f"| {model} | " + " | ".join(f"{percent} % streamed" for percent in percents) + " |",
            "|---" * (1 + len(percents)) + "|",
        ]
        for kind in AXES["quantization"]:
            row = [kind]
            for percent in percents:
                own = [
                    verdict.differs
                    for verdict in verdicts
                    if verdict.model == model
                    and (verdict.cell.quantization, verdict.cell.percent) == (kind, percent)
                ]
                row.append(f"{own.count('')} of {len(own)}")
            lines.append("| " + " | ".join(row) + " |")
        lines.append("")
    lines += [f"* {v.model}, {v.cell}: {v.differs}" for v in verdicts if v.differs]
    return "\n".join(lines).rstrip() + "\n"


def write_record(text: str, part: str) -> None:
    """Replace what stands between the part's marks."""
    begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    page = RECORD.read_text(encoding="utf-8")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    assert rest, f"{RECORD} has no {begin}"
    RECORD.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
