"""Latents and prompt embeddings are the pipeline's own, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline, Flux2Pipeline
from PIL import Image

from tests.trainer.toy_klein import save_toy_klein
from trainer.errors import BadModel
from trainer.latents import encode_pictures, load_autoencoder, picture_to_pixels
from trainer.prompt_encoding import load_prompt_encoder
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

DTYPES = [torch.float32, torch.bfloat16]
TINY = VARIANTS[Architecture.TINY]
KLEIN = VARIANTS[Architecture.KLEIN_BASE_4B]
PROMPTS = [
    "",
    "zorvex, a red square on a sand background",
    "  as written ,  with two  spaces\nand a line break",
    "猫 and café",
    "far too long for 48 rows " * 30,
]


@pytest.fixture(scope="module", params=DTYPES, ids=["fp32", "bf16"])
def pipeline(request: pytest.FixtureRequest) -> Flux2Pipeline:
    pipeline = Flux2Pipeline.from_pretrained(BUNDLED_TINY_FOLDER, dtype=request.param)
    assert isinstance(pipeline, Flux2Pipeline)
    return pipeline


def _noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (80, 112)])
def test_latents_are_those_of_the_pipelines_image_path(
    pipeline: Flux2Pipeline, size: tuple[int, int]
) -> None:
    dtype = pipeline.vae.dtype
    picture = _noise(*size)
    pixels = pipeline.image_processor.preprocess(picture, height=size[1], width=size[0])
    with torch.no_grad():
        theirs = pipeline._encode_vae_image(pixels.to(dtype), generator=torch.Generator())

    autoencoder = load_autoencoder(BUNDLED_TINY_FOLDER, dtype=dtype, device="cpu")
    ours = encode_pictures(autoencoder, picture_to_pixels(picture))
    assert ours.shape == (1, 128, size[1] // 16, size[0] // 16)
    assert ours.dtype == dtype
    assert torch.equal(ours, theirs)


def test_pixels_are_those_of_the_pipelines_image_processor(pipeline: Flux2Pipeline) -> None:
    picture = _noise(64, 64)
    theirs = pipeline.image_processor.preprocess(picture, height=64, width=64)
    assert torch.equal(picture_to_pixels(picture), theirs)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_is_encoded_as_the_whole_pipeline_does_it(
    pipeline: Flux2Pipeline, prompt: str
) -> None:
    dtype = pipeline.text_encoder.dtype
    with torch.no_grad():
        theirs, _ = pipeline.encode_prompt(
            prompt,
            max_sequence_length=TINY.max_sequence_length,
            text_encoder_out_layers=TINY.text_encoder_out_layers,
        )
    encoder = load_prompt_encoder(
        BUNDLED_TINY_FOLDER, variant=TINY, dtype=dtype, device="cpu", quantization="none"
    )
    ours = encoder.encode(prompt)
    assert ours.shape == (48, 288)
    assert ours.dtype == dtype
    assert torch.equal(ours, theirs[0])


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("klein") / "toy-klein"
    save_toy_klein(folder)
    return folder


@pytest.mark.parametrize("dtype", DTYPES, ids=["fp32", "bf16"])
def test_a_kleins_prompt_is_encoded_as_the_whole_pipeline_does_it(
    klein: Path, dtype: torch.dtype
) -> None:
    pipeline = Flux2KleinPipeline.from_pretrained(klein, dtype=dtype)
    assert isinstance(pipeline, Flux2KleinPipeline)
    with torch.no_grad():
        theirs, _ = pipeline.encode_prompt(PROMPTS[1])
    encoder = load_prompt_encoder(
        klein, variant=KLEIN, dtype=dtype, device="cpu", quantization="none"
    )
    ours = encoder.encode(PROMPTS[1])
    assert ours.shape == (512, 48)
    assert torch.equal(ours, theirs[0])


def test_layers_that_nobody_reads_are_not_loaded(klein: Path) -> None:
    def parts(folder: Path, variant: Any) -> Any:
        return load_prompt_encoder(
            folder, variant=variant, dtype=torch.float32, device="cpu", quantization="none"
        ).pipeline.text_encoder

    mistral = parts(BUNDLED_TINY_FOLDER, TINY)
    assert len(mistral.model.language_model.layers) == 3
    assert mistral.model.vision_tower is None
    qwen = parts(klein, KLEIN)
    assert len(qwen.model.layers) == 27
    assert not any("lm_head" in name for name, _ in qwen.named_parameters())


def test_float8_moves_an_embedding_by_its_rounding_only() -> None:
    def encode(quantization: str) -> torch.Tensor:
        return load_prompt_encoder(
            BUNDLED_TINY_FOLDER,
            variant=TINY,
            dtype=torch.float32,
            device="cpu",
            quantization=quantization,
        ).encode(PROMPTS[1])

    exact, rounded = encode("none"), encode("float8")
    error = (rounded - exact).norm() / exact.norm()
    # Weights are off by 2.6 %; a few layers of them move the states by a few percent.
    assert 0.001 < error < 0.15


def _without_a_tensor(file: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    # Nothing reads the vision tower and the last layers, so a file may lack those.
    tensors.pop(min(name for name in tensors if "weight" in name and "vision" not in name))
    save_file(tensors, file, metadata={"format": "pt"})


def _cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


@pytest.mark.parametrize("spoil", [_without_a_tensor, _cut_short])
def test_weights_that_lack_something_are_refused_not_filled_with_random_numbers(
    tmp_path: Path, spoil: Any
) -> None:
    folder = Path(shutil.copytree(BUNDLED_TINY_FOLDER, tmp_path / "model"))
    spoil(folder / "vae" / "diffusion_pytorch_model.safetensors")
    spoil(folder / "text_encoder" / "model.safetensors")
    with pytest.raises(BadModel, match="autoencoder"):
        load_autoencoder(folder, dtype=torch.float32, device="cpu")
    with pytest.raises(BadModel, match=r"text.encoder"):
        load_prompt_encoder(
            folder, variant=TINY, dtype=torch.float32, device="cpu", quantization="none"
        )


def test_an_encoder_with_too_few_layers_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLED_TINY_FOLDER, tmp_path / "model"))
    config = folder / "text_encoder" / "config.json"
    data = json.loads(config.read_text())
    data["text_config"]["num_hidden_layers"] = 2
    config.write_text(json.dumps(data))
    with pytest.raises(BadModel, match="has 2 layers"):
        load_prompt_encoder(
            folder, variant=TINY, dtype=torch.float32, device="cpu", quantization="none"
        )
