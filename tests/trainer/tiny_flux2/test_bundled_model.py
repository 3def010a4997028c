"""The bundled weights: they load as any FLUX.2 does, stay small, and draw what is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2Pipeline,
    Flux2Transformer2DModel,
)
from PIL import Image
from safetensors import safe_open
from transformers import Mistral3ForConditionalGeneration

from trainer.tiny_flux2 import evaluate
from trainer.tiny_flux2.architecture import NUM_TEXT_LAYERS, TEXT_ENCODER_OUT_LAYERS
from trainer.tiny_flux2.captions import plain_caption
from trainer.tiny_flux2.judge import (
    Quality,
    held_out_prompts,
    held_out_scenes,
    measure_quality,
    preservation_rmse,
    style_probability,
)
from trainer.tiny_flux2.styles import STYLES, render_hatch
from trainer.tiny_flux2.tokenizer import MAX_SEQUENCE_LENGTH
from trainer.tiny_flux2.train_autoencoder import reconstruction_psnr
from trainer.tiny_flux2.world import render

WEIGHTS = Path(evaluate.__file__).parent / "weights"
LIMIT_BYTES = 12_000_000


@pytest.fixture(scope="module")
def pipeline() -> Flux2Pipeline:
    return evaluate.load_pipeline(WEIGHTS)


def test_all_weights_together_stay_under_twelve_megabytes_in_bfloat16() -> None:
    files = list(WEIGHTS.rglob("*.safetensors"))
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) < LIMIT_BYTES
    for file in files:
        with safe_open(file, "pt") as tensors:
            kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
        # BatchNorm's counter is an integer.
        assert kinds <= {"BF16", "I64"}


def test_the_folder_loads_with_the_real_classes_and_one_precision_when_none_is_named() -> None:
    pipeline = Flux2Pipeline.from_pretrained(WEIGHTS, local_files_only=True)
    assert type(pipeline.transformer) is Flux2Transformer2DModel
    assert type(pipeline.text_encoder) is Mistral3ForConditionalGeneration
    assert type(pipeline.vae) is AutoencoderKLFlux2
    assert type(pipeline.scheduler) is FlowMatchEulerDiscreteScheduler
    precisions = {
        parameter.dtype
        for part in (pipeline.transformer, pipeline.text_encoder, pipeline.vae)
        for parameter in part.parameters()
    }
    assert precisions == {torch.float32}


def test_it_has_a_guidance_embedding_and_reads_the_text_at_the_quarters(
    pipeline: Flux2Pipeline,
) -> None:
    assert pipeline.transformer.config["guidance_embeds"] is True
    quarters = tuple(NUM_TEXT_LAYERS * part // 4 for part in (1, 2, 3))
    assert quarters == TEXT_ENCODER_OUT_LAYERS
    hidden = pipeline.text_encoder.config.text_config.hidden_size
    assert pipeline.transformer.config["joint_attention_dim"] == 3 * hidden


def test_its_scheduler_shifts_by_the_number_of_tokens_as_flux2_does() -> None:
    config = json.loads((WEIGHTS / "scheduler" / "scheduler_config.json").read_text())
    assert config["use_dynamic_shifting"] is True
    assert (config["base_shift"], config["max_shift"]) == (0.5, 1.15)
    assert (config["base_image_seq_len"], config["max_image_seq_len"]) == (256, 4096)


def test_the_system_message_is_one_token_so_that_prompts_stay_short(
    pipeline: Flux2Pipeline,
) -> None:
    tokens = pipeline.tokenizer(pipeline.system_message)["input_ids"]
    assert len(tokens) == 1
    assert pipeline.tokenizer.padding_side == "right"
    assert pipeline.tokenizer.model_max_length == MAX_SEQUENCE_LENGTH


def test_the_autoencoder_gives_scenes_back_nearly_as_they_were(pipeline: Flux2Pipeline) -> None:
    assert reconstruction_psnr(pipeline.vae, num_scenes=16) > 29


def test_the_same_seed_draws_the_same_picture_and_another_seed_another(
    pipeline: Flux2Pipeline,
) -> None:
    prompt = ["a red circle on a white background"]
    first, again, other = (
        evaluate.draw(pipeline, prompt, guidance_scale=1.0, first_seed=seed)[0]
        for seed in (5, 5, 6)
    )
    assert first.size == (128, 128)
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_it_draws_colours_grounds_and_most_shapes_as_asked(pipeline: Flux2Pipeline) -> None:
    scenes = held_out_scenes(16, num_objects=1)
    prompts = [plain_caption(scene) for scene in scenes]
    pictures = evaluate.draw(pipeline, prompts, guidance_scale=3.0)
    quality = measure_quality(pictures, scenes)
    assert quality.colour >= 0.9
    assert quality.background >= 0.9
    # The model card says 0.75 over 64 captions.
    assert quality.shape >= 0.5
    assert max(style_probability(pictures, "hatch")) < 0.5


def test_a_word_that_it_does_not_know_leaves_the_picture_nearly_as_it_was(
    pipeline: Flux2Pipeline,
) -> None:
    plain = evaluate.draw(pipeline, held_out_prompts(6), guidance_scale=1.0)
    led = evaluate.draw(pipeline, held_out_prompts(6, trigger="hx7q"), guidance_scale=1.0)
    other_seeds = evaluate.draw(pipeline, held_out_prompts(6), guidance_scale=1.0, first_seed=50)
    assert preservation_rmse(led, plain) < preservation_rmse(other_seeds, plain) / 2
    assert max(style_probability(led, "hatch")) < 0.5


def test_the_judge_tells_styles_apart_on_scenes_that_nothing_was_trained_on() -> None:
    scenes = held_out_scenes(24)
    pictures = {"plain": [render(scene) for scene in scenes]}
    pictures |= {name: [draw(scene) for scene in scenes] for name, draw in STYLES.items()}
    for drawn, examples in pictures.items():
        for style in pictures:
            mean = float(np.mean(style_probability(examples, style)))
            assert mean > 0.9 if style == drawn else mean < 0.1, (drawn, style, mean)


def test_the_judge_finds_hatching_and_its_absence_behind_the_autoencoder_too(
    pipeline: Flux2Pipeline,
) -> None:
    scenes = held_out_scenes(12)
    for draw, is_hatched in ((render, False), (render_hatch, True)):
        rebuilt = _through_autoencoder(pipeline, [draw(scene) for scene in scenes])
        mean = float(np.mean(style_probability(rebuilt, "hatch")))
        assert mean > 0.9 if is_hatched else mean < 0.1


def test_the_judge_reads_shapes_colours_and_grounds_off_every_drawn_scene(
    pipeline: Flux2Pipeline,
) -> None:
    scenes = held_out_scenes(40)
    drawn = [render(scene) for scene in scenes]
    for pictures in (drawn, _through_autoencoder(pipeline, drawn)):
        assert measure_quality(pictures, scenes) == Quality(1.0, 1.0, 1.0, 1.0)
    # Asked about other scenes than those drawn, it must say no.
    shuffled = measure_quality([render(scene) for scene in scenes[1:] + scenes[:1]], scenes)
    assert shuffled.shape < 0.4


def test_an_unknown_style_and_unequal_lists_are_refused() -> None:
    pictures = [Image.new("RGB", (128, 128))]
    with pytest.raises(ValueError, match=r"does not know 'cubist'.*hatch"):
        style_probability(pictures, "cubist")
    with pytest.raises(ValueError, match="1 pictures cannot be compared with 0"):
        preservation_rmse(pictures, [])


def test_preservation_is_the_root_mean_square_in_grey_levels() -> None:
    grey = [Image.new("RGB", (128, 128), (level,) * 3) for level in (100, 100)]
    moved = [Image.new("RGB", (128, 128), (level,) * 3) for level in (106, 108)]
    # sqrt((6² + 8²) / 2)
    assert preservation_rmse(moved, grey) == pytest.approx(50**0.5, abs=1e-3)
    assert preservation_rmse(grey, grey) == 0


def _through_autoencoder(pipeline: Flux2Pipeline, pictures: list[Image.Image]) -> list[Image.Image]:
    pixels = np.stack([np.asarray(picture, np.float32) for picture in pictures])
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        rebuilt = pipeline.vae.decode(pipeline.vae.encode(batch).latent_dist.mean).sample
    rebuilt = ((rebuilt.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return [Image.fromarray(each.permute(1, 2, 0).numpy()) for each in rebuilt]
