"""A program that loads a transformer up to the first step, and tells what that took.

    python -m tests.trainer.load_in_child FOLDER KIND [CACHE]

One line of JSON: CPU seconds and wall seconds from the imports to where the first step would begin;
peak and final resident anonymous memory beyond what the process had after its imports; the bytes
that the blocks' layers are stored in, and the largest tensor of the source.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from pathlib import Path

import torch
from torch import nn

from trainer.host_memory import give_back_freed_memory
from trainer.lora import add_lora, block_linears
from trainer.model_loading import empty_transformer, load_transformer
from trainer.optim import make_optimizer
from trainer.quantization import quantized
from trainer.quantized_linear import raw_tensors

_RSS_ANON = re.compile(r"RssAnon:\s+(\d+) kB")


def resident_anonymous_bytes() -> int:
    """Memory of this process that is no file's."""
    match = _RSS_ANON.search(Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) * 1024


class Peak:
    """The highest that the memory was while it watched."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def look(self) -> None:
        self.bytes = max(self.bytes, resident_anonymous_bytes())

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.look()

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def main() -> None:
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    cache = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    # What libraries set up at their first use belongs to no model.
    toy = nn.Linear(128, 128, bias=False, dtype=torch.bfloat16)
    quantized(toy, kind)(torch.ones(1, 128, dtype=torch.bfloat16))  # type: ignore[arg-type]
    empty = empty_transformer(folder)
    largest = max(parameter.numel() for parameter in empty.parameters()) * 2
    del empty
    give_back_freed_memory()

    before = resident_anonymous_bytes()
    cpu, wall = time.process_time(), time.perf_counter()
    with Peak() as peak:
        transformer = load_transformer(
            folder,
            dtype=torch.bfloat16,
            device="cpu",
            quantization=kind,  # type: ignore[arg-type]
            progress=lambda *_: peak.look(),
            cache=cache,
        )
    loaded = time.process_time()
    after = resident_anonymous_bytes()
    linears = [transformer.get_submodule(name) for name in block_linears(transformer)]
    stored = sum(
        raw.nbytes
        for linear in linears
        if isinstance(linear, nn.Linear)
        for raw in raw_tensors(linear).values()
    )
    lora = add_lora(transformer, rank=16, alpha=16, seed=0)
    make_optimizer("adamw8bit", lora.parameters, learning_rate=1e-4, weight_decay=0.0)
    print(
        json.dumps(
            {
                "cpu_seconds": time.process_time() - cpu,
                "load_cpu_seconds": loaded - cpu,
                "wall_seconds": time.perf_counter() - wall,
                "peak_bytes": peak.bytes - before,
                "final_bytes": after - before,
                "stored_bytes": stored,
                "largest_tensor_bytes": largest,
            }
        )
    )


if __name__ == "__main__":
    main()
