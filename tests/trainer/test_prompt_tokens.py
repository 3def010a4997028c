"""The door's count of tokens against the tokenizer that encodes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from trainer.prompt_lengths import count_tokens
from trainer.prompt_tokens import (
    TEMPLATE_TOKENS,
    NoTokenCounter,
    TokenCounter,
    _count,
    prompts_too_long,
    read_counter,
)
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TINY_TOKENIZER = BUNDLED_TINY_FOLDER / "tokenizer"
DEV, KLEIN = VARIANTS[Architecture.FLUX2_DEV], VARIANTS[Architecture.KLEIN_BASE_4B]
TINY = VARIANTS[Architecture.TINY]
# Of the sort that the large models bring: state across loops, lists walked backwards, functions of
# transformers, a branch on thinking, and white space that the tags take away.
TEMPLATE = """
{%- set ns = namespace(last=-1, words=0) %}
{%- if tools %}{{ raise_exception('no tools here') }}{% endif %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' and ns.last < 0 %}
        {%- set ns.last = loop.index0 %}
        {%- continue %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {{- '<|' + message.role + '|>\\n' }}
    {%- if message.content is string %}
        {{- message.content | trim }}
    {%- else %}
        {%- for part in message.content %}{{ part['text'] }}{% endfor %}
    {%- endif %}
    {{- eos_token + '\\n' }}
{%- endfor %}
{{- {'words': ns.words} | tojson }}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


@pytest.fixture(scope="module")
def templated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with TEMPLATE in its configuration, as older models have theirs."""
    folder = tmp_path_factory.mktemp("tokenizer")
    shutil.copy(TINY_TOKENIZER / "tokenizer.json", folder)
    config = json.loads((TINY_TOKENIZER / "tokenizer_config.json").read_text())
    eos = {"__type": "AddedToken", "content": "</s>", "special": True}
    config |= {"chat_template": TEMPLATE, "eos_token": eos}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def counters(templated: Path) -> list[tuple[TokenCounter, Any]]:
    """(the door's, transformers') for both templates."""
    return [
        (read_counter(folder), AutoTokenizer.from_pretrained(folder))
        for folder in (TINY_TOKENIZER, templated)
    ]


TEXTS = st.text(max_size=200) | st.lists(
    st.sampled_from(["a cat", "</s>", "<s>", "[INST]", "[IMG]", "\n", "  ", "猫", "{{ x }}", "🐈"]),
    max_size=20,
).map("".join)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_the_count_is_that_of_the_tokenizer_that_encodes(
    counters: list[tuple[TokenCounter, Any]], text: str
) -> None:
    for counter, tokenizer in counters:
        for variant in (DEV, KLEIN):
            found = counter.count(text, is_klein=variant is KLEIN)
            assert found == count_tokens(text, tokenizer, variant)


def test_the_system_message_breaks_its_line_after_object(
    counters: list[tuple[TokenCounter, Any]],
) -> None:
    """A space in that place, as some programs have it, makes other tokens of the whole prompt."""
    rendered: list[str] = []

    class Noting:
        def encode(self, text: str, **_: Any) -> Any:
            rendered.append(text)
            return counters[1][0].tokenizer.encode(text)

    counter = counters[1][0]
    TokenCounter(Noting(), counter.template, counter.special_tokens).count("x", is_klein=False)  # type: ignore[arg-type]
    assert "focusing on object relationships, object\nattribution and actions" in rendered[0]


def test_only_those_past_the_limit_are_named_with_their_length() -> None:
    long = "very " * 200
    found = prompts_too_long(["", "a cat", long], TINY_TOKENIZER, TINY)
    assert list(found) == [long]
    assert found[long].endswith(" of 48 tokens")


def test_a_text_is_counted_once() -> None:
    texts = [f"caption {number}: " + "very " * 60 for number in range(300)]
    counted = []
    for _ in range(3):
        assert len(prompts_too_long(texts, TINY_TOKENIZER, TINY)) == 300
        counted.append(_count.cache_info().misses)
    assert counted[0] == counted[1] == counted[2]


def test_short_texts_need_no_tokenizer() -> None:
    short = "a" * (DEV.max_sequence_length - TEMPLATE_TOKENS)
    assert prompts_too_long([short], Path("no such tokenizer"), DEV) == {}


def test_a_tokenizer_that_changed_is_read_anew(templated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(templated, folder)
    text = "very " * 200
    before = prompts_too_long([text], folder, TINY)
    (folder / "chat_template.jinja").write_text("{{ messages[1].content[0].text * 2 }}")
    after = prompts_too_long([text], folder, TINY)
    assert before.keys() == after.keys()
    assert before != after


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", "{}"),
        ("tokenizer.json", None),
        ("tokenizer_config.json", "{}"),
        ("chat_template.jinja", "{% for %}"),
        ("chat_template.jinja", "{{ raise_exception('no system message, please') }}"),
        ("chat_template.jinja", "{{ ''.__class__.__mro__ }}"),
        ("chat_template.jinja", "{{ messages + 1 }}"),
    ],
)
def test_what_cannot_be_counted_with_is_said_to_be(
    templated: Path, tmp_path: Path, file: str, content: str | None
) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(templated, folder)
    (folder / file).unlink(missing_ok=True)
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(NoTokenCounter):
        prompts_too_long(["very " * 200], folder, DEV)
