"""Single files in the layout of FLUX.2's reference code, in Diffusers' terms.

The reference code and ComfyUI keep the transformer and the autoencoder as one file each, under
names of their own. Nothing but names, and three arrangements, differs:

    transformer   q, k and v of a double block are one matrix, `qkv`: three layers here, row by row
                  the final layer's modulation is (shift, scale): (scale, shift) here
    autoencoder   the decoder's levels count from the picture inwards: the other way round here
                  q, k, v and the output of its attention are 1x1 convolutions: linear layers here

So each tensor can be renamed and cut by itself, while it streams from the file: dev's 64 GB are
never in memory whole, which Diffusers' own conversion wants. Tests hold the result equal to that
conversion. The sizes of a model (widths, heads, blocks, guidance or not) are read off its tensors'
shapes, so a file needs no configuration beside it.

Imports no torch: the door reads headers too.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# ComfyUI's exports of whole checkpoints put the transformer under these.
_TRANSFORMER_PREFIXES = ("model.diffusion_model.", "diffusion_model.")
_AUTOENCODER_PREFIXES = ("first_stage_model.", "vae.")

_TRANSFORMER_NAMES = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_guidance_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_guidance_embed.timestep_embedder.linear_2",
    "guidance_in.in_layer": "time_guidance_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_guidance_embed.guidance_embedder.linear_2",
    "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
    "double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
    "single_stream_modulation.lin": "single_stream_modulation.linear",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
_DOUBLE_BLOCK_NAMES = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.linear_in",),
    "img_mlp.2": ("ff.linear_out",),
    "txt_mlp.0": ("ff_context.linear_in",),
    "txt_mlp.2": ("ff_context.linear_out",),
}
_SINGLE_BLOCK_NAMES = {
    "linear1": ("attn.to_qkv_mlp_proj",),
    "linear2": ("attn.to_out",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
}
_IN_A_BLOCK = re.compile(r"(double|single)_blocks\.(\d+)\.(.+)")

_AUTOENCODER_PARTS = (
    (r"^(encoder|decoder)\.((?:post_)?quant_conv)\.", r"\2."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.down\.(\d+)\.block\.(\d+)\.", r".down_blocks.\1.resnets.\2."),
    (r"\.down\.(\d+)\.downsample\.conv\.", r".down_blocks.\1.downsamplers.0.conv."),
    (r"\.up\.(\d+)\.block\.(\d+)\.", r".up_blocks.\1.resnets.\2."),
    (r"\.up\.(\d+)\.upsample\.conv\.", r".up_blocks.\1.upsamplers.0.conv."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.norm_out\.", ".conv_norm_out."),
)


class UnknownTensor(ValueError):
    """A tensor of a name that the layout does not have; the message is the name."""


@dataclass(frozen=True)
class StoredTensor:
    """What a file's header says of a tensor: its type by safetensors' name, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by name. Raises OSError, or ValueError if it is none."""
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise ValueError("it ends within its header")
        (num_bytes,) = struct.unpack("<Q", start)
        if num_bytes > path.stat().st_size:
            raise ValueError("it is no safetensors file, or is cut short")
        header = json.loads(file.read(num_bytes))
    for name, about in header.items():
        name.encode()  # JSON can hold what no text can
        if name != "__metadata__" and any(type(side) is not int for side in about["shape"]):
            raise ValueError(f"the shape of {name} is {about['shape']}")
    tensors = {
        name: StoredTensor(str(about["dtype"]), tuple(about["shape"]))
        for name, about in header.items()
        if name != "__metadata__"
    }
    ends = [about["data_offsets"][1] for name, about in header.items() if name != "__metadata__"]
    if ends and 8 + num_bytes + max(ends) > path.stat().st_size:
        raise ValueError("it is cut short")
    return tensors


def is_original_transformer(tensors: Mapping[str, StoredTensor]) -> bool:
    """Whether these are a FLUX.2 transformer's in the original layout, all blocks' modulation
    shared, which FLUX.1 does not do.
    """
    return "single_stream_modulation.lin.weight" in {_bare(name) for name in tensors}


def transformer_config(tensors: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """The arguments of `Flux2Transformer2DModel`, from the shapes of its tensors.

    Raises KeyError for a tensor that is not there.
    """
    shapes = {_bare(name): tensor.shape for name, tensor in tensors.items()}
    hidden, in_channels = shapes["img_in.weight"]
    (head_dim,) = shapes["single_blocks.0.norm.query_norm.scale"]
    blocks = [match for name in shapes if (match := _IN_A_BLOCK.fullmatch(name))]

    def count(kind: str) -> int:
        return 1 + max((int(match[2]) for match in blocks if match[1] == kind), default=-1)

    return {
        "in_channels": in_channels,
        "num_layers": count("double"),
        "num_single_layers": count("single"),
        "attention_head_dim": head_dim,
        "num_attention_heads": hidden // head_dim,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "timestep_guidance_channels": shapes["time_in.in_layer.weight"][1],
        "mlp_ratio": shapes["double_blocks.0.img_mlp.2.weight"][1] / hidden,
        # Four axes share a head's width evenly in every FLUX.2.
        "axes_dims_rope": (head_dim // 4,) * 4,
        "guidance_embeds": "guidance_in.in_layer.weight" in shapes,
    }


def transformer_names(name: str) -> tuple[str, ...]:
    """Diffusers' names of a stored tensor: three for a fused `qkv`, cut by rows; else one.

    Raises UnknownTensor.
    """
    stem, _, leaf = _bare(name).rpartition(".")
    within = _IN_A_BLOCK.fullmatch(stem)
    if leaf != ("scale" if stem.endswith("_norm") else "weight"):
        raise UnknownTensor(name)
    try:
        if within is None:
            stems: tuple[str, ...] = (_TRANSFORMER_NAMES[stem],)
        elif within[1] == "double":
            stems = _DOUBLE_BLOCK_NAMES[within[3]]
            stems = tuple(f"transformer_blocks.{within[2]}.{part}" for part in stems)
        else:
            stems = _SINGLE_BLOCK_NAMES[within[3]]
            stems = tuple(f"single_transformer_blocks.{within[2]}.{part}" for part in stems)
    except KeyError as error:
        raise UnknownTensor(name) from error
    return tuple(f"{part}.weight" for part in stems)


def has_halves_swapped(name: str) -> bool:
    """Whether the halves of a stored tensor's rows change places."""
    return _bare(name).startswith("final_layer.adaLN_modulation.")


def autoencoder_name(name: str, *, num_levels: int) -> str:
    """Diffusers' name of a stored autoencoder tensor; a name that needs no change stays.

    num_levels: 4 in all of FLUX.2's.
    """
    name = _without(name, _AUTOENCODER_PREFIXES)
    for pattern, replacement in _AUTOENCODER_PARTS:
        name = re.sub(pattern, replacement, name)
    return re.sub(
        r"\.up_blocks\.(\d+)\.", lambda found: f".up_blocks.{num_levels - 1 - int(found[1])}.", name
    )


def is_attention_matrix(diffusers_name: str) -> bool:
    """Whether an autoencoder's tensor is a 1x1 convolution in the file and a matrix here."""
    return re.search(r"\.attentions\.0\.to_.*\.weight$", diffusers_name) is not None


def is_original_autoencoder(tensors: Mapping[str, StoredTensor]) -> bool:
    """Whether these are FLUX.2's autoencoder in the original layout: FLUX.1's has no BatchNorm."""
    names = {_without(name, _AUTOENCODER_PREFIXES) for name in tensors}
    return {"bn.running_mean", "encoder.down.0.block.0.conv1.weight"} <= names


def _bare(name: str) -> str:
    return _without(name, _TRANSFORMER_PREFIXES)


def _without(name: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name
