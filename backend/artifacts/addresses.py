"""Addresses of pictures and files."""

from __future__ import annotations


def sample_url(job_id: int, sample_id: int) -> str:
    """Where the picture is read."""
    return f"/api/jobs/{job_id}/samples/{sample_id}/image"


def thumbnail_url(job_id: int, sample_id: int) -> str:
    """Where a small picture of it is read; `?side=640` for a larger one."""
    return f"/api/jobs/{job_id}/samples/{sample_id}/thumbnail"


def checkpoint_url(job_id: int, checkpoint_id: int) -> str:
    """Where the LoRA is downloaded."""
    return f"/api/jobs/{job_id}/checkpoints/{checkpoint_id}/file"
