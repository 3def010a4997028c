"""Prompts that the pipeline would cut: counted as it formats them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.prompt_encoding import load_prompt_encoder
from trainer.prompt_lengths import count_tokens, prompts_too_long
from trainer.prompt_tokens import TEMPLATE_TOKENS
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TINY = VARIANTS[Architecture.TINY]
TEXTS = ["", "a cat", "very " * 10, "あ猫 " * 5, "very " * 200]


@pytest.mark.slow
def test_the_count_is_what_the_pipeline_leaves_unpadded() -> None:
    encoder = load_prompt_encoder(
        BUNDLED_TINY_FOLDER / "text_encoder",
        tokenizer=BUNDLED_TINY_FOLDER / "tokenizer",
        variant=TINY,
        dtype=torch.float32,
        device="cpu",
        quantization="none",
    )
    masks: list[torch.Tensor] = []

    def note(_module: object, _arguments: object, named: dict[str, Any]) -> None:
        masks.append(named["attention_mask"])

    encoder.pipeline.text_encoder.register_forward_pre_hook(note, with_kwargs=True)
    for text in TEXTS:
        encoder.encode(text)
        count = count_tokens(text, encoder.pipeline.tokenizer, TINY)
        assert int(masks[-1].sum()) == min(count, TINY.max_sequence_length), text
    assert count_tokens(TEXTS[-1], encoder.pipeline.tokenizer, TINY) > 200


@pytest.mark.slow
def test_only_those_past_the_limit_are_named_with_their_length() -> None:
    found = prompts_too_long(TEXTS, BUNDLED_TINY_FOLDER / "tokenizer", TINY)
    assert list(found) == ["very " * 200]
    assert found["very " * 200].endswith(" of 48 tokens")


def test_short_texts_are_not_measured_at_all() -> None:
    dev = VARIANTS[Architecture.FLUX2_DEV]
    short = "a" * (dev.max_sequence_length - TEMPLATE_TOKENS)
    assert prompts_too_long([short], Path("no such tokenizer"), dev) == {}
