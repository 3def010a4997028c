"""The script that writes the error tables measures what it says, and leaves the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scripts.quantization_errors import (
    by_layer,
    errors_of,
    kind_of_layer,
    prediction_of,
    relative,
    summary,
    tiny_transformer,
)
from trainer.lora import block_linears
from trainer.quantized_linear import kind_of

EMBEDS = torch.randn(1, 8, 288, generator=torch.Generator().manual_seed(1)).bfloat16()


def test_the_error_is_relative_to_the_exact_value() -> None:
    assert relative(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 5.0])) == pytest.approx(
        1 / 34**0.5
    )


def test_layers_of_one_sort_share_a_row() -> None:
    assert kind_of_layer("transformer_blocks.12.attn.to_out.0") == "double attn.to_out.0"
    assert kind_of_layer("single_transformer_blocks.3.attn.to_out") == "single attn.to_out"


def test_coarser_kinds_have_larger_errors_and_the_model_stays_as_it_was() -> None:
    transformer, predict = tiny_transformer(), prediction_of(EMBEDS)
    with torch.no_grad():
        before = predict(transformer)
    found = {kind: errors_of(transformer, kind, predict) for kind in ("int8", "float8", "int4")}
    names = set(block_linears(transformer))
    for errors in found.values():
        assert set(errors.weights) == set(errors.outputs) == names
    for one, other in (("int8", "float8"), ("float8", "int4")):
        for name in names:
            assert found[one].weights[name] < found[other].weights[name]
        assert 0 < found[one].prediction < found[other].prediction
    assert found["int4"].stored_bytes < 0.6 * found["int8"].stored_bytes
    with torch.no_grad():
        assert torch.equal(predict(transformer), before)
    assert all(
        kind_of(layer) == "none" for layer in transformer.modules() if isinstance(layer, nn.Linear)
    )
    assert len(summary(found)) == 2 + 3
    rows = by_layer(found)
    assert len(rows) == 2 + len({kind_of_layer(name) for name in names})
