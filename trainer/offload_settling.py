"""What Layer Offloading's *auto* comes to on the card that a run has, at the moment it starts.

The memory plan says how many blocks may stay (`offload_shares.py`). The form and the door reckon
with a card's whole size; a run knows better and takes what is free, so that a desktop's gigabyte
does not cost it its first step. The job goes on saying *auto*: a checkpoint that moves to another
card is settled there anew, and results do not depend on it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.folders import Folders
from trainer.machine import free_vram_bytes, machine_at_hand
from trainer.memory_plan import CUDA_BYTES
from trainer.memory_workload import workload_of
from trainer.model_shapes import shapes_of
from trainer.offload_shares import settled

logger = logging.getLogger(__name__)


def settle_offloading(
    job: JobConfig, indexes: Sequence[DatasetIndex], folders: Folders, *, device: str
) -> JobConfig:
    """The job as its models are to be loaded here: with shares in the place of *auto*.

    device: "cuda" or "cpu", where there is nothing to take weights off.
    """
    if job.model.layer_offloading != "auto":
        return job
    vram_bytes = usable_vram_bytes(job.job.gpu) if device == "cuda" else None
    workload = workload_of(job, indexes, on_gpu=vram_bytes is not None)
    found = settled(job, shapes_of(job.model, folders), workload, vram_bytes)
    logger.info(
        "Layer Offloading streams %g %% of the transformer and %g %% of the text encoder.",
        found.model.percent_streamed,
        found.model.percent_of_encoder_streamed,
    )
    return found


def usable_vram_bytes(gpu: str) -> int | None:
    """What a run may fill of its card, as the plan counts, with CUDA's own; None without a card."""
    card = machine_at_hand(gpu).vram_bytes
    if card is None:
        return None
    # Not through torch: its context would stay beside that of the child that encodes, and the plan
    # of those phases counts one.
    free = free_vram_bytes(gpu)
    if free is None:
        free = torch.cuda.mem_get_info()[0] + CUDA_BYTES  # CUDA's own is there by then
    return min(card, free)
