"""Keys of LoRA files: what Diffusers, ComfyUI, kohya and LyCORIS call FLUX.2's layers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.trainer.mini_transformer import mini_transformer
from trainer.lora import block_linears
from trainer.lora_keys import (
    adapter_kind,
    block_layers,
    key_style,
    original_layer,
    parse_key,
    variant_layers,
)
from trainer.variants import VARIANTS, Architecture

Q_K_V = tuple(f"transformer_blocks.3.attn.to_{part}" for part in "qkv")


def test_the_layers_known_by_name_are_those_of_the_model() -> None:
    assert set(block_layers(1, 1)) == set(block_linears(mini_transformer()))
    assert len(variant_layers(VARIANTS[Architecture.FLUX2_DEV])) == 8 * 12 + 48 * 2


@pytest.mark.parametrize(
    ("key", "layers", "factor", "style"),
    [
        (
            "transformer.single_transformer_blocks.31.attn.to_qkv_mlp_proj.lora_A.weight",
            ("single_transformer_blocks.31.attn.to_qkv_mlp_proj",),
            "lora_A.weight",
            "diffusers",
        ),
        (
            "diffusion_model.double_blocks.3.img_attn.qkv.lora_B.weight",
            Q_K_V,
            "lora_B.weight",
            "comfyui",
        ),
        ("diffusion_model.double_blocks.3.img_attn.qkv.alpha", Q_K_V, "alpha", "comfyui"),
        (
            "lora_unet_double_blocks_3_img_attn_qkv.lora_down.weight",
            Q_K_V,
            "lora_A.weight",
            "kohya",
        ),
        (
            "lora_transformer_transformer_blocks_3_attn_to_k.lora_up.weight",
            Q_K_V[1:2],
            "lora_B.weight",
            "kohya",
        ),
        ("lycoris_transformer_blocks_3_attn_to_q.lokr_w2_a", Q_K_V[:1], "lokr_w2_a", "lycoris"),
        (
            "base_model.model.transformer_blocks.3.attn.to_v.lora_A.default.weight",
            Q_K_V[2:],
            "lora_A.weight",
            "other",
        ),
        (
            "diffusion_model.final_layer.adaLN_modulation.1.lora_A.weight",
            ("norm_out.linear",),
            "lora_A.weight",
            "comfyui",
        ),
    ],
)
def test_a_key_tells_layers_factor_and_style(
    key: str, layers: tuple[str, ...], factor: str, style: str
) -> None:
    parsed = parse_key(key)
    assert parsed is not None
    assert (parsed.layers, parsed.factor, parsed.style) == (layers, factor, style)
    assert adapter_kind([parsed]) == (
        None if factor == "alpha" else "lokr" if "lokr" in factor else "lora"
    )


@pytest.mark.parametrize(
    "key",
    [
        "transformer.single_transformer_blocks.0.proj_mlp.lora_A.weight",  # FLUX.1's
        "transformer.transformer_blocks.0.ff.net.0.proj.lora_A.weight",  # FLUX.1's
        "diffusion_model.double_blocks.0.img_attn.norm.query_norm.lora_A.weight",  # no linear layer
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
        "transformer.transformer_blocks.0.attn.to_q.dora_scale",
        "transformer_blocks.0.attn.to_q.weight",
        "lora_unet_double_blocks_img_attn_qkv.lora_down.weight",
        "",
    ],
)
def test_a_key_of_another_model_or_kind_says_nothing(key: str) -> None:
    assert parse_key(key) is None


def test_styles_that_differ_are_mixed() -> None:
    keys = [
        parse_key("transformer.transformer_blocks.0.attn.to_q.lora_A.weight"),
        parse_key("diffusion_model.single_blocks.0.linear1.lora_A.weight"),
    ]
    assert key_style(key for key in keys if key) == "mixed"


def test_an_original_name_and_its_third_lead_back_to_the_layer() -> None:
    assert original_layer("transformer_blocks.12.attn.add_k_proj") == (
        "double_blocks.12.txt_attn.qkv",
        1,
    )
    assert original_layer("single_transformer_blocks.7.attn.to_out") == (
        "single_blocks.7.linear2",
        None,
    )
    for layer in block_layers(2, 2):
        original, third = original_layer(layer)
        parsed = parse_key(f"diffusion_model.{original}.lora_A.weight")
        assert parsed is not None
        assert parsed.layers[third or 0] == layer


def test_keys_and_headers_are_read_without_torch() -> None:
    script = "import sys, trainer.lora_keys, trainer.lora_header; print('torch' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "False"
