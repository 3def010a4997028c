"""What training shows the model is what Diffusers' own pipeline shows it, number by number.

The whole pipeline draws from text and reference pictures while a hook notes every call of its
transformer. Beside it stand the trainer's parts, each loaded and called as in a run: prompts with
their pads, places of tokens, reference latents, the noise levels, one prediction, a whole picture.
For dev (the bundled model, guidance embedded) and klein (toy size, real guidance), from text alone
and with references.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline, Flux2Pipeline
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from PIL import Image

from tests.trainer.toy_klein import save_toy_klein
from trainer.latents import encode_pictures, load_autoencoder, picture_to_pixels
from trainer.model_loading import load_drawing_parts, load_transformer
from trainer.model_parts import parts_of_pipeline
from trainer.pictures import read_picture, read_reference
from trainer.prompt_encoding import PromptEncoder, load_prompt_encoder
from trainer.sampling import SampleRequest, build_pipeline, draw
from trainer.tokens import image_ids, pack, reference_ids, text_ids
from trainer.training_step import predict_velocity
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture, Variant

PROMPT, SEED, STEPS, GUIDANCE = "zorvex, a red square on a sand background", 7, 3, 3.0
WIDTH_PX, HEIGHT_PX = 96, 64
H, W = HEIGHT_PX // 16, WIDTH_PX // 16  # sides of the latents


@dataclass
class Reference:
    """A pipeline's picture with everything that its transformer was given and gave."""

    variant: Variant
    folder: Path
    files: list[Path]
    picture: np.ndarray = field(default_factory=lambda: np.zeros(0))
    calls: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[torch.Tensor] = field(default_factory=list)

    @property
    def first(self) -> dict[str, Any]:
        """The first call: the prompt's, at the highest noise level."""
        return self.calls[0]


def _pictures(folder: Path) -> list[Path]:
    """Two references of sides that are and are not multiples of 16."""
    draw_values = np.random.default_rng(3)
    files = []
    for number, (width, height) in enumerate(((80, 64), (90, 70))):
        values = draw_values.integers(0, 256, (height, width, 3), dtype=np.uint8)
        files.append(folder / f"{number}.png")
        Image.fromarray(values).save(files[-1])
    return files


@pytest.fixture(scope="module", params=["dev", "dev edit", "klein", "klein edit"])
def reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Reference:
    """The pipeline's side, with the classes that anybody would load."""
    is_klein = request.param.startswith("klein")
    root = tmp_path_factory.mktemp("reference")
    folder = root / "toy-klein" if is_klein else BUNDLED_TINY_FOLDER
    if is_klein:
        save_toy_klein(folder)
    variant = VARIANTS[Architecture.KLEIN_BASE_4B if is_klein else Architecture.TINY]
    files = _pictures(root) if request.param.endswith("edit") else []
    found = Reference(variant, folder, files)

    kind = Flux2KleinPipeline if is_klein else Flux2Pipeline
    pipeline: Any = kind.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.transformer.register_forward_pre_hook(
        lambda _module, _args, kwargs: found.calls.append(dict(kwargs)), with_kwargs=True
    )
    pipeline.transformer.register_forward_hook(
        lambda _module, _args, output: found.predictions.append(output[0])
    )
    drawn = pipeline(
        image=[Image.open(file).convert("RGB") for file in files] or None,
        prompt=PROMPT,
        width=WIDTH_PX,
        height=HEIGHT_PX,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator("cpu").manual_seed(SEED),
        max_sequence_length=variant.max_sequence_length,
        text_encoder_out_layers=variant.text_encoder_out_layers,
    ).images[0]
    found.picture = np.asarray(drawn)
    assert len(found.calls) == STEPS * (2 if is_klein else 1)
    return found


def _encoder(reference: Reference) -> PromptEncoder:
    return load_prompt_encoder(
        reference.folder,
        variant=reference.variant,
        dtype=torch.float32,
        device="cpu",
        quantization="none",
    )


def _reference_latents(reference: Reference) -> list[torch.Tensor]:
    """[1, C, h, w] each, as the encoding child makes and caches them."""
    autoencoder = load_autoencoder(reference.folder, dtype=torch.float32, device="cpu")
    return [
        encode_pictures(autoencoder, picture_to_pixels(read_reference(file)[0]))
        for file in reference.files
    ]


def _sizes(latents: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    return [(one.shape[2], one.shape[3]) for one in latents]


@pytest.mark.slow
def test_prompts_reach_the_model_as_in_the_pipeline_pads_included(reference: Reference) -> None:
    encoder = _encoder(reference)
    given = reference.first["encoder_hidden_states"]
    assert given.shape[1] == reference.variant.max_sequence_length
    assert torch.equal(encoder.encode(PROMPT), given[0])
    if reference.variant.training_guidance is None:
        # Real guidance: every second call is the empty prompt's.
        assert torch.equal(encoder.encode(""), reference.calls[1]["encoder_hidden_states"][0])


@pytest.mark.slow
def test_every_token_has_the_pipelines_place(reference: Reference) -> None:
    sizes = _sizes(_reference_latents(reference))
    ours = torch.cat([image_ids(H, W), reference_ids(sizes)])
    assert torch.equal(ours, reference.first["img_ids"].reshape(-1, 4).long())
    rows = reference.variant.max_sequence_length
    assert torch.equal(text_ids(rows), reference.first["txt_ids"].reshape(-1, 4).long())


@pytest.mark.slow
def test_references_are_the_pipelines_tokens_after_the_pictures(reference: Reference) -> None:
    ours = [pack(latents) for latents in _reference_latents(reference)]
    for call in reference.calls:
        theirs = call["hidden_states"][:, H * W :]
        assert theirs.shape[1] == sum(tokens.shape[1] for tokens in ours)
        assert not ours or torch.equal(torch.cat(ours, dim=1), theirs)


@pytest.mark.slow
def test_the_noise_levels_are_those_of_the_published_formula(reference: Reference) -> None:
    """Neither references nor text count among the tokens that shift the schedule."""
    mu = compute_empirical_mu(image_seq_len=H * W, num_steps=STEPS)
    linear = np.linspace(1.0, 1 / STEPS, STEPS)
    expected = [math.exp(mu) / (math.exp(mu) + 1 / t - 1) for t in linear]
    per_step = len(reference.calls) // STEPS
    given = [float(call["timestep"][0]) for call in reference.calls[::per_step]]
    assert given == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_a_prediction_in_training_is_the_pipelines_bit_for_bit(reference: Reference) -> None:
    transformer = load_transformer(
        reference.folder / "transformer",
        dtype=torch.float32,
        device="cpu",
        quantization="none",
        progress=lambda *_: None,
    )
    is_guided = reference.variant.training_guidance is not None
    with torch.no_grad():
        ours = predict_velocity(
            transformer,
            reference.first["hidden_states"][:, : H * W],
            timestep=reference.first["timestep"],
            embeds=_encoder(reference).encode(PROMPT)[None],
            size=(H, W),
            guidance=GUIDANCE if is_guided else None,
            references=_reference_latents(reference),
        )
    assert ours.shape == (1, H * W, 128)
    assert torch.equal(ours, reference.predictions[0][:, : H * W])


@pytest.mark.slow
def test_a_sample_is_the_pipelines_picture(reference: Reference) -> None:
    architecture = reference.variant.architecture
    parts = parts_of_pipeline(reference.folder, architecture)
    transformer = load_transformer(
        parts.transformer,
        dtype=torch.float32,
        device="cpu",
        quantization="none",
        progress=lambda *_: None,
    )
    drawing = load_drawing_parts(parts, vae_dtype=torch.float32)
    encoder = _encoder(reference)
    is_klein = reference.variant.training_guidance is None
    request = SampleRequest(0, PROMPT, SEED, WIDTH_PX, HEIGHT_PX, GUIDANCE, STEPS)
    picture = draw(
        build_pipeline(reference.variant, transformer, drawing),
        request,
        variant=reference.variant,
        prompt_embeds=encoder.encode(PROMPT),
        negative_embeds=encoder.encode("") if is_klein else None,
        references=[read_picture(file) for file in reference.files],
        stop_requested=lambda: False,
    )
    assert np.array_equal(np.asarray(picture), reference.picture)
