"""The parts of the recipe: optimizer, tokenizer, resumed stages, text as the pipeline reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import Flux2Pipeline
from torch import nn
from transformers import PreTrainedTokenizerFast

from trainer.tiny_flux2 import train_flux as flux
from trainer.tiny_flux2.architecture import (
    POSTERIOR_LOG_VARIANCE,
    TEXT_ENCODER_OUT_LAYERS,
    build_autoencoder,
)
from trainer.tiny_flux2.captions import caption_at
from trainer.tiny_flux2.latent_cache import LatentCache, scene_pairs, shape_colour_pair
from trainer.tiny_flux2.muon import Muon, orthogonalise
from trainer.tiny_flux2.stage_state import learning_rate_factor, load_stage, save_stage
from trainer.tiny_flux2.tokenizer import MAX_SEQUENCE_LENGTH, VOCABULARY_SIZE, train_tokenizer
from trainer.tiny_flux2.train_autoencoder import decode, encode
from trainer.tiny_flux2.world import Scene, SceneObject, scene_at


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(caption_at(0, index, scene_at(0, index)) for index in range(3000))


@pytest.mark.parametrize("shape", [(24, 60), (60, 24), (32, 32)])
def test_orthogonalising_on_the_gram_matrix_equals_newton_schulz_on_the_matrix(
    shape: tuple[int, int],
) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    x = matrices if shape[0] <= shape[1] else matrices.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    expected = x if shape[0] <= shape[1] else x.mT
    torch.testing.assert_close(orthogonalise(matrices), expected, atol=1e-4, rtol=1e-3)


def test_muon_moves_every_direction_of_a_matrix_and_of_a_kernel_about_equally_far() -> None:
    matrix = nn.Parameter(torch.zeros(16, 40))
    kernel = nn.Parameter(torch.zeros(8, 4, 3, 3))
    generator = torch.Generator().manual_seed(1)
    # One direction of the gradient is a hundred times steeper than the rest.
    steep = torch.outer(torch.randn(16, generator=generator), torch.randn(40, generator=generator))
    matrix.grad = torch.randn(16, 40, generator=generator) + 100 * steep
    kernel.grad = torch.randn(8, 4, 3, 3, generator=generator)
    Muon([matrix, kernel], lr=0.5).step()
    for moved in (matrix, kernel.flatten(1)):
        lengths = torch.linalg.svdvals(moved.detach()) / 0.5
        assert lengths.max() < 1.3
        assert lengths.median() > 0.6


def test_the_learning_rate_warms_up_holds_and_falls_to_nothing() -> None:
    factors = [
        learning_rate_factor(step, 100, num_warmup_steps=10, decay_from=0.5) for step in range(101)
    ]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[50] == 1
    assert factors[75] == pytest.approx(0.5)
    assert factors[100] == 0


def test_a_prompt_costs_its_own_words_only_and_fits_the_text_rows(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert len(tokenizer) == VOCABULARY_SIZE
    ids, mask = flux.tokenize(tokenizer, ["a red star", ""])
    assert ids.shape == (2, MAX_SEQUENCE_LENGTH)
    # Begin, system message, turn open, three words, turn close; then pads on the right.
    assert mask.sum(dim=1).tolist() == [7, 4]
    assert (ids[0, 7:] == tokenizer.pad_token_id).all()
    longest = max(
        len(tokenizer(caption_at(1, index, scene_at(1, index)))["input_ids"]) + 4
        for index in range(1000)
    )
    assert longest <= MAX_SEQUENCE_LENGTH


def test_the_tokenizer_gives_back_any_text(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in ("a red star on a sky background", "ohwx p3rson, Ünïcode ☂"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_decoding_undoes_encoding_up_to_the_networks_themselves() -> None:
    torch.manual_seed(0)
    autoencoder = build_autoencoder().eval()
    autoencoder.bn.running_mean = torch.randn(128)
    autoencoder.bn.running_var = torch.rand(128) + 0.5
    pictures = torch.rand(2, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        latents = encode(autoencoder, pictures)
        posterior = autoencoder.encode(pictures).latent_dist
        expected = autoencoder.decode(posterior.mean).sample
        assert latents.shape == (2, 128, 8, 8)
        torch.testing.assert_close(decode(autoencoder, latents), expected, atol=1e-4, rtol=1e-4)
        assert (posterior.logvar == POSTERIOR_LOG_VARIANCE).all()


def test_training_reads_a_prompt_as_the_pipeline_does(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    model = flux.TextToImage().eval()
    prompts = ["a red star on a sky background", "zorvex, a blue ring"]
    with torch.no_grad():
        ours = model.read(*flux.tokenize(tokenizer, prompts))
        theirs = Flux2Pipeline._get_mistral_3_small_prompt_embeds(
            model.text_encoder,
            tokenizer,
            prompts,
            max_sequence_length=MAX_SEQUENCE_LENGTH,
            hidden_states_layers=list(TEXT_ENCODER_OUT_LAYERS),
        )
    assert torch.equal(ours, theirs)


def test_auxiliary_targets_name_the_scenes_coloured_shapes() -> None:
    scene = Scene(
        (SceneObject("ring", "red", 30, 64, 24), SceneObject("star", "blue", 90, 64, 24)),
        "sky",
        "left of",
    )
    held = scene_pairs(scene).nonzero().flatten().tolist()
    assert sorted(held) == sorted(
        [shape_colour_pair("ring", "red"), shape_colour_pair("star", "blue")]
    )


def test_a_killed_stage_that_goes_on_ends_with_the_weights_of_one_that_was_not(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flux, "BATCH_SIZE", 2)
    monkeypatch.setattr(flux, "NUM_WORLD_STEPS", 3)
    monkeypatch.setattr(flux, "NUM_STEPS", 6)
    monkeypatch.setattr(flux, "NUM_PAIR_STEPS", 3)
    monkeypatch.setattr(flux, "NUM_LOOKS_STEPS", 1)
    monkeypatch.setattr(flux, "SAVE_EVERY_STEPS", 2)
    generator = torch.Generator().manual_seed(0)
    world = LatentCache(
        scene_indices=torch.arange(6),
        latents=torch.randn(6, 64, 128, generator=generator),
        masks=torch.rand(6, 64, 16, generator=generator),
        pairs=torch.stack([scene_pairs(scene_at(0, index)) for index in range(6)]).float(),
        grounds=torch.tensor([0, 1, 2, 3, 4, 5]),
    )

    pairs = replace(world, latents=world.latents.flip(0))

    class Killed(Exception):
        pass

    def kill_after_four(average: flux.TextToImage, num_finished_steps: int) -> None:
        del average
        if num_finished_steps == 4:  # in the second course
            raise Killed

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = flux.train_flux(tmp_path / "whole", world, pairs, tokenizer, seed=0)
    with pytest.raises(Killed):
        flux.train_flux(
            tmp_path / "killed", world, pairs, tokenizer, seed=0, on_save=kill_after_four
        )
    resumed = flux.train_flux(tmp_path / "killed", world, pairs, tokenizer, seed=0)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_stage_without_a_file_starts_at_step_zero_and_a_saved_one_where_it_was(
    tmp_path: Path,
) -> None:
    module = nn.Linear(2, 2)
    assert load_stage(tmp_path / "stage.pt", {"module": module}) == 0
    save_stage(tmp_path / "stage.pt", num_finished_steps=7, parts={"module": module})
    other = nn.Linear(2, 2)
    assert load_stage(tmp_path / "stage.pt", {"module": other}) == 7
    assert torch.equal(other.weight, module.weight)
