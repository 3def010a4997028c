"""Which layers a choice and a pattern mean."""

from __future__ import annotations

import pytest

from trainer.lora_keys import block_layers
from trainer.target_layers import chosen_layers

NAMES = block_layers(2, 12)


def test_all_means_all_and_attention_means_what_is_named_attn() -> None:
    assert chosen_layers(NAMES, "all", "nothing.*") == NAMES
    attention = chosen_layers(NAMES, "attention", "")
    assert set(NAMES) - set(attention) == {
        f"transformer_blocks.{block}.{part}.linear_{end}"
        for block in range(2)
        for part in ("ff", "ff_context")
        for end in ("in", "out")
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("transformer_blocks.1.attn.to_q", ["transformer_blocks.1.attn.to_q"]),
        (
            "*_blocks.0.attn.to_out, *.attn.to_out.0",
            [
                "transformer_blocks.0.attn.to_out.0",
                "transformer_blocks.1.attn.to_out.0",
                "single_transformer_blocks.0.attn.to_out",
            ],
        ),
        (
            "single_*.1?.* !*to_out",
            [f"single_transformer_blocks.{n}.attn.to_qkv_mlp_proj" for n in (10, 11)],
        ),
        ("!single_* !*.ff* !*.attn.*", []),
        ("transformer_blocks.1.attn", []),
        ("", NAMES),
    ],
)
def test_a_pattern_takes_layers_in_and_out(pattern: str, expected: list[str]) -> None:
    assert sorted(chosen_layers(NAMES, "pattern", pattern)) == sorted(expected)


def test_the_order_is_that_of_the_names() -> None:
    assert chosen_layers(NAMES, "pattern", "*.to_v *.to_q")[:2] == [
        "transformer_blocks.0.attn.to_q",
        "transformer_blocks.0.attn.to_v",
    ]
