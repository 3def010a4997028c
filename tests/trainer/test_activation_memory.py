"""What a pass holds, by the plan's formulas and as counted in the real classes at true sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.trainer.live_bytes import LiveBytes, without_memory
from trainer import lora as lora_module
from trainer.activation_memory import (
    Tokens,
    TransformerActivations,
    decoder_activations,
    encoder_activations,
)
from trainer.attention import set_attention
from trainer.block_memory import manage_blocks
from trainer.lora import add_lora, block_linears
from trainer.model_shapes import AutoencoderShapes, known_shapes
from trainer.quantization_kinds import QuantizationKind
from trainer.quantized_linear import float8_linear_over
from trainer.target_layers import chosen_layers
from trainer.training_step import predict_velocity
from trainer.variants import Architecture

RANK = 32
# dev's and klein 4B's true widths, few blocks.
MODELS: dict[Architecture, dict[str, Any]] = {
    Architecture.FLUX2_DEV: {},
    Architecture.KLEIN_BASE_4B: {
        "num_attention_heads": 24,
        "joint_attention_dim": 7680,
        "guidance_embeds": False,
    },
}


def transformer(
    architecture: Architecture,
    monkeypatch: pytest.MonkeyPatch,
    *,
    doubles: int,
    singles: int,
    kind: QuantizationKind = "none",
    pattern: str = "*",
) -> Flux2Transformer2DModel:
    """With a LoRA on the blocks' layers, on the meta device."""
    monkeypatch.setattr(lora_module, "_start", lambda weight, draw: None)
    with torch.device("meta"):
        built = Flux2Transformer2DModel(
            num_layers=doubles, num_single_layers=singles, **MODELS[architecture]
        )
        built.to(torch.bfloat16).requires_grad_(False).eval()
        names = block_linears(built)
        if kind == "float8":
            for name in names:
                parent, _, own_name = name.rpartition(".")
                linear = built.get_submodule(name)
                codes = torch.empty(linear.weight.shape, dtype=torch.float8_e4m3fn)
                scale = torch.empty(len(codes), 1, dtype=torch.bfloat16)
                layer = float8_linear_over(linear, codes, scale)
                setattr(built.get_submodule(parent), own_name, layer)
        layers = chosen_layers(names, "pattern", pattern)
        add_lora(built, rank=RANK, alpha=RANK, seed=0, layers=layers)
    return built


def activations(
    architecture: Architecture,
    *,
    kind: QuantizationKind = "none",
    pattern: str = "*",
    writes_matrices: bool = False,
) -> TransformerActivations:
    shapes = known_shapes(architecture).transformer
    tuned = chosen_layers(shapes.linear_names(), "pattern", pattern)

    def within(stem: str) -> dict[str, int]:
        return {n.split(".", 2)[2]: RANK for n in tuned if n.startswith(f"{stem}.")}

    return TransformerActivations(
        shapes,
        dtype_bytes=2,
        kind=kind,
        tuned_double=within("transformer_blocks"),
        tuned_single=within("single_transformer_blocks"),
        has_dropout=False,
        on_cpu=True,
        writes_matrices=writes_matrices,
    )


def counted(
    model: Flux2Transformer2DModel,
    tokens: Tokens,
    *,
    with_gradients: bool = True,
    checkpointing: bool = False,
) -> int:
    """The peak of a pass, forward and, with gradients, backward."""
    side = round(tokens.image**0.5)
    width = model.config["joint_attention_dim"]
    with FakeTensorMode():
        without_memory(model)
        if checkpointing:
            manage_blocks(model, streamed=(), checkpointing=True, keeper=None, device="cpu")
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        noisy = torch.empty(tokens.batch, tokens.image, 128, dtype=torch.bfloat16)
        with LiveBytes(model) as live, torch.set_grad_enabled(with_gradients):
            velocity = predict_velocity(
                model,
                noisy,
                timestep=torch.empty(tokens.batch, dtype=torch.bfloat16),
                embeds=torch.empty(tokens.batch, tokens.text, width, dtype=torch.bfloat16),
                size=(side, side),
                guidance=1.0 if model.config["guidance_embeds"] else None,
            )
            if with_gradients:
                velocity.float().square().mean().backward()
    return live.peak


SIZES = [Tokens(1, 4096, 512), Tokens(2, 1024, 512)]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("tokens", SIZES, ids=["1024 px", "2 x 512 px"])
def test_a_checkpointed_step_holds_its_blocks_inputs_and_one_blocks_inside(
    architecture: Architecture, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = activations(architecture)
    model = transformer(architecture, monkeypatch, doubles=2, singles=3)
    found = counted(model, tokens, checkpointing=True)
    said = (
        plan.shared(tokens)
        + 5 * sum(plan.input_tensors(tokens, is_double=False))
        + max(plan.backward_single(tokens), plan.backward_double(tokens))
    )
    assert said == pytest.approx(found, rel=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", SIZES, ids=["1024 px", "2 x 512 px"])
@pytest.mark.parametrize("pattern", ["*", "*.attn.to_q", "*.attn.to_q, *.ff.linear_out"])
@pytest.mark.parametrize("kind", ["none", "float8"])
def test_without_checkpointing_every_block_keeps_its_inside(
    kind: QuantizationKind,
    pattern: str,
    tokens: Tokens,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    architecture = Architecture.KLEIN_BASE_4B
    plan = activations(architecture, kind=kind, pattern=pattern)

    def peak(doubles: int, singles: int) -> int:
        model = transformer(
            architecture,
            monkeypatch,
            doubles=doubles,
            singles=singles,
            kind=kind,
            pattern=pattern,
        )
        return counted(model, tokens)

    sizes = ((1, 1), (2, 1), (1, 2))
    peaks = {size: peak(*size) for size in sizes}
    single = sum(plan.input_tensors(tokens, is_double=False)) + plan.inside_single(tokens)
    double = sum(plan.input_tensors(tokens, is_double=True)) + plan.inside_double(tokens)
    assert single == pytest.approx(peaks[1, 2] - peaks[1, 1], rel=0.03)
    assert double == pytest.approx(peaks[2, 1] - peaks[1, 1], rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", SIZES, ids=["1024 px", "2 x 512 px"])
def test_a_pass_without_gradients_holds_one_blocks_work(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = activations(Architecture.FLUX2_DEV)
    model = transformer(Architecture.FLUX2_DEV, monkeypatch, doubles=1, singles=2)
    found = counted(model, tokens, with_gradients=False)
    assert plan.shared(tokens) + plan.forward(tokens) == pytest.approx(found, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", SIZES, ids=["1024 px", "2 x 512 px"])
@pytest.mark.parametrize(("doubles", "singles"), [(2, 0), (0, 2)], ids=["double", "single"])
def test_torchs_math_kernel_holds_matrices_of_tokens_by_tokens(
    tokens: Tokens, doubles: int, singles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = Architecture.KLEIN_BASE_4B
    plan = activations(architecture, writes_matrices=True)
    backward = plan.backward_double(tokens) if doubles else plan.backward_single(tokens)
    inside = plan.inside_double(tokens) if doubles else plan.inside_single(tokens)
    model = transformer(architecture, monkeypatch, doubles=doubles, singles=singles)
    set_attention(model, "math")
    standing = plan.shared(tokens) + 2 * sum(plan.input_tensors(tokens, is_double=False))
    all_kept = counted(model, tokens)
    assert standing + inside + backward == pytest.approx(all_kept, rel=0.07)
    if singles:  # every real model has some, and they hold more than double ones
        drawn = counted(model, tokens, with_gradients=False)
        assert plan.shared(tokens) + plan.forward(tokens) == pytest.approx(drawn, rel=0.07)
    checkpointed = counted(model, tokens, checkpointing=True)
    assert standing + backward == pytest.approx(checkpointed, rel=0.07)


@pytest.mark.parametrize("side_px", [512, 1024])
def test_the_autoencoder_holds_the_widest_tensors_at_the_pictures_size(side_px: int) -> None:
    shapes = known_shapes(Architecture.FLUX2_DEV).autoencoder
    with torch.device("meta"):
        built = AutoencoderKLFlux2().to(torch.bfloat16).requires_grad_(False).eval()
    with FakeTensorMode(), torch.no_grad():
        without_memory(built)
        latents = torch.empty(1, 32, side_px // 8, side_px // 8, dtype=torch.bfloat16)
        pixels = torch.empty(1, 3, side_px, side_px, dtype=torch.bfloat16)
        with LiveBytes(built) as encoding:
            built.encode(pixels)
        with LiveBytes(built) as decoding:
            built.decode(latents)
    area_px = side_px * side_px
    assert isinstance(shapes, AutoencoderShapes)
    said = encoder_activations(shapes, area_px=area_px, dtype_bytes=2)
    assert said == pytest.approx(encoding.peak, rel=0.03)
    said = decoder_activations(shapes, area_px=area_px, dtype_bytes=2, on_cpu=True)
    assert said == pytest.approx(decoding.peak, rel=0.03)
