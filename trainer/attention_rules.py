"""Where the attention kernels of `attention.py` run, asked before anything loads.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainer.config import JobConfig
from trainer.errors import JobRefused, Problem
from trainer.panels.model import AttentionBackend, ModelPanel

GPU_ONLY: frozenset[AttentionBackend] = frozenset({"efficient", "cudnn"})
# On a GPU these have no kernel for float32; on a CPU flash has one.
HALF_PRECISION_ONLY: frozenset[AttentionBackend] = frozenset({"flash", "cudnn"})
_FIELD = "model.attention_backend"


def refuse_attention_on(device: str, panel: ModelPanel) -> None:
    """Raises JobRefused if the device that was found has no such kernel. device: cpu or cuda."""
    if device == "cpu" and panel.attention_backend in GPU_ONLY:
        raise JobRefused.from_problems([_no_kernel_on_a_cpu(panel.attention_backend)])


def _kernel_is_on_the_device(job: JobConfig) -> Iterator[Problem]:
    backend = job.model.attention_backend
    if job.job.gpu == "cpu":
        if backend in GPU_ONLY:
            yield _no_kernel_on_a_cpu(backend)
    elif backend in HALF_PRECISION_ONLY and job.training.data_type == "fp32":
        yield Problem(
            "attention_needs_bf16",
            f"Attention Backend {backend} computes in 16 bits on a GPU, and Data Type (Training) "
            "is FP32.",
            "Choose auto, efficient or math, or BF16.",
            _FIELD,
            params={"value": backend},
        )


def _no_kernel_on_a_cpu(backend: AttentionBackend) -> Problem:
    return Problem(
        "attention_needs_gpu",
        f"Attention Backend {backend} has no kernel for a CPU.",
        "Choose auto, flash or math, or a GPU.",
        _FIELD,
        params={"value": backend},
    )


ATTENTION_RULES: tuple[Callable[[JobConfig], Iterator[Problem]], ...] = (_kernel_is_on_the_device,)
