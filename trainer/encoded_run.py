"""What was encoded for a run, read back when a step or a sample asks for it.

Legend: C = 128 latent channels, h and w = the bucket's sides / 16, T = text rows, D = their width.
"""

from __future__ import annotations

import errno
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer.caching import CacheFolders, DamagedCacheFile, Slot
from trainer.errors import DiskFull
from trainer.pictures import Flip
from trainer.training_items import TrainingItem

if TYPE_CHECKING:
    import torch

# What is read again and again stays in host memory up to this much: 130 prompts of dev, or all
# pictures of most datasets. Beyond it the system's page cache still spares the disk.
RECENT_TENSORS_BYTES = 2 << 30


class EncodedPicture(NamedTuple):
    """What tells latents apart within a run: two datasets may share a folder.

    size: (width, height) in px. is_kept: whether they outlive the run.
    """

    path: Path
    size: tuple[int, int]
    flip: Flip
    is_reference: bool
    is_kept: bool


class EncodedMask(NamedTuple):
    """What tells masks apart; sizes are (width, height) in px."""

    path: Path
    picture_size: tuple[int, int]
    size: tuple[int, int]
    is_kept: bool


class EncodedRun:
    """Everything a run can need, encoded and on disk; a context manager that removes what is
    private to the run when it closes.

    items: the pictures that train or are measured on, in the job's order. caches: where it was
    encoded into. manifest: `dataset_manifest` of the items. num_encoded: tensors by kind that no
    cache held.
    """

    def __init__(
        self,
        items: Sequence[TrainingItem],
        latents: Mapping[EncodedPicture, Slot],
        masks: Mapping[EncodedMask, Slot],
        prompts: Mapping[str, Slot],
        caches: CacheFolders,
        manifest: Mapping[str, Any],
        num_encoded: Mapping[str, int],
    ) -> None:
        self.items = list(items)
        self.caches = caches
        self.manifest = manifest
        self.num_encoded = num_encoded
        self._latents = latents
        self._masks = masks
        self._prompts = dict(prompts)
        self._contents = {
            (number, picture["file"]): picture["sha256"]
            for number, dataset in enumerate(manifest["datasets"])
            for picture in dataset["pictures"]
        }
        self._recent = _RecentTensors(RECENT_TENSORS_BYTES)

    @property
    def num_tensors(self) -> Counter[str]:
        """Tensors by kind (`caching.Kind`), each content once."""
        slots = (*self._latents.values(), *self._masks.values(), *self._prompts.values())
        return Counter(slot.kind for slot in {slot.path: slot for slot in slots}.values())

    def latents(self, item: TrainingItem, flip: Flip = "") -> torch.Tensor:
        """[C, h, w]: the picture's normalised latents in the job's data type, on the CPU.

        flip: one of the item's `flips`.
        """
        return self._recent.read(self._latents[picture_of(item, flip)])

    def references(self, item: TrainingItem, flip: Flip = "") -> list[torch.Tensor]:
        """[C, h, w] for each of the picture's references, each of its own size."""
        return [self._recent.read(self._latents[key]) for key in references_of(item, flip)]

    def mask(self, item: TrainingItem, flip: Flip = "") -> torch.Tensor | None:
        """float32 [h, w]: how much each token of the picture trains; None without a mask."""
        key = mask_of(item)
        if key is None:
            return None
        dims = [dim for dim, axis in ((1, "x"), (0, "y")) if axis in flip]
        return self._recent.read(self._masks[key]).flip(dims)

    def prompt(self, text: str) -> torch.Tensor:
        """[T, D]: the text's prompt embedding in the job's data type, on the CPU.

        `text` is what `texts.texts_of_run` lists: placeholders already replaced; "" is there when
        a caption can be dropped or a sample needs the empty prompt for its guidance.
        """
        return self._recent.read(self._prompts[text])

    def content(self, item: TrainingItem) -> str:
        """The hash of the picture's file, as it was when it was encoded."""
        return self._contents[item.dataset, item.name]

    def add_prompts(self, prompts: Mapping[str, Slot]) -> None:
        """Texts that were encoded since, into `caches`."""
        self._prompts.update(prompts)

    def close(self) -> None:
        """Remove what was encoded for this run only; calling it again does nothing."""
        self.caches.close()

    def __enter__(self) -> EncodedRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def picture_of(item: TrainingItem, flip: Flip) -> EncodedPicture:
    """The item's picture, mirrored so."""
    return EncodedPicture(item.path, item.bucket.size, flip, False, item.cache_latents)


def references_of(item: TrainingItem, flip: Flip) -> list[EncodedPicture]:
    """The item's references in order, mirrored with it."""
    return [
        EncodedPicture(reference.path, reference.size, flip, True, item.cache_latents)
        for reference in item.references
    ]


def mask_of(item: TrainingItem) -> EncodedMask | None:
    """The item's mask; it is mirrored when it is read."""
    if item.mask is None:
        return None
    return EncodedMask(item.mask, item.size, item.bucket.size, item.cache_latents)


def pictures_of(item: TrainingItem) -> list[EncodedPicture]:
    """All that the autoencoder encodes for an item: itself and its references, each way to lie."""
    return [
        key for flip in item.flips for key in (picture_of(item, flip), *references_of(item, flip))
    ]


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
        if isinstance(error, DamagedCacheFile):
            # What was proved once is not read again at the next start: gone, it is encoded again.
            slot.path.unlink(missing_ok=True)
        vanished = isinstance(error, OSError) and error.errno == errno.ENOENT
        raise DiskFull(
            f"The cache file {slot.path} {'went away' if vanished else 'was damaged'} while the "
            "run used it.",
            "Check the disk that holds the cache folder, and start the job again: what is missing "
            "is encoded again, and training goes on from the last checkpoint.",
            code="cache_lost",
        ) from error
