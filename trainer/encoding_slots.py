"""Where each tensor of a run lies in the caches: the keys, and so what the numbers depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer.caching import CacheFolders, Slot, content_key
from trainer.config import JobConfig
from trainer.encoded_run import EncodedMask, EncodedPicture, mask_of, pictures_of
from trainer.encoding_passes import pictures_per_pass, prompts_per_pass
from trainer.errors import BadDataset, BadModel
from trainer.file_memory import FileMemory
from trainer.fingerprints import part_fingerprint
from trainer.folders import Folders
from trainer.model_parts import local_parts
from trainer.parallel import WORKING_THREADS, in_threads
from trainer.quantization_kinds import KINDS
from trainer.texts import texts_of_run
from trainer.training_items import TrainingItem

# A change to how pictures are scaled or prompts are prepared gives every tensor a new key.
RECIPE_VERSION = 1


def picture_slots(
    job: JobConfig,
    folders: Folders,
    items: Sequence[TrainingItem],
    caches: CacheFolders,
    memory: FileMemory,
    *,
    device: str,
    tick: Callable[[int, int, str], None],
) -> tuple[dict[EncodedPicture, Slot], dict[EncodedMask, Slot]]:
    """Slots for all pictures and references, each way they may lie, and for all masks.

    tick: called with (files read, files in all, what is done). Raises BadDataset, BadModel.
    """
    pictures = list(dict.fromkeys(key for item in items for key in pictures_of(item)))
    masks = list(dict.fromkeys(key for item in items if (key := mask_of(item)) is not None))
    hashes = _hashes([key.path for key in (*pictures, *masks)], memory, tick)
    made_with = {
        "recipe": RECIPE_VERSION,
        "autoencoder": _fingerprint(local_parts(job.model, folders).autoencoder),
        "data_type": job.model.vae_data_type,
        "device": device,
        "versions": {name: version(name) for name in ("torch", "diffusers", "pillow")},
    }
    return (
        {
            key: caches.slot(
                "references" if key.is_reference else "latents",
                content_key(
                    picture=hashes[key.path],
                    size=key.size,
                    **_ways_of(key),
                    **_in_passes_of(
                        pictures_per_pass(job.training.encoding_batch_size, key.size, device=device)
                    ),
                    **made_with,
                ),
                shared=key.is_kept,
            )
            for key in pictures
        },
        {
            key: caches.slot(
                "masks",
                content_key(
                    mask=hashes[key.path],
                    picture_size=key.picture_size,
                    size=key.size,
                    recipe=RECIPE_VERSION,
                    pillow=version("pillow"),
                ),
                shared=key.is_kept,
            )
            for key in masks
        },
    )


def prompt_slots(
    job: JobConfig,
    folders: Folders,
    items: Sequence[TrainingItem],
    caches: CacheFolders,
    *,
    device: str,
) -> dict[str, Slot]:
    """Slots for every text that the run can need. Raises BadModel."""
    parts, variant = local_parts(job.model, folders), job.variant
    packages = ["torch", "diffusers", "transformers"]
    package = KINDS[job.quantization.text_encoder].package
    if package is not None:
        packages.append(package)
    made_with = {
        "recipe": RECIPE_VERSION,
        "text_encoder": _fingerprint(parts.text_encoder),
        "tokenizer": _fingerprint(parts.tokenizer),
        "pipeline": variant.pipeline_class,
        "out_layers": variant.text_encoder_out_layers,
        "max_sequence_length": variant.max_sequence_length,
        "quantization": job.quantization.text_encoder,
        "data_type": job.training.data_type,
        "device": device,
        "versions": {name: version(name) for name in packages},
        **_in_passes_of(
            prompts_per_pass(
                job.training.encoding_batch_size, variant.max_sequence_length, device=device
            )
        ),
    }
    return {
        text: caches.slot(
            "prompts",
            content_key(text=text, **made_with),
            shared=job.training.cache_text_embeddings,
        )
        for text in texts_of_run(job, items)
    }


def _hashes(
    paths: Sequence[Path], memory: FileMemory, tick: Callable[[int, int, str], None]
) -> dict[Path, str]:
    distinct = list(dict.fromkeys(paths))
    hashes: dict[Path, str] = {}
    try:
        with closing(in_threads(memory.sha256, distinct, WORKING_THREADS)) as found:
            for path, sha256 in zip(distinct, found, strict=True):
                hashes[path] = sha256
                tick(len(hashes), len(distinct), "reading pictures")
    except OSError as error:
        raise BadDataset(
            f"{error.filename} cannot be read: {error.strerror}.",
            "It was there when the job was checked: put it back, or start the job again.",
            code="picture_vanished",
            field="datasets",
        ) from error
    return hashes


def _ways_of(key: EncodedPicture) -> dict[str, Any]:
    """What else tells one encoding of a picture from another."""
    ways: dict[str, Any] = {"flip": key.flip} if key.flip else {}
    return ways | ({"reference": True} if key.is_reference else {})


def _in_passes_of(number: int) -> dict[str, Any]:
    return {"per_pass": number} if number > 1 else {}


def _fingerprint(part: Path) -> str:
    try:
        return part_fingerprint(part)
    except (OSError, ValueError) as error:
        raise BadModel(
            f"{part} cannot be read: {error}.",
            "The download is incomplete or damaged: download the folder again.",
            field="model.name_or_path",
        ) from error
