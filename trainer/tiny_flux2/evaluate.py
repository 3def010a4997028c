"""Draws held-out captions through `Flux2Pipeline` and measures how often the pictures obey them.

    python -m trainer.tiny_flux2.evaluate [--model FOLDER] [--guidance 1 2.5] [--sheet FILE.png]

The figures in the model card come from here.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from diffusers import Flux2Pipeline
from PIL import Image

from trainer.tiny_flux2.architecture import TEXT_ENCODER_OUT_LAYERS
from trainer.tiny_flux2.captions import plain_caption
from trainer.tiny_flux2.judge import Quality, held_out_scenes, measure_quality
from trainer.tiny_flux2.tokenizer import MAX_SEQUENCE_LENGTH
from trainer.tiny_flux2.world import PICTURE_SIZE_PX

_log = logging.getLogger(__name__)

NUM_INFERENCE_STEPS = 20
BATCH_SIZE = 16
SHEET_COLUMNS = 8
SHEET_GAP_PX = 2


def load_pipeline(folder: Path) -> Flux2Pipeline:
    """The pipeline in float32 on the CPU, without a progress bar."""
    pipeline = Flux2Pipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(
    pipeline: Flux2Pipeline, prompts: list[str], *, guidance_scale: float, first_seed: int = 0
) -> list[Image.Image]:
    """One picture for each prompt, from the seeds `first_seed`, `first_seed + 1` and so on."""
    pictures: list[Image.Image] = []
    for start in range(0, len(prompts), BATCH_SIZE):
        part = prompts[start : start + BATCH_SIZE]
        seeds = range(first_seed + start, first_seed + start + len(part))
        pictures += pipeline(
            prompt=part,
            height=PICTURE_SIZE_PX,
            width=PICTURE_SIZE_PX,
            num_inference_steps=NUM_INFERENCE_STEPS,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            text_encoder_out_layers=TEXT_ENCODER_OUT_LAYERS,
            max_sequence_length=MAX_SEQUENCE_LENGTH,
        ).images
    return pictures


def evaluate(
    pipeline: Flux2Pipeline, *, guidance_scale: float, num_scenes: int
) -> tuple[Quality, list[Image.Image]]:
    """Quality over held-out scenes, a third of them with two objects; and the pictures."""
    num_pairs = num_scenes // 3
    scenes = held_out_scenes(num_scenes - num_pairs, num_objects=1)
    scenes += held_out_scenes(num_pairs, num_objects=2)
    prompts = [plain_caption(scene) for scene in scenes]
    pictures = draw(pipeline, prompts, guidance_scale=guidance_scale)
    return measure_quality(pictures, scenes), pictures


def contact_sheet(pictures: list[Image.Image]) -> Image.Image:
    """The pictures in rows of `SHEET_COLUMNS`."""
    pitch = PICTURE_SIZE_PX + SHEET_GAP_PX
    rows = -(-len(pictures) // SHEET_COLUMNS)
    sheet = Image.new("RGB", (SHEET_COLUMNS * pitch, rows * pitch), "white")
    for number, picture in enumerate(pictures):
        row, column = divmod(number, SHEET_COLUMNS)
        sheet.paste(picture, (column * pitch, row * pitch))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the tiny FLUX.2 on held-out captions.")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "weights")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0])
    parser.add_argument("--num-scenes", type=int, default=96)
    parser.add_argument("--sheet", type=Path, help="also write the pictures as one PNG")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    pipeline = load_pipeline(arguments.model)
    sheet: list[Image.Image] = []
    for guidance_scale in arguments.guidance:
        quality, pictures = evaluate(
            pipeline, guidance_scale=guidance_scale, num_scenes=arguments.num_scenes
        )
        _log.info(f"guidance {guidance_scale:g}: {quality}")
        sheet += pictures
    if arguments.sheet:
        contact_sheet(sheet).save(arguments.sheet, optimize=True)


if __name__ == "__main__":
    main()
