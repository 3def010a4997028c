"""Pictures on the way, drawn by the Diffusers pipeline, so that a preview is what inference gives.

Reference pictures go to the pipeline as they are upright; it scales and encodes them itself. The
autoencoder may compute in another data type than the transformer: it casts what it is given.

The pipeline is put together from the parts that are in memory anyway: the transformer that trains,
the scheduler, and the autoencoder, which waits on the CPU between samples. Its text encoder is
absent: the prompts were encoded beforehand. Noise comes from a CPU generator with the sample's
seed, so a picture is the same on every device up to rounding, and nothing is drawn from the
generators that training uses.

Each picture carries its recipe as a PNG text chunk named `darkroom`: JSON with prompt, seed, size,
guidance, steps, LoRA strength, references, and the training step.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import Flux2KleinPipeline, Flux2Pipeline, Flux2Transformer2DModel
from PIL import Image, PngImagePlugin

from trainer.config import JobConfig
from trainer.durable_write import replacing
from trainer.job_folder import RECIPE_CHUNK
from trainer.model_loading import DrawingParts
from trainer.previews import PicturePreviews
from trainer.texts import (
    negative_prompt_text,
    sample_guidance,
    sample_prompt_text,
    samples_need_negative_prompt,
)
from trainer.variants import Variant

Pipeline = Flux2Pipeline | Flux2KleinPipeline


@dataclass(frozen=True)
class SampleRequest:
    """One picture to draw at every sampling, defaults filled in; texts have no placeholder.

    negative_prompt: None where the model draws without one. control_images: references by name.
    """

    prompt_index: int
    prompt: str
    seed: int
    width: int
    height: int
    guidance_scale: float
    sample_steps: int
    lora_strength: float = 1.0
    negative_prompt: str | None = None
    control_images: tuple[str, ...] = ()

    def recipe(self, training_name: str, step: int) -> dict[str, Any]:
        """What the picture's file says about itself, as it comes back from JSON."""
        about = {**asdict(self), "control_images": list(self.control_images)}
        return {"training_name": training_name, "step": step, **about}


class _Stopped(Exception):
    """The run is to stop: no picture."""


class SampleTimedOut(Exception):
    """A picture took longer than it may."""


def sample_requests(job: JobConfig) -> list[SampleRequest]:
    """The pictures that the Sample panel asks for, in the prompts' order."""
    panel, side_px = job.sample, job.variant.sample_side_px
    negative = negative_prompt_text(job) if samples_need_negative_prompt(job) else None

    def first(*values: int | None) -> int:
        return next(value for value in values if value is not None)

    return [
        SampleRequest(
            prompt_index=index,
            prompt=sample_prompt_text(job, prompt),
            seed=first(prompt.seed, (panel.seed + (index if panel.walk_seed else 0)) % 2**32),
            width=first(prompt.width, panel.width, side_px),
            height=first(prompt.height, panel.height, side_px),
            guidance_scale=sample_guidance(job, prompt),
            sample_steps=first(panel.sample_steps, job.variant.sample_steps),
            lora_strength=prompt.lora_strength,
            negative_prompt=negative if sample_guidance(job, prompt) > 1 else None,
            control_images=tuple(prompt.control_images),
        )
        for index, prompt in enumerate(panel.prompts)
    ]


def build_pipeline(
    variant: Variant, transformer: Flux2Transformer2DModel, parts: DrawingParts
) -> Pipeline:
    """The variant's pipeline around the given transformer, without a text encoder."""
    shared: dict[str, Any] = {
        "scheduler": parts.scheduler,
        "vae": parts.autoencoder,
        "text_encoder": None,
        "tokenizer": None,
        "transformer": transformer,
    }
    if variant.pipeline_class == "Flux2KleinPipeline":
        pipeline: Pipeline = Flux2KleinPipeline(**shared, is_distilled=parts.is_distilled)
    else:
        pipeline = Flux2Pipeline(**shared)
    pipeline.set_progress_bar_config(disable=True)
    first_layer = parts.autoencoder.post_quant_conv
    assert first_layer is not None, "FLUX.2's autoencoder has one"
    first_layer.register_forward_pre_hook(_in_own_data_type)
    return pipeline


def _in_own_data_type(first_layer: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """What the pipeline decodes is in the transformer's data type."""
    return (inputs[0].to(first_layer.weight.dtype),)


def draw(
    pipeline: Pipeline,
    request: SampleRequest,
    *,
    variant: Variant,
    prompt_embeds: torch.Tensor,
    negative_embeds: torch.Tensor | None,
    stop_requested: Callable[[], bool],
    references: Sequence[Image.Image] = (),
    time_out_seconds: float | None = None,
    before_decoding: Callable[[], None] | None = None,
    previews: PicturePreviews | None = None,
) -> Image.Image | None:
    """The picture; None if a stop was asked for between two denoising steps.

    prompt_embeds, negative_embeds: [T, D] on the CPU; the latter is needed by klein above guidance
    1 only. references: upright RGB pictures. before_decoding: called when the
    transformer has done its part. previews: told of each denoising step. Raises SampleTimedOut
    between two denoising steps.
    """
    device, dtype = pipeline.transformer.device, pipeline.transformer.dtype
    began = time.monotonic()

    def after_step(pipe: Pipeline, step: int, _t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        # Not Diffusers' interrupt flag: after that the autoencoder still decodes what is there.
        if stop_requested():
            raise _Stopped
        if time_out_seconds is not None and time.monotonic() - began > time_out_seconds:
            raise SampleTimedOut(f"It took longer than {time_out_seconds:g} s.")
        if previews is not None:
            level = float(pipe.scheduler.sigmas[step + 1])
            previews.step(step + 1, request.sample_steps, kwargs["latents"], level)
        return kwargs

    options: dict[str, Any] = {
        "max_sequence_length": variant.max_sequence_length,
        "text_encoder_out_layers": variant.text_encoder_out_layers,
        "callback_on_step_end": after_step,
    }
    if isinstance(pipeline, Flux2KleinPipeline) and negative_embeds is not None:
        options["negative_prompt_embeds"] = negative_embeds[None].to(device, dtype)
    pipeline.vae.to(device)
    decoding = pipeline.vae.post_quant_conv.register_forward_pre_hook(
        lambda *_: before_decoding() if before_decoding is not None else None
    )
    try:
        result = pipeline(
            image=list(references) or None,
            prompt_embeds=prompt_embeds[None].to(device, dtype),
            height=request.height,
            width=request.width,
            guidance_scale=request.guidance_scale,
            num_inference_steps=request.sample_steps,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            **options,
        )
    except _Stopped:
        return None
    finally:
        decoding.remove()
        pipeline.vae.to("cpu")
    return result.images[0]  # pyright: ignore[reportAttributeAccessIssue]


def write_picture(path: Path, picture: Image.Image, recipe: dict[str, Any]) -> None:
    """Write the PNG with its recipe, whole or not at all."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(RECIPE_CHUNK, json.dumps(recipe, ensure_ascii=False))
    with replacing(path) as temporary:
        picture.save(temporary, pnginfo=chunks)


def read_recipe(path: Path) -> dict[str, Any] | None:
    """The recipe in a picture; None if the file is missing, damaged or carries none."""
    try:
        with Image.open(path) as picture:
            text = picture.info.get(RECIPE_CHUNK)
        return None if text is None else json.loads(text)
    except (OSError, ValueError, SyntaxError):
        return None
