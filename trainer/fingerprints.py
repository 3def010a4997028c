"""What a file or a part of a model *is*, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

# Up to this size a file of weights is read wholly; a larger one is sampled, since the 36 GB of a
# text encoder would take minutes at every start. Two models of one shape that agree in all samples,
# 4 MiB spread over the file, have not been trained apart.
WHOLE_FILE_BYTES = 64 << 20
NUM_SAMPLES = 64
SAMPLE_BYTES = 64 << 10
TENSOR_SAMPLE_BYTES = 4 << 10
# What a configuration says about who saved it and from where changes nothing that it computes.
_IDLE_CONFIG_KEYS = frozenset({"_diffusers_version", "transformers_version", "_name_or_path"})


def file_sha256(path: Path) -> str:
    """The hash of all of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_fingerprint(folder: Path) -> str:
    """The identity of one part of a pipeline (autoencoder, text encoder, tokenizer).

    A hash over the names and contents of its files: configurations without the notes of the
    program that saved them, weights wholly or by samples. A single file is its contents, whatever
    its name. Raises OSError.
    """
    digest = hashlib.sha256()
    if folder.is_file():
        return hashlib.sha256(f"file:{_content_fingerprint(folder)}".encode()).hexdigest()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if path.name.startswith(".") or path.suffix in (".md", ".lock"):
            continue
        digest.update(f"{path.name}:{_content_fingerprint(path)}\n".encode())
    return digest.hexdigest()


def weights_fingerprint(files: list[Path]) -> str:
    """The identity of the weights in safetensors files, whatever these are called.

    A hash over each file's header and the start, middle and end of every tensor in it: a model in
    which one layer was trained on, or had a LoRA merged into it, is another one. That is a few
    thousand reads of 4 KiB for 64 GB of weights. Raises OSError, or ValueError for other files.
    """
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
            if not 2 <= header_bytes <= path.stat().st_size:
                raise ValueError(f"{path} is no safetensors file")
            header = file.read(header_bytes)
            digest.update(hashlib.sha256(header).digest())
            tensors: dict[str, Any] = json.loads(header)
            tensors.pop("__metadata__", None)
            for about in sorted(tensors.values(), key=lambda about: about["data_offsets"]):
                start, end = about["data_offsets"]
                last = max(start, end - TENSOR_SAMPLE_BYTES)
                for offset in (start, (start + last) // 2, last):
                    file.seek(8 + header_bytes + offset)
                    digest.update(file.read(min(TENSOR_SAMPLE_BYTES, end - offset)))
    return digest.hexdigest()


def _content_fingerprint(path: Path) -> str:
    if path.name == "config.json":
        config = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in config.items() if key not in _IDLE_CONFIG_KEYS}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    size_bytes = path.stat().st_size
    if size_bytes <= WHOLE_FILE_BYTES:
        return file_sha256(path)
    digest = hashlib.sha256(str(size_bytes).encode())
    with path.open("rb") as file:
        for sample in range(NUM_SAMPLES):
            file.seek((size_bytes - SAMPLE_BYTES) * sample // (NUM_SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()
