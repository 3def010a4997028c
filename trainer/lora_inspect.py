"""What is in a LoRA file: `python -m trainer inspect FILE`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.errors import Problem, Severity
from trainer.lora_factors import rank_of
from trainer.lora_reading import LoraFile, StoredLayer, read_lora
from trainer.variants import VARIANTS

_BLOCK = re.compile(r"^(single_)?transformer_blocks\.(\d+)\.")


@dataclass(frozen=True)
class Inspection:
    """What a LoRA file is and says of itself.

    ranks: of the file's layers, None for a LoKr of two full matrices. alphas: the file's alpha
    tensors; a file without any has alpha multiplied in. fits: architectures whose block counts it
    has. metadata: ours; empty for another program's file. norms: what each of the file's layers
    adds, as a Frobenius norm.
    """

    file: str
    size_bytes: int
    kind: str
    style: str
    num_layers: int
    dtypes: list[str]
    ranks: list[int | None]
    alphas: list[float]
    fits: list[str]
    metadata: dict[str, str]
    other_metadata: dict[str, str]
    norm: float
    norms: dict[str, float]
    problems: list[Problem]

    def as_json(self) -> str:
        """Everything as one JSON object; the recipe as an object in it."""
        about: dict[str, Any] = asdict(self)
        for key in ("job", "versions", "started_from"):
            if key in about["metadata"]:
                about["metadata"][key] = json.loads(about["metadata"][key])
        return json.dumps(about, ensure_ascii=False, indent=1)

    def as_text(self) -> str:
        """A page for a person."""
        told = self.metadata
        rows = [
            ("file", f"{self.file} ({self.size_bytes / 1e6:.1f} MB)"),
            ("kind", {"lora": "LoRA", "lokr": "LoKr"}[self.kind]),
            ("format", self.style),
            ("layers", str(self.num_layers)),
            ("data type", ", ".join(self.dtypes)),
            ("rank", ", ".join("full" if rank is None else str(rank) for rank in self.ranks)),
            ("alpha", _alpha_text(self.alphas, told)),
            ("fits", ", ".join(self.fits) or "no architecture that Darkroom knows"),
            ("base model", told.get("base_model", "not told")),
            ("trigger word", told.get("trigger_word") or "none told"),
            ("step", told.get("step", "not told")),
            ("recipe", "in the file (--json shows it)" if "job" in told else "not told"),
            ("norm", f"{self.norm:.4g}"),
        ]
        width = max(len(label) for label, _ in rows)
        lines = [f"{label:<{width}}  {value}" for label, value in rows]
        lines += ["", "norm of each layer"]
        lines += [f"  {norm:10.4g}  {name}" for name, norm in self.norms.items()]
        if self.problems:
            lines += ["", "problems"]
            lines += [f"  {problem.severity.value}: {problem}" for problem in self.problems]
        return "\n".join(lines)


def inspect_lora(path: Path) -> Inspection:
    """Raises BadLora if there is no LoRA in the file; what is wrong with one is in `problems`."""
    file = read_lora(path)
    own = file.own_metadata
    norms = {layer.name: layer.norm for layer in file.layers}
    ranks = {rank_of(layer.factors) for layer in file.layers}
    return Inspection(
        file=path.name,
        size_bytes=path.stat().st_size,
        kind=file.kind,
        style=file.style,
        num_layers=sum(len(layer.layers) for layer in file.layers),
        dtypes=sorted({str(t).removeprefix("torch.") for x in file.layers for t in x.dtypes}),
        ranks=sorted(ranks, key=lambda rank: -1 if rank is None else rank),
        alphas=sorted({layer.alpha for layer in file.layers if layer.alpha is not None}),
        fits=fitting_architectures(file.layers),
        metadata=own,
        other_metadata={k: v for k, v in file.metadata.items() if not k.startswith("darkroom.")},
        norm=sum(norm**2 for norm in norms.values()) ** 0.5,
        norms=norms,
        problems=_problems(file),
    )


def fitting_architectures(layers: Sequence[StoredLayer]) -> list[str]:
    """The architectures that have exactly as many blocks as the LoRA reaches; where it reaches
    fewer than any has, all that have enough.
    """
    matches = [_BLOCK.match(name) for layer in layers for name in layer.layers]

    def count(single: bool) -> int:
        return 1 + max((int(m[2]) for m in matches if m and bool(m[1]) == single), default=-1)

    needed = (count(single=False), count(single=True))
    sizes = {
        architecture.value: (variant.num_double_blocks, variant.num_single_blocks)
        for architecture, variant in VARIANTS.items()
    }
    exact = [name for name, size in sizes.items() if size == needed]
    enough = [n for n, size in sizes.items() if size[0] >= needed[0] and size[1] >= needed[1]]
    return exact or enough


def _alpha_text(alphas: Sequence[float], told: dict[str, str]) -> str:
    if alphas:
        return ", ".join(f"{alpha:g}" for alpha in alphas)
    original = f" (trained with {told['alpha']})" if "alpha" in told else ""
    return f"multiplied in{original}"


def _problems(file: LoraFile) -> list[Problem]:
    problems: list[Problem] = []
    if file.unmapped:
        problems.append(
            Problem(
                "lora_unmapped_keys",
                f"{len(file.unmapped)} keys belong to no FLUX.2 layer: "
                f"{', '.join(file.unmapped[:3])}.",
                "Programs will ignore or refuse them.",
                params={"keys": list(file.unmapped)},
            )
        )
    faulty = [layer.name for layer in file.layers if not layer.is_finite]
    if faulty:
        problems.append(
            Problem(
                "lora_not_finite",
                f"{len(faulty)} layers hold values that are not numbers: {', '.join(faulty[:3])}.",
                "Its training went wrong: take an earlier checkpoint.",
                params={"layers": faulty},
            )
        )
    if not faulty and not any(layer.norm for layer in file.layers):
        problems.append(
            Problem(
                "lora_changes_nothing",
                "It adds nothing to any weight.",
                "It has not been trained, or its type is too coarse for what it learned.",
                severity=Severity.WARNING,
            )
        )
    if any("norm_out.linear" in layer.layers for layer in file.layers):
        problems.append(
            Problem(
                "lora_on_final_modulation",
                "It changes the final layer's modulation, whose halves programs order differently.",
                "Expect Diffusers and ComfyUI to draw different pictures with it.",
                severity=Severity.WARNING,
            )
        )
    return problems
