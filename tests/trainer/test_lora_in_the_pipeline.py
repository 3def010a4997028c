"""The saved LoRA where people use it: in Diffusers' own pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import Flux2Pipeline, Flux2Transformer2DModel
from PIL import Image
from safetensors.torch import load_file

from tests.trainer.pipeline_pictures import PROMPT, bundled_pipeline, drawn_by, sample_at
from tests.trainer.short_runs import ShortRun, job_with, run_here
from trainer.folders import Folders
from trainer.job_file import parse_job
from trainer.lora_file import write_lora_file
from trainer.lora_merge import merge_lora
from trainer.lora_reading import read_lora
from trainer.sampling import (
    RECIPE_CHUNK,
    SampleRequest,
    draw,
    read_recipe,
    sample_requests,
    write_picture,
)
from trainer.variants import VARIANTS, Architecture

TINY = VARIANTS[Architecture.TINY]


@pytest.fixture(scope="module")
def trained(short_folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    """Three strong steps with alpha other than the rank, sampled before and after."""
    job = job_with(
        {
            "training.steps": 3,
            "training.learning_rate": 0.02,
            "target.linear_alpha": 8.0,
            "sample.first_sample_at_step_0": True,
            "sample.guidance_scale": 1.0,
            "sample.prompts": [{"prompt": "[trigger], a red square"}],
        }
    )
    return run_here(job, short_folders, tmp_path_factory.mktemp("trained"))


@pytest.fixture
def pipeline() -> Flux2Pipeline:
    return bundled_pipeline()


@pytest.mark.slow
def test_our_samples_are_the_pictures_that_the_pipeline_draws(
    trained: ShortRun, pipeline: Flux2Pipeline
) -> None:
    base = drawn_by(pipeline)
    assert np.abs(base - sample_at(trained, 0)).max() == 0

    pipeline.load_lora_weights(str(trained.folder.result))
    with_lora = drawn_by(pipeline)
    assert np.abs(with_lora - base).max() > 8
    # The file has alpha / rank multiplied in, which moves the last bits: one of 255 levels.
    assert np.abs(with_lora - sample_at(trained, 3)).max() <= 1

    name = pipeline.get_list_adapters()["transformer"][0]
    pipeline.set_adapters(name, 0.0)
    assert np.abs(drawn_by(pipeline) - base).max() == 0


@pytest.mark.slow
def test_the_comfyui_names_draw_the_picture_that_diffusers_names_draw(
    trained: ShortRun, pipeline: Flux2Pipeline, tmp_path: Path
) -> None:
    base = drawn_by(pipeline)
    pipeline.load_lora_weights(str(trained.folder.result), adapter_name="diffusers")
    expected = drawn_by(pipeline)
    pipeline.unload_lora_weights()

    file = read_lora(trained.folder.result)
    path = tmp_path / "comfyui.safetensors"
    write_lora_file(
        path, file.values(), scale=1.0, dtype=torch.float32, key_format="comfyui", metadata={}
    )
    stored = load_file(path)
    assert "diffusion_model.single_blocks.3.linear1.lora_A.weight" in stored
    assert stored["diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight"].shape[0] == 12
    pipeline.load_lora_weights(str(path), adapter_name="comfyui")
    # A sum over three ranks, two of them times zero, is rounded in another order.
    assert np.abs(drawn_by(pipeline) - expected).max() <= 1
    assert np.abs(expected - base).max() > 8

    pipeline.set_adapters("comfyui", 0.0)
    assert np.abs(drawn_by(pipeline) - base).max() == 0


@pytest.mark.slow
def test_a_merged_model_draws_what_base_and_lora_draw(
    trained: ShortRun, pipeline: Flux2Pipeline, tmp_path: Path
) -> None:
    pipeline.transformer.save_pretrained(tmp_path / "base" / "transformer")
    merge_lora(
        tmp_path / "base",
        trained.folder.result,
        tmp_path / "merged",
        strength=0.5,
        progress=lambda _done, _total: None,
    )
    base = drawn_by(pipeline)
    pipeline.load_lora_weights(str(trained.folder.result), adapter_name="ours")
    pipeline.set_adapters("ours", 0.5)
    together = drawn_by(pipeline)
    pipeline.transformer = Flux2Transformer2DModel.from_pretrained(
        tmp_path / "merged" / "transformer", dtype=torch.float32
    )
    assert np.abs(drawn_by(pipeline) - together).max() <= 1
    assert np.abs(together - base).max() > 8


@pytest.mark.slow
@pytest.mark.parametrize("full_rank", [False, True])
def test_diffusers_draws_our_samples_from_a_lokr(
    full_rank: bool, pipeline: Flux2Pipeline, short_folders: Folders, tmp_path: Path
) -> None:
    job = job_with(
        {
            "training.steps": 3,
            "training.learning_rate": 0.02,
            "target.target_type": "lokr",
            "target.lokr_factor": 4,
            "target.linear_alpha": 8.0,
            "target.lokr_full_rank": full_rank,
            "sample.guidance_scale": 1.0,
            "sample.prompts": [{"prompt": "[trigger], a red square"}],
        }
    )
    run = run_here(job, short_folders, tmp_path)
    base = drawn_by(pipeline)
    pipeline.load_lora_weights(str(run.folder.result), adapter_name="ours")
    with_lokr = drawn_by(pipeline)
    assert np.abs(with_lokr - base).max() > 8
    # Diffusers multiplies the Kronecker product out, which rounds in another order.
    assert np.abs(with_lokr - sample_at(run, 3)).max() <= 1
    pipeline.set_adapters("ours", 0.0)
    assert np.abs(drawn_by(pipeline) - base).max() == 0


@pytest.mark.slow
def test_every_key_of_the_file_finds_its_layer(trained: ShortRun, pipeline: Flux2Pipeline) -> None:
    pipeline.load_lora_weights(str(trained.folder.result), adapter_name="ours")
    loaded = {
        name.replace(".ours.", "."): value
        for name, value in pipeline.transformer.state_dict().items()
        if ".lora_" in name
    }
    stored = load_file(trained.folder.result)
    assert {f"transformer.{name}" for name in loaded} == set(stored)
    for name, value in loaded.items():
        assert torch.equal(value, stored[f"transformer.{name}"])
    for module in pipeline.transformer.modules():
        for scale in getattr(module, "scaling", {}).values():
            assert scale == 1.0  # alpha is folded in: no reader has to know it


def test_a_stop_ends_a_picture_between_two_denoising_steps(pipeline: Flux2Pipeline) -> None:
    passes: list[int] = []
    hook = pipeline.transformer.register_forward_hook(lambda *_: passes.append(1))
    request = SampleRequest(0, PROMPT, 42, 64, 64, 1.0, sample_steps=6)
    embeds = torch.zeros(
        TINY.max_sequence_length, pipeline.transformer.config["joint_attention_dim"]
    )

    def picture(stop_after: int) -> Image.Image | None:
        passes.clear()
        return draw(
            pipeline,
            request,
            variant=TINY,
            prompt_embeds=embeds,
            negative_embeds=None,
            stop_requested=lambda: len(passes) >= stop_after,
        )

    assert picture(stop_after=2) is None
    assert len(passes) == 2
    assert picture(stop_after=99) is not None  # the stop does not stick to the pipeline
    assert len(passes) == 6
    hook.remove()


def test_a_picture_keeps_its_recipe_in_any_script(tmp_path: Path) -> None:
    recipe = {"prompt": "ein grünes Herz, 赤い丸", "seed": 7}
    path = tmp_path / "picture.png"
    write_picture(path, Image.new("RGB", (16, 16)), recipe)
    assert read_recipe(path) == recipe
    with Image.open(path) as picture:
        assert json.loads(picture.info[RECIPE_CHUNK]) == recipe


def test_a_file_that_is_no_picture_has_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"no picture")
    assert read_recipe(path) is None
    Image.new("RGB", (16, 16)).save(path)
    assert read_recipe(path) is None


def test_blank_sample_settings_take_the_panels_and_then_the_architectures() -> None:
    job = parse_job(
        job_with(
            {
                "sample": {
                    "walk_seed": True,
                    "seed": 2**32 - 1,
                    "height": 96,
                    "prompts": [
                        {"prompt": "[trigger] one"},
                        {"prompt": "two", "seed": 5, "width": 80, "guidance_scale": 0.0},
                        {"prompt": "three"},
                    ],
                }
            }
        )
    )
    first, second, third = sample_requests(job)
    assert (first.prompt, first.seed) == ("zorvex one", 2**32 - 1)
    assert (first.width, first.height) == (TINY.sample_side_px, 96)
    assert (first.guidance_scale, first.sample_steps) == (TINY.sample_guidance, TINY.sample_steps)
    assert (second.seed, second.width, second.guidance_scale) == (5, 80, 0.0)
    assert third.seed == 1  # seeds walk around the end of their range
