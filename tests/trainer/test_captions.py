"""Captions: what replacing a trigger does and leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.captions import (
    class_caption,
    contains_trigger,
    has_trigger_placeholder,
    read_caption,
    replace_trigger_placeholder,
)


def test_every_placeholder_is_replaced_and_nothing_else_changes() -> None:
    caption = " [trigger], a cat ,  with [trigger]\nand [Trigger] "
    assert (
        replace_trigger_placeholder(caption, "zorvex")
        == " zorvex, a cat ,  with zorvex\nand [Trigger] "
    )


@given(st.text(), st.text(min_size=1))
def test_a_text_without_the_placeholder_is_left_exactly_as_written(text: str, word: str) -> None:
    if not has_trigger_placeholder(text):
        assert replace_trigger_placeholder(text, word) == text


@pytest.mark.parametrize(
    ("caption", "trigger", "expected"),
    [
        ("man in the woods", "man", "photo in the woods"),
        ("a woman in the woods", "man", None),
        ("zorvex, a zorvex-like cat (zorvex)", "zorvex", "photo, a photo-like cat (photo)"),
        ("zorvex2 and myzorvex", "zorvex", None),
        ("Zorvex", "zorvex", None),
        ("a <sks>dog", "<sks>", "a photodog"),
        ("ein Käsekuchen", "Käse", None),
        ("猫 zorvex猫", "zorvex", None),
        ("in the zor.vex style, zorxvex", "zor.vex", "in the photo style, zorxvex"),
        ("", "zorvex", None),
    ],
)
def test_the_class_takes_the_triggers_place_on_word_boundaries(
    caption: str, trigger: str, expected: str | None
) -> None:
    assert class_caption(caption, trigger, "photo") == expected
    assert contains_trigger(caption, trigger) == (expected is not None)


def test_a_class_with_backslashes_is_taken_literally() -> None:
    assert class_caption("zorvex", "zorvex", r"a \1 \g<0>") == r"a \1 \g<0>"


@given(st.text(alphabet="ab z,."), st.sampled_from(["z", "ab", "b z"]))
def test_a_class_caption_no_longer_holds_the_trigger(caption: str, trigger: str) -> None:
    replaced = class_caption(caption, trigger, "photo")
    if replaced is None:
        assert not contains_trigger(caption, trigger)
    else:
        assert not contains_trigger(replaced, trigger)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"a cat\n", "a cat"),
        (b"a cat\r\n", "a cat"),
        (b"  a cat ,x\n\n", "  a cat ,x"),
        (b"two\nlines\n", "two\nlines"),
        (b"\xef\xbb\xbfa cat", "a cat"),
        ("猫, café".encode(), "猫, café"),
        (b"", ""),
    ],
)
def test_a_caption_is_read_as_written_but_for_line_breaks_at_its_end(
    tmp_path: Path, written: bytes, read: str
) -> None:
    file = tmp_path / "caption.txt"
    file.write_bytes(written)
    assert read_caption(file) == read


def test_a_caption_in_another_encoding_is_refused_rather_than_guessed(tmp_path: Path) -> None:
    file = tmp_path / "caption.txt"
    file.write_bytes("café".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        read_caption(file)


WORDS = st.lists(st.sampled_from(["zorvex", "a", "cat,", "zorvexes", "(zorvex)", "猫", "\n"]))


@given(WORDS)
def test_only_the_triggers_own_letters_are_touched(words: list[str]) -> None:
    """What is left when the trigger is cut out of the caption is what is left of the result when
    the class is: the replacement moves, adds and drops nothing else.
    """
    caption = " ".join(words)
    replaced = class_caption(caption, "zorvex", "PHOTO")
    whole = {"zorvex", "(zorvex)"}
    assert (replaced is not None) == any(word in whole for word in words)
    if replaced is not None:
        expected = [word.replace("zorvex", "PHOTO") if word in whole else word for word in words]
        assert replaced == " ".join(expected)


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_placeholder_becomes_the_trigger_wherever_it_stands(before: str, after: str) -> None:
    caption = f"{before}[trigger]{after}"
    replaced = replace_trigger_placeholder(caption, "zorvex")
    assert replaced == "zorvex".join(caption.split("[trigger]"))
    assert not has_trigger_placeholder(replaced) or "[trigger]" in before + "zorvex" + after
