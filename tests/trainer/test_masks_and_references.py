"""What masks, references, regularization sets and LoRA Weight do in a step, in float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Pipeline
from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.trainer.mini_transformer import JOINT_DIM, mini_transformer
from tests.trainer.test_training_step import (
    OBJECTIVE,
    STEP,
    assert_same,
    gradients_of,
    rows,
    samples,
    trained_lora,
)
from trainer.buckets import REFERENCE_AREA_PX, reference_size
from trainer.companions import reference_fault
from trainer.latents import encode_pictures, picture_to_pixels
from trainer.losses import per_sample_loss
from trainer.pictures import mirrored, read_for_bucket, read_mask, read_reference
from trainer.randomness import generator
from trainer.timesteps import as_model_sees, draw_timestep, loss_weight
from trainer.tokens import image_ids, pack, reference_ids, text_ids
from trainer.training_step import predict_velocity


def references(*sizes: tuple[int, int], count: int = 2) -> tuple[torch.Tensor, ...]:
    """Random latents [count, 128, h, w] of each size (h, w)."""
    draw = torch.Generator().manual_seed(5)
    return tuple(
        torch.randn(count, 128, height, width, generator=draw, dtype=torch.float64)
        for height, width in sizes
    )


# ------------------------------------------------------------------------- against the pipeline


@pytest.mark.parametrize("pipeline", [Flux2Pipeline, Flux2KleinPipeline])
def test_tokens_and_places_of_references_are_the_pipelines(pipeline: type[Flux2Pipeline]) -> None:
    latents = references((3, 2), (2, 5), (4, 4), count=1)
    ids = pipeline._prepare_image_ids(list(latents))
    assert torch.equal(reference_ids([(3, 2), (2, 5), (4, 4)]), ids[0])
    assert sorted(set(ids[0, :, 0].tolist())) == [10, 20, 30]
    tokens = torch.cat([pipeline._pack_latents(one) for one in latents], dim=1)
    assert torch.equal(torch.cat([pack(one) for one in latents], dim=1), tokens)


@pytest.mark.parametrize(
    "size", [(1500, 1200), (1024, 1024), (1025, 1024), (3000, 400), (640, 333), (64, 64), (97, 300)]
)
def test_a_reference_comes_to_its_size_as_in_the_pipeline(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (size[1] // 4, size[0] // 4, 3), np.uint8)
    Image.fromarray(noise).resize(size).save(tmp_path / "r.png")
    # The lines of __call__ that prepare `image=`, on the pipeline's own processor.
    processor = Flux2ImageProcessor(vae_scale_factor=16)
    theirs = Image.open(tmp_path / "r.png")
    processor.check_image_input(theirs)
    if theirs.width * theirs.height > 1024 * 1024:
        theirs = processor._resize_to_target_area(theirs, 1024 * 1024)
    width, height = theirs.width // 16 * 16, theirs.height // 16 * 16
    expected = processor.preprocess(theirs, height=height, width=width, resize_mode="crop")

    ours, fit = read_reference(tmp_path / "r.png")
    assert ours.size == (width, height) == reference_size(*size)
    assert width * height <= REFERENCE_AREA_PX
    assert (fit.scaled_width_px, fit.scaled_height_px) == (theirs.width, theirs.height)
    assert torch.equal(picture_to_pixels(ours), expected)


@given(
    sides=st.one_of(
        st.tuples(st.integers(1, 600), st.integers(1, 600)),
        st.tuples(st.integers(60, 80), st.integers(480, 640)),  # about the limit of 8 to 1
    ),
    is_wide=st.booleans(),
)
def test_just_those_references_are_refused_that_the_pipeline_refuses(
    sides: tuple[int, int], is_wide: bool
) -> None:
    size = sides[::-1] if is_wide else sides
    try:
        Flux2ImageProcessor.check_image_input(Image.new("1", size))
        is_refused = False
    except ValueError:
        is_refused = True
    assert bool(reference_fault(*size)) == is_refused


def test_a_references_latents_are_the_pipelines(tmp_path: Path) -> None:
    torch.manual_seed(0)
    autoencoder = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2
    )
    shell = Flux2Pipeline(
        scheduler=None, vae=autoencoder.eval(), text_encoder=None, tokenizer=None, transformer=None
    )
    Image.linear_gradient("L").resize((96, 80)).save(tmp_path / "r.png")
    pixels = picture_to_pixels(read_reference(tmp_path / "r.png")[0])
    with torch.no_grad():
        theirs = shell._encode_vae_image(pixels, generator=None)  # type: ignore[arg-type]
    assert torch.equal(encode_pictures(autoencoder, pixels), theirs)


def test_the_transformer_is_called_with_references_as_the_pipeline_calls_it() -> None:
    transformer = mini_transformer()
    noisy = pack(references((2, 3), count=1)[0])
    extra = references((3, 2), (2, 2), count=1)
    embeds = torch.randn(1, 4, JOINT_DIM, dtype=torch.float64)
    timestep = torch.tensor([0.4], dtype=torch.float64)
    with torch.no_grad():
        ours = predict_velocity(
            transformer,
            noisy,
            timestep=timestep,
            embeds=embeds,
            size=(2, 3),
            guidance=1.0,
            references=extra,
        )
        # As in denoising: tokens and places behind the picture's, the answer cut back.
        ids = torch.cat([image_ids(2, 3)[None], Flux2Pipeline._prepare_image_ids(list(extra))], 1)
        theirs = transformer(
            hidden_states=torch.cat([noisy, *(Flux2Pipeline._pack_latents(e) for e in extra)], 1),
            timestep=timestep,
            guidance=torch.ones(1),
            encoder_hidden_states=embeds,
            txt_ids=text_ids(4),
            img_ids=ids[0],
            return_dict=False,
        )[0][:, : noisy.shape[1]]
        alone = predict_velocity(
            transformer, noisy, timestep=timestep, embeds=embeds, size=(2, 3), guidance=1.0
        )
    assert torch.equal(ours, theirs)
    assert ours.shape == noisy.shape
    assert not torch.allclose(ours, alone)


# ----------------------------------------------------------------------------------- the step


def test_preservation_shows_the_base_model_the_same_references() -> None:
    """A LoRA that changes nothing is at distance 0 from the base only if both see the same."""
    batch = replace(samples(2, has_class=[True, True]), references=references((2, 2), (1, 3)))
    objective = replace(OBJECTIVE, preservation_multiplier=1.0)
    result, _ = gradients_of([replace(batch, lora_weight=1e-12)], objective)
    assert result.preservation_loss == pytest.approx(0.0, abs=1e-15)
    with_references, _ = gradients_of([batch], objective)
    without, _ = gradients_of([replace(batch, references=())], objective)
    assert with_references.preservation_loss != pytest.approx(without.preservation_loss, rel=1e-3)


def test_references_are_rows_of_the_batch() -> None:
    batch = replace(samples(2, has_class=[True, False]), references=references((2, 2)))
    objective = replace(OBJECTIVE, preservation_multiplier=1.0)
    whole_result, whole = gradients_of([batch], objective)
    parts = [
        replace(rows(batch, place), references=(batch.references[0][[place]],)) for place in (0, 1)
    ]
    cut_result, cut = gradients_of(parts, replace(objective, batch_size=1))
    assert_same(whole, cut)
    assert cut_result.loss == pytest.approx(whole_result.loss, rel=1e-6)


def test_a_masked_loss_is_the_weighted_mean_over_tokens() -> None:
    draw = torch.Generator().manual_seed(1)
    prediction, target = (torch.randn(2, 3, 4, generator=draw, dtype=torch.float64) for _ in "ab")
    mask = torch.tensor([[1.0, 0.0, 0.5], [0.25, 0.25, 0.25]], dtype=torch.float64)
    errors = (prediction - target).square().mean(2)
    expected = [
        float((errors[0, 0] + 0.5 * errors[0, 2]) / 1.5),
        float(errors[1].mean()),  # an even grey changes nothing
    ]
    assert per_sample_loss(prediction, target, "mse", mask).tolist() == pytest.approx(expected)


def test_what_is_black_in_the_mask_has_no_gradient() -> None:
    batch = samples(1)
    mask = torch.ones(1, 2, 3)
    mask[0, 1] = 0.0
    _, masked = gradients_of([replace(batch, masks=mask)])
    # Another target there (other latents, and so other noise to predict) must not matter, but the
    # model sees the noisy latents: so compare through the loss alone.
    result, _ = gradients_of([replace(batch, masks=mask)])
    full, plain = gradients_of([replace(batch, masks=torch.ones(1, 2, 3))])
    unmasked, same = gradients_of([batch])
    assert_same(plain, same)
    assert full.loss == pytest.approx(unmasked.loss, rel=1e-12)
    assert result.loss != pytest.approx(full.loss, rel=1e-3)
    assert any(not torch.allclose(masked[name], plain[name]) for name in plain)


def test_a_regularization_picture_trains_towards_the_base_models_prediction() -> None:
    batch = replace(samples(2), towards_base=torch.tensor([False, True]))
    result, _ = gradients_of([batch], replace(OBJECTIVE, guidance_scale=3.0))

    transformer = mini_transformer()
    lora = trained_lora(transformer)
    losses, objectives = [], []
    for place in range(2):
        latents = batch.latents[place].float()
        noise = torch.randn(latents.shape, generator=generator(3, STEP, "noise", place))
        t = draw_timestep(
            "weighted", "balanced", num_tokens=6, generator=generator(3, STEP, "timestep", place)
        )
        passed, seen = as_model_sees(t, torch.float64)
        noisy = pack(((1 - seen) * latents + seen * noise)[None]).double()

        def velocity(
            noisy: torch.Tensor = noisy, passed: torch.Tensor = passed, place: int = place
        ) -> torch.Tensor:
            with torch.no_grad():
                return predict_velocity(
                    transformer,
                    noisy,
                    timestep=passed[None],
                    embeds=batch.prompt_embeds[[place]],
                    size=(2, 3),
                    guidance=1.0,
                )

        with lora.off():
            base = velocity()
        true = float((velocity() - pack((noise - latents)[None])).square().mean())
        to_base = float((velocity() - base).square().mean())
        losses.append(true)
        # The other picture is guided at 3, which multiplies a squared error by 9.
        objectives.append(float(loss_weight(t, "weighted")) * (to_base if place else 9 * true))
    assert result.loss == pytest.approx(sum(losses) / 2, rel=1e-5)
    assert result.objective == pytest.approx(sum(objectives) / 2, rel=1e-5)


def test_regularization_alone_leaves_a_fresh_lora_where_it_is() -> None:
    batch = replace(samples(2), towards_base=torch.tensor([True, True]), lora_weight=1e-9)
    result, _ = gradients_of([batch])
    assert result.objective == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_weight_scales_what_the_lora_adds(checkpointing: bool) -> None:
    """At weight w a LoRA with alpha a computes what one with alpha w * a does."""
    batch = samples(2, has_class=[True, False])
    objective = replace(OBJECTIVE, preservation_multiplier=1.0)

    def with_alpha(factor: float, weight: float) -> tuple[float, dict[str, torch.Tensor]]:
        from trainer.training_step import training_step

        transformer = mini_transformer()
        lora = trained_lora(transformer)
        for layer in lora.layers:
            layer.scaling["default"] *= factor
        if checkpointing:
            transformer.enable_gradient_checkpointing()
        before = {name: p.detach().clone() for name, p in lora.parameters.items()}
        result = training_step(
            transformer,
            lora,
            torch.optim.SGD(list(lora.parameters.values()), lr=1.0),
            [replace(batch, lora_weight=weight)],
            step=STEP,
            objective=objective,
            max_gradient_norm=0.0,
        )
        assert [layer.scaling["default"] for layer in lora.layers] == [
            0.5 * factor for _ in lora.layers
        ]  # alpha 1 / rank 2, as before the step
        return result.objective, {n: before[n] - p.detach() for n, p in lora.parameters.items()}

    weighted, gradients = with_alpha(1.0, 0.3)
    expected, by_alpha = with_alpha(0.3, 1.0)
    plain, _ = with_alpha(1.0, 1.0)
    assert weighted == pytest.approx(expected, rel=1e-12)
    assert_same(gradients, by_alpha)
    assert weighted != pytest.approx(plain, rel=1e-4)


# ---------------------------------------------------------------------------------- the files


def test_a_mask_is_cut_like_its_picture_and_pooled_to_tokens(tmp_path: Path) -> None:
    """A picture of 160 x 64 that trains at 64 x 64 is cut at both ends; so is its mask."""
    mask = Image.new("L", (160, 64), "black")
    mask.paste(255, (0, 0, 72, 64))  # white up to 8 px into the second token of the cut
    mask.save(tmp_path / "m.png")
    pooled = read_mask(tmp_path / "m.png", (160, 64), (64, 64))
    assert pooled.shape == (4, 4)
    assert pooled[0].tolist() == [1.0, 0.5, 0.0, 0.0]
    assert (pooled == pooled[0]).all()
    # Drawn at half the size, it says the same.
    mask.resize((80, 32), Image.Resampling.BOX).save(tmp_path / "half.png")
    half = read_mask(tmp_path / "half.png", (160, 64), (64, 64))
    assert half[0].tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=0.01)


def test_a_masks_tokens_lie_under_the_pictures(tmp_path: Path) -> None:
    """What is white in the mask is the picture's own bright corner, in the same token."""
    picture = Image.new("RGB", (200, 120), "black")
    picture.paste("white", (120, 60, 200, 120))
    picture.save(tmp_path / "p.png")
    cut, _ = read_for_bucket(tmp_path / "p.png", (96, 64))
    bright = np.asarray(cut.convert("L"), np.float32).reshape(4, 16, 6, 16).mean((1, 3)) / 255
    mask = read_mask(tmp_path / "p.png", (200, 120), (96, 64))
    assert np.abs(bright - mask).max() < 0.05


@pytest.mark.parametrize(("flip", "corner"), [("", 0), ("x", 1), ("y", 2), ("xy", 3)])
def test_flips_move_a_corner_where_they_say(flip: str, corner: int) -> None:
    picture = Image.new("L", (32, 16), 0)
    picture.putpixel((0, 0), 255)
    lying = np.asarray(mirrored(picture, flip))  # type: ignore[arg-type]
    corners = [lying[0, 0], lying[0, -1], lying[-1, 0], lying[-1, -1]]
    assert [value == 255 for value in corners] == [place == corner for place in range(4)]
