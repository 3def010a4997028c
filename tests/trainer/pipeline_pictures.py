"""Pictures by Diffusers' own pipeline, to hold a run's samples against."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import Flux2Pipeline
from PIL import Image

from tests.trainer.short_runs import ShortRun
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TINY = VARIANTS[Architecture.TINY]
PROMPT = "zorvex, a red square"


def bundled_pipeline() -> Flux2Pipeline:
    """The bundled model as anybody loads it."""
    pipe = Flux2Pipeline.from_pretrained(BUNDLED_TINY_FOLDER, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn_by(pipe: Flux2Pipeline, **options: Any) -> np.ndarray:
    """What a short run's sample of PROMPT shows, from text by the whole pipeline: [64, 64, 3]."""
    result = pipe(
        prompt=PROMPT,
        width=64,
        height=64,
        num_inference_steps=2,
        guidance_scale=1.0,
        generator=torch.Generator("cpu").manual_seed(42),
        max_sequence_length=TINY.max_sequence_length,
        text_encoder_out_layers=TINY.text_encoder_out_layers,  # type: ignore[arg-type]
        **options,
    )
    return np.asarray(result.images[0]).astype(int)  # type: ignore[union-attr]


def sample_at(run: ShortRun, step: int, index: int = 0) -> np.ndarray:
    """The run's own picture at a step: [64, 64, 3]."""
    return np.asarray(Image.open(run.folder.sample(step, index))).astype(int)
