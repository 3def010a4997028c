"""What a job writes to the disk, by the folder that it goes to.

What is there already is not taken off: a cache that holds the pictures, an output folder with
checkpoints of an earlier run. So these are the most that can be asked for; whether a disk has room
for what is still to be written says `disk_room.py`. Imports no torch.

Legend: n = numbers of the LoRA.

    latents, prompts   numbers x bytes of their type; dev's prompts 15.7 MB each
    weights            the quantized transformer and text encoder, kept for the next start
    a checkpoint       the LoRA in Save's type, 4 n in full precision (8 n with EMA), the optimizer
    a sample           2.5 bytes a pixel: PNG takes about a sixth off a photograph
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from trainer.config import JobConfig
from trainer.disk_places import Folder
from trainer.memory_sizes import (
    DTYPE_BYTES,
    FLOAT32_BYTES,
    optimizer_bytes,
    resident_weight_bytes,
    text_encoder_bytes,
    trained_tensors,
)
from trainer.memory_workload import Workload
from trainer.model_shapes import ModelShapes

SAMPLE_BYTES_PER_PX = 2.5


@dataclass(frozen=True)
class DiskPart:
    """Something that a job writes. key: a stable name."""

    key: str
    label: str
    num_bytes: int
    folder: Folder


def plan_disk(
    job: JobConfig, shapes: ModelShapes, workload: Workload, *, has_to_download: bool
) -> tuple[DiskPart, ...]:
    """What the job writes. has_to_download: its model is not on this machine."""
    parts = [
        *(_downloads(shapes) if has_to_download else []),
        *_caches(job, shapes, workload),
        *_output(job, shapes, workload),
    ]
    return tuple(part for part in parts if part.num_bytes > 0)


def disk_bytes(parts: tuple[DiskPart, ...], folder: Folder) -> int:
    """Of all that goes to a folder."""
    return sum(part.num_bytes for part in parts if part.folder == folder)


def _downloads(shapes: ModelShapes) -> list[DiskPart]:
    """The models lie on the hub in bf16, the autoencoder in float32."""
    return [
        DiskPart("transformer", "transformer", shapes.transformer.parameters * 2, "models"),
        DiskPart("text_encoder", "text encoder", shapes.text_encoder.all_parameters * 2, "models"),
        DiskPart("autoencoder", "autoencoder", shapes.autoencoder.parameters * 4, "models"),
    ]


def _caches(job: JobConfig, shapes: ModelShapes, workload: Workload) -> list[DiskPart]:
    dtype_bytes = DTYPE_BYTES[job.training.data_type]
    latents = (
        workload.latent_numbers * DTYPE_BYTES[job.model.vae_data_type]
        + workload.mask_numbers * FLOAT32_BYTES
    )
    prompt = job.variant.max_sequence_length * shapes.transformer.prompt_width * dtype_bytes
    kinds = job.quantization
    weights = 0
    if kinds.keep_on_disk and kinds.transformer != "none":
        weights += resident_weight_bytes(shapes.transformer, kinds.transformer, dtype_bytes, ())
    if kinds.keep_on_disk and kinds.text_encoder != "none":
        weights += text_encoder_bytes(shapes.text_encoder, kinds.text_encoder, dtype_bytes)
    return [
        DiskPart("latents", "encoded pictures", latents, "cache"),
        DiskPart(
            "prompts",
            f"{workload.num_prompts} encoded prompts",
            workload.num_prompts * prompt,
            "cache",
        ),
        DiskPart("weights", "quantized weights", weights, "cache"),
    ]


def _output(job: JobConfig, shapes: ModelShapes, workload: Workload) -> list[DiskPart]:
    tensors = trained_tensors(job, shapes.transformer)
    count, training, save = sum(map(prod, tensors)), job.training, job.save
    file = count * DTYPE_BYTES[save.data_type]
    state = count * FLOAT32_BYTES * (2 if training.use_ema else 1)
    checkpoint = file + state + optimizer_bytes(training.optimizer, tensors)
    num_saves = -(-training.steps // save.save_every)
    # The next one is whole before the oldest goes.
    num_kept = min(num_saves, save.max_step_saves_to_keep + 1)
    num_rounds = -(-training.steps // job.sample_every) + int(job.sample.first_sample_at_step_0)
    area_px = _sample_area_px(job)
    return [
        DiskPart("checkpoints", f"{num_kept} checkpoints", num_kept * checkpoint, "output"),
        DiskPart("result", "the finished LoRA", file, "output"),
        DiskPart(
            "samples",
            f"{num_rounds * len(job.sample.prompts)} samples",
            int(num_rounds * area_px * SAMPLE_BYTES_PER_PX),
            "output",
        ),
    ]


def _sample_area_px(job: JobConfig) -> int:
    """Of one round of all prompts."""
    side = job.variant.sample_side_px
    return sum(
        (prompt.width or job.sample.width or side) * (prompt.height or job.sample.height or side)
        for prompt in job.sample.prompts
    )
