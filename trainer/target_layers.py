"""Which layers a LoRA sits on: the Target panel's choice among a model's linear layers.

A pattern is a list of names with wildcards, between spaces or commas: `*` stands for any letters,
`?` for one, and a `!` in front takes layers out again. `*.attn.*  !*.add_*_proj` is all attention
but the text stream's queries, keys and values. Wildcards rather than regular expressions: a dot in
a name means a dot, and no pattern can take for ever to match.

Imports no torch: the door knows a variant's layers by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

LayerChoice = Literal["all", "attention", "pattern"]
_ATTENTION = "*.attn.*"


def chosen_layers(names: Sequence[str], choice: LayerChoice, pattern: str) -> list[str]:
    """Those of `names` that the choice means, in their order; `pattern` counts with "pattern" only.

    Without any name to take in, all are in: `!*.ff_context.*` is everything but those.
    """
    if choice == "all":
        return list(names)
    parts = [_ATTENTION] if choice == "attention" else pattern_parts(pattern)
    wanted = [part for part in parts if not part.startswith("!")] or ["*"]
    unwanted = [part[1:] for part in parts if part.startswith("!")]
    return [
        name
        for name in names
        if any(fnmatchcase(name, part) for part in wanted)
        and not any(fnmatchcase(name, part) for part in unwanted)
    ]


def pattern_parts(pattern: str) -> list[str]:
    """The names of a pattern."""
    return pattern.replace(",", " ").split()
