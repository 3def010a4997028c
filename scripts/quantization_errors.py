"""What each kind of quantization changes, against bf16: by layer and in what the model predicts.

    python scripts/quantization_errors.py            prints the tables
    python scripts/quantization_errors.py --write    ... into docs/quantization.md

Every error is relative: the norm of the difference over the norm of what bf16 gives.

    weight       of a layer's stored weight
    output       of a layer's output for the input that it meets in the bf16 model: what a layer
                 adds by itself
    prediction   of the velocity, after all layers: what adds up
    embedding    of a prompt's hidden states, with the text encoder stored so

Two models: the bundled one, whose weights are trained, and one of 155 million random weights with
dev's head size, since trained weights have outliers and small layers have few weights in a row to
average over. Both run in bf16 on the CPU, on pure noise and, for the bundled one, a real prompt.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import Flux2Transformer2DModel
from torch import nn

from trainer.lora import block_linears
from trainer.model_loading import load_transformer
from trainer.prompt_encoding import load_prompt_encoder
from trainer.quantization import quantized
from trainer.quantization_kinds import KINDS, QUANTIZATION_KINDS, QuantizationKind
from trainer.quantized_linear import QuantizedLinear, kind_of, raw_tensors
from trainer.training_step import predict_velocity
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

RECORD = Path(__file__).parents[1] / "docs" / "quantization.md"
BEGIN, END = "<!-- quantization errors: begin -->", "<!-- quantization errors: end -->"
STORED: tuple[QuantizationKind, ...] = QUANTIZATION_KINDS[1:]
TINY = VARIANTS[Architecture.TINY]
PROMPT = "a red square on a sand background"
SIDE = 8  # of the latents: 128 px


@dataclass
class KindErrors:
    """What one kind changes in one model.

    weights, outputs: by quantized layer. stored_bytes: of the blocks' layers. num_staying: layers
    whose rows do not divide into groups.
    """

    weights: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, float] = field(default_factory=dict)
    prediction: float = 0.0
    stored_bytes: int = 0
    num_staying: int = 0


@torch.no_grad()
def errors_of(
    transformer: Flux2Transformer2DModel,
    kind: QuantizationKind,
    predict: Callable[[Flux2Transformer2DModel], torch.Tensor],
) -> KindErrors:
    """Measure one kind; the transformer's layers are replaced on the way and put back."""
    found = KindErrors()
    layers = {name: transformer.get_submodule(name) for name in block_linears(transformer)}
    replaced: dict[str, nn.Linear] = {}
    hooks = []
    for name, layer in layers.items():
        assert isinstance(layer, nn.Linear)
        other = quantized(layer, kind)
        replaced[name] = other
        found.stored_bytes += sum(raw.nbytes for raw in raw_tensors(other).values())
        if other is layer:
            found.num_staying += 1
            continue
        found.weights[name] = relative(decoded(other), layer.weight)

        def compare(
            _layer: nn.Module, inputs: tuple[Any, ...], out: torch.Tensor, *, at: str = name
        ) -> None:
            found.outputs[at] = relative(replaced[at](inputs[0]), out)

        hooks.append(layer.register_forward_hook(compare))
    exact = predict(transformer)
    for hook in hooks:
        hook.remove()
    for name, other in replaced.items():
        _put(transformer, name, other)
    found.prediction = relative(predict(transformer), exact)
    for name, layer in layers.items():
        _put(transformer, name, layer)
    return found


def decoded(layer: nn.Linear) -> torch.Tensor:
    """The weight [out, in] that the layer computes with."""
    if isinstance(layer, QuantizedLinear):
        return layer.decoded(torch.float32)
    return layer.weight if kind_of(layer) == "none" else layer.weight.dequantize()


def relative(value: torch.Tensor, exact: torch.Tensor) -> float:
    """The norm of the difference over the norm of `exact`."""
    return ((value.float() - exact.float()).norm() / exact.float().norm()).item()


def kind_of_layer(name: str) -> str:
    """A layer's name without its block's number: `double attn.to_q`."""
    block, rest = re.fullmatch(r"(\w+)\.\d+\.(.+)", name).groups()  # type: ignore[union-attr]
    return f"{'single' if block.startswith('single') else 'double'} {rest}"


# ------------------------------------------------------------------------------- models and inputs


def prediction_of(embeds: torch.Tensor) -> Callable[[Flux2Transformer2DModel], torch.Tensor]:
    """The velocity for pure noise, the same at every call, with the prompt's embeds [1, T, D]."""
    draw = torch.Generator().manual_seed(5)
    noise = torch.randn(1, SIDE * SIDE, 128, generator=draw).bfloat16()

    def predict(transformer: Flux2Transformer2DModel) -> torch.Tensor:
        return predict_velocity(
            transformer,
            noise,
            timestep=torch.ones(1).bfloat16(),
            embeds=embeds,
            size=(SIDE, SIDE),
            guidance=1.0,
        )

    return predict


def embeds_of(kind: QuantizationKind) -> torch.Tensor:
    """[1, T, D]: the prompt by the bundled text encoder, stored so."""
    encoder = load_prompt_encoder(
        BUNDLED_TINY_FOLDER, variant=TINY, dtype=torch.bfloat16, device="cpu", quantization=kind
    )
    return encoder.encode(PROMPT)[None]


def tiny_transformer() -> Flux2Transformer2DModel:
    """The bundled one in bf16."""
    return load_transformer(
        BUNDLED_TINY_FOLDER / "transformer",
        dtype=torch.bfloat16,
        device="cpu",
        quantization="none",
        progress=lambda *_: None,
    )


def mid_size_transformer() -> tuple[Flux2Transformer2DModel, torch.Tensor]:
    """The one of random weights, and embeds [1, 64, 1536] for it."""
    transformer = Flux2Transformer2DModel(
        in_channels=128,
        num_layers=2,
        num_single_layers=6,
        attention_head_dim=128,
        num_attention_heads=8,
        joint_attention_dim=1536,
        axes_dims_rope=(32, 32, 32, 32),
        guidance_embeds=True,
    ).bfloat16()
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter.shape[1] ** -0.5, generator=draw)
    embeds = torch.randn(1, 64, 1536, generator=draw).bfloat16()
    return transformer.requires_grad_(False).eval(), embeds


# ------------------------------------------------------------------------------------------- tables


def summary(errors: Mapping[QuantizationKind, KindErrors]) -> list[str]:
    """A row for each kind: medians over the layers, with the worst one in brackets."""
    lines = [
        "| kind | blocks take | weight, median (worst) | output, median (worst) | prediction |",
        "|---|---|---|---|---|",
    ]
    for kind, found in errors.items():
        lines.append(
            f"| {KINDS[kind].label}{_staying(found)} | {found.stored_bytes / 1e6:.1f} MB "
            f"| {_middle(found.weights)} | {_middle(found.outputs)} "
            f"| {found.prediction:.2%} |"
        )
    return lines


def by_layer(errors: Mapping[QuantizationKind, KindErrors]) -> list[str]:
    """A row for each sort of layer: the median of its output errors over the blocks."""
    lines = [
        "| layer | " + " | ".join(KINDS[kind].label for kind in errors) + " |",
        "|---" * (len(errors) + 1) + "|",
    ]
    sorts: dict[str, dict[QuantizationKind, list[float]]] = defaultdict(lambda: defaultdict(list))
    for kind, found in errors.items():
        for name, error in found.outputs.items():
            sorts[kind_of_layer(name)][kind].append(error)
    for sort, found_by_kind in sorts.items():
        cells = (
            f"{statistics.median(found_by_kind[kind]):.2%}" if kind in found_by_kind else "bf16"
            for kind in errors
        )
        lines.append(f"| {sort} | " + " | ".join(cells) + " |")
    return lines


def embedding_table() -> list[str]:
    """A row for each kind of the text encoder."""
    exact = embeds_of("none")
    lines = ["| text encoder | embedding |", "|---|---|"]
    for kind in STORED:
        lines.append(f"| {KINDS[kind].label} | {relative(embeds_of(kind), exact):.2%} |")
    return lines


def _middle(errors: dict[str, float]) -> str:
    values = list(errors.values())
    return f"{statistics.median(values):.2%} ({max(values):.2%})"


def _staying(found: KindErrors) -> str:
    return f", {found.num_staying} layers in bf16" if found.num_staying else ""


def _put(transformer: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(transformer.get_submodule(parent), leaf, layer)


def tables() -> str:
    """All tables, as Markdown."""
    tiny, embeds = tiny_transformer(), embeds_of("none")
    of_tiny: dict[QuantizationKind, KindErrors] = {
        kind: errors_of(tiny, kind, prediction_of(embeds)) for kind in STORED
    }
    mid_size, random_embeds = mid_size_transformer()
    of_mid: dict[QuantizationKind, KindErrors] = {
        kind: errors_of(mid_size, kind, prediction_of(random_embeds)) for kind in STORED
    }
    parts = [
        "The bundled model (trained weights):",
        *summary(of_tiny),
        "A model of 155 million random weights:",
        *summary(of_mid),
        "Output errors by layer, bundled model:",
        *by_layer(of_tiny),
        "Output errors by layer, random weights:",
        *by_layer(of_mid),
        "The bundled text encoder:",
        *embedding_table(),
    ]
    text = ""
    for line, after in zip(parts, [*parts[1:], ""], strict=True):
        text += line + ("\n" if line.startswith("|") and after.startswith("|") else "\n\n")
    return text.rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help=f"write them into {RECORD.name}")
    options = parser.parse_args()
    found = tables()
    print(found)
    if options.write:
        before, _, rest = RECORD.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        RECORD.write_text(f"{before}{BEGIN}\n\n{found}\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
