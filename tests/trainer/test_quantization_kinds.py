"""The table of kinds, by values worked out by hand."""

from __future__ import annotations

from trainer.quantization_kinds import KINDS, QUANTIZATION_KINDS, fits, int4_group, stored_bytes


def test_a_layer_of_dev_takes_the_bytes_worked_out_by_hand() -> None:
    rows, columns = 6144, 6144  # 37,748,736 weights
    found = {
        kind: stored_bytes(kind, rows=rows, columns=columns, dtype_bytes=2)
        for kind in QUANTIZATION_KINDS
    }
    assert found == {
        "none": 75_497_472,
        "float8": 37_748_736 + 6144 * 2,
        "int8": 37_748_736 + 6144 * 2,
        # 589,824 blocks of 64, a byte each; 2,304 float32 for those, and one more.
        "nf4": 18_874_368 + 589_824 + 2_305 * 4,
        # 294,912 groups of 128, a scale and a shift of two bytes each.
        "int4": 18_874_368 + 294_912 * 4,
    }


def test_the_tables_bytes_per_weight_are_those_of_a_large_layer() -> None:
    weights = 6144 * 55296
    for kind, facts in KINDS.items():
        exact = stored_bytes(kind, rows=55296, columns=6144, dtype_bytes=2) / weights
        assert abs(exact - facts.bytes_per_weight) < 5e-4, kind


def test_the_group_of_four_bits_is_the_largest_that_divides_the_row() -> None:
    assert [int4_group(columns) for columns in (6144, 192, 320, 160, 100)] == [
        128,
        96,
        64,
        32,
        None,
    ]


def test_a_layer_that_does_not_fit_is_counted_as_it_stays() -> None:
    assert not fits("nf4", rows=48, columns=100)
    assert not fits("int4", rows=48, columns=100)
    assert stored_bytes("nf4", rows=48, columns=100, dtype_bytes=2) == 9_600
    assert stored_bytes("int4", rows=48, columns=100, dtype_bytes=2) == 9_600
    assert fits("int8", rows=48, columns=100)
    assert stored_bytes("int8", rows=48, columns=100, dtype_bytes=2) == 4_800 + 96


def test_no_quantization_changes_nothing() -> None:
    assert not fits("none", rows=6144, columns=6144)
