"""Is a single file the transformer or the autoencoder that the job says? Reads its header only."""

from __future__ import annotations

from pathlib import Path

from trainer.errors import Problem
from trainer.original_layout import (
    StoredTensor,
    UnknownTensor,
    is_original_autoencoder,
    is_original_transformer,
    read_header,
    transformer_config,
    transformer_names,
)
from trainer.variants import Variant

_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


def transformer_file_problems(file: Path, variant: Variant) -> list[Problem]:
    """What keeps a single file from being used as the variant's transformer."""
    field = "model.name_or_path"
    tensors, problem = _header(file, field)
    if problem:
        return [problem]
    if not is_original_transformer(tensors):
        return [
            Problem(
                "model_of_another_kind",
                f"{file} is no FLUX.2 transformer in the original layout.",
                "Give a file such as flux2-dev.safetensors. Weights in Diffusers layout want "
                "their whole folder, the one with model_index.json in it.",
                field,
            )
        ]
    strange = _quantized(tensors)
    if strange:
        return [
            Problem(
                "model_quantized",
                f"{file.name} is quantized by another program: {strange}.",
                "Give the file in bf16; Quantization stores it in 8 bits here.",
                field,
                params={"tensor": strange},
            )
        ]
    config = transformer_config(tensors)
    found = (config["num_layers"], config["num_single_layers"])
    expected = (variant.num_double_blocks, variant.num_single_blocks)
    # dev and klein 9B have as many double blocks; guidance tells apart what counts do not.
    has_guidance = variant.training_guidance is not None
    if found == expected and config["guidance_embeds"] == has_guidance:
        return []
    return [
        Problem(
            "model_of_another_size",
            f"The transformer in {file} has {found[0]} double and {found[1]} single blocks and "
            f"{'a' if config['guidance_embeds'] else 'no'} guidance embedding; {variant.label} has "
            f"{expected[0]} and {expected[1]} and {'one' if has_guidance else 'none'}.",
            "Choose the Model Architecture that the file holds, or another file.",
            field,
            params={"found": list(found), "expected": list(expected)},
        )
    ]


def autoencoder_file_problems(file: Path) -> list[Problem]:
    """What keeps a single file from being used as the autoencoder."""
    field = "model.autoencoder_path"
    tensors, problem = _header(file, field)
    if problem:
        return [problem]
    if is_original_autoencoder(tensors):
        return []
    return [
        Problem(
            "autoencoder_of_another_kind",
            f"{file} is no FLUX.2 autoencoder in the original layout.",
            "Give FLUX.2's ae.safetensors (that of FLUX.1 does not fit), or a folder in Diffusers "
            "layout.",
            field,
        )
    ]


def _header(file: Path, field: str) -> tuple[dict[str, StoredTensor], Problem | None]:
    try:
        return read_header(file), None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {}, Problem(
            "model_damaged",
            f"{file} cannot be read: {error}.",
            "It has to be a whole .safetensors file: download it again.",
            field,
        )


def _quantized(tensors: dict[str, StoredTensor]) -> str | None:
    """The first tensor that only means something together with a scale, in words."""
    for name, tensor in tensors.items():
        if tensor.dtype not in _FLOATS:
            return f"{name} is stored as {tensor.dtype}"
        try:
            transformer_names(name)
        except UnknownTensor:
            if "scale" in name.rpartition(".")[2]:
                return f"it holds {name}"
    return None
