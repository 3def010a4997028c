"""Presets: the settings to begin with, by kind of LoRA, by card and by model.

A preset is a set of values by dotted path; `datasets.*.resolutions` means every dataset of the job.
It never names what is the person's own: Training Name, Trigger Word, datasets, prompts, paths,
seeds. Two tables hold all the numbers: what is learned says how long (KINDS), the card says how
large (TIERS). What both have in common stands in `_EVERYWHERE`.

    tier    cards              batch  rank  resolutions      DOP  Low VRAM, Layer Offloading
    small   below 28 GB          1     16   768, 896         off  on, auto
    medium  below 56 GB          1     32   768, 896, 1024   off  on, off
    large   and more             2     32   1024, 1152       on   off, off

"Off unless out of memory", the guides say of offloading on medium cards: dev at these values takes
35 GB by the memory plan, so on cards of 28 to 35 GB its preset sets auto.

klein models have an eighth to a quarter of dev's weights, so they take the next tier's values.
Below 16 GB dev wants 4 bits or gives way to klein: both are offered by name, not chosen in silence.
The tiny model learns with other numbers altogether and has a preset of its own.

The guides' ranges come along as texts: a preset is one point in them, not a law. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from trainer.variants import VARIANTS, Architecture

GIB = 1 << 30
# Cards report a little less than their name says: a "16 GB" one has 15.6 to 16.0.
_SMALLEST_CARD_FOR_FLOAT8_GB = 16
# What dev takes at the medium tier's values with nothing streamed, by the memory plan, in full GB.
_DEV_UNSTREAMED_GB = 36
EVERY_DATASET = "*"


class Kind(StrEnum):
    """What the LoRA is to learn."""

    STYLE = "style"
    CHARACTER = "character"
    OBJECT = "object"
    EDIT = "edit"


class Tier(StrEnum):
    """How large a card is."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


@dataclass(frozen=True)
class KindRow:
    """images, steps_range, ranks: the guides' (lowest, highest). steps: what the preset sets."""

    label: str
    about: str
    steps: int
    images: tuple[int, int]
    steps_range: tuple[int, int]
    ranks: tuple[int, int]


@dataclass(frozen=True)
class TierRow:
    """below_gb: the first size, as in a card's name, that belongs to the next tier; None: none."""

    label: str
    below_gb: int | None
    batch_size: int
    linear_rank: int
    resolutions: tuple[int, ...]
    preserves: bool
    low_vram: bool
    layer_offloading: str


@dataclass(frozen=True)
class Named:
    """Settings under a name: a preset, an offer or a variant. about: when to take it."""

    key: str
    label: str
    about: str
    settings: Mapping[str, Any]


_CHARACTER = KindRow(
    "Character",
    "A person or figure that stays the same in every picture. Rank 64 for complex identities.",
    steps=2000,
    images=(20, 60),
    steps_range=(1000, 2500),
    ranks=(32, 64),
)

KINDS: dict[Kind, KindRow] = {
    Kind.STYLE: KindRow(
        "Style",
        "How pictures look, whatever they show. At rank 32, 800-1500 steps are often enough.",
        steps=1500,
        images=(15, 30),
        steps_range=(800, 2000),
        ranks=(16, 32),
    ),
    Kind.CHARACTER: _CHARACTER,
    # An object is learned as a character is: something that stays the same.
    Kind.OBJECT: replace(
        _CHARACTER,
        label="Object or brand",
        about="A thing, a product or a mark that is drawn right from every side.",
    ),
    Kind.EDIT: KindRow(
        "Instruction or edit",
        "How to change a picture that is shown: triples of source, target and instruction, with "
        "the sources as Control Datasets.",
        steps=2500,
        images=(50, 200),
        steps_range=(1500, 3000),
        ranks=(32, 64),
    ),
}

TIERS: dict[Tier, TierRow] = {
    Tier.SMALL: TierRow(
        "cards of 16-24 GB",
        below_gb=28,
        batch_size=1,
        linear_rank=16,
        resolutions=(768, 896),
        preserves=False,
        low_vram=True,
        layer_offloading="auto",
    ),
    Tier.MEDIUM: TierRow(
        "cards of 32-48 GB",
        below_gb=56,
        batch_size=1,
        linear_rank=32,
        resolutions=(768, 896, 1024),
        preserves=False,
        low_vram=True,
        layer_offloading="off",
    ),
    Tier.LARGE: TierRow(
        "cards of 64 GB and more",
        below_gb=None,
        batch_size=2,
        linear_rank=32,
        resolutions=(1024, 1152),
        preserves=True,
        low_vram=False,
        layer_offloading="off",
    ),
}

_EVERYWHERE: dict[str, Any] = {
    "quantization.transformer": "float8",
    "quantization.text_encoder": "float8",
    "training.optimizer": "adamw8bit",
    "training.learning_rate": 1e-4,
    "training.weight_decay": 1e-4,
    "training.timestep_type": "weighted",
    "training.timestep_bias": "balanced",
    "training.loss_type": "mse",
    "training.use_ema": False,
    "training.data_type": "bf16",
    "save.data_type": "bf16",
    "save.save_every": 250,
    "save.max_step_saves_to_keep": 4,
    "sample.sample_every": 250,
    "advanced.do_differential_guidance": True,
    "advanced.scale": 3.0,
}

# What examples/tiny-style.yaml learns with in minutes on two CPU cores.
_TINY: dict[str, Any] = {
    "model.low_vram": False,
    "model.layer_offloading": "off",
    "quantization.transformer": "none",
    "quantization.text_encoder": "none",
    "target.linear_rank": 16,
    "training.batch_size": 4,
    "training.steps": 300,
    "training.optimizer": "adamw8bit",
    "training.learning_rate": 2e-3,
    "training.data_type": "fp32",
    "save.save_every": 100,
    "sample.sample_every": 50,
    "advanced.do_differential_guidance": False,
    "datasets.*.resolutions": [128],
}


def in_gb(vram_bytes: int) -> int:
    """A card's memory as its name says it."""
    return round(vram_bytes / GIB)


def tier_of_card(vram_bytes: int) -> Tier:
    """The tier of a card by its memory."""
    for tier, row in TIERS.items():
        if row.below_gb is None or in_gb(vram_bytes) < row.below_gb:
            return tier
    raise AssertionError("the last tier has no end")


def tier_for(architecture: Architecture, vram_bytes: int) -> Tier:
    """The tier whose values the model takes on a card: klein's are those of the next one up."""
    tiers = list(Tier)
    place = tiers.index(tier_of_card(vram_bytes)) + is_klein(architecture)
    return tiers[min(place, len(tiers) - 1)]


def is_klein(architecture: Architecture) -> bool:
    """One of the smaller models, base or distilled."""
    return architecture not in (Architecture.FLUX2_DEV, Architecture.TINY)


def preset_settings(kind: Kind, tier: Tier, architecture: Architecture) -> dict[str, Any]:
    """What the preset sets, by dotted path; for the tiny model the same whatever the kind."""
    if architecture == Architecture.TINY:
        return dict(_TINY)
    row = TIERS[tier]
    return {
        "model.low_vram": row.low_vram,
        "model.layer_offloading": row.layer_offloading,
        "target.linear_rank": row.linear_rank,
        "training.batch_size": row.batch_size,
        "training.steps": KINDS[kind].steps,
        **_EVERYWHERE,
        "regularization.differential_output_preservation": row.preserves,
        "datasets.*.resolutions": list(row.resolutions),
    }


def presets_for(architecture: Architecture, vram_bytes: int | None) -> list[Named]:
    """The presets of a model on a card; the tiny model's only one; none without a card."""
    if architecture == Architecture.TINY:
        return [_tiny_preset()]
    if vram_bytes is None:
        return []
    tier = tier_for(architecture, vram_bytes)
    own: dict[str, Any] = {}
    if architecture == Architecture.FLUX2_DEV and in_gb(vram_bytes) < _DEV_UNSTREAMED_GB:
        own["model.layer_offloading"] = "auto"
    return [
        Named(kind.value, row.label, row.about, preset_settings(kind, tier, architecture) | own)
        for kind, row in KINDS.items()
    ]


def offers_for(architecture: Architecture, vram_bytes: int | None) -> list[Named]:
    """What to choose instead, by name, where the card is too small for the model or missing."""
    if architecture == Architecture.TINY:
        return []
    if vram_bytes is None:
        tiny = _tiny_preset()
        model = {"model.model_architecture": Architecture.TINY.value}
        return [Named(tiny.key, tiny.label, tiny.about, {**model, **tiny.settings})]
    return list(_for_small_cards(architecture)) if is_below_float8(vram_bytes) else []


def is_below_float8(vram_bytes: int) -> bool:
    """Whether a card is too small for dev in float8, whatever is streamed."""
    return in_gb(vram_bytes) < _SMALLEST_CARD_FOR_FLOAT8_GB


def guide_variants(architecture: Architecture) -> list[Named]:
    """Deviations that the guides advise, each a click; none for the tiny model."""
    if architecture == Architecture.TINY:
        return []
    return [
        Named(
            "overshoots",
            "Learning Rate 5e-5",
            "Samples overshoot: colours burn, faces harden. Resume from the last good checkpoint.",
            {"training.learning_rate": 5e-5},
        ),
        Named(
            "overwrites",
            "Learning Rate 7.5e-5, rank 16, preservation on",
            "The LoRA overwrites the base: prompts without the trigger change too.",
            {
                "training.learning_rate": 7.5e-5,
                "target.linear_rank": 16,
                "regularization.differential_output_preservation": True,
            },
        ),
        Named(
            "rings",
            "Differential Guidance 3 to 2",
            "Early samples ring: halos and doubled edges within the first few hundred steps.",
            {"advanced.do_differential_guidance": True, "advanced.scale": 2.0},
        ),
        Named(
            "rings_still",
            "Differential Guidance 2 to 1",
            "They ring at 2 as well. At 1 it is the plain loss.",
            {"advanced.do_differential_guidance": True, "advanced.scale": 1.0},
        ),
    ]


def with_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the config with values set by dotted path; `*` stands for every entry of a list."""
    changed = dict(config)
    for path, value in settings.items():
        changed = _set(changed, path.split("."), value)
    return changed


def _set(node: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    key, *rest = path
    if isinstance(node, list):
        chosen = range(len(node)) if key == EVERY_DATASET else [int(key)]
        return [_set(entry, rest, value) if i in chosen else entry for i, entry in enumerate(node)]
    return {**(node or {}), key: _set((node or {}).get(key), rest, value)}


def _tiny_preset() -> Named:
    return Named(
        "tiny",
        VARIANTS[Architecture.TINY].label,
        "A few minutes on any processor, at 128 px: to try everything out.",
        dict(_TINY),
    )


def _for_small_cards(architecture: Architecture) -> Iterator[Named]:
    label = VARIANTS[architecture].label
    yield Named(
        "four_bits",
        f"{label} in 4 bits",
        "The transformer in NF4: half of float8's memory, 9 % rounding error in place of 2.6 %.",
        {"quantization.transformer": "nf4"},
    )
    for base in (Architecture.KLEIN_BASE_9B, Architecture.KLEIN_BASE_4B):
        if base != architecture:
            yield Named(
                base.value,
                VARIANTS[base].label,
                "A smaller FLUX.2 that this card has room for. Its LoRAs do not fit dev.",
                {"model.model_architecture": base.value},
            )
