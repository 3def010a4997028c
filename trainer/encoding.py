"""Encode every picture and text that a run can need, once, in a process that then goes away.

    with encode_missing(job, folders, indexes, device="cuda", report=log.append,
                        stop_requested=...) as encoded:
        encoded.latents(item)      # [C, h, w]
        encoded.prompt("a photo")  # [T, D]

Legend: C = 128 latent channels, h and w = the bucket's sides / 16, T = text rows, D = their width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.events import Event
from trainer.folders import Folders
from trainer.training_items import TrainingItem

if TYPE_CHECKING:
    import torch


def encode_missing(
    job: JobConfig,
    folders: Folders,
    indexes: Sequence[DatasetIndex],
    *,
    device: str,
    report: Callable[[Event], None],
    stop_requested: Callable[[], bool],
) -> EncodedRun:
    """Encode what the caches lack; afterwards everything the run can need can be read.

    device: "cpu" or "cuda", where the child computes. report: takes Progress and Warned events
    (`EventLog.append`); the caller has said PhaseStarted("encode") before. stop_requested: asked
    about five times a second; when it says yes, the child is ended.

    Starts no child, and loads no torch, when nothing is missing. Raises StopRequested, BadDataset
    (a picture that cannot be decoded, before any model loads), BadModel, OutOfMemory, DiskFull,
    ChildFailed.
    """
    raise NotImplementedError


class EncodedRun:
    """Everything a run can need, encoded and on disk; a context manager that removes what is
    private to the run when it closes.
    """

    items: list[TrainingItem]

    def latents(self, item: TrainingItem) -> torch.Tensor:
        """[C, h, w]: the picture's normalised latents in the job's data type, on the CPU."""
        raise NotImplementedError

    def prompt(self, text: str) -> torch.Tensor:
        """[T, D]: the text's prompt embedding in the job's data type, on the CPU.

        `text` is what `texts.texts_of_run` lists: placeholders already replaced; "" is there when
        a caption can be dropped or a sample needs the empty prompt for its guidance.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Remove what was encoded for this run only; calling it again does nothing."""
        raise NotImplementedError

    def __enter__(self) -> EncodedRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
