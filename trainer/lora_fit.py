"""Is a file a LoRA of FLUX.2, and of which model: by names and shapes, before anything loads.

A safetensors header tells every tensor's shape, and a layer's factors tell the size of the weight
that they change. A file fits a model that has all of its layers in those sizes. Base and distilled
models of a family are alike in that, so a file fits both. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path

from trainer.errors import BadLora
from trainer.lora_header import refuse_unreadable
from trainer.lora_keys import ALPHA, LORA_FACTORS, adapter_kind, parse_key
from trainer.model_shapes import Matrix, Shape, TransformerShapes, known_shapes
from trainer.original_layout import read_header
from trainer.variants import Architecture

# Diffusers' names of a layer, one, or q, k and v together; and the weight that the file changes.
Changed = Mapping[tuple[str, ...], Matrix]


def changed_weights(path: Path) -> Changed:
    """The layers that a LoRA file changes, each with its weight's [rows, columns].

    Raises BadLora for a pickle, a damaged file, and one that is no LoRA of FLUX.2.
    """
    refuse_unreadable(path)
    shapes = {key: tensor.shape for key, tensor in read_header(path).items()}
    keys = {key: parse_key(key) for key in shapes}
    if adapter_kind(key for key in keys.values() if key is not None) is None:
        raise BadLora(
            f"{path} holds no LoRA of FLUX.2 and no LoKr, or both at once; its first key is "
            f"{next(iter(shapes), 'missing')!r}.",
            "Give a LoRA file of a FLUX.2 model: one with lora_A and lora_B, lora_down and "
            "lora_up, or lokr_w1 and lokr_w2.",
            code="not_a_lora",
            params={"path": str(path)},
        )
    unmapped = sorted(key for key, parsed in keys.items() if parsed is None)
    layers: dict[tuple[str, ...], dict[str, Shape]] = {}
    for key, parsed in keys.items():
        if parsed is not None and parsed.factor != ALPHA:
            layers.setdefault(parsed.layers, {})[parsed.factor] = shapes[key]
    found = {names: _weight_of(factors) for names, factors in layers.items()}
    unmapped += sorted(names[0] for names, weight in found.items() if weight is None)
    if unmapped:
        raise BadLora(
            f"{len(unmapped)} keys of {path} belong to no FLUX.2 layer, or lack their other half; "
            f"the first is {unmapped[0]!r}.",
            "It was made for another model, or is of a kind that Darkroom does not read (DoRA, "
            "LoHa, text encoders).",
            code="lora_unmapped_keys",
            params={"keys": unmapped[:10], "count": len(unmapped)},
        )
    return {names: weight for names, weight in found.items() if weight is not None}


def misfit(changed: Changed, model: TransformerShapes) -> str | None:
    """What the model lacks of what a file changes, in words; None if the file fits."""
    for layers, weight in changed.items():
        own = [_own_weight(model, layer) for layer in layers]
        if any(matrix is None for matrix in own):
            return f"changes the layer {layers[0]}, which this model does not have"
        whole = [matrix for matrix in own if matrix is not None]
        expected = (sum(rows for rows, _ in whole), whole[0][1])
        if weight != expected:
            return (
                f"changes the layer {layers[0]} as {list(weight)}, and this model's is "
                f"{list(expected)}"
            )
    return None


def fitting_architectures(changed: Changed) -> list[Architecture]:
    """The architectures whose own models the file fits; base and distilled ones alike."""
    return [
        architecture
        for architecture in Architecture
        if misfit(changed, known_shapes(architecture).transformer) is None
    ]


def _weight_of(factors: Mapping[str, Shape]) -> Matrix | None:
    """[rows, columns] that the factors multiply to; None if one of them is missing or none is."""
    down, up = LORA_FACTORS
    try:
        if down in factors:
            (_, columns), (rows, _) = factors[down], factors[up]
            return rows, columns
        ends = [
            factors[part] if part in factors else (factors[f"{part}_a"][0], factors[f"{part}_b"][1])
            for part in ("lokr_w1", "lokr_w2")
        ]
        return prod(rows for rows, _ in ends), prod(columns for _, columns in ends)
    except (LookupError, ValueError):
        return None


def _own_weight(model: TransformerShapes, layer: str) -> Matrix | None:
    stem, _, rest = layer.partition(".")
    blocks = {"transformer_blocks": model.double, "single_transformer_blocks": model.single}
    if stem not in blocks:
        rows, columns = model.outside.get(f"{layer}.weight", (0, 0))[:2]
        return (rows, columns) if rows else None
    number, _, name = rest.partition(".")
    # Python reads no number of thousands of digits.
    if len(number) > 6 or int(number) >= blocks[stem].count:
        return None
    return blocks[stem].linears.get(name)
