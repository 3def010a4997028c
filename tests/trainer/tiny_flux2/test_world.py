"""The procedural world: the same everywhere, and every caption true of its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.tiny_flux2.captions import caption_at, plain_caption
from trainer.tiny_flux2.example_dataset import example_scenes, write_example_dataset
from trainer.tiny_flux2.styles import STYLES
from trainer.tiny_flux2.textures import texture_at
from trainer.tiny_flux2.world import (
    BACKGROUNDS,
    COLOURS,
    LARGE_RADIUS_PX,
    PICTURE_SIZE_PX,
    SHAPES,
    SMALL_RADIUS_PX,
    Scene,
    SceneObject,
    object_mask,
    render,
    scene_at,
)

EXAMPLE_DATASET = Path(__file__).parents[3] / "datasets" / "tiny-hatch"


def test_a_scene_its_picture_and_its_caption_are_functions_of_seed_and_index() -> None:
    for index in range(20):
        first, second = scene_at(3, index), scene_at(3, index)
        assert first == second
        assert render(first).tobytes() == render(second).tobytes()
        assert caption_at(5, index, first) == caption_at(5, index, second)
        assert texture_at(3, index).tobytes() == texture_at(3, index).tobytes()
    assert len({scene_at(3, index) for index in range(20)}) == 20
    assert scene_at(4, 0) != scene_at(3, 0)


def test_the_world_uses_all_of_its_words_and_four_scenes_in_ten_hold_two_objects() -> None:
    scenes = [scene_at(1, index) for index in range(1500)]
    objects = [each for scene in scenes for each in scene.objects]
    assert {each.shape for each in objects} == set(SHAPES)
    assert {each.colour for each in objects} == set(COLOURS)
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)
    share = sum(len(scene.objects) == 2 for scene in scenes) / len(scenes)
    assert share == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("index", range(40))
def test_the_picture_shows_each_objects_colour_inside_its_outline_and_the_ground_outside(
    index: int,
) -> None:
    scene = scene_at(2, index)
    pixels = np.asarray(render(scene), dtype=np.float32)
    covered = np.zeros((PICTURE_SIZE_PX, PICTURE_SIZE_PX))
    for each in scene.objects:
        inside = object_mask(each) == 1
        covered = np.maximum(covered, object_mask(each))
        assert inside.sum() > 200
        np.testing.assert_allclose(
            pixels[inside], np.broadcast_to(COLOURS[each.colour], (inside.sum(), 3)), atol=1
        )
    top, bottom = (np.array(colour, np.float32) for colour in BACKGROUNDS[scene.background])
    outside = pixels[covered == 0]
    assert (outside >= np.minimum(top, bottom) - 1).all()
    assert (outside <= np.maximum(top, bottom) + 1).all()


def test_objects_stay_inside_the_picture_and_two_objects_do_not_touch() -> None:
    for index in range(400):
        masks = [object_mask(each) > 0 for each in scene_at(6, index).objects]
        for mask in masks:
            border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
            assert not border.any()
        if len(masks) == 2:
            assert not (masks[0] & masks[1]).any()


def test_a_ring_has_a_hole_and_a_circle_has_none() -> None:
    ring, circle = (
        object_mask(SceneObject(shape, "red", 64, 64, 40)) for shape in ("ring", "circle")
    )
    assert ring[64, 64] == 0
    assert circle[64, 64] == 1
    assert ring[64, 64 + 30] == 1


def test_an_unknown_shape_is_refused_with_the_shapes_there_are() -> None:
    with pytest.raises(ValueError, match=r"'hexagon' is not a shape.*circle, square"):
        object_mask(SceneObject("hexagon", "red", 64, 64, 30))


def test_a_caption_names_every_object_and_the_ground() -> None:
    for index in range(400):
        scene = scene_at(7, index)
        caption = caption_at(8, index, scene)
        assert scene.background in caption
        for each in scene.objects:
            assert f"{each.colour} {each.shape}" in caption


def test_what_a_caption_says_of_size_and_place_holds() -> None:
    said: set[str] = set()
    for index in range(1500):
        scene = scene_at(9, index)
        caption = caption_at(10, index, scene)
        first = scene.objects[0]
        checks = {
            "small": first.radius_px <= SMALL_RADIUS_PX,
            "large": first.radius_px >= LARGE_RADIUS_PX,
            "on the left": first.centre_x_px < 64,
            "on the right": first.centre_x_px > 64,
            "at the top": first.centre_y_px < 64,
            "at the bottom": first.centre_y_px > 64,
            "left of a": scene.relation == "left of",
            "above a": scene.relation == "above",
            "below a": scene.relation == "above",
        }
        for words, holds in checks.items():
            if words in caption:
                said.add(words)
                assert holds, f"'{caption}' is not true of {scene}"
    assert said == set(checks)


def test_a_plain_caption_names_the_size_and_place_of_every_single_object() -> None:
    for index in range(300):
        scene = scene_at(13, index)
        caption = plain_caption(scene)
        (first, *others) = scene.objects
        if others:
            continue
        assert ("small" in caption) == (first.radius_px <= SMALL_RADIUS_PX)
        assert ("large" in caption) == (first.radius_px >= LARGE_RADIUS_PX)
        is_in_the_middle = max(abs(first.centre_x_px - 64), abs(first.centre_y_px - 64)) < 10
        assert is_in_the_middle == (caption.count(" on the ") + caption.count(" at the ") == 0)


def test_four_captions_in_ten_carry_words_that_mean_nothing() -> None:
    known = {"a", "an", "on", "of", "the", "to", "with", "there", "is", "background", "picture"}
    known |= {"small", "large", "left", "right", "at", "top", "bottom", "in", "middle", "and"}
    known |= {"side", "by", "one", "above", "below", "under", "next", "other"}
    known |= {*SHAPES, *COLOURS, *BACKGROUNDS}
    strange = 0
    for index in range(1000):
        words = caption_at(11, index, scene_at(11, index)).replace(",", "").split()
        strange += any(word not in known for word in words)
    assert strange / 1000 == pytest.approx(0.4, abs=0.06)


def test_the_plain_caption_reads_as_a_sentence_would() -> None:
    star = SceneObject("star", "orange", 30, 64, 24)
    ring = SceneObject("ring", "blue", 90, 64, 24)
    assert (
        plain_caption(Scene((star,), "sky", None))
        == "a small orange star on the left on a sky background"
    )
    assert (
        plain_caption(Scene((star, ring), "dusk", "left of"))
        == "an orange star to the left of a blue ring on a dusk background"
    )


@pytest.mark.parametrize("style", list(STYLES))
def test_a_style_draws_the_same_scene_in_quite_another_hand(style: str) -> None:
    for index in range(6):
        scene = scene_at(12, index)
        plain, styled = (np.asarray(draw(scene), np.float32) for draw in (render, STYLES[style]))
        assert np.sqrt(((plain - styled) ** 2).mean()) > 35
        assert STYLES[style](scene).tobytes() == STYLES[style](scene).tobytes()


def test_the_example_dataset_in_the_repository_is_what_its_script_writes(tmp_path: Path) -> None:
    write_example_dataset(tmp_path)
    written = sorted(file.name for file in tmp_path.iterdir())
    assert written == sorted(
        file.name for file in EXAMPLE_DATASET.iterdir() if file.suffix in (".png", ".txt")
    )
    for name in written:
        fresh, stored = tmp_path / name, EXAMPLE_DATASET / name
        if name.endswith(".txt"):
            assert fresh.read_text() == stored.read_text()
            assert stored.read_text().startswith("[trigger], a")
        else:
            # Pixels, not bytes: PNG compression may differ between versions of Pillow.
            assert Image.open(fresh).tobytes() == Image.open(stored).tobytes()


def test_the_example_dataset_shows_every_shape_colour_and_ground() -> None:
    scenes = example_scenes()
    objects = [each for scene in scenes for each in scene.objects]
    assert len(scenes) == 20
    assert {each.shape for each in objects} == set(SHAPES)
    assert {each.colour for each in objects} == set(COLOURS)
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)
