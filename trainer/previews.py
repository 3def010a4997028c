"""What a picture is becoming while it is drawn: a small preview from its latents.

Legend: C = 128 channels of a token, h and w = picture sides / 16 (tokens), x = latents at noise
level s, v = what the model predicts.

Decoding every denoising step would cost as much as drawing. But a token's colours are nearly a
linear function of its channels: a matrix of C + 1 numbers for each of 2 x 2 points in red, green
and blue gives a picture of 1/8 of the size, blurred and truthful. The matrix is the autoencoder's
own: it encodes a few pictures of coloured shapes, and least squares finds what maps their latents
to their colours. That takes a moment, once a run, and holds for any autoencoder; tables of numbers
that others measured hold for one.

x is noise until late. What the model expects the picture to become is x - s v, and v is known from
two steps that follow each other: v = (x' - x) / (s' - s), since the sampler's steps are straight.

A preview is a PNG of some kilobytes in the run's folder, replaced by the next one. It is for open
pages only: nothing is flushed to the disk, and what goes wrong with it costs nothing but itself.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from PIL import Image, ImageDraw, ImageFilter

from trainer.latents import encode_pictures, picture_to_pixels

logger = logging.getLogger(__name__)

TOKEN_PX = 16
POINTS = 2  # of the preview along a token's side
SECONDS_BETWEEN = 0.25
_NUM_SCENES = 10
_SCENE_PX = 256
_RIDGE = 1e-3  # of the number of tokens: keeps channels that hardly vary from getting huge numbers

Said = Callable[[int, int, Path], None]


class LatentColours:
    """The linear map from an autoencoder's tokens to colours: a matrix, float32 [C + 1, 12]."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self._matrix = matrix

    @classmethod
    def of(cls, autoencoder: AutoencoderKLFlux2) -> LatentColours:
        """Found on the device that the autoencoder is on."""
        tokens, colours = [], []
        for picture in _scenes():
            latents = encode_pictures(autoencoder, picture_to_pixels(picture))  # [1, C, h, w]
            tokens.append(latents[0].flatten(1).T.float().cpu())
            colours.append(_colours_of(picture))
        x = _with_ones(torch.cat(tokens)).double()
        y = torch.cat(colours).double()
        gram = x.T @ x + _RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
        return cls(torch.linalg.solve(gram, x.T @ y).float())

    def picture(self, latents: torch.Tensor, *, width: int, height: int) -> Image.Image:
        """latents [h w, C], in rows -> an RGB picture of (width / 8, height / 8) px."""
        h, w = height // TOKEN_PX, width // TOKEN_PX
        values = _with_ones(latents.float().cpu()) @ self._matrix
        points = values.view(h, w, POINTS, POINTS, 3).permute(0, 2, 1, 3, 4)
        points = points.reshape(h * POINTS, w * POINTS, 3)
        return Image.fromarray((points.clamp(0, 1) * 255).round().byte().numpy())


class Previews:
    """Previews of the pictures that a run draws, each replacing the one before.

    path: the file. The autoencoder is asked for its colours when the first preview is due.
    """

    def __init__(self, path: Path, *, seconds_between: float = SECONDS_BETWEEN) -> None:
        self._path = path
        self._seconds_between = seconds_between
        self._colours: LatentColours | None = None
        self._is_broken = False

    def of_picture(
        self, autoencoder: AutoencoderKLFlux2, *, width: int, height: int, say: Said
    ) -> PicturePreviews:
        """For one picture. say: takes denoising steps done, steps in all, and the file."""
        return PicturePreviews(self, autoencoder, width=width, height=height, say=say)

    def write(
        self, latents: torch.Tensor, autoencoder: AutoencoderKLFlux2, *, width: int, height: int
    ) -> Path | None:
        """The preview's file; None if there is none this time."""
        if self._is_broken:
            return None
        try:
            if self._colours is None:
                self._colours = LatentColours.of(autoencoder)
            picture = self._colours.picture(latents, width=width, height=height)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_name(f".{self._path.name}")
            picture.save(temporary, "PNG")
            os.replace(temporary, self._path)
        except (OSError, RuntimeError) as error:  # a full disk or card, a strange autoencoder
            logger.warning("There will be no previews: %s", error)
            self._is_broken = True
            return None
        return self._path


class PicturePreviews:
    """Told of each denoising step of one picture; writes a preview when one is due."""

    def __init__(
        self,
        previews: Previews,
        autoencoder: AutoencoderKLFlux2,
        *,
        width: int,
        height: int,
        say: Said,
    ) -> None:
        self._previews = previews
        self._autoencoder = autoencoder
        self._size = {"width": width, "height": height}
        self._say = say
        self._before: tuple[torch.Tensor, float] | None = None
        self._next = 0.0

    def step(self, done: int, total: int, latents: torch.Tensor, noise_level: float) -> None:
        """latents: [1, h w, C] at the noise level that the step has reached."""
        now, before = time.monotonic(), self._before
        self._before = (latents.detach(), noise_level)
        if before is None or now < self._next or done >= total:
            return  # the last one is the picture itself, which is being decoded
        self._next = now + self._previews._seconds_between
        earlier, earlier_level = before
        velocity = (latents - earlier).float() / (noise_level - earlier_level)
        expected = latents.float() - noise_level * velocity
        path = self._previews.write(expected[0], self._autoencoder, **self._size)
        if path is not None:
            self._say(done, total, path)


def _with_ones(tokens: torch.Tensor) -> torch.Tensor:
    return torch.cat([tokens, torch.ones(len(tokens), 1)], dim=1)


def _colours_of(picture: Image.Image) -> torch.Tensor:
    """[tokens, 2 * 2 * 3] in 0..1: the mean colours of a quarter of each token's square."""
    side = _SCENE_PX // TOKEN_PX
    small = picture.resize((side * POINTS, side * POINTS), Image.Resampling.BOX)
    values = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)
    values = values.view(side, POINTS, side, POINTS, 3).permute(0, 2, 1, 3, 4)
    return values.reshape(side * side, POINTS * POINTS * 3)


def _scenes() -> list[Image.Image]:
    """Rectangles, ellipses and triangles in all colours, every third picture blurred.

    Shapes, not noise: an autoencoder answers truthfully to what looks like a picture.
    """
    random = np.random.default_rng(0)

    def colour() -> tuple[int, ...]:
        return tuple(int(value) for value in random.integers(0, 256, 3))

    def corner(least: int, most: int) -> tuple[int, int]:
        x, y = random.integers(least, most, 2)
        return int(x), int(y)

    scenes = []
    for number in range(_NUM_SCENES):
        scene = Image.new("RGB", (_SCENE_PX, _SCENE_PX), colour())
        pen = ImageDraw.Draw(scene)
        for shape in range(24):
            side = int(random.integers(10, 90))
            x, y = corner(-side // 2, _SCENE_PX)
            box = (x, y, x + side, y + side)
            if shape % 3 == 0:
                pen.rectangle(box, fill=colour())
            elif shape % 3 == 1:
                pen.ellipse(box, fill=colour())
            else:
                pen.polygon([corner(-20, _SCENE_PX + 20) for _ in range(3)], fill=colour())
        if number % 3 == 0:
            scene = scene.filter(ImageFilter.GaussianBlur(float(random.uniform(1, 6))))
        scenes.append(scene)
    return scenes
