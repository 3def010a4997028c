"""Hold this process to the cap on video memory that the environment sets (`vram_cap.py`)."""

from __future__ import annotations

import torch

from trainer.vram_cap import vram_cap_bytes


def cap_vram(device: str) -> int | None:
    """What this process may take of its card from now on; None without a cap.

    device: "cuda" or "cpu", where there is nothing to cap. A cap above the card's size caps
    nothing. Raises JobRefused.
    """
    cap = vram_cap_bytes()
    if cap is None or device != "cuda":
        return None
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, cap / total))
    return min(cap, total)
