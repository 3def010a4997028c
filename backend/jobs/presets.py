"""Presets over HTTP: what to begin with for a model on a card, and which card that is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from backend.db.engine import Database
from backend.dependencies import DatabaseOf, SettingsOf
from backend.errors import error_responses
from backend.jobs.machines import machines_for
from backend.settings import Settings
from trainer.presets import (
    KINDS,
    TIERS,
    Kind,
    Named,
    Tier,
    guide_variants,
    in_gb,
    is_klein,
    offers_for,
    presets_for,
    tier_for,
)
from trainer.variants import VARIANTS, Architecture

router = APIRouter(tags=["jobs"])


class NamedSettings(BaseModel):
    """Settings under a name, by dotted path; `datasets.*` means every dataset of the job."""

    key: str
    label: str
    about: str
    settings: dict[str, Any]


class Span(BaseModel):
    """A range of the guides, its ends included."""

    lowest: int
    highest: int


class KindOfLora(BaseModel):
    """What the guides say of a kind."""

    key: Kind
    label: str
    images: Span
    steps: Span
    ranks: Span


class Presets(BaseModel):
    """What to begin with. `card` is None without one; the tier is then unknown too."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "card": "NVIDIA GeForce RTX 4090",
                "vram_bytes": 25_757_220_864,
                "tier": "small",
                "reason": "NVIDIA GeForce RTX 4090 has 24 GB: values for cards of 16-24 GB.",
                "presets": [
                    {
                        "key": "style",
                        "label": "Style",
                        "about": "How pictures look, whatever they show.",
                        "settings": {"training.steps": 1500, "target.linear_rank": 16},
                    }
                ],
                "kinds": [
                    {
                        "key": "style",
                        "label": "Style",
                        "images": {"lowest": 15, "highest": 30},
                        "steps": {"lowest": 800, "highest": 2000},
                        "ranks": {"lowest": 16, "highest": 32},
                    }
                ],
                "offers": [],
                "variants": [],
            }
        }
    )
    card: str | None
    vram_bytes: int | None
    tier: Tier | None
    reason: str = Field(description="Why these values, as a sentence.")
    presets: list[NamedSettings]
    kinds: list[KindOfLora]
    offers: list[NamedSettings] = Field(description="To choose instead on a card too small.")
    variants: list[NamedSettings] = Field(description="Deviations that the guides advise.")


@router.get("/presets", responses=error_responses())
def read_presets(
    database: DatabaseOf,
    settings: SettingsOf,
    architecture: Architecture = Architecture.FLUX2_DEV,
    gpu: Annotated[str, Query(pattern=r"^(any|cpu|GPU-[0-9a-fA-F-]+)$")] = "any",
    vram_bytes: Annotated[
        int | None, Query(gt=0, description="Of a card that is not here, in place of `gpu`'s.")
    ] = None,
) -> Presets:
    """Presets by kind of LoRA for a model, on the card that `gpu` names or on any other."""
    card, memory = ("", vram_bytes) if vram_bytes else _card(gpu, database, settings)
    is_known = memory is not None and architecture != Architecture.TINY
    tier = tier_for(architecture, memory) if is_known and memory is not None else None
    return Presets(
        card=None if memory is None else card,
        vram_bytes=memory,
        tier=tier,
        reason=_reason(architecture, card, memory, tier),
        presets=_entries(presets_for(architecture, memory)),
        kinds=[
            KindOfLora(
                key=kind,
                label=row.label,
                images=_span(row.images),
                steps=_span(row.steps_range),
                ranks=_span(row.ranks),
            )
            for kind, row in KINDS.items()
        ],
        offers=_entries(offers_for(architecture, memory)),
        variants=_entries(guide_variants(architecture)),
    )


def _card(gpu: str, database: Database, settings: Settings) -> tuple[str, int | None]:
    """The largest of the cards that the setting allows."""
    cards = [
        (found.name, found.machine.vram_bytes)
        for found in machines_for(gpu, database, settings)
        if found.machine.vram_bytes is not None
    ]
    return max(cards, key=lambda card: card[1] or 0, default=("", None))


def _reason(architecture: Architecture, card: str, memory: int | None, tier: Tier | None) -> str:
    if architecture == Architecture.TINY:
        return "The tiny model trains on any processor; the card does not matter."
    if memory is None or tier is None:
        return (
            f"No GPU was found here, and {VARIANTS[architecture].label} needs one. Choose a card "
            "to see its values, or train the tiny model on the processor."
        )
    has = f"{card} has {in_gb(memory)} GB" if card else f"A card of {in_gb(memory)} GB"
    klein = ", as klein models take one tier more than the card's" if is_klein(architecture) else ""
    return f"{has}: values for {TIERS[tier].label}{klein}."


def _span(ends: tuple[int, int]) -> Span:
    return Span(lowest=ends[0], highest=ends[1])


def _entries(named: list[Named]) -> list[NamedSettings]:
    return [
        NamedSettings(key=one.key, label=one.label, about=one.about, settings=dict(one.settings))
        for one in named
    ]
