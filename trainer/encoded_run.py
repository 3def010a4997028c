"""What was encoded for a run, read back when a step or a sample asks for it.

Legend: C = 128 latent channels, h and w = the bucket's sides / 16, T = text rows, D = their width.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from trainer.caching import CacheFolders, DamagedCacheFile, Slot
from trainer.errors import DiskFull
from trainer.training_items import TrainingItem

if TYPE_CHECKING:
    import torch

# What is read again and again stays in host memory up to this much: 130 prompts of dev, or all
# pictures of most datasets. Beyond it the system's page cache still spares the disk.
RECENT_TENSORS_BYTES = 2 << 30

# Path, (width, height) in px, and whether its latents outlive the run.
PictureAtSize: TypeAlias = tuple[Path, tuple[int, int], bool]


class EncodedRun:
    """Everything a run can need, encoded and on disk; a context manager that removes what is
    private to the run when it closes.

    items: the pictures that train, in the job's order.
    """

    def __init__(
        self,
        items: Sequence[TrainingItem],
        latents: Mapping[PictureAtSize, Slot],
        prompts: Mapping[str, Slot],
        caches: CacheFolders,
    ) -> None:
        self.items = list(items)
        self._latents = latents
        self._prompts = prompts
        self._caches = caches
        self._recent = _RecentTensors(RECENT_TENSORS_BYTES)

    def latents(self, item: TrainingItem) -> torch.Tensor:
        """[C, h, w]: the picture's normalised latents in the job's data type, on the CPU."""
        return self._recent.read(self._latents[picture_of(item)])

    def prompt(self, text: str) -> torch.Tensor:
        """[T, D]: the text's prompt embedding in the job's data type, on the CPU.

        `text` is what `texts.texts_of_run` lists: placeholders already replaced; "" is there when
        a caption can be dropped or a sample needs the empty prompt for its guidance.
        """
        return self._recent.read(self._prompts[text])

    def close(self) -> None:
        """Remove what was encoded for this run only; calling it again does nothing."""
        self._caches.close()

    def __enter__(self) -> EncodedRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def picture_of(item: TrainingItem) -> PictureAtSize:
    """What tells latents apart within a run: two datasets may share a folder."""
    return item.path, item.bucket.size, item.cache_latents


class _RecentTensors:
    """The tensors read last, up to a number of bytes; the least recently read goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tensors: OrderedDict[Path, torch.Tensor] = OrderedDict()

    def read(self, slot: Slot) -> torch.Tensor:
        if slot.path in self._tensors:
            self._tensors.move_to_end(slot.path)
            return self._tensors[slot.path]
        tensor = _read_proved(slot)
        self._tensors[slot.path] = tensor
        self._bytes += tensor.nbytes
        while self._bytes > self._max_bytes and len(self._tensors) > 1:
            _, oldest = self._tensors.popitem(last=False)
            self._bytes -= oldest.nbytes
        return tensor


def _read_proved(slot: Slot) -> torch.Tensor:
    try:
        return slot.read()
    except (DamagedCacheFile, OSError) as error:
        vanished = isinstance(error, OSError) and error.errno == errno.ENOENT
        raise DiskFull(
            f"The cache file {slot.path} {'went away' if vanished else 'was damaged'} while the "
            "run used it.",
            "Check the disk that holds the cache folder, and start the job again: what is missing "
            "is encoded again, and training goes on from the last checkpoint.",
            code="cache_lost",
        ) from error
