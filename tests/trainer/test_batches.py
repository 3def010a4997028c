"""Batches as a function of (seed, step, micro): every picture once an epoch, one size a batch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.batches import BatchSource
from trainer.buckets import Bucket
from trainer.pictures import Flip
from trainer.training_items import ReferenceItem, TrainingItem

SIZES = [(64, 64), (96, 64), (64, 96)]


def _item(
    number: int,
    size: tuple[int, int],
    *,
    dropout: float = 0.0,
    with_class: bool = True,
    **settings: Any,
) -> TrainingItem:
    return TrainingItem(
        path=Path(f"{number:03}.png"),
        bucket=Bucket(*size, 64),
        caption=f"caption {number}",
        class_caption=f"class {number}" if with_class else None,
        caption_dropout_rate=dropout,
        cache_latents=True,
        **settings,
    )


class OnDisk:
    """Stands for what was encoded: latents and embeddings that say what they belong to.

    A mirrored picture has 0.25 (x) and 0.5 (y) added to its number, a reference 10 and its place.
    """

    def latents(self, item: TrainingItem, flip: Flip = "") -> torch.Tensor:
        width, height = item.bucket.size
        return torch.full((128, height // 16, width // 16), _lying(item, flip))

    def references(self, item: TrainingItem, flip: Flip = "") -> list[torch.Tensor]:
        return [
            torch.full(
                (128, reference.size[1] // 16, reference.size[0] // 16),
                _lying(item, flip) + 10 * (place + 1),
            )
            for place, reference in enumerate(item.references)
        ]

    def mask(self, item: TrainingItem, flip: Flip = "") -> torch.Tensor | None:
        if item.mask is None:
            return None
        width, height = item.bucket.size
        return torch.full((height // 16, width // 16), _lying(item, flip) / 1000)

    def prompt(self, text: str) -> torch.Tensor:
        return torch.full((2, 3), _number_of(text))


def _lying(item: TrainingItem, flip: Flip) -> float:
    return float(item.name[:3]) + 0.25 * ("x" in flip) + 0.5 * ("y" in flip)


def _number_of(text: str) -> float:
    if not text:
        return -1.0
    kind, number = text.split()
    return int(number) + (1000.0 if kind == "class" else 0.0)


def _source(
    items: list[TrainingItem], *, batch_size: int = 2, accumulation: int = 1, seed: int = 42
) -> BatchSource:
    return BatchSource(
        items, OnDisk(), batch_size=batch_size, gradient_accumulation=accumulation, seed=seed
    )


ITEM_SIZES = st.lists(st.sampled_from(SIZES), min_size=1, max_size=40)


@settings(max_examples=60)
@given(ITEM_SIZES, st.integers(1, 7), st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_an_epoch_holds_every_picture_exactly_once_in_batches_of_one_size(
    sizes: list[tuple[int, int]], batch_size: int, seed: int, epoch: int
) -> None:
    items = [_item(number, size) for number, size in enumerate(sizes)]
    source = _source(items, batch_size=batch_size, seed=seed)
    batches = source.epoch(epoch)
    assert len(batches) == source.batches_per_epoch
    assert Counter(item.name for batch in batches for item in batch) == Counter(
        item.name for item in items
    )
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert len({item.bucket.size for item in batch}) == 1
    # At most one batch of each size is not full.
    short = [batch[0].bucket.size for batch in batches if len(batch) < batch_size]
    assert len(short) == len(set(short))


@settings(max_examples=40)
@given(ITEM_SIZES, st.integers(1, 4), st.integers(1, 3), st.integers(0, 30))
def test_steps_walk_the_epochs_in_order_whatever_the_accumulation(
    sizes: list[tuple[int, int]], batch_size: int, accumulation: int, step: int
) -> None:
    items = [_item(number, size) for number, size in enumerate(sizes)]
    accumulated = _source(items, batch_size=batch_size, accumulation=accumulation)
    plain = _source(items, batch_size=batch_size)
    for micro in range(accumulation):
        number = step * accumulation + micro
        assert accumulated.items_of(step, micro) == plain.items_of(number, 0)


def test_a_resumed_run_asks_for_a_step_and_gets_what_the_first_run_got() -> None:
    items = [_item(number, SIZES[number % 3], dropout=0.3) for number in range(11)]
    first = _source(items, batch_size=3)
    whole = [first.batch(step, 0) for step in range(20)]
    resumed = _source(items, batch_size=3)
    for step in reversed(range(20)):
        again = resumed.batch(step, 0)
        assert again.names == whole[step].names
        assert torch.equal(again.prompt_embeds, whole[step].prompt_embeds)
        assert torch.equal(again.latents, whole[step].latents)


def test_another_seed_or_epoch_is_another_order() -> None:
    items = [_item(number, (64, 64)) for number in range(30)]
    orders = [
        [item.name for batch in _source(items, seed=seed).epoch(epoch) for item in batch]
        for seed, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    assert len({tuple(order) for order in orders}) == 3


def test_a_batch_stacks_each_pictures_latents_prompt_and_class_prompt() -> None:
    items = [_item(0, (96, 64)), _item(1, (96, 64), with_class=False)]
    batch = _source(items).batch(0, 0)
    numbers = [float(name[:3]) for name in batch.names]
    assert batch.latents.shape == (2, 128, 4, 6)
    assert batch.prompt_embeds.shape == (2, 2, 3)
    assert batch.latents[:, 0, 0, 0].tolist() == numbers
    assert batch.prompt_embeds[:, 0, 0].tolist() == numbers
    assert batch.class_embeds is not None
    assert batch.has_class.tolist() == [number == 0 for number in numbers]
    # The one without a class caption repeats its own prompt there.
    assert batch.class_embeds[:, 0, 0].tolist() == [1000.0 if n == 0 else n for n in numbers]


def test_without_class_captions_there_are_no_class_embeddings() -> None:
    batch = _source([_item(0, (64, 64), with_class=False)]).batch(0, 0)
    assert batch.class_embeds is None
    assert batch.has_class.tolist() == [False]


def test_a_dropped_caption_is_the_empty_prompt_and_has_no_class() -> None:
    batch = _source([_item(0, (64, 64), dropout=1.0)]).batch(0, 0)
    assert batch.prompt_embeds[0, 0, 0].item() == -1
    assert batch.has_class.tolist() == [False]
    assert batch.class_embeds is None


def test_captions_are_dropped_at_their_rate_and_differently_for_each_turn() -> None:
    items = [_item(number, (64, 64), dropout=0.25) for number in range(4)]
    source = _source(items, batch_size=2, accumulation=2)
    dropped = [
        source.batch(step, micro).prompt_embeds[:, 0, 0].eq(-1).tolist()
        for step in range(500)
        for micro in range(2)
    ]
    rate = sum(map(sum, dropped)) / 2000
    # 2,000 tosses at 0.25: four standard deviations are 0.039.
    assert abs(rate - 0.25) < 0.039
    first, second = zip(*dropped, strict=True)
    assert first != second
    assert dropped[0::2] != dropped[1::2]


def test_repeats_are_turns_in_an_epoch() -> None:
    items = [_item(0, (64, 64), num_repeats=3), _item(1, (64, 64)), _item(2, (96, 64))]
    batches = _source(items, batch_size=2).epoch(0)
    turns = Counter(item.name for batch in batches for item in batch)
    assert turns == {"000.png": 3, "001.png": 1, "002.png": 1}


def test_each_dataset_has_its_batch_size_and_shares_no_batch_with_another_one() -> None:
    small = [_item(number, (64, 64), batch_size=2) for number in range(4)]
    large = [_item(number, (64, 64), batch_size=3) for number in range(10, 16)]
    batches = _source([*small, *large], batch_size=3).epoch(0)
    assert sorted(len(batch) for batch in batches) == [2, 2, 3, 3]
    assert all(len({item.batch_size for item in batch}) == 1 for batch in batches)


def test_a_batch_has_one_lora_weight_and_one_size_for_each_reference() -> None:
    def references(side: int) -> tuple[ReferenceItem, ...]:
        return (ReferenceItem(Path("r.png"), (side, 64)),)

    items = [
        *(_item(number, (64, 64), lora_weight=0.5) for number in range(2)),
        *(_item(number, (64, 64), references=references(64)) for number in range(2, 4)),
        *(_item(number, (64, 64), references=references(96)) for number in range(4, 6)),
        *(_item(number, (64, 64)) for number in range(6, 8)),
    ]
    source = _source(items)
    batches = [source.batch(step, 0) for step in range(4)]
    assert sorted(batch.lora_weight for batch in batches) == [0.5, 1.0, 1.0, 1.0]
    shapes = sorted(tuple(r.shape) for batch in batches for r in batch.references)
    assert shapes == [(2, 128, 4, 4), (2, 128, 4, 6)]
    for batch in batches:
        for reference in batch.references:
            assert reference[:, 0, 0, 0].tolist() == [float(n[:3]) + 10 for n in batch.names]


def test_a_picture_is_mirrored_at_half_of_its_turns_with_its_mask_and_references() -> None:
    item = _item(
        0,
        (64, 64),
        flips=("", "x"),
        mask=Path("m.png"),
        references=(ReferenceItem(Path("r.png"), (64, 64)),),
    )
    source = _source([item], batch_size=1)
    numbers = []
    for step in range(400):
        batch = source.batch(step, 0)
        assert batch.masks is not None
        number = batch.latents[0, 0, 0, 0].item()
        assert batch.references[0][0, 0, 0, 0].item() == number + 10
        assert torch.allclose(batch.masks[0, 0, 0] * 1000, batch.latents[0, 0, 0, 0])
        numbers.append(number)
    # 400 tosses: four standard deviations are 0.1.
    assert set(numbers) == {0.0, 0.25}
    assert abs(sum(number == 0.25 for number in numbers) / 400 - 0.5) < 0.1
    again = _source([item], batch_size=1)
    assert [again.batch(step, 0).latents[0, 0, 0, 0].item() for step in (7, 3)] == [
        numbers[7],
        numbers[3],
    ]


def test_a_batch_without_masks_has_none_and_one_with_some_has_ones_for_the_others() -> None:
    plain = _item(0, (64, 64))
    assert _source([plain]).batch(0, 0).masks is None
    batch = _source([plain, _item(500, (64, 64), mask=Path("m.png"))]).batch(0, 0)
    assert batch.masks is not None
    assert sorted(batch.masks[:, 0, 0].tolist()) == [0.5, 1.0]


def test_a_batch_says_which_pictures_train_towards_the_base_model() -> None:
    assert _source([_item(0, (64, 64))]).batch(0, 0).towards_base is None
    items = [_item(0, (64, 64)), _item(1, (64, 64), is_regularization=True)]
    batch = _source(items).batch(0, 0)
    assert batch.towards_base is not None
    assert batch.towards_base.tolist() == [name == "001.png" for name in batch.names]
