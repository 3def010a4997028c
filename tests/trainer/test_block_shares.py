"""Which blocks are streamed: how many, and where they stand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from trainer.block_shares import num_streamed_blocks, streamed_blocks


def test_a_percentage_means_the_nearest_number_of_blocks() -> None:
    assert [num_streamed_blocks(56, percent) for percent in (0, 0.8, 0.9, 30, 50, 100)] == [
        0, 0, 1, 17, 28, 56,
    ]  # fmt: skip
    assert num_streamed_blocks(5, 50) == 3  # 2.5, and halves go up


@pytest.mark.parametrize("num_blocks", [1, 6, 25, 56])
def test_streamed_blocks_stand_evenly_between_those_that_stay(num_blocks: int) -> None:
    for num_streamed in range(num_blocks + 1):
        places = streamed_blocks(num_blocks, num_streamed)
        assert len(set(places)) == num_streamed
        assert set(places) <= set(range(num_blocks))
        gaps = [after - before for before, after in pairwise(places)]
        assert not gaps or max(gaps) - min(gaps) <= 1
        if places:  # no longer stretch at either end than between two
            assert places[0] <= num_blocks / num_streamed
            assert num_blocks - 1 - places[-1] <= num_blocks / num_streamed


def test_examples_worked_out_by_hand() -> None:
    assert streamed_blocks(6, 2) == (1, 4)
    assert streamed_blocks(5, 5) == (0, 1, 2, 3, 4)
    assert streamed_blocks(6, 3) == (1, 3, 5)
    assert streamed_blocks(6, 0) == ()
