"""The table of docs/memory-plan.md: which models fit which cards, computed by the memory plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainer.config import JobConfig
from trainer.machine import Machine
from trainer.memory_sizes import GIB
from trainer.memory_verdict import judge
from trainer.model_shapes import known_shapes
from trainer.variants import VARIANTS, Architecture

PAGE = Path(__file__).parents[1] / "docs" / "memory-plan.md"
BEGIN, END = "<!-- cards: begin -->", "<!-- cards: end -->"
_ARCHITECTURES = (Architecture.FLUX2_DEV, Architecture.KLEIN_BASE_9B, Architecture.KLEIN_BASE_4B)
_CARDS_GB = (8, 12, 16, 24, 32, 48, 80)
_RAM_GB = 64


def page_with_table() -> str:
    """The page with its table as the plan computes it now."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    table = "\n".join(_lines())
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def _lines() -> Iterator[str]:
    yield "| model | card | it takes | verdict |"
    yield "|---|---|---|---|"
    for architecture in _ARCHITECTURES:
        for card_gb in _CARDS_GB:
            yield _line(architecture, card_gb)


def _line(architecture: Architecture, card_gb: int) -> str:
    job = JobConfig.model_validate(
        {
            "job": {"training_name": "card"},
            "model": {"model_architecture": architecture},
            "datasets": [{"target_dataset": "pictures"}],
            "sample": {"prompts": [{"prompt": "a picture"}]},
        }
    )
    machine = Machine(_RAM_GB * GIB, card_gb * GIB)
    judged = judge(job, known_shapes(architecture), [], machine)
    takes = judged.plan.largest_vram.vram_bytes / GIB
    if judged.fits:
        verdict = "fits as it is"
    elif judged.cures:
        cure = judged.cures[0]
        verdict = (
            f"{cure.label}: {cure.vram_bytes / GIB:.1f} GB, "
            f"{cure.ram_bytes / GIB:.0f} GB of the host"
        )
    else:
        verdict = "no change of settings makes it fit"
    label = VARIANTS[architecture].label
    return f"| {label} | {card_gb} GB | {takes:.1f} GB | {verdict} |"
