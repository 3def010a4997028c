"""Makes the bundled tiny FLUX.2 from nothing, on two CPU cores, with a fixed seed.

    python -m trainer.tiny_flux2.recipe --output trainer/tiny_flux2/weights --work
    output/tiny-flux2-recipe

Every stage keeps its progress in the work folder, and the same command goes on where a killed one
was. The number of steps is fixed, not the time, so the result does not depend on how fast the
machine is. The number of threads changes sums in their last bits, though, and with them the
weights: figures hold, bits do not.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKLFlux2
from transformers import PreTrainedTokenizerFast

from trainer.tiny_flux2.architecture import save_pipeline
from trainer.tiny_flux2.captions import caption_at
from trainer.tiny_flux2.latent_cache import load_or_encode, pair_scenes, world_scenes
from trainer.tiny_flux2.tokenizer import train_tokenizer
from trainer.tiny_flux2.train_autoencoder import train_autoencoder
from trainer.tiny_flux2.train_flux import TextToImage, train_flux
from trainer.tiny_flux2.train_guidance import train_guidance
from trainer.tiny_flux2.world import scene_at

_log = logging.getLogger(__name__)

SEED = 0
NUM_TOKENIZER_CAPTIONS = 20_000


def make_tiny_flux2(output: Path, work: Path) -> None:
    """Run every stage that is not finished yet and write the pipeline to `output`."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(
        caption_at(SEED, index, scene_at(SEED, index)) for index in range(NUM_TOKENIZER_CAPTIONS)
    )
    autoencoder = train_autoencoder(work, seed=SEED)
    world = load_or_encode(
        work / "latents.safetensors", autoencoder, seed=SEED, scene_indices=world_scenes()
    )
    pairs = load_or_encode(
        work / "pair_latents.safetensors", autoencoder, seed=SEED, scene_indices=pair_scenes(SEED)
    )

    def export(average: TextToImage, num_finished_steps: int) -> None:
        del num_finished_steps
        _export(output, autoencoder, average, tokenizer)

    teacher = train_flux(work, world, pairs, tokenizer, seed=SEED, on_save=export)
    final = train_guidance(work, world, tokenizer, teacher, seed=SEED, on_save=export)
    _export(output, autoencoder, final, tokenizer)


def _export(
    output: Path,
    autoencoder: AutoencoderKLFlux2,
    average: TextToImage,
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    save_pipeline(
        output,
        autoencoder=autoencoder,
        transformer=average.transformer,
        text_encoder=average.text_encoder,
        tokenizer=tokenizer,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the bundled tiny FLUX.2 from nothing.")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the finished pipeline"
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for progress, to resume from"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    started = time.monotonic()
    _log.info(f"threads: {torch.get_num_threads()}")
    make_tiny_flux2(arguments.output, arguments.work)
    _log.info(f"finished after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
