"""Addresses of pictures and files.

A browser keeps a picture for a year, so what an address shows may never change. A row's number
alone does not say what it shows: an empty database that a rescan filled numbers other pictures the
same, as does a copy of an older one. The file's path and the moment it was made do.
"""

from __future__ import annotations

import hashlib
from datetime import datetime


def sample_url(job_id: int, sample_id: int, path: str, made_at: datetime) -> str:
    """Where the picture is read."""
    return f"/api/jobs/{job_id}/samples/{sample_id}/image?v={_version(path, made_at)}"


def thumbnail_url(job_id: int, sample_id: int, path: str, made_at: datetime) -> str:
    """Where a small picture of it is read; `&side=640` for a larger one."""
    return f"/api/jobs/{job_id}/samples/{sample_id}/thumbnail?v={_version(path, made_at)}"


def checkpoint_url(job_id: int, checkpoint_id: int) -> str:
    """Where the LoRA is downloaded."""
    return f"/api/jobs/{job_id}/checkpoints/{checkpoint_id}/file"


def _version(path: str, made_at: datetime) -> str:
    return hashlib.sha256(f"{path} {made_at.timestamp()}".encode()).hexdigest()[:12]
