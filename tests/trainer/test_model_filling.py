"""Models filled tensor by tensor: what ends up quantized, where, and what is said of the rest."""

from __future__ import annotations

import logging

import pytest
import torch
from diffusers import Flux2Transformer2DModel
from torch import nn

from tests.trainer.mini_transformer import mini_transformer
from trainer.lora import block_linears
from trainer.model_filling import Storage, fill_model
from trainer.model_loading import INSIDE_BLOCKS, load_transformer
from trainer.prompt_encoding import load_prompt_encoder
from trainer.quantization import quantized
from trainer.quantization_kinds import QUANTIZATION_KINDS, QuantizationKind, fits, stored_bytes
from trainer.quantized_linear import kind_of, raw_tensors
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TRANSFORMER = BUNDLED_TINY_FOLDER / "transformer"


def load(kind: QuantizationKind, **options: object) -> Flux2Transformer2DModel:
    return load_transformer(
        TRANSFORMER,
        dtype=torch.bfloat16,
        device="cpu",
        quantization=kind,
        progress=lambda *_: None,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", QUANTIZATION_KINDS)
def test_the_blocks_layers_are_stored_as_asked_and_all_else_in_the_compute_type(
    kind: QuantizationKind,
) -> None:
    whole = Flux2Transformer2DModel.from_pretrained(TRANSFORMER, dtype=torch.bfloat16)
    assert isinstance(whole, Flux2Transformer2DModel)
    model = load(kind)
    inside = set(block_linears(model))
    assert len(inside) > 10
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        own = whole.get_submodule(name)
        assert isinstance(own, nn.Linear)
        meant: QuantizationKind = kind if name in inside else "none"
        size = {"rows": layer.out_features, "columns": layer.in_features}
        assert kind_of(layer) == (meant if fits(meant, **size) else "none"), name
        expected = raw_tensors(quantized(own, meant))
        found = raw_tensors(layer)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[raw].float(), expected[raw].float()) for raw in found), name
        num_bytes = sum(raw.nbytes for raw in found.values())
        assert num_bytes == stored_bytes(meant, dtype_bytes=2, **size)
    assert sum(kind_of(model.get_submodule(name)) == kind for name in inside) > len(inside) / 2  # type: ignore[arg-type]
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", QUANTIZATION_KINDS[1:])
def test_the_quantized_transformer_has_a_gradient_for_its_input(kind: QuantizationKind) -> None:
    model = load(kind)
    layer = model.get_submodule("transformer_blocks.0.attn.to_q")
    assert isinstance(layer, nn.Linear)
    x = torch.randn(1, 4, layer.in_features).bfloat16().requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", QUANTIZATION_KINDS)
def test_the_text_encoders_layers_are_stored_as_asked(kind: QuantizationKind) -> None:
    encoder = load_prompt_encoder(
        BUNDLED_TINY_FOLDER,
        variant=VARIANTS[Architecture.TINY],
        dtype=torch.float32,
        device="cpu",
        quantization=kind,
    )
    inner = encoder.pipeline.text_encoder.model.language_model
    layers = [layer for layer in inner.layers.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) == 7 * 3
    for layer in layers:
        is_stored = fits(kind, rows=layer.out_features, columns=layer.in_features)
        assert kind_of(layer) == (kind if is_stored else "none")
    assert kind == "none" or any(kind_of(layer) == kind for layer in layers)
    assert inner.embed_tokens.weight.dtype == torch.float32
    assert encoder.encode("a red square").isfinite().all()


def test_a_module_stays_where_it_is_to_stay() -> None:
    """The meta device stands for a place that is not the one where weights are encoded."""
    away = "single_transformer_blocks.0."
    model = load("nf4", home_of=lambda name: "meta" if name.startswith(away) else "cpu")
    for name, module in model.named_modules():
        tensors = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        places = {tensor.device.type for tensor in tensors}
        assert places <= ({"meta"} if name.startswith(away) else {"cpu"}), name


def test_layers_that_do_not_fit_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    stored = mini_transformer(torch.float32).state_dict()
    with torch.device("meta"):
        model = mini_transformer(torch.float32)
    with caplog.at_level(logging.WARNING, logger="trainer.quantization"):
        fill_model(
            model,
            iter(stored.items()),
            Storage("nf4", INSIDE_BLOCKS, torch.float32, "cpu"),
            source="the model",
            field="model.name_or_path",
            progress=lambda *_: None,
        )
    staying = [
        name
        for name in block_linears(model)
        if kind_of(model.get_submodule(name)) == "none"  # type: ignore[arg-type]
    ]
    assert len(staying) > 0
    assert all(model.get_parameter(f"{name}.weight").shape[1] % 64 for name in staying)
    (said,) = [r.getMessage() for r in caplog.records if r.name == "trainer.quantization"]
    assert said.startswith(f"{len(staying)} layers stay unquantized")
    assert staying[0] in said or "..." in said
