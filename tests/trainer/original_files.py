"""Models written as single files in the original layout, the inverse of what the trainer reads.

Written by hand from the reference code's modules, not from the trainer's tables.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]

DOUBLE_BLOCK = {
    "attn.norm_q.weight": "img_attn.norm.query_norm.scale",
    "attn.norm_k.weight": "img_attn.norm.key_norm.scale",
    "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
    "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale",
    "attn.to_out.0.weight": "img_attn.proj.weight",
    "attn.to_add_out.weight": "txt_attn.proj.weight",
    "ff.linear_in.weight": "img_mlp.0.weight",
    "ff.linear_out.weight": "img_mlp.2.weight",
    "ff_context.linear_in.weight": "txt_mlp.0.weight",
    "ff_context.linear_out.weight": "txt_mlp.2.weight",
}
SINGLE_BLOCK = {
    "attn.to_qkv_mlp_proj.weight": "linear1.weight",
    "attn.to_out.weight": "linear2.weight",
    "attn.norm_q.weight": "norm.query_norm.scale",
    "attn.norm_k.weight": "norm.key_norm.scale",
}
OUTSIDE = {
    "x_embedder.weight": "img_in.weight",
    "context_embedder.weight": "txt_in.weight",
    "time_guidance_embed.timestep_embedder.linear_1.weight": "time_in.in_layer.weight",
    "time_guidance_embed.timestep_embedder.linear_2.weight": "time_in.out_layer.weight",
    "time_guidance_embed.guidance_embedder.linear_1.weight": "guidance_in.in_layer.weight",
    "time_guidance_embed.guidance_embedder.linear_2.weight": "guidance_in.out_layer.weight",
    "double_stream_modulation_img.linear.weight": "double_stream_modulation_img.lin.weight",
    "double_stream_modulation_txt.linear.weight": "double_stream_modulation_txt.lin.weight",
    "single_stream_modulation.linear.weight": "single_stream_modulation.lin.weight",
    "proj_out.weight": "final_layer.linear.weight",
}


def original_transformer(stored: Tensors) -> Tensors:
    """The tensors of a transformer in Diffusers layout, as the reference code names them."""
    left = dict(stored)
    scale, shift = left.pop("norm_out.linear.weight").chunk(2)
    original = {"final_layer.adaLN_modulation.1.weight": torch.cat([shift, scale])}
    for name in [name for name in left if name in OUTSIDE]:
        original[OUTSIDE[name]] = left.pop(name)
    for name in [name for name in left if re.search(r"attn\.(to_q|add_q_proj)\.weight$", name)]:
        stream = "img" if "to_q" in name else "txt"
        parts = [left.pop(name.replace("_q", f"_{part}")) for part in "qkv"]
        number = name.split(".")[1]
        original[f"double_blocks.{number}.{stream}_attn.qkv.weight"] = torch.cat(parts)
    for name, tensor in left.items():
        kind, number, rest = name.split(".", 2)
        is_single = kind == "single_transformer_blocks"
        new = SINGLE_BLOCK[rest] if is_single else DOUBLE_BLOCK[rest]
        original[f"{'single' if is_single else 'double'}_blocks.{number}.{new}"] = tensor
    return original


def original_autoencoder(stored: Tensors) -> Tensors:
    """The tensors of an autoencoder in Diffusers layout, as the reference code names them."""
    original: Tensors = {}
    for name, tensor in stored.items():
        new = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{3 - int(found[1])}", name)
        new = new.replace("down_blocks", "down")
        new = re.sub(r"(up|down)\.(\d)\.resnets", r"\1.\2.block", new)
        new = re.sub(r"(up|down)samplers\.0", r"\1sample", new)
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda f: f"mid.block_{int(f[1]) + 1}", new)
        if "attentions" in new:
            is_matrix = new.endswith("weight") and "group_norm" not in new
            tensor = tensor[:, :, None, None] if is_matrix else tensor
            new = new.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
            new = new.replace("to_out.0", "proj_out").replace(".to_", ".")
        new = new.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        if new.startswith("quant_conv"):
            new = f"encoder.{new}"
        if new.startswith("post_quant_conv"):
            new = f"decoder.{new}"
        original[new] = tensor
    return original


def write_original_transformer(model: Path, file: Path, *, prefix: str = "") -> None:
    """The transformer of the pipeline in `model`, as one file."""
    tensors: Tensors = {}
    for part in sorted((model / "transformer").glob("*.safetensors")):
        tensors |= load_file(part)
    _write({prefix + n: t for n, t in original_transformer(tensors).items()}, file)


def write_original_autoencoder(model: Path, file: Path) -> None:
    """The autoencoder of the pipeline in `model`, as one file."""
    stored = load_file(model / "vae" / "diffusion_pytorch_model.safetensors")
    _write(original_autoencoder(stored), file)


def _write(tensors: Tensors, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
