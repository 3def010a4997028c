"""The largest share of a model's blocks that may stay on the card: what *auto* offloading means.

Every block that stays is one transfer less a step, so as many stay as the memory plan has room for:
in each phase that holds the transformer (load, train, sample, save) its peak must be within the
card. Text encoder and transformer are never on the card together and have a share each. Low VRAM
streams all of the text encoder, whatever the card has room for. Imports no torch.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from trainer.config import JobConfig
from trainer.memory_plan import PhaseName, plan_memory
from trainer.memory_workload import Workload
from trainer.model_shapes import ModelShapes

_WITH_TRANSFORMER: tuple[PhaseName, ...] = ("load", "train", "sample", "save")
_WITH_TEXT_ENCODER: tuple[PhaseName, ...] = ("encode_texts",)


def settled(
    job: JobConfig, shapes: ModelShapes, workload: Workload, vram_bytes: int | None
) -> JobConfig:
    """The job with Layer Offloading on or off where it says auto; unchanged where it does not.

    vram_bytes: of the card; without one there is nothing to take weights off.
    """
    if job.model.layer_offloading != "auto":
        return job
    if vram_bytes is None:
        return with_model(job, layer_offloading="off")
    transformer = transformer_percent(job, shapes, workload, vram_bytes)
    text_encoder = None
    if not job.model.low_vram:
        text_encoder = text_encoder_percent(job, shapes, workload, vram_bytes)
    return with_model(
        job,
        layer_offloading="on",
        transformer_offload_percent=100.0 if transformer is None else transformer,
        text_encoder_offload_percent=100.0 if text_encoder is None else text_encoder,
    )


def transformer_percent(
    job: JobConfig, shapes: ModelShapes, workload: Workload, vram_bytes: int
) -> float | None:
    """The smallest Transformer Offload % that fits; None if even 100 does not."""
    num_blocks = shapes.transformer.num_blocks
    return _smallest_percent(
        job, shapes, workload, vram_bytes, "transformer", num_blocks, _WITH_TRANSFORMER
    )


def text_encoder_percent(
    job: JobConfig, shapes: ModelShapes, workload: Workload, vram_bytes: int
) -> float | None:
    """The smallest Text Encoder Offload % that fits; None if even 100 does not."""
    num_layers = shapes.text_encoder.layer.count
    return _smallest_percent(
        job, shapes, workload, vram_bytes, "text_encoder", num_layers, _WITH_TEXT_ENCODER
    )


def with_model(job: JobConfig, **settings: Any) -> JobConfig:
    """The job with settings of its Model panel changed."""
    return job.model_copy(update={"model": job.model.model_copy(update=settings)})


def _smallest_percent(
    job: JobConfig,
    shapes: ModelShapes,
    workload: Workload,
    vram_bytes: int,
    part: str,
    num_blocks: int,
    phases: tuple[PhaseName, ...],
) -> float | None:
    def percent_of(num_streamed: int) -> float:
        # To a tenth, which is less than half a block of any model.
        return round(100 * num_streamed / num_blocks, 1)

    def fits(num_streamed: int) -> bool:
        percent = {f"{part}_offload_percent": percent_of(num_streamed)}
        tried = with_model(job, layer_offloading="on", **percent)
        plan = plan_memory(tried, shapes, workload, on_gpu=True)
        return all(phase.vram_bytes <= vram_bytes for phase in plan.phases if phase.phase in phases)

    if fits(0):
        return 0.0
    if not fits(num_blocks):
        return None
    most = bisect_left(range(1, num_blocks), True, key=fits) + 1
    # More blocks may be a little more memory, where the first double block among them makes the
    # places for streamed blocks larger: look just below.
    return percent_of(next(few for few in range(max(1, most - 3), most + 1) if fits(few)))
