"""Writes the example dataset: twenty hatched scenes with captions that say `[trigger]`.

    python -m trainer.tiny_flux2.example_dataset [--output datasets/tiny-hatch]

The captions tell what is on the picture and leave the style to the trigger, which is what makes a
style LoRA learn the style. The folder in the repository is this script's output, unchanged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.tiny_flux2.captions import plain_caption
from trainer.tiny_flux2.styles import render_hatch
from trainer.tiny_flux2.world import BACKGROUNDS, COLOURS, SHAPES, Scene, scene_at

NUM_PICTURES = 20
# Scenes of this seed are seen by no other part of the recipe.
EXAMPLE_SEED = 1_000_033
DEFAULT_FOLDER = Path("datasets/tiny-hatch")


def example_scenes() -> list[Scene]:
    """Twenty scenes, three in ten with two objects; shapes, colours and grounds in turn."""
    chosen: list[Scene] = []
    index = 0
    while len(chosen) < NUM_PICTURES:
        scene = scene_at(EXAMPLE_SEED, index)
        index += 1
        wants_two_objects = len(chosen) % 10 in (2, 5, 8)
        if (len(scene.objects) == 2) == wants_two_objects and _is_fresh(scene, chosen):
            chosen.append(scene)
    return chosen


def write_example_dataset(folder: Path) -> None:
    """Write `NN-what.png` and `NN-what.txt` for every example scene."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(example_scenes(), start=1):
        what = "-".join(f"{each.colour}-{each.shape}" for each in scene.objects)
        stem = folder / f"{number:02d}-{what}"
        render_hatch(scene).save(stem.with_suffix(".png"), optimize=True)
        stem.with_suffix(".txt").write_text(f"[trigger], {plain_caption(scene)}\n")


def _is_fresh(scene: Scene, chosen: list[Scene]) -> bool:
    """Whether shapes, colours and ground of the scene have not yet been shown their share."""
    so_far = [each for other in chosen for each in other.objects]
    shape_limit = -(-26 // len(SHAPES))
    colour_limit = -(-26 // len(COLOURS))
    ground_limit = -(-NUM_PICTURES // len(BACKGROUNDS))
    shapes = [each.shape for each in (*so_far, *scene.objects)]
    colours = [each.colour for each in (*so_far, *scene.objects)]
    grounds = [other.background for other in (*chosen, scene)]
    return (
        max(shapes.count(shape) for shape in SHAPES) <= shape_limit
        and max(colours.count(colour) for colour in COLOURS) <= colour_limit
        and max(grounds.count(ground) for ground in BACKGROUNDS) <= ground_limit
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the example dataset of hatched scenes.")
    parser.add_argument("--output", type=Path, default=DEFAULT_FOLDER)
    write_example_dataset(parser.parse_args().output)


if __name__ == "__main__":
    main()
