"""A LoRA added into its base for good: `python -m trainer merge`.

A merged weight is W + strength * (what the LoRA adds), summed in float32 and stored in W's type. In
bfloat16 that rounds away what is below 1/256 of a weight, so a merged model draws nearly, not
exactly, what base and LoRA draw together.

Merging changes neither type nor size of a tensor, so a file's header stays as it is. The file is
copied, and the changed tensors are written over their old bytes in the copy: the memory needed is
one tensor, also for a single file of 64 GB.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from trainer.durable_write import new_folder, replacing
from trainer.errors import BadLora, BadModel, DiskFull
from trainer.fingerprints import file_sha256
from trainer.lora_convert import refuse_existing
from trainer.lora_factors import added_weight
from trainer.lora_reading import StoredLayer, read_lora
from trainer.original_layout import (
    UnknownTensor,
    has_halves_swapped,
    read_header,
    transformer_names,
)
from trainer.versions import running_versions
from trainer.weight_files import weight_files

NOTE_FILE = "darkroom-merge.json"
_MERGEABLE_TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
Factors = Mapping[str, torch.Tensor]
# A layer of the file and which of its parts: 0, 1, 2 for q, k and v that are stored as one.
Part = tuple[StoredLayer, int]


@dataclass(frozen=True)
class Merged:
    """num_layers: of the LoRA, in Diffusers' names. num_tensors: of the base, changed."""

    num_layers: int
    num_tensors: int


def merge_lora(
    model: Path,
    lora: Path,
    output: Path,
    *,
    strength: float,
    progress: Callable[[int, int], None],
) -> Merged:
    """Write `model` with `lora` added at `strength` to `output`, which must not exist.

    model: a folder in Diffusers layout, copied with its transformer changed; or one file, the
    transformer in the reference code's layout or in Diffusers'. progress: tensors done, of all.
    Raises BadLora, BadModel, DiskFull.
    """
    refuse_existing(output)
    source = read_lora(lora)
    source.refuse_faulty()
    layers = {
        name: (stored, part) for stored in source.layers for part, name in enumerate(stored.layers)
    }
    files = _transformer_files(model)
    plan = _plan(files, layers)
    _refuse_full_disk(model, output.parent)

    note = json.dumps(
        {
            "base": model.name,
            "lora": lora.name,
            "lora_sha256": file_sha256(lora),
            "strength": strength,
            "versions": running_versions(),
        },
        ensure_ascii=False,
        indent=1,
    )
    done = 0
    with ExitStack() as stack:
        if model.is_dir():
            target = stack.enter_context(new_folder(output))
            shutil.copytree(model, target, dirs_exist_ok=True)
            (target / NOTE_FILE).write_text(note, encoding="utf-8")
            copies = {file: target / file.relative_to(model) for file in files}
        else:
            copies = {model: stack.enter_context(replacing(output))}
            shutil.copyfile(model, copies[model])
        for file, copy in copies.items():
            for name, parts in plan[file].items():
                _add(file, copy, name, [layers.get(part) for part in parts], strength)
                done += 1
                progress(done, sum(map(len, plan.values())))
    return Merged(len(layers), done)


def _transformer_files(model: Path) -> list[Path]:
    if model.is_file():
        return [model]
    try:
        files = weight_files(model / "transformer")
    except (OSError, ValueError, KeyError) as error:
        raise BadModel(f"{model / 'transformer'} cannot be read: {error}.") from error
    if not files:
        raise BadModel(
            f"There are no transformer weights in {model}.",
            "Give a folder in Diffusers layout, with a folder transformer in it, or one file.",
            code="model_incomplete",
        )
    return files


def _plan(files: list[Path], layers: Mapping[str, Part]) -> dict[Path, dict[str, tuple[str, ...]]]:
    """Which tensors of which file change, each with the layers that it holds, in its rows' order.

    Raises BadLora if the base lacks a layer or has it in another size.
    """
    plan: dict[Path, dict[str, tuple[str, ...]]] = {file: {} for file in files}
    missing = set(layers)
    for file in files:
        try:
            header = read_header(file)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadModel(
                f"{file} cannot be read: {error}.", "Download it again.", code="model_damaged"
            ) from error
        for name, stored in header.items():
            parts = _layers_in(name)
            present = [part for part in parts if part in layers]
            if not present:
                continue
            _refuse_quantized(file, name, stored.dtype)
            rows = stored.shape[0] // len(parts)
            for part in present:
                _refuse_other_size(part, layers[part], (rows, stored.shape[1]))
            plan[file][name] = parts
            missing -= set(present)
    if missing:
        raise BadLora(
            f"The base has no {min(missing)}, which the LoRA changes ({len(missing)} layers are "
            "missing).",
            "The LoRA was made for a larger model: give its own base.",
            code="lora_of_another_base",
            params={"missing": sorted(missing)[:10], "count": len(missing)},
        )
    return plan


def _layers_in(name: str) -> tuple[str, ...]:
    """The layers whose weights a stored tensor is, in Diffusers' names; none for other tensors."""
    try:
        names = transformer_names(name)
    except UnknownTensor:
        names = (name,)
    return tuple(part.removesuffix(".weight") for part in names if part.endswith(".weight"))


def _refuse_quantized(file: Path, name: str, dtype: str) -> None:
    if dtype not in _MERGEABLE_TYPES:
        raise BadModel(
            f"{name} in {file} is stored as {dtype}.",
            "Merge into the unquantized model: BF16, FP16 or FP32.",
            code="model_is_quantized",
            params={"tensor": name, "dtype": dtype},
        )


def _refuse_other_size(layer: str, part: Part, shape: tuple[int, int]) -> None:
    stored, _ = part
    rows, columns = added_shape(stored.factors)
    found = (rows // len(stored.layers), columns)
    if found != shape:
        raise BadLora(
            f"The LoRA's {layer} is for a weight of {list(found)}, and the base has {list(shape)}.",
            "The LoRA was made for another model: give its own base.",
            code="lora_of_another_base",
            params={"layer": layer, "lora": list(found), "base": list(shape)},
        )


def added_shape(factors: Factors) -> tuple[int, int]:
    """(out, in) of the weight that the factors add to."""

    def size(part: str) -> tuple[int, int]:
        if part in factors:
            return factors[part].shape[0], factors[part].shape[1]
        return factors[f"{part}_a"].shape[0], factors[f"{part}_b"].shape[1]

    if "lora_A.weight" in factors:
        return factors["lora_B.weight"].shape[0], factors["lora_A.weight"].shape[1]
    (a, b), (c, d) = size("lokr_w1"), size("lokr_w2")
    return a * c, b * d


def _add(source: Path, copy: Path, name: str, parts: list[Part | None], strength: float) -> None:
    """Write one merged tensor over its place in the copy."""
    with safe_open(source, framework="pt") as file:
        weight: torch.Tensor = file.get_tensor(name)
    rows = weight.shape[0] // len(parts)
    added = torch.cat(
        [torch.zeros(rows, weight.shape[1]) if part is None else _added(part) for part in parts]
    )
    if has_halves_swapped(name):
        added = torch.cat(added.chunk(2)[::-1])
    merged = (weight.float() + strength * added).to(weight.dtype)
    if not merged.isfinite().all():
        raise BadLora(
            f"{name} goes beyond what {weight.dtype} holds at strength {strength:g}.",
            "Lower the strength, or merge into a BF16 or FP32 model.",
            code="merge_not_finite",
            params={"tensor": name, "strength": strength},
        )
    with copy.open("r+b") as file:
        file.seek(_start_of(copy, name))
        file.write(merged.contiguous().view(torch.uint8).numpy().tobytes())


def _added(part: Part) -> torch.Tensor:
    """[out, in] that one layer of the model gains; for q, k and v as one, its third of the rows."""
    stored, third = part
    return added_weight(stored.factors).chunk(len(stored.layers))[third]


def _start_of(path: Path, name: str) -> int:
    """Where a tensor's bytes begin in a safetensors file."""
    with path.open("rb") as file:
        (num_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(num_bytes))
    return 8 + num_bytes + header[name]["data_offsets"][0]


def _refuse_full_disk(model: Path, parent: Path) -> None:
    files = [model] if model.is_file() else [file for file in model.rglob("*") if file.is_file()]
    needed = sum(file.stat().st_size for file in files)
    parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise DiskFull(
            f"The merged model needs {needed / 1e9:.1f} GB, and {parent} has {free / 1e9:.1f} GB.",
            "Make room, or give an --output on another disk.",
            params={"needed_bytes": needed, "free_bytes": free},
        )
