"""Rules of the Target panel: layers that are there, a dropout that leaves something to learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from trainer.config import JobConfig
from trainer.errors import Problem, Severity
from trainer.lora_keys import variant_layers
from trainer.target_layers import chosen_layers, pattern_parts

# Above this share a LoRA sees so little of its input that it learns slowly or not at all.
HIGHEST_USUAL_DROPOUT = 0.3


def _pattern_names_layers(job: JobConfig) -> Iterator[Problem]:
    target = job.target
    if target.layers != "pattern":
        return
    names = variant_layers(job.variant)
    examples = f"{names[0]} or {names[-1]}"
    if not pattern_parts(target.layer_pattern):
        yield Problem(
            "layer_pattern_blank",
            "Layers is a pattern, but Layer Pattern is blank.",
            f"Name layers, with * for anything: {examples}.",
            "target.layer_pattern",
        )
    elif not chosen_layers(names, "pattern", target.layer_pattern):
        yield Problem(
            "layer_pattern_matches_nothing",
            f"Layer Pattern {target.layer_pattern!r} names none of the {len(names)} layers of "
            f"{job.variant.label}.",
            f"Its layers are called {examples}; * stands for anything, as in *.attn.to_q.",
            "target.layer_pattern",
            params={"value": target.layer_pattern, "examples": [names[0], names[-1]]},
        )


def _dropout_leaves_something(job: JobConfig) -> Iterator[Problem]:
    if job.target.dropout > HIGHEST_USUAL_DROPOUT:
        yield Problem(
            "dropout_unusual",
            f"Dropout {job.target.dropout:g} hides most of what there is to learn from.",
            "0.05-0.1 is usual, and 0 with enough pictures.",
            "target.dropout",
            Severity.WARNING,
            {"value": job.target.dropout},
        )


TARGET_RULES: tuple[Callable[[JobConfig], Iterator[Problem]], ...] = (
    _pattern_names_layers,
    _dropout_leaves_something,
)
