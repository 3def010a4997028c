"""Captions: read exactly as written, with the trigger put in and, for preservation, taken out."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from trainer.panels.field import TRIGGER_PLACEHOLDER


def read_caption(path: Path) -> str:
    """The text of a caption file, as written but for line breaks at its end.

    UTF-8, with or without a byte order mark. Raises UnicodeDecodeError and OSError.
    """
    return path.read_bytes().decode("utf-8-sig").rstrip("\r\n")


def replace_trigger_placeholder(text: str, trigger_word: str) -> str:
    """`text` with every [trigger] replaced; the rest is left exactly as written."""
    return text.replace(TRIGGER_PLACEHOLDER, trigger_word)


def has_trigger_placeholder(text: str) -> bool:
    """Whether [trigger] stands in the text."""
    return TRIGGER_PLACEHOLDER in text


def contains_trigger(caption: str, trigger: str) -> bool:
    """Whether the trigger stands in the caption as a word: "man" is not in "woman"."""
    return _as_a_word(trigger).search(caption) is not None


def class_caption(caption: str, trigger: str, preservation_class: str) -> str | None:
    """The caption with every occurrence of the trigger, as a word, replaced by the class.

    None when the trigger is not in it: such a caption is its own class caption, and preservation
    has nothing to compare. Upper and lower case are told apart, as the text encoder does.
    """
    replaced, count = _as_a_word(trigger).subn(lambda _: preservation_class, caption)
    return replaced if count else None


@lru_cache(maxsize=64)
def _as_a_word(trigger: str) -> re.Pattern[str]:
    assert trigger, "a blank trigger passed the door"
    # A boundary is asked for only where the trigger itself ends in a word character: beside the
    # bracket of "<sks>" there is no word that it could be a part of.
    before = r"(?<!\w)" if re.match(r"\w", trigger[0]) else ""
    after = r"(?!\w)" if re.match(r"\w", trigger[-1]) else ""
    return re.compile(before + re.escape(trigger) + after)
