"""Jobs to pack: files as a trainer leaves them, and archives that are made to do harm."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from backend.settings import Settings
from trainer.config import JobConfig
from trainer.job_file import write_job_file
from trainer.job_folder import LORA_FILE, MANIFEST_FILE, RECIPE_CHUNK, JobFolder

Member = tuple[tarfile.TarInfo, bytes]


def make_trained_job(settings: Settings, config: dict[str, Any], steps: tuple[int, ...]) -> None:
    """A job's folder with checkpoints and a sample at each of these steps."""
    job = JobConfig.model_validate(config)
    folder = JobFolder(settings.output_dir, job.job.training_name)
    write_job_file(folder.job_file, job)
    for step in steps:
        save_checkpoint(folder, step)
        draw_sample(folder, step)


def save_checkpoint(folder: JobFolder, step: int) -> None:
    path = folder.checkpoint(step)
    path.mkdir(parents=True)
    files = {LORA_FILE: b"lora of %d" % step * 1000, "state.safetensors": b"state of %d" % step}
    for name, data in files.items():
        (path / name).write_bytes(data)
    written = {
        name: {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    }
    (path / MANIFEST_FILE).write_text(json.dumps({"format": 1, "step": step, "files": written}))


def draw_sample(folder: JobFolder, step: int) -> None:
    recipe = {
        "prompt": "a circle",
        "seed": 42,
        "width": 64,
        "height": 64,
        "guidance_scale": 3.0,
        "sample_steps": 2,
    }
    note = PngImagePlugin.PngInfo()
    note.add_text(RECIPE_CHUNK, json.dumps(recipe))
    path = folder.sample(step, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (step, 0, 0)).save(path, pnginfo=note)


def files_below(root: Path) -> dict[str, bytes]:
    """Every file in a folder; what belongs to caches, locks and the database is left out."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith((".import.lock", "darkroom.db"))
    }


def visible(settings: Settings) -> dict[str, bytes]:
    """What is in the folders of an installation, hidden things included."""
    roots = (settings.output_dir, settings.datasets_dir, settings.models_dir)
    return {
        f"{root.name}/{name}": data
        for root in roots
        for name, data in (files_below(root) if root.exists() else {}).items()
    }


def members_of(bundle: bytes) -> list[Member]:
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        found = archive.getmembers()
        return [(m, f.read() if (f := archive.extractfile(m)) else b"") for m in found]


def packed(members: list[Member]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry, data in members:
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def plain(name: str, data: bytes) -> Member:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    return entry, data


def with_manifest(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The bundle with its manifest changed, and nothing else."""
    members = members_of(bundle)
    manifest = json.loads(members[0][1])
    change(manifest)
    return packed([plain("bundle.json", json.dumps(manifest).encode()), *members[1:]])
