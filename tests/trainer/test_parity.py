"""Where weights lie and how they are stored changes nothing but their rounding: every pair of ways.

`scripts/parity_matrix.py` says what a cell is; it also runs all combinations, at length.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer.block_memory
from scripts.parity_matrix import (
    AXES,
    Cell,
    Kept,
    Trace,
    Verdict,
    compare,
    difference,
    pairwise_cells,
    record,
    stack,
    trace,
    whole_matrix,
)
from tests.trainer.poisoned_stream import PoisonedStream
from trainer.offloading import BlockStream


def small(dtype: torch.dtype):
    """3 double and 7 single blocks of width 64: 30 % are three, one more than the slots."""
    return stack(num_double=3, num_single=7, heads=1, dtype=dtype)


def test_every_pair_of_values_stands_in_some_chosen_cell() -> None:
    cells = pairwise_cells()
    for (one, values), (other, others) in itertools.combinations(AXES.items(), 2):
        for value, other_value in itertools.product(values, others):
            assert any(
                (getattr(cell, one), getattr(cell, other)) == (value, other_value) for cell in cells
            ), f"no cell has {one}={value} with {other}={other_value}"
    assert len(cells) < 30 < len(whole_matrix()) == 320


@pytest.mark.slow
def test_every_chosen_cell_equals_its_resident_one(monkeypatch: pytest.MonkeyPatch) -> None:
    most_fetched = []

    class Counted(PoisonedStream):
        def visit(self, place: int) -> None:
            super().visit(place)
            most_fetched.append(len(self.fetched))

    monkeypatch.setattr(trainer.block_memory, "BlockStream", Counted)
    verdicts = list(compare(pairwise_cells(), "small", small, num_steps=2, dtype=torch.float32))
    assert [verdict for verdict in verdicts if verdict.differs] == []
    assert max(most_fetched) > 50


def test_a_stream_that_brings_the_wrong_block_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(BlockStream):
        """Block 7 computes with the weights of block 6, which have the same sizes."""

        def _fetch(self, place: int, **kwargs: Any) -> None:
            own = self._weights[place]
            if place == 7:
                self._weights[place] = self._weights[6]
            super()._fetch(place, **kwargs)
            self._weights[place] = own

    cell = Cell(percent=100, checkpointing=True)
    expected = trace(cell.resident, small(torch.float32), num_steps=1)
    monkeypatch.setattr(trainer.block_memory, "BlockStream", Wrong)
    assert "step 0" in difference(trace(cell, small(torch.float32), num_steps=1), expected)


def test_a_difference_is_named_with_its_first_step() -> None:
    one = trace(Cell(), small(torch.float32), num_steps=2)
    assert difference(one, one) == ""
    assert difference(replace(one, gradients=[one.gradients[0], "other"]), one) == (
        "gradients of step 1"
    )
    assert difference(replace(one, lora="other"), one) == "the LoRA at the end"
    lost: Trace = replace(one, results=[replace(one.results[0], is_finite=False), one.results[1]])
    assert difference(lost, one) == "step 0 is not finite"


def test_the_record_counts_equal_cells_and_names_the_others() -> None:
    verdicts = [
        Verdict("mid", Cell("int8", 30), ""),
        Verdict("mid", Cell("int8", 30, sampling=True), "gradients of step 4"),
    ]
    text = record(verdicts, how="50 steps in fp32", pairs=False, minutes=61.2)
    assert "2 trainings of 50 steps in fp32" in text
    assert "| int8 | 0 of 0 | 1 of 2 | 0 of 0 | 0 of 0 |" in text
    assert "sampling=True): gradients of step 4" in text


def test_the_next_call_goes_on_behind_the_last_whole_verdict(tmp_path: Path) -> None:
    kept = Kept("mid", num_steps=50, data_type="fp32", folder=tmp_path)
    assert kept.read() == {}
    equal, other = Verdict("mid", Cell("int8", 30), "", 3.5), Verdict("mid", Cell("nf4"), "step 4")
    kept.add(equal)
    (file,) = tmp_path.iterdir()
    with file.open("a") as cut:
        cut.write('{"cell": {"quantiz')
    kept.add(other)
    assert kept.read() == {equal.cell: equal, other.cell: other}
    assert Kept("mid", num_steps=2, data_type="fp32", folder=tmp_path).read() == {}
    kept.forget()
    assert kept.read() == {}
