"""Pictures are read as a person sees them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from trainer.pictures import UnreadablePicture, read_for_bucket, read_picture, upright_size


def _four_corners() -> Image.Image:
    """80 x 64: red, green / blue, black, so that every turn looks different."""
    picture = Image.new("RGB", (80, 64), "black")
    picture.paste("red", (0, 0, 40, 32))
    picture.paste("lime", (40, 0, 80, 32))
    picture.paste("blue", (0, 32, 40, 64))
    return picture


# How a camera stores the upright picture under each value of the orientation tag.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp", "jpg"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_a_turned_picture_stands_upright_and_its_header_says_so(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    turn = STORED_AS[orientation]
    upright = _four_corners()
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = tmp_path / f"turned.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    stored.save(file, exif=exif, **options)

    assert upright_size(file) == (80, 64)
    read = read_picture(file)
    assert (read.mode, read.size) == ("RGB", (80, 64))
    for place in [(10, 8), (70, 8), (10, 56), (70, 56)]:
        seen, meant = np.array(read.getpixel(place)), np.array(upright.getpixel(place))
        assert np.abs(seen - meant).max() <= 3  # JPEG's rounding


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    picture.putpixel((1, 0), (255, 0, 0, 255))
    picture.putpixel((2, 0), (0, 0, 0, 128))
    picture.save(tmp_path / "alpha.png")
    read = read_picture(tmp_path / "alpha.png")
    assert read.getpixel((0, 0)) == (255, 255, 255)
    assert read.getpixel((1, 0)) == (255, 0, 0)
    assert read.getpixel((2, 0)) == (127, 127, 127)


def test_a_palette_with_a_transparent_entry_is_white_there(tmp_path: Path) -> None:
    picture = Image.new("P", (64, 64), 0)
    picture.putpalette([0, 0, 255, 0, 255, 0])
    picture.putpixel((5, 5), 1)
    picture.save(tmp_path / "palette.png", transparency=0)
    read = read_picture(tmp_path / "palette.png")
    assert read.getpixel((0, 0)) == (255, 255, 255)
    assert read.getpixel((5, 5)) == (0, 255, 0)


def test_a_plain_palette_keeps_its_colours(tmp_path: Path) -> None:
    _four_corners().quantize(8).save(tmp_path / "plain.png")
    assert read_picture(tmp_path / "plain.png").getpixel((10, 8)) == (255, 0, 0)


def test_sixteen_bits_a_channel_are_scaled_not_cut(tmp_path: Path) -> None:
    values = np.full((64, 64), 0x8000, dtype=np.uint16)
    values[0, :3] = (0, 0xFFFF, 255)
    Image.fromarray(values).save(tmp_path / "deep.png")
    read = read_picture(tmp_path / "deep.png")
    assert [read.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (255,) * 3, (1,) * 3]
    assert read.getpixel((9, 9)) == (128,) * 3


def test_printing_inks_become_their_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (64, 64), (0, 255, 255, 0)).save(tmp_path / "inks.tiff")
    red, green, blue = np.array(read_picture(tmp_path / "inks.tiff").getpixel((9, 9)))
    assert red > 200
    assert max(green, blue) < 60


def test_grey_is_grey(tmp_path: Path) -> None:
    Image.new("L", (64, 64), 77).save(tmp_path / "grey.jpg")
    assert read_picture(tmp_path / "grey.jpg").getpixel((9, 9)) == (77, 77, 77)


def test_a_colour_profile_is_applied(tmp_path: Path) -> None:
    """A picture whose profile is XYZ-like linear light looks different in sRGB; mid grey of LAB
    lightness 50 is 119 in sRGB.
    """
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    lab = Image.new("LAB", (64, 64), (128, 128, 128))
    lab.save(tmp_path / "lab.tiff", icc_profile=profile.tobytes())
    srgb = ImageCms.profileToProfile(lab, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert srgb is not None
    assert read_picture(tmp_path / "lab.tiff").getpixel((9, 9)) == srgb.getpixel((9, 9))


def test_a_damaged_colour_profile_is_passed_over(tmp_path: Path) -> None:
    _four_corners().save(tmp_path / "odd.png", icc_profile=b"not a profile")
    assert read_picture(tmp_path / "odd.png").getpixel((10, 8)) == (255, 0, 0)


def test_a_picture_cut_short_is_found_without_decoding_the_whole_ones(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "webp", "bmp", "tiff"):
        whole = io.BytesIO()
        Image.fromarray(noise).save(whole, format={"jpg": "jpeg"}.get(suffix, suffix))
        file = tmp_path / f"cut.{suffix}"
        for num_lost in (len(whole.getvalue()) // 2, 40):
            file.write_bytes(whole.getvalue()[:-num_lost])
            for read in (upright_size, read_picture):
                with pytest.raises(UnreadablePicture):
                    read(file)


def test_what_a_program_puts_behind_a_picture_is_not_damage(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "webp", "bmp", "tiff"):
        file = tmp_path / f"film.{suffix}"
        Image.fromarray(noise).save(file, format={"jpg": "jpeg"}.get(suffix, suffix))
        for num_behind in (100, 100_000):
            file.write_bytes(file.read_bytes() + bytes(num_behind))
            assert upright_size(file) == read_picture(file).size == (80, 64)


def test_a_file_that_is_no_picture_says_so(tmp_path: Path) -> None:
    file = tmp_path / "note.png"
    file.write_text("a cat")
    for read in (upright_size, read_picture):
        with pytest.raises(UnreadablePicture, match="no picture format"):
            read(file)


def test_a_picture_of_absurd_size_is_refused_by_its_header(tmp_path: Path) -> None:
    file = tmp_path / "bomb.bmp"
    Image.new("1", (64, 64)).save(file)
    header = bytearray(file.read_bytes())
    header[18:26] = (40_000).to_bytes(4, "little") * 2
    file.write_bytes(header)
    with warnings.catch_warnings(), pytest.raises(UnreadablePicture, match="more pixels"):
        upright_size(file)


def test_a_picture_comes_to_its_bucket_by_its_middle(tmp_path: Path) -> None:
    wide = Image.new("RGB", (300, 100), "black")
    wide.paste("white", (100, 0, 200, 100))
    wide.save(tmp_path / "wide.png")
    cut, fit = read_for_bucket(tmp_path / "wide.png", (96, 96))
    assert cut.size == (96, 96)
    assert (fit.scaled_width_px, fit.scaled_height_px) == (288, 96)
    assert (fit.left_px, fit.top_px) == (96, 0)
    assert cut.getpixel((48, 48)) == (255, 255, 255)


def test_a_picture_of_its_buckets_size_is_not_touched(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "exact.png")
    cut, _ = read_for_bucket(tmp_path / "exact.png", (80, 64))
    assert np.array_equal(np.asarray(cut), noise)
