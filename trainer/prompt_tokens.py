"""How many tokens a prompt has, counted without torch: for the door, before anything loads.

transformers counts them too (`prompt_lengths.py`), but importing it takes seconds and reaches
torch, which the server must not. What it does to a prompt is little: a template from the model's
files turns it into a conversation, and the tokenizer's own library, which needs neither, cuts that
into tokens. The template is a program that came with the model, so it runs in the same sandbox,
with the same few functions at hand.

A tokenizer that is not on this machine yet, or not in this form, is not counted with: the run asks
again when it encodes.
"""

from __future__ import annotations

import json
import runpy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from trainer.variants import Variant

# More than any of the templates adds. A byte-level tokenizer never has more tokens than bytes, so a
# text that is shorter than the limit by this much need not be measured.
TEMPLATE_TOKENS = 256
_TOKENIZER_FILE, _CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
_TEMPLATE_FILE = "chat_template.jinja"
# A form is checked at every pause in typing, and its captions are the same each time.
_REMEMBERED_COUNTS = 1 << 15
_SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class NoTokenCounter(Exception):
    """The folder's tokenizer cannot be counted with; the text says why."""


def prompts_too_long(
    texts: Sequence[str], tokenizer_folder: Path, variant: Variant
) -> dict[str, str]:
    """By text, for those that the pipeline would cut: their length, as "600 of 512 tokens".

    Reads nothing where all texts are short. Raises NoTokenCounter.
    """
    long = worth_measuring(texts, variant)
    if not long:
        return {}
    counter = read_counter(tokenizer_folder)
    is_klein = variant.pipeline_class == "Flux2KleinPipeline"
    return those_past_the_limit({text: _count(counter, text, is_klein) for text in long}, variant)


def worth_measuring(texts: Sequence[str], variant: Variant) -> list[str]:
    """Those that can be too long, by their number of bytes."""
    limit = variant.max_sequence_length - TEMPLATE_TOKENS
    return [text for text in texts if len(text.encode("utf-8")) > limit]


def those_past_the_limit(counts: dict[str, int], variant: Variant) -> dict[str, str]:
    """As `prompts_too_long` says it."""
    limit = variant.max_sequence_length
    return {text: f"{count} of {limit} tokens" for text, count in counts.items() if count > limit}


@lru_cache(maxsize=_REMEMBERED_COUNTS)
def _count(counter: TokenCounter, text: str, is_klein: bool) -> int:
    return counter.count(text, is_klein=is_klein)


@dataclass(frozen=True, eq=False)  # told apart as objects: counts are remembered for each
class TokenCounter:
    """tokenizer, template: of the model. special_tokens: by the names that templates know."""

    tokenizer: Tokenizer
    template: Template
    special_tokens: dict[str, str]

    def count(self, text: str, *, is_klein: bool) -> int:
        """Tokens of a prompt before it is cut, formatted as klein's pipeline or dev's does it.

        Raises NoTokenCounter for a template that cannot be filled in.
        """
        try:
            formatted = self.template.render(
                messages=_klein_messages(text) if is_klein else _dev_messages(text),
                tools=None,
                documents=None,
                add_generation_prompt=is_klein,
                **({"enable_thinking": False} if is_klein else {}),
                **self.special_tokens,
            )
        # A program that came with the model: it can fail in any way, and so can the sandbox.
        except Exception as error:
            raise NoTokenCounter(f"its chat template fails: {error}") from error
        # klein's pipeline tokenizes the formatted text like any other; dev's in the template's
        # own call, where the template has written the special tokens.
        return len(self.tokenizer.encode(formatted, add_special_tokens=is_klein).ids)


def read_counter(folder: Path) -> TokenCounter:
    """The counter of a tokenizer's folder, read anew if its files changed.

    Raises NoTokenCounter.
    """
    files = (folder / name for name in (_TOKENIZER_FILE, _CONFIG_FILE, _TEMPLATE_FILE))
    times = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)
    return _counter(folder, times)


def _klein_messages(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def _dev_messages(text: str) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": [{"type": "text", "text": _system_message()}]},
        # The pipeline takes the placeholder of pictures out of prompts.
        {"role": "user", "content": [{"type": "text", "text": text.replace("[IMG]", "")}]},
    ]


@lru_cache(maxsize=1)
def _system_message() -> str:
    """Diffusers' own text, read from a file of nothing but texts: to import Diffusers is to reach
    torch.
    """
    spec = find_spec("diffusers")
    assert spec is not None, "a dependency of ours"
    assert spec.submodule_search_locations is not None, "it is a package"
    (package,) = spec.submodule_search_locations
    texts = runpy.run_path(str(Path(package, "pipelines", "flux2", "system_messages.py")))
    return texts["SYSTEM_MESSAGE"]


@lru_cache(maxsize=4)
def _counter(folder: Path, _times: tuple[int, ...]) -> TokenCounter:
    """The folder's, whose files changed at these times; a large one takes most of a second."""
    try:
        config = json.loads((folder / _CONFIG_FILE).read_text(encoding="utf-8"))
        source = _template_of(folder, config)
        tokenizer = Tokenizer.from_str((folder / _TOKENIZER_FILE).read_text(encoding="utf-8"))
        template = _sandbox().from_string(source)
    except (OSError, ValueError, KeyError, TypeError, TemplateError) as error:
        raise NoTokenCounter(f"{folder} cannot be counted with: {error}") from error
    # The library raises nothing narrower for a text that is no tokenizer.
    except Exception as error:
        raise NoTokenCounter(f"{folder / _TOKENIZER_FILE} is no tokenizer: {error}") from error
    # They say how long a text is allowed to be; asked is how long it is.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokens = {name: _token_text(config.get(name)) for name in _SPECIAL_TOKENS if config.get(name)}
    return TokenCounter(tokenizer, template, tokens)


def _template_of(folder: Path, config: dict[str, Any]) -> str:
    """The chat template: a file of its own, or in the configuration, alone or by name."""
    file = folder / _TEMPLATE_FILE
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config["chat_template"]
    if isinstance(template, list):
        return next(entry["template"] for entry in template if entry["name"] == "default")
    return template


def _token_text(token: str | dict[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _sandbox() -> ImmutableSandboxedEnvironment:
    """The sandbox that transformers fills templates in, with the functions that it lends them."""

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    sandbox.filters["tojson"] = tojson
    sandbox.globals["raise_exception"] = raise_exception
    sandbox.globals["strftime_now"] = time.strftime
    return sandbox
