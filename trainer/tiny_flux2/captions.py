"""Captions for the world's scenes: what is said, how it is said, and words that mean nothing.

Every caption is true of its picture and tells nearly everything: shape, colour, size, place and
ground. Only how two objects lie to each other is now and then left open. Four captions in ten carry
extra words, made-up ones ("zorvex") and neutral ones ("picture"), at the places where a LoRA's
trigger or class word usually stands. The model thus learns to ignore words that it does not know,
so an unseen trigger starts without meaning.
"""

from __future__ import annotations

import numpy as np

from trainer.tiny_flux2.world import (
    LARGE_RADIUS_PX,
    PICTURE_SIZE_PX,
    SMALL_RADIUS_PX,
    Scene,
    SceneObject,
)

EXTRA_WORDS_SHARE = 0.4
# An object this far from the middle may be called "on the left", "at the top" and so on.
PLACE_OFFSET_PX = 10

NEUTRAL_WORDS = (
    *("picture", "image", "drawing", "photo", "art", "painting", "style", "sketch"),
    *("illustration", "print", "poster", "render"),
)
_ONSETS = (
    "b",
    "br",
    "ch",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kr",
    "l",
    "m",
    "n",
    "oh",
    "p",
    "qu",
    "r",
)
_ONSETS += ("s", "sk", "st", "t", "tr", "v", "w", "x", "y", "z")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "oo", "y", "0", "3", "")
_CODAS = ("", "", "k", "l", "m", "n", "r", "s", "t", "x", "z", "wx", "ng", "1")


def caption_at(seed: int, index: int, scene: Scene) -> str:
    """One caption for the scene at `index`; another seed puts the same scene in other words."""
    rng = np.random.default_rng([seed, index, 1])
    caption = _describe(rng, scene)
    if rng.random() < EXTRA_WORDS_SHARE:
        caption = _with_extra_words(rng, caption)
    return caption


def plain_caption(scene: Scene) -> str:
    """The plainest caption that tells all: objects, their size and place, and the background."""
    first, ground = scene.objects[0], _ground(scene.background)
    if scene.relation is None:
        place = f" {_place(first)}" if _place(first) else ""
        return f"{_article(_size(first) + _noun(first))}{place} on {ground}"
    second = _article(_noun(scene.objects[1]))
    relation = "to the left of" if scene.relation == "left of" else "above"
    return f"{_article(_noun(first))} {relation} {second} on {ground}"


def made_up_word(rng: np.random.Generator) -> str:
    """A word of one to three syllables that names nothing, such as `zorvex`, `ohwx` or `sk3n`."""
    syllables = int(rng.integers(1, 4))
    parts = [_one(rng, _ONSETS) + _one(rng, _VOWELS) + _one(rng, _CODAS) for _ in range(syllables)]
    return "".join(parts)


def _describe(rng: np.random.Generator, scene: Scene) -> str:
    ground = _ground(scene.background)
    bare_ground = f"{scene.background} background"
    what = _pair(rng, scene) if scene.relation else _single(rng, scene.objects[0])
    forms = (
        f"{what} on {ground}",
        f"{what} on {ground}",
        f"{what}, {bare_ground}",
        f"{ground} with {what}",
        f"a picture of {what} on {ground}",
        f"there is {what}, the background is {scene.background}",
    )
    return _one(rng, forms)


def _single(rng: np.random.Generator, only: SceneObject) -> str:
    noun, place = _size(only) + _noun(only), _place(only)
    if place:
        return f"{_article(noun)} {place}"
    return _article(noun) if rng.random() < 0.85 else noun


def _size(only: SceneObject) -> str:
    if only.radius_px <= SMALL_RADIUS_PX:
        return "small "
    return "large " if only.radius_px >= LARGE_RADIUS_PX else ""


def _place(only: SceneObject) -> str:
    right, down = only.centre_x_px - PICTURE_SIZE_PX / 2, only.centre_y_px - PICTURE_SIZE_PX / 2
    if max(abs(right), abs(down)) < PLACE_OFFSET_PX:
        return ""
    if abs(right) > abs(down):
        return "on the right" if right > 0 else "on the left"
    return "at the bottom" if down > 0 else "at the top"


def _pair(rng: np.random.Generator, scene: Scene) -> str:
    first, second = (_article(_noun(each)) for each in scene.objects)
    forms = {
        "left of": (
            f"{first} to the left of {second}",
            f"{first} left of {second}",
            f"{second} to the right of {first}",
            f"{first} next to {second}",
            f"{second} and {first} side by side",
        ),
        "above": (
            f"{first} above {second}",
            f"{first} on top of {second}",
            f"{second} below {first}",
            f"{second} under {first}",
            f"{first} and {second} one above the other",
        ),
    }
    assert scene.relation is not None
    if rng.random() < 0.15:
        return f"{first} and {second}" if rng.random() < 0.5 else f"{second} and {first}"
    return _one(rng, forms[scene.relation])


def _with_extra_words(rng: np.random.Generator, caption: str) -> str:
    word = made_up_word(rng) if rng.random() < 0.7 else _one(rng, NEUTRAL_WORDS)
    neutral = _one(rng, NEUTRAL_WORDS)
    forms = (
        f"{word}, {caption}",
        f"{word}, {caption}",
        f"{word} {caption}",
        f"{caption}, {word}",
        f"{caption} in {word} style",
        f"{word} {neutral}, {caption}",
        f"{neutral} of {caption}, {word}",
        f"a {word} {neutral} of {caption}",
    )
    return _one(rng, forms)


def _noun(scene_object: SceneObject) -> str:
    return f"{scene_object.colour} {scene_object.shape}"


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _ground(background: str) -> str:
    return _article(f"{background} background")


def _one(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
