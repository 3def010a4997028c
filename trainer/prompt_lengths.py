"""How many tokens a prompt has as the pipeline formats it, against what the model reads.

The pipeline cuts a prompt that is too long without a word, and the end of a caption, where people
put the details, never reaches the model. The count is that of the formatted text: the chat template
and, for dev, its system message take their share of the 512. This is the count of the tokenizer
that encodes; `prompt_tokens.py` is the door's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.prompt_tokens import those_past_the_limit, worth_measuring
from trainer.variants import Variant


def prompts_too_long(
    texts: Sequence[str], tokenizer_folder: Path, variant: Variant
) -> dict[str, str]:
    """By text, for those that the pipeline would cut: their length, as "600 of 512 tokens".

    Loads transformers, but no weights, and nothing where all texts are short. Raises OSError,
    ValueError for a tokenizer that is none.
    """
    long = worth_measuring(texts, variant)
    if not long:
        return {}
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    counts = {text: count_tokens(text, tokenizer, variant) for text in long}
    return those_past_the_limit(counts, variant)


def count_tokens(text: str, tokenizer: Any, variant: Variant) -> int:
    """Tokens of a prompt before it is cut; as `encode_prompt` of the variant's pipeline does it."""
    if variant.pipeline_class == "Flux2KleinPipeline":
        formatted = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return len(tokenizer(formatted)["input_ids"])
    from diffusers.pipelines.flux2.pipeline_flux2 import format_input
    from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

    formatted = tokenizer.apply_chat_template(
        format_input(prompts=[text], system_message=SYSTEM_MESSAGE),
        add_generation_prompt=False,
        tokenize=True,
        return_dict=True,
    )
    return len(formatted["input_ids"][0])
