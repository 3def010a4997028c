"""Which pictures a run measures on: held out, of a dataset for it, or for the preservation probe.

A picture is held out if the number in 0..1 that its content and the job's seed give is below Held-
out Share. So its side depends on nothing but itself: a picture that is added, removed or renamed
moves no other, a resumed run holds out the same, and the same picture in two datasets cannot stand
on both sides. The price is that the share is met on average only, so one picture is held out where
none falls below it, and one trains where all do. Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.captions import class_caption, contains_trigger
from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.training_items import TrainingItem, items_of_dataset, training_items

# Enough that one odd picture does not decide, few enough to cost less than a step or two.
NUM_PROBE_PICTURES = 4


def all_items(job: JobConfig, indexes: Sequence[DatasetIndex]) -> list[TrainingItem]:
    """The pictures that train or are held out, and after them those of the validation dataset.

    indexes: one for each of the job's datasets, then the validation dataset's, if there is one.
    """
    items = training_items(job, indexes[: len(job.datasets)])
    dataset = job.dataset_of_validation
    if dataset is None:
        return items
    return items + items_of_dataset(job, dataset, len(job.datasets), indexes[-1])


@dataclass(frozen=True)
class Sides:
    """training: what steps see. validation: what they never see; empty if validation is off."""

    training: list[TrainingItem]
    validation: list[TrainingItem]


def sides_of(
    job: JobConfig, items: Sequence[TrainingItem], sha256_of: Callable[[TrainingItem], str]
) -> Sides:
    """Part the pictures of `all_items`. sha256_of: the hash of a picture's content."""
    own = [item for item in items if item.dataset < len(job.datasets)]
    if job.advanced.validation != "held_out":
        return Sides(own, [item for item in items if item.dataset >= len(job.datasets)])
    numbers = {
        item: number_of(sha256_of(item), job.job.seed) for item in own if not item.is_regularization
    }
    share = job.advanced.held_out_share
    held_out = {item for item, number in numbers.items() if number < share}
    if not held_out:
        lowest = min(numbers.values())
        held_out = {item for item, number in numbers.items() if number == lowest}
    elif len(held_out) == len(numbers):
        highest = max(numbers.values())
        held_out -= {item for item, number in numbers.items() if number == highest}
    return Sides(
        [item for item in own if item not in held_out], [item for item in own if item in held_out]
    )


def number_of(sha256: str, seed: int) -> float:
    """The number in 0..1 of a picture's content: even over pictures, its own for each seed."""
    digest = hashlib.blake2b(f"held out:{seed}:{sha256}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


@dataclass(frozen=True)
class ProbePair:
    """A picture with the same caption with the trigger and with the class in its place."""

    item: TrainingItem
    with_trigger: str
    without_trigger: str


def probe_pairs(job: JobConfig, items: Sequence[TrainingItem]) -> list[ProbePair]:
    """What the preservation probe looks at; empty if it is off.

    The pictures whose caption has the trigger, in an order by caption and name that adding others
    does not disturb, up to NUM_PROBE_PICTURES.
    """
    trigger = job.preservation_trigger
    if not (job.advanced.preservation_probe and trigger):
        return []
    fitting = [
        item
        for item in items
        if not item.is_regularization and contains_trigger(item.caption, trigger)
    ]
    pairs: list[ProbePair] = []
    for item in sorted(fitting, key=_place_in_probe)[:NUM_PROBE_PICTURES]:
        of_class = class_caption(item.caption, trigger, job.regularization.preservation_class)
        assert of_class is not None, "the caption contains the trigger"
        pairs.append(ProbePair(item, item.caption, of_class))
    return pairs


def _place_in_probe(item: TrainingItem) -> bytes:
    return hashlib.blake2b(f"{item.caption}\n{item.name}".encode(), digest_size=8).digest()
