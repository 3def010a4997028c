"""The same work on many files at once, that can be given up between any two of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Input = TypeVar("Input")
Output = TypeVar("Output")

# Reading headers waits for the disk; hashing and decoding release the interpreter while they work.
WAITING_THREADS = 16
WORKING_THREADS = min(8, os.cpu_count() or 1)


def in_threads(
    work: Callable[[Input], Output], inputs: Sequence[Input], num_threads: int
) -> Generator[Output, None, None]:
    """The outputs in the order of the inputs.

    Closed between two outputs, it waits only for what is being worked on: what has not begun never
    does.
    """
    pool = ThreadPoolExecutor(num_threads)
    try:
        yield from pool.map(work, inputs)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
