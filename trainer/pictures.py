"""A picture as people see it: upright, on white, in 8-bit RGB; and cut to its bucket.

Files say more than RGB: a camera's orientation tag, an alpha channel, a palette with a
transparent entry, 16 bits a channel, CMYK inks, a colour profile. Each is read the way a viewer
shows it, since what a person saw when they chose the picture is what they mean to train on.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from trainer.buckets import Fit, fit_to_bucket, reference_fit, reference_size
from trainer.panels.field import SIDE_MULTIPLE_PX

# How a picture is mirrored: not at all, left and right (x), top and bottom (y), or both.
Flip = Literal["", "x", "y", "xy"]

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
# Pictures to people, but not read here: said by name, so that nobody thinks they were trained on.
OTHER_PICTURE_SUFFIXES = frozenset(
    {".gif", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".svg", ".cr2", ".nef", ".dng"}
)

_TRANSPOSE_OF_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNS_SIDES = frozenset({5, 6, 7, 8})
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})


_END_BYTES = 64 << 10


class UnreadablePicture(Exception):
    """A file that is no picture, or a damaged one; the text says what is wrong in a few words."""


def upright_size(path: Path) -> tuple[int, int]:
    """(width, height) in px after orientation, from the file's header. Raises UnreadablePicture.

    Of a file whose end is missing, as a download that broke off leaves it, too; damage in the
    middle shows only when the picture is decoded.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            if not _has_its_end(file, image.format):
                _load_to_the_end(image)
            width_px, height_px = image.size
            if _orientation(image) in _TURNS_SIDES:
                return height_px, width_px
            return width_px, height_px
    except _READ_ERRORS as error:
        raise UnreadablePicture(_reason(error)) from error


def _load_to_the_end(image: Image.Image) -> None:
    try:
        image.load()
    except _READ_ERRORS as error:
        raise UnreadablePicture(f"it cannot be read to its end: {_reason(error)}") from error


def _has_its_end(file: BinaryIO, picture_format: str | None) -> bool:
    """Whether the last bytes are those that such a file ends with; False where nobody can tell.

    JPEG ends with its EOI marker and PNG with the chunk IEND, and programs put things behind them
    (phones a film, editors their layers); WebP and BMP say their length in the header.
    """
    place = file.tell()
    num_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, num_bytes - _END_BYTES))
    end = file.read(_END_BYTES)
    file.seek(0)
    start = file.read(12)
    file.seek(place)
    if picture_format in ("JPEG", "MPO"):
        return b"\xff\xd9" in end
    if picture_format == "PNG":
        return b"IEND" in end
    if picture_format == "WEBP":
        return num_bytes >= 8 + int.from_bytes(start[4:8], "little")
    return picture_format == "BMP" and num_bytes >= int.from_bytes(start[2:6], "little")


def read_picture(path: Path | BinaryIO) -> Image.Image:
    """The decoded picture, upright, in RGB. Raises UnreadablePicture."""
    try:
        with Image.open(path) as image:
            orientation = _orientation(image)
            image.load()
            return _upright(_as_rgb(image), orientation)
    except _READ_ERRORS as error:
        raise UnreadablePicture(_reason(error)) from error


def read_for_bucket(path: Path, bucket_size: tuple[int, int]) -> tuple[Image.Image, Fit]:
    """The picture scaled and cut to (width, height) in px. Raises UnreadablePicture."""
    picture = read_picture(path)
    fit = fit_to_bucket(picture.width, picture.height, bucket_size)
    return _fitted(picture, fit, bucket_size, Image.Resampling.LANCZOS), fit


def read_reference(path: Path) -> tuple[Image.Image, Fit]:
    """The picture as the model is shown a reference. Raises UnreadablePicture."""
    picture = read_picture(path)
    fit = reference_fit(*picture.size)
    return _fitted(picture, fit, reference_size(*picture.size), Image.Resampling.LANCZOS), fit


def read_mask(
    path: Path, picture_size: tuple[int, int], bucket_size: tuple[int, int]
) -> np.ndarray:
    """How much each latent token of a picture trains: float32 [h, w] in 0..1, h = height / 16.

    The mask goes the way of its picture of `picture_size` px into the bucket; a token's number is
    the mean brightness of its 16 x 16 px, white being 1. Raises UnreadablePicture.
    """
    fit = fit_to_bucket(*picture_size, bucket_size)
    grey = read_picture(path).convert("L")
    cut = np.asarray(_fitted(grey, fit, bucket_size, Image.Resampling.BOX), dtype=np.float32) / 255
    width, height = (side // SIDE_MULTIPLE_PX for side in bucket_size)
    return cut.reshape(height, SIDE_MULTIPLE_PX, width, SIDE_MULTIPLE_PX).mean(axis=(1, 3))


def mirrored(picture: Image.Image, flip: Flip) -> Image.Image:
    """The picture flipped."""
    if "x" in flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if "y" in flip:
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def _fitted(
    picture: Image.Image, fit: Fit, size: tuple[int, int], resampling: Image.Resampling
) -> Image.Image:
    """Scaled as `fit` says and cut to (width, height) px."""
    scaled_size = (fit.scaled_width_px, fit.scaled_height_px)
    if picture.size != scaled_size:
        picture = picture.resize(scaled_size, resampling)
    width_px, height_px = size
    box = (fit.left_px, fit.top_px, fit.left_px + width_px, fit.top_px + height_px)
    return picture.crop(box)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8.

    PNG's own getexif decodes the whole picture in search of a late tag, which the PNG standard
    does not allow; the base class reads the header only, and both readers here must agree.
    """
    if image.format == "TIFF":
        return 1  # Pillow turns these itself, and says their upright size
    try:
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, KeyError, TypeError):
        return 1  # damaged tags: viewers show the picture as it lies
    return value if value in _TRANSPOSE_OF_ORIENTATION else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TRANSPOSE_OF_ORIENTATION.get(orientation)
    return image if turn is None else image.transpose(turn)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        return _sixteen_bit_grey_as_rgb(image)
    if image.mode == "F":
        raise UnreadablePicture("it holds floating-point numbers, not colours")
    if not image.has_transparency_data:
        return _in_srgb(image)
    with_alpha = image.convert("RGBA")
    colours = with_alpha.convert("RGB")
    colours.info = dict(image.info)
    layer = _in_srgb(colours)
    layer.putalpha(with_alpha.getchannel("A"))
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _in_srgb(image: Image.Image) -> Image.Image:
    """RGB with the file's colour profile applied, so that a phone's Display P3 keeps its reds.

    A profile that is damaged or of another kind than the pixels is passed over, as viewers do.
    """
    profile_bytes = image.info.get("icc_profile")
    if not profile_bytes:
        return image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return image.convert("RGB")
        source = image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(source, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert("RGB")
    return image.convert("RGB") if converted is None else converted


def _sixteen_bit_grey_as_rgb(image: Image.Image) -> Image.Image:
    """Pillow's own conversion cuts values at 255, which makes such pictures white."""
    grey = np.asarray(image).astype(np.int64)
    if grey.min() < 0 or grey.max() > 0xFFFF:
        raise UnreadablePicture("it holds 32-bit numbers, not colours")
    eight_bit = ((grey * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8)
    return Image.fromarray(eight_bit).convert("RGB")


# Pillow's plugins raise what their parsers meet: a damaged file can give any of these.
_READ_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its content is of no picture format that is read here"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "it has more pixels than any training needs"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    return str(error) or type(error).__name__
