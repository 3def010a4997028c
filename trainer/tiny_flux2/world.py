"""The procedural world of the bundled tiny FLUX.2: coloured shapes on plain grounds.

A scene is a pure function of `(seed, index)`: the same pair gives the same picture on every
machine, so the training set, the held-out set and the example dataset need no files. There are 8
shapes x 8 colours x 6 backgrounds; four scenes in ten hold two objects, side by side or one above
the other.

Smallest details are chosen for the autoencoder, which loses whatever is under about 6 px: the
thinnest part of any shape (the ring's band, the cross's arm) is 10 px at the smallest radius.

Coordinates are pixels of a `PICTURE_SIZE_PX` square picture, x to the right and y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

PICTURE_SIZE_PX = 128
TWO_OBJECTS_SHARE = 0.4

SHAPES = ("circle", "square", "triangle", "diamond", "star", "heart", "cross", "ring")

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 130, 32),
    "yellow": (250, 212, 50),
    "green": (44, 150, 66),
    "blue": (40, 90, 214),
    "purple": (126, 56, 170),
    "pink": (244, 128, 180),
    "brown": (116, 72, 40),
}

BACKGROUNDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    # name: (colour at the top edge, colour at the bottom edge)
    "white": ((248, 248, 248), (248, 248, 248)),
    "grey": ((150, 152, 156), (150, 152, 156)),
    "black": ((20, 20, 22), (20, 20, 22)),
    "sand": ((226, 204, 164), (226, 204, 164)),
    "sky": ((112, 186, 240), (226, 242, 252)),
    "dusk": ((22, 26, 74), (86, 78, 136)),
}

# Each radius is half the width of the square that a shape fills.
RADIUS_PX = {"small": 27, "": 35, "large": 46}
PAIR_RADIUS_PX = 26
# How far from the middle an object is that is said to be on the left, at the top and so on.
OFFSET_PX = 18
# Radii and places vary by this much to either side, so that no two scenes are quite the same.
RADIUS_SPREAD_PX, PLACE_SPREAD_PX = 2, 3
SMALL_RADIUS_PX = 31  # "a small star" is at most this
LARGE_RADIUS_PX = 41  # "a large star" is at least this

# Masks are drawn this many times larger and averaged down, which gives soft, unstepped edges.
SUPERSAMPLING = 4

_SIDES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])

Relation = Literal["left of", "above"]


@dataclass(frozen=True)
class SceneObject:
    """One filled shape, by its name, its colour's name, its centre and its radius in pixels."""

    shape: str
    colour: str
    centre_x_px: float
    centre_y_px: float
    radius_px: float


@dataclass(frozen=True)
class Scene:
    """One or two objects on a background; `relation` says how the first lies to the second."""

    objects: tuple[SceneObject, ...]
    background: str
    relation: Relation | None


def scene_at(seed: int, index: int) -> Scene:
    """The scene with this index in the endless list that `seed` names.

    Sizes and places come in a few kinds, which a caption can name: it tells nearly all there is.
    """
    rng = np.random.default_rng([seed, index, 3])
    background = _pick(rng, tuple(BACKGROUNDS))
    if rng.random() < TWO_OBJECTS_SHARE:
        return _two_objects(rng, background)
    return _one_object(rng, background)


def render(scene: Scene) -> Image.Image:
    """Draw a scene plainly: flat colours on the background. RGB, `PICTURE_SIZE_PX` square."""
    picture = background_pixels(scene.background)  # (H, W, 3) in 0..255
    for scene_object in scene.objects:
        colour = np.array(COLOURS[scene_object.colour], dtype=np.float32)
        mask = object_mask(scene_object)[..., None]
        picture = picture * (1 - mask) + colour * mask
    return to_picture(picture)


def background_pixels(background: str) -> np.ndarray:
    """The background alone as float32 (H, W, 3) in 0..255."""
    top, bottom = (np.array(colour, dtype=np.float32) for colour in BACKGROUNDS[background])
    down = np.linspace(0, 1, PICTURE_SIZE_PX, dtype=np.float32)[:, None, None]
    return np.broadcast_to(top * (1 - down) + bottom * down, (PICTURE_SIZE_PX, PICTURE_SIZE_PX, 3))


def object_mask(scene_object: SceneObject, *, radius_factor: float = 1.0) -> np.ndarray:
    """How much of each pixel the object covers: float32 (H, W) in 0..1.

    `radius_factor` draws the shape larger or smaller around its centre, for outlines and glows.
    """
    side = PICTURE_SIZE_PX * SUPERSAMPLING
    canvas = Image.new("L", (side, side), 0)
    brush = ImageDraw.Draw(canvas)
    centre = np.array([scene_object.centre_x_px, scene_object.centre_y_px])
    radius = scene_object.radius_px * radius_factor
    for outline, value in _outlines(scene_object.shape):
        points = (centre + outline * radius) * SUPERSAMPLING
        brush.polygon([(float(x), float(y)) for x, y in points], fill=value)
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float32) / 255


def to_picture(pixels: np.ndarray) -> Image.Image:
    """Float pixels (H, W, 3) in 0..255, clipped and rounded, as an RGB picture."""
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def _pick(rng: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(rng.integers(len(names)))]


def _one_object(rng: np.random.Generator, background: str) -> Scene:
    size = _pick(rng, ("small", "", "", "large"))
    centre = np.array([PICTURE_SIZE_PX / 2, PICTURE_SIZE_PX / 2])
    # A large object has no room beside the middle.
    if size != "large" and rng.random() < 0.5:
        centre += _SIDES[int(rng.integers(len(_SIDES)))] * OFFSET_PX
    centre += rng.uniform(-PLACE_SPREAD_PX, PLACE_SPREAD_PX, size=2)
    radius = RADIUS_PX[size] + float(rng.uniform(-RADIUS_SPREAD_PX, RADIUS_SPREAD_PX))
    only = SceneObject(
        _pick(rng, SHAPES), _pick(rng, tuple(COLOURS)), float(centre[0]), float(centre[1]), radius
    )
    return Scene((only,), background, None)


def _two_objects(rng: np.random.Generator, background: str) -> Scene:
    relation: Relation = "left of" if rng.random() < 0.5 else "above"
    # Two different colours, so that "which colour belongs to which shape" always has an answer.
    colours = rng.permutation(len(COLOURS))[:2]
    objects = []
    for quarter, colour in zip((0.26, 0.74), colours, strict=True):
        along = PICTURE_SIZE_PX * quarter + float(rng.uniform(-1, 1))
        across = PICTURE_SIZE_PX / 2 + float(rng.uniform(-PLACE_SPREAD_PX, PLACE_SPREAD_PX))
        centre = (along, across) if relation == "left of" else (across, along)
        radius = PAIR_RADIUS_PX + float(rng.uniform(-RADIUS_SPREAD_PX, RADIUS_SPREAD_PX))
        objects.append(
            SceneObject(_pick(rng, SHAPES), tuple(COLOURS)[int(colour)], *centre, radius)
        )
    return Scene(tuple(objects), background, relation)


def _outlines(shape: str) -> list[tuple[np.ndarray, int]]:
    """Polygons at radius 1 around (0, 0); each paints its mask value: 255 adds, 0 cuts out."""
    match shape:
        case "circle":
            return [(_regular(64, 0.0), 255)]
        case "ring":
            return [(_regular(64, 0.0), 255), (_regular(64, 0.0) * 0.5, 0)]
        case "square":
            return [(_corners((-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)), 255)]
        case "triangle":
            return [(_corners((0, -0.95), (1.0, 0.85), (-1.0, 0.85)), 255)]
        case "diamond":
            return [(_corners((0, -1.05), (0.78, 0), (0, 1.05), (-0.78, 0)), 255)]
        case "star":
            points = _regular(10, -np.pi / 2) * 1.1
            points[1::2] *= 0.46
            return [(points, 255)]
        case "heart":
            turn = np.linspace(0, 2 * np.pi, 96, endpoint=False)
            across = np.sin(turn) ** 3
            up = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
            return [(np.stack([across, -(up / 16) - 0.1], axis=1), 255)]
        case "cross":
            arm = 0.33
            upright = _corners((-arm, -1), (arm, -1), (arm, 1), (-arm, 1))
            return [(upright, 255), (upright[:, ::-1], 255)]
    raise ValueError(f"'{shape}' is not a shape of this world. Use one of {', '.join(SHAPES)}.")


def _regular(corners: int, start: float) -> np.ndarray:
    turn = start + np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _corners(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float64)
