"""A cap on the memory that a run takes from its card, so that a large card stands in for a small
one.

`DARKROOM_VRAM_CAP_GB=24` lets torch hand out 24 GB of whichever card the run is on; the request
that goes beyond it fails as it would on a card of that size. So a job for a 16 GB card can be
tried, and its memory plan checked, on a large one. It also keeps a part of a card free for
something else. GB are those of a card's name, 2^30 bytes: a "24 GB" card has 24 of them.

The cap is on what torch's allocator holds in a process. A CUDA context and its libraries take some
0.5 GB beside it, and on a real card of that size those come out of the same memory: to stand in for
one, set about half a GB less than it has. The encoding child is a process of its own with the same
cap; it is never at work while the transformer fills the card.

Here it is only read: the memory plan takes it for the card's own size. `vram_limit.py` enforces it.
Imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from trainer.env_file import in_env_file
from trainer.errors import JobRefused

VARIABLE = "DARKROOM_VRAM_CAP_GB"
GB = 1 << 30


def vram_cap_bytes(environment: Mapping[str, str] | None = None) -> int | None:
    """The cap that the environment sets; None without one. Raises JobRefused for nonsense.

    environment: by default this process's, and the project's `.env` where that says nothing.
    """
    if environment is None:
        said = os.environ.get(VARIABLE) or in_env_file(VARIABLE) or ""
    else:
        said = environment.get(VARIABLE, "")
    said = said.strip()
    if not said:
        return None
    try:
        cap_gb = float(said)
    except ValueError:
        cap_gb = 0.0
    if not 0 < cap_gb < float("inf"):
        raise JobRefused(
            f"{VARIABLE}={said} is no size.",
            f"Give GB as a number above 0, such as {VARIABLE}=24, or unset it.",
            code="vram_cap_unusable",
            params={"value": said},
        )
    return int(cap_gb * GB)
