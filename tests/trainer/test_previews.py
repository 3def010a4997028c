"""Small previews of a picture while it is drawn."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLFlux2
from PIL import Image, ImageDraw

from tests.trainer.pipeline_pictures import PROMPT, bundled_pipeline
from tests.trainer.short_runs import job_with, read_events
from trainer.events import SamplePreview, parse_line
from trainer.job_file import parse_job
from trainer.job_folder import JobFolder
from trainer.latents import encode_pictures, picture_to_pixels
from trainer.model_loading import load_drawing_parts
from trainer.model_parts import parts_of_pipeline
from trainer.previews import LatentColours, Previews
from trainer.run_record import RunRecord
from trainer.sample_round import preview_reporter
from trainer.sampling import SampleRequest, build_pipeline, draw, sample_requests
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TINY = VARIANTS[Architecture.TINY]
HATCH = sorted((Path(__file__).parents[2] / "datasets" / "tiny-hatch").glob("*.png"))[0]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return bundled_pipeline()


@pytest.fixture(scope="module")
def colours(pipeline: Any) -> LatentColours:
    return LatentColours.of(pipeline.vae)


def tokens_of(autoencoder: AutoencoderKLFlux2, picture: Image.Image) -> torch.Tensor:
    """[h w, C], in rows."""
    return encode_pictures(autoencoder, picture_to_pixels(picture))[0].flatten(1).T


def test_a_preview_has_the_colours_of_the_picture_in_their_places(
    pipeline: Any, colours: LatentColours
) -> None:
    for ground, disc in (("tan", "teal"), ("white", "crimson"), ("navy", "gold")):
        picture = Image.new("RGB", (128, 96), ground)
        ImageDraw.Draw(picture).ellipse((16, 16, 80, 80), fill=disc)
        preview = colours.picture(tokens_of(pipeline.vae, picture), width=128, height=96)
        assert preview.size == (16, 12)
        small = np.asarray(picture.resize(preview.size, Image.Resampling.BOX)).astype(float)
        shown = np.asarray(preview).astype(float)
        error = np.abs(shown - small).mean()
        elsewhere = np.abs(np.roll(shown, (5, 5), axis=(0, 1)) - small).mean()
        assert error < 32  # of 255
        assert error < elsewhere / 2


def test_what_is_shown_is_what_the_model_expects_and_not_the_noise(
    pipeline: Any, colours: LatentColours, tmp_path: Path
) -> None:
    picture = Image.open(HATCH).convert("RGB")
    clean = tokens_of(pipeline.vae, picture)[None]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    said: list[tuple[int, int]] = []
    shown: list[np.ndarray] = []

    def say(done: int, total: int, path: Path) -> None:
        said.append((done, total))
        shown.append(np.asarray(Image.open(path)).astype(int))

    previews = Previews(tmp_path / "preview.png", seconds_between=0)
    of_picture = previews.of_picture(pipeline.vae, width=128, height=128, say=say)
    for done, level in ((1, 0.9), (2, 0.6), (3, 0.2), (4, 0.0)):
        of_picture.step(done, 4, (1 - level) * clean + level * noise, level)
    assert said == [(2, 4), (3, 4)]  # of the last there is the picture itself
    expected = np.asarray(colours.picture(clean[0], width=128, height=128)).astype(int)
    for preview in shown:
        assert np.abs(preview - expected).max() <= 1


def test_previews_come_as_often_as_said(pipeline: Any, tmp_path: Path) -> None:
    said: list[int] = []
    previews = Previews(tmp_path / "preview.png", seconds_between=3600)
    of_picture = previews.of_picture(
        pipeline.vae, width=64, height=64, say=lambda done, _total, _path: said.append(done)
    )
    for done in range(1, 10):
        of_picture.step(done, 10, torch.zeros(1, 16, 128), 1 - done / 10)
    assert said == [2]


def test_a_preview_says_the_prompt_as_its_sample_will(tmp_path: Path) -> None:
    prompts = [{"prompt": "[trigger], a hat"}]
    job = parse_job(job_with({"job.trigger_word": "zorvex", "sample.prompts": prompts}))
    folder = JobFolder(tmp_path, "short")
    record = RunRecord(job, folder, folder.run(1), token="")
    (request,) = sample_requests(job)
    preview_reporter(record, 4, request)(3, 20, folder.run(1).preview)
    record.close()
    (said,) = read_events(folder)
    assert isinstance(said, SamplePreview)
    assert (said.step, said.prompt_index, said.prompt) == (4, 0, "zorvex, a hat")


def test_a_preview_that_was_recorded_without_its_prompt_is_read() -> None:
    said = parse_line(
        '{"type": "sample_preview", "seq": 7, "time": 1.0, "step": 4, "prompt_index": 1, '
        '"done": 3, "total": 20, "path": "preview.png"}'
    )
    assert isinstance(said, SamplePreview)
    assert said.prompt is None


@pytest.mark.parametrize("trouble", ["disk", "autoencoder"])
def test_whatever_goes_wrong_costs_the_previews_only(
    pipeline: Any, tmp_path: Path, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "preview.png"
    autoencoder: Any = pipeline.vae
    if trouble == "disk":
        path.parent.write_text("no folder")
    else:
        autoencoder = FullCard()
    said: list[int] = []
    with caplog.at_level(logging.WARNING):
        of_picture = Previews(path, seconds_between=0).of_picture(
            autoencoder, width=64, height=64, say=lambda done, *_: said.append(done)
        )
        for done in range(1, 6):
            of_picture.step(done, 6, torch.zeros(1, 16, 128), 1 - done / 6)
    assert said == []
    assert len(caplog.records) == 1


class FullCard:
    """An autoencoder without room for a pass."""

    device, dtype = torch.device("cpu"), torch.float32

    def encode(self, _pixels: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("none left")


def test_a_picture_is_the_same_to_the_bit_with_and_without_previews(
    pipeline: Any, tmp_path: Path
) -> None:
    parts = load_drawing_parts(
        parts_of_pipeline(BUNDLED_TINY_FOLDER, Architecture.TINY), vae_dtype=torch.float32
    )
    own = build_pipeline(TINY, pipeline.transformer, parts)
    embeds, _ = pipeline.encode_prompt(
        PROMPT,
        max_sequence_length=TINY.max_sequence_length,
        text_encoder_out_layers=TINY.text_encoder_out_layers,
    )
    request = SampleRequest(0, PROMPT, 3, 64, 64, guidance_scale=1.0, sample_steps=5)
    said: list[int] = []
    pictures = []
    for previews in (
        None,
        Previews(tmp_path / "preview.png", seconds_between=0).of_picture(
            own.vae, width=64, height=64, say=lambda done, *_: said.append(done)
        ),
    ):
        picture = draw(
            own,
            request,
            variant=TINY,
            prompt_embeds=embeds[0],
            negative_embeds=None,
            stop_requested=lambda: False,
            previews=previews,
        )
        assert picture is not None
        pictures.append(picture.tobytes())
    assert pictures[0] == pictures[1]
    assert said == [2, 3, 4]
