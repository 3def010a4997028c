"""At which size a picture trains: values worked out by hand, and what holds for every size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.buckets import (
    REFERENCE_AREA_PX,
    Bucket,
    assign_resolution,
    fit_to_bucket,
    reference_fit,
    reference_size,
)

SIDES = st.integers(min_value=64, max_value=6000)
RESOLUTIONS = st.lists(
    st.integers(min_value=4, max_value=128).map(lambda n: n * 16), min_size=1, max_size=6
)


@pytest.mark.parametrize(
    ("size", "resolutions", "expected"),
    [
        ((1024, 1024), [768, 896, 1024], Bucket(1024, 1024, 1024)),
        ((1023, 1025), [768, 896, 1024], Bucket(896, 896, 896)),  # one pixel short of 1024 squared
        ((4000, 4000), [768, 1024], Bucket(1024, 1024, 1024)),
        # 3:2 at 768 squared is 940.6 x 627.1: of its neighbours 944 x 624 is nearest to 3:2 within
        # the area (944 x 640 is past it).
        ((1536, 1024), [768], Bucket(944, 624, 768)),
        ((1024, 1536), [768], Bucket(624, 944, 768)),
        ((128, 128), [128], Bucket(128, 128, 128)),
        ((500, 300), [768, 1024], Bucket(496, 288, None)),
        ((5000, 100), [768], Bucket(4992, 96, None)),  # half a million pixels: under 768 squared
    ],
)
def test_a_picture_trains_in_the_largest_resolution_that_it_fills(
    size: tuple[int, int], resolutions: list[int], expected: Bucket
) -> None:
    assert assign_resolution(*size, resolutions) == expected


@given(SIDES, SIDES, RESOLUTIONS)
def test_a_bucket_has_sides_in_multiples_of_16_and_never_scales_up(
    width: int, height: int, resolutions: list[int]
) -> None:
    bucket = assign_resolution(width, height, resolutions)
    assert bucket.width_px % 16 == 0
    assert bucket.height_px % 16 == 0
    assert 16 <= bucket.width_px <= width
    assert 16 <= bucket.height_px <= height


@given(SIDES, SIDES, RESOLUTIONS)
def test_no_larger_resolution_would_have_been_filled(
    width: int, height: int, resolutions: list[int]
) -> None:
    chosen = assign_resolution(width, height, resolutions).resolution
    filled = [side for side in resolutions if side * side <= width * height]
    assert chosen == (max(filled) if filled else None)


@given(
    st.integers(min_value=256, max_value=6000),
    st.floats(min_value=0.25, max_value=4),
    RESOLUTIONS,
)
def test_area_and_shape_are_kept_but_for_the_16_px_grid(
    width: int, shape: float, resolutions: list[int]
) -> None:
    height = max(64, round(width / shape))
    bucket = assign_resolution(width, height, resolutions)
    if bucket.resolution is None:
        assert (width - bucket.width_px) < 16
        assert (height - bucket.height_px) < 16
        return
    area = bucket.resolution**2
    ideal_width = (area * width / height) ** 0.5
    ideal_height = (area * height / width) ** 0.5
    assert bucket.width_px * bucket.height_px <= area
    assert abs(bucket.width_px - ideal_width) <= 16
    assert abs(bucket.height_px - ideal_height) <= 16


@given(SIDES, SIDES, RESOLUTIONS)
def test_a_picture_covers_its_bucket_and_the_cut_lies_within_it(
    width: int, height: int, resolutions: list[int]
) -> None:
    bucket = assign_resolution(width, height, resolutions)
    fit = fit_to_bucket(width, height, bucket.size)
    assert fit.scaled_width_px <= width
    assert fit.scaled_height_px <= height
    assert 0 <= fit.left_px <= fit.scaled_width_px - bucket.width_px
    assert 0 <= fit.top_px <= fit.scaled_height_px - bucket.height_px
    # One side fits exactly; what the other has too much is cut off evenly at both ends.
    spare = (fit.scaled_width_px - bucket.width_px, fit.scaled_height_px - bucket.height_px)
    assert min(spare) == 0
    assert (fit.left_px, fit.top_px) == (spare[0] // 2, spare[1] // 2)


@given(SIDES, SIDES, RESOLUTIONS)
def test_turning_a_picture_turns_its_bucket(
    width: int, height: int, resolutions: list[int]
) -> None:
    upright = assign_resolution(width, height, resolutions)
    turned = assign_resolution(height, width, resolutions)
    assert upright.size == turned.size[::-1]


@pytest.mark.parametrize(
    ("size", "resolutions", "expected"),
    [
        ((512, 512), [768, 1024], Bucket(768, 768, 768)),  # the smallest of those it does not fill
        ((384, 256), [768], Bucket(944, 624, 768)),  # as 1536 x 1024, which is scaled down to it
        ((800, 800), [768, 1024], Bucket(768, 768, 768)),  # fills one: nothing is scaled up
    ],
)
def test_upscaling_where_it_is_asked_for_goes_to_the_smallest_resolution(
    size: tuple[int, int], resolutions: list[int], expected: Bucket
) -> None:
    assert assign_resolution(*size, resolutions, allow_upscaling=True) == expected


@given(SIDES, SIDES, RESOLUTIONS)
def test_upscaling_changes_only_pictures_that_fill_no_resolution(
    width: int, height: int, resolutions: list[int]
) -> None:
    plain = assign_resolution(width, height, resolutions)
    allowed = assign_resolution(width, height, resolutions, allow_upscaling=True)
    if plain.resolution is not None:
        assert allowed == plain
        return
    smallest = min(resolutions)
    assert allowed.resolution == smallest
    assert allowed.width_px % 16 == 0
    assert allowed.height_px % 16 == 0
    # Within the area, but for sides that would fall under 16 px.
    assert allowed.width_px * allowed.height_px <= smallest**2 or 16 in allowed.size
    fit = fit_to_bucket(width, height, allowed.size)
    assert fit.scaled_width_px >= allowed.width_px
    assert fit.scaled_height_px >= allowed.height_px


@given(SIDES, SIDES)
def test_a_reference_fits_the_pipelines_area_and_is_only_cut_below_it(
    width: int, height: int
) -> None:
    bucket_width, bucket_height = reference_size(width, height)
    fit = reference_fit(width, height)
    assert bucket_width % 16 == bucket_height % 16 == 0
    assert bucket_width * bucket_height <= REFERENCE_AREA_PX
    assert 0 <= fit.scaled_width_px - bucket_width < 16
    assert 0 <= fit.scaled_height_px - bucket_height < 16
    if width * height <= REFERENCE_AREA_PX:
        assert (fit.scaled_width_px, fit.scaled_height_px) == (width, height)
