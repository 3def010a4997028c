"""Keys of LoRA files: which layer and which factor of it a tensor belongs to.

A LoRA's file is flat: each tensor's key names a layer and a factor. Programs differ in both.

    Diffusers    transformer.transformer_blocks.0.attn.to_q.lora_A.weight
    ComfyUI      diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight
    kohya        lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight
    LyCORIS      lycoris_transformer_blocks_0_attn_to_q.lokr_w1

"ComfyUI" means the names of the reference code, which ComfyUI, AI Toolkit and most web services
write. In them q, k and v of a double block are one layer, `qkv`. ComfyUI of today also knows
Diffusers' FLUX.2 names under `transformer.`, so a file in Diffusers' names loads there too; the
other names are for everything that does not.

What a key means is settled here, without torch, so that the door can judge a file by its header.
What happens to the numbers when q, k and v are fused or split is in `lora_fusing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from trainer.original_layout import transformer_names
from trainer.variants import Variant

KeyFormat = Literal["diffusers", "comfyui"]
KeyStyle = Literal["diffusers", "comfyui", "kohya", "lycoris", "other"]
AdapterKind = Literal["lora", "lokr"]
Value = TypeVar("Value")

DIFFUSERS_PREFIX = "transformer."
ORIGINAL_PREFIX = "diffusion_model."
LORA_FACTORS = ("lora_A.weight", "lora_B.weight")
LOKR_FACTORS = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
ALPHA = "alpha"

# The linear layers of a block, by the reference code's name: Diffusers' are read off the one table
# of names that there is.
_DOUBLE_LAYERS = (
    "img_attn.qkv",
    "txt_attn.qkv",
    "img_attn.proj",
    "txt_attn.proj",
    "img_mlp.0",
    "img_mlp.2",
    "txt_mlp.0",
    "txt_mlp.2",
)
_SINGLE_LAYERS = ("linear1", "linear2")
_OUTSIDE_LAYERS = (
    "img_in",
    "txt_in",
    "time_in.in_layer",
    "time_in.out_layer",
    "guidance_in.in_layer",
    "guidance_in.out_layer",
    "double_stream_modulation_img.lin",
    "double_stream_modulation_txt.lin",
    "single_stream_modulation.lin",
    "final_layer.linear",
    "final_layer.adaLN_modulation.1",
)
_FACTOR_NAMES = {
    "lora_A.weight": "lora_A.weight",
    "lora_B.weight": "lora_B.weight",
    "lora_A.default.weight": "lora_A.weight",
    "lora_B.default.weight": "lora_B.weight",
    "lora_down.weight": "lora_A.weight",
    "lora_up.weight": "lora_B.weight",
    **{name: name for name in LOKR_FACTORS},
    ALPHA: ALPHA,
}
# The longest first: "transformer." ends "base_model.model.transformer." too.
_DOTTED_PREFIXES = (
    "base_model.model.transformer.",
    "model.diffusion_model.",
    "base_model.model.",
    ORIGINAL_PREFIX,
    DIFFUSERS_PREFIX,
    "unet.",
    "",
)
_UNDERSCORED_PREFIXES = ("lora_unet_", "lora_transformer_", "lycoris_")


@dataclass(frozen=True)
class LayerKey:
    """What a key says.

    layers: Diffusers' names of the layers that the tensor belongs to: one, or q, k and v together.
    factor: as in LORA_FACTORS or LOKR_FACTORS, or "alpha". stem: the key without its factor.
    is_original: whether the layer is named as in the reference code.
    """

    layers: tuple[str, ...]
    factor: str
    stem: str
    style: KeyStyle
    is_original: bool


def parse_key(key: str) -> LayerKey | None:
    """What a LoRA file's key says; None for a key of another model or kind of file."""
    found = _split_factor(key)
    if found is None:
        return None
    stem, factor = found
    for prefix in _UNDERSCORED_PREFIXES:
        if stem.startswith(prefix):
            named = _UNDERSCORED_NAMES.get(_with_block(stem.removeprefix(prefix), "#"))
            if named is None:
                return None
            layers = tuple(layer.replace("#", _block_of(stem)) for layer in named[0])
            style: KeyStyle = "lycoris" if prefix == "lycoris_" else "kohya"
            return LayerKey(layers, factor, stem, style, is_original=named[1])
    for prefix in _DOTTED_PREFIXES:
        if stem.startswith(prefix):
            bare = stem.removeprefix(prefix)
            if _with_block(bare, "#") in _ORIGINAL_OF:
                style = "diffusers" if prefix == DIFFUSERS_PREFIX else "other"
                return LayerKey((bare,), factor, stem, style, is_original=False)
            if _with_block(bare, "#") in _ORIGINAL_LAYERS:
                style = "comfyui" if prefix == ORIGINAL_PREFIX else "other"
                return LayerKey(fused_layers(bare), factor, stem, style, is_original=True)
    return None


def block_layers(num_double: int, num_single: int) -> list[str]:
    """Diffusers' names of the linear layers of all blocks of a model, in the model's order."""
    originals = [
        f"double_blocks.{block}.{layer}" for block in range(num_double) for layer in _DOUBLE_LAYERS
    ] + [
        f"single_blocks.{block}.{layer}" for block in range(num_single) for layer in _SINGLE_LAYERS
    ]
    return [name for original in originals for name in fused_layers(original)]


def variant_layers(variant: Variant) -> list[str]:
    """Diffusers' names of the linear layers of a variant's blocks."""
    return block_layers(variant.num_double_blocks, variant.num_single_blocks)


def original_layer(layer: str) -> tuple[str, int | None]:
    """The reference code's name of one of Diffusers' layers.

    With it, which third of its rows the layer is: 0, 1, 2 for q, k, v; None for the whole. Raises
    KeyError for a layer that FLUX.2 does not have.
    """
    original, part = _ORIGINAL_OF[_with_block(layer, "#")]
    return original.replace("#", _block_of(layer)), part


def fused_layers(original: str) -> tuple[str, ...]:
    """Diffusers' names of a layer of the reference code: q, k, v for a `qkv`, else one."""
    return tuple(name.removesuffix(".weight") for name in transformer_names(f"{original}.weight"))


def has_halves_swapped(layer: str) -> bool:
    """Whether the halves of this layer's rows stand the other way round in the original names."""
    return layer == "norm_out.linear"


def key_style(keys: Iterable[LayerKey]) -> KeyStyle | Literal["mixed"]:
    """The style that all keys share."""
    styles: set[KeyStyle] = {key.style for key in keys}
    return styles.pop() if len(styles) == 1 else "mixed"


def adapter_kind(keys: Iterable[LayerKey]) -> AdapterKind | None:
    """Which kind of file has these keys; None for a mixture."""
    kinds: set[AdapterKind] = {
        "lokr" if key.factor in LOKR_FACTORS else "lora" for key in keys if key.factor != ALPHA
    }
    return kinds.pop() if len(kinds) == 1 else None


def by_layer(values: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """{layer: {factor: value}} of a mapping by `layer.factor`, in its order."""
    layers: dict[str, dict[str, Value]] = {}
    for name, value in values.items():
        found = _split_factor(name)
        assert found is not None, f"{name} names no factor"
        layers.setdefault(found[0], {})[found[1]] = value
    return layers


def _split_factor(key: str) -> tuple[str, str] | None:
    for ending, factor in _FACTOR_NAMES.items():
        if key.endswith(f".{ending}"):
            return key.removesuffix(f".{ending}"), factor
    return None


_BLOCK = re.compile(r"(?<=_blocks[._])\d+(?=[._])")


def _with_block(layer: str, number: str) -> str:
    return _BLOCK.sub(number, layer, count=1)


def _block_of(layer: str) -> str:
    found = _BLOCK.search(layer)
    return found[0] if found else ""


def _all_original_layers() -> Iterator[tuple[str, tuple[str, ...]]]:
    """(the reference code's name, Diffusers' names), "#" for the block's number."""
    for original in (
        *(f"double_blocks.0.{layer}" for layer in _DOUBLE_LAYERS),
        *(f"single_blocks.0.{layer}" for layer in _SINGLE_LAYERS),
        *_OUTSIDE_LAYERS,
    ):
        layers = tuple(_with_block(layer, "#") for layer in fused_layers(original))
        yield _with_block(original, "#"), layers


_ORIGINAL_LAYERS = dict(_all_original_layers())
# Diffusers' layer: the original's name, and which third of it the layer is.
_ORIGINAL_OF = {
    layer: (original, part if len(layers) == 3 else None)
    for original, layers in _ORIGINAL_LAYERS.items()
    for part, layer in enumerate(layers)
}
# A name whose dots have become underscores: Diffusers' layers, and whether the name is original.
_UNDERSCORED_NAMES = {
    original.replace(".", "_"): (layers, True) for original, layers in _ORIGINAL_LAYERS.items()
} | {layer.replace(".", "_"): ((layer,), False) for layer in _ORIGINAL_OF}
