"""Read a LoRA file of any program, or say by name why it cannot be used.

Whatever the file's names, what comes out is Diffusers' layers with alpha / rank multiplied in.
Only safetensors files are read: a pickle can run code while it loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open

from trainer.errors import BadLora
from trainer.lora_factors import (
    LORA_A,
    LORA_B,
    added_norm,
    scaled,
    split_in_three,
    with_swapped_halves,
)
from trainer.lora_header import METADATA_PREFIX, refuse_unreadable
from trainer.lora_keys import (
    ALPHA,
    AdapterKind,
    KeyStyle,
    LayerKey,
    adapter_kind,
    has_halves_swapped,
    key_style,
    parse_key,
)


@dataclass(frozen=True)
class StoredLayer:
    """One layer of the file, alpha / rank multiplied in, its rows in Diffusers' order.

    name: the file's own. layers: Diffusers' names: one, or q, k and v together. alpha: the file's,
    None where it carries none. dtypes: of its tensors.
    """

    name: str
    layers: tuple[str, ...]
    factors: Mapping[str, torch.Tensor]
    alpha: float | None
    dtypes: frozenset[torch.dtype]

    @property
    def is_finite(self) -> bool:
        return all(bool(value.isfinite().all()) for value in self.factors.values())

    @property
    def norm(self) -> float:
        """The Frobenius norm of what the layer adds to its weight."""
        return added_norm(self.factors)


@dataclass(frozen=True)
class LoraFile:
    """What is in a file.

    unmapped: keys that are no FLUX.2 layer's, or lack their other half. metadata: all of it, as
    the file has it.
    """

    path: Path
    kind: AdapterKind
    style: KeyStyle | Literal["mixed"]
    layers: tuple[StoredLayer, ...]
    unmapped: tuple[str, ...]
    metadata: Mapping[str, str]

    @property
    def own_metadata(self) -> dict[str, str]:
        """Our own metadata without its prefix; empty for another program's file."""
        return {
            key.removeprefix(METADATA_PREFIX): value
            for key, value in self.metadata.items()
            if key.startswith(METADATA_PREFIX)
        }

    def values(self) -> dict[str, torch.Tensor]:
        """The factors by `layer.factor` in Diffusers' names, q, k and v apart.

        Raises BadLora if the file holds what cannot be used: unmapped keys, numbers that are not
        finite, or a LoKr of q, k and v together that cannot be cut in three.
        """
        self.refuse_faulty()
        values: dict[str, torch.Tensor] = {}
        for stored in self.layers:
            split = [stored.factors] if len(stored.layers) == 1 else split_in_three(stored.factors)
            if split is None:
                raise BadLora(
                    f"{stored.name} in {self.path} is one LoKr over q, k and v, which cannot be "
                    "cut in three.",
                    "Use it in a program that fuses q, k and v, or merge it into a base.",
                    code="lora_cannot_be_split",
                    params={"layer": stored.name},
                )
            for layer, factors in zip(stored.layers, split, strict=True):
                for factor, value in (factors or {}).items():
                    values[f"{layer}.{factor}"] = value
        return values

    def refuse_faulty(self) -> None:
        """Raises BadLora for unmapped keys and for numbers that are not finite."""
        if self.unmapped:
            raise BadLora(
                f"{len(self.unmapped)} keys of {self.path} belong to no FLUX.2 layer, the first is "
                f"{self.unmapped[0]!r}.",
                "It was made for another model, or is of a kind that Darkroom does not read (DoRA, "
                "LoHa, text encoders).",
                code="lora_unmapped_keys",
                params={"keys": list(self.unmapped[:10]), "count": len(self.unmapped)},
            )
        faulty = [stored.name for stored in self.layers if not stored.is_finite]
        if faulty:
            raise BadLora(
                f"{len(faulty)} layers of {self.path} hold values that are not numbers, the first "
                f"is {faulty[0]}.",
                "Its training went wrong: take an earlier checkpoint.",
                code="lora_not_finite",
                params={"layers": faulty[:10], "count": len(faulty)},
            )


def read_lora(path: Path) -> LoraFile:
    """The file's contents on the CPU. Raises BadLora if there is no LoRA in it to speak of."""
    refuse_unreadable(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise BadLora(
            f"{path} cannot be read: {error}.",
            "It is damaged or cut short: copy or download it again.",
            code="lora_damaged",
            params={"path": str(path)},
        ) from error

    parsed = {key: parse_key(key) for key in tensors}
    found = {key: layer for key, layer in parsed.items() if layer is not None}
    kind = adapter_kind(found.values())
    if kind is None:
        raise BadLora(
            f"{path} holds no LoRA of FLUX.2 and no LoKr, or both at once; its first key is "
            f"{next(iter(tensors), 'missing')!r}.",
            "Give a LoRA file of a FLUX.2 model: one with lora_A and lora_B, lora_down and "
            "lora_up, or lokr_w1 and lokr_w2.",
            code="not_a_lora",
            params={"path": str(path)},
        )
    layers, halves = _stored_layers(found, tensors)
    return LoraFile(
        path=path,
        kind=kind,
        style=key_style(found.values()),
        layers=tuple(layers),
        unmapped=tuple(sorted({key for key in tensors if parsed[key] is None} | halves)),
        metadata=metadata,
    )


def _stored_layers(
    keys: Mapping[str, LayerKey], tensors: Mapping[str, torch.Tensor]
) -> tuple[list[StoredLayer], set[str]]:
    """The whole layers, and the keys of those that lack a factor."""
    by_stem: dict[str, dict[str, str]] = {}
    for key, parsed in keys.items():
        by_stem.setdefault(parsed.stem, {})[parsed.factor] = key
    layers: list[StoredLayer] = []
    halves: set[str] = set()
    for stem, names in by_stem.items():
        factors = {factor: tensors[key] for factor, key in names.items() if factor != ALPHA}
        has_odd_alpha = ALPHA in names and tensors[names[ALPHA]].numel() != 1
        if has_odd_alpha or not _is_whole(factors):
            halves |= set(names.values())
            continue
        alpha = float(tensors[names[ALPHA]]) if ALPHA in names else None
        dtypes = frozenset(value.dtype for value in factors.values())
        key = keys[next(iter(names.values()))]
        if key.is_original and has_halves_swapped(key.layers[0]):
            factors = with_swapped_halves(factors)
        layers.append(
            StoredLayer(
                name=stem,
                layers=key.layers,
                factors=_with_alpha(factors, alpha),
                alpha=alpha,
                dtypes=dtypes,
            )
        )
    return layers, halves


def _is_whole(factors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the factors multiply: both of a LoRA, or both parts of a LoKr, of fitting shapes."""
    if any(value.ndim != 2 or not value.numel() for value in factors.values()):
        return False
    if factors.keys() == {LORA_A, LORA_B}:
        return factors[LORA_B].shape[1] == factors[LORA_A].shape[0]
    parts = 0
    for part in ("lokr_w1", "lokr_w2"):
        names = {name for name in factors if name.startswith(part)}
        if names == {f"{part}_a", f"{part}_b"}:
            if factors[f"{part}_a"].shape[1] != factors[f"{part}_b"].shape[0]:
                return False
        elif names != {part}:
            return False
        parts += len(names)
    return parts == len(factors)


def _with_alpha(
    factors: Mapping[str, torch.Tensor], alpha: float | None
) -> dict[str, torch.Tensor]:
    """alpha / rank multiplied in; a LoKr of two full matrices has no rank and ignores its alpha, as
    in LyCORIS, where the tensor is written all the same.
    """
    ranked = next((n for n in (LORA_A, "lokr_w2_b", "lokr_w1_b") if n in factors), None)
    if alpha is None or ranked is None:
        return dict(factors)
    plain = {name: value.float() for name, value in factors.items()}
    return scaled(plain, alpha / factors[ranked].shape[0])
