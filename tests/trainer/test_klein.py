"""klein through the same path: no guidance embedding, another text encoder, real CFG in samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline
from PIL import Image

from tests.trainer.original_files import write_original_transformer
from tests.trainer.pipeline_pictures import sample_at
from tests.trainer.short_runs import ShortRun, job_with, run_here
from tests.trainer.toy_klein import save_toy_klein
from trainer.comfyui_workflow import workflow_name
from trainer.events import Step
from trainer.folders import Folders
from trainer.lora_convert import convert_lora
from trainer.lora_keys import KeyFormat
from trainer.sampling import read_recipe

PROMPT = "zorvex, a red square"
NEGATIVE = "a blue circle on a dark background"
REFERENCE = "squares/1-green.png"


@pytest.fixture(scope="module")
def klein_folders(short_folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    models = tmp_path_factory.mktemp("klein")
    save_toy_klein(models / "toy-klein")
    return Folders(short_folders.datasets, models, short_folders.cache)


@pytest.fixture(scope="module")
def trained(klein_folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    job = job_with(
        {
            "model.model_architecture": "klein-base-4b",
            "model.name_or_path": "toy-klein",
            "training.steps": 2,
            "training.learning_rate": 0.05,
            "target.linear_alpha": 8.0,
            "sample.guidance_scale": 4.0,
            "sample.first_sample_at_step_0": True,
            "sample.negative_prompt": NEGATIVE,
            "sample.prompts": [
                {"prompt": PROMPT},
                {"prompt": PROMPT, "guidance_scale": 1.0},
                {"prompt": PROMPT, "control_images": [REFERENCE]},
            ],
        }
    )
    return run_here(job, klein_folders, tmp_path_factory.mktemp("trained"))


def klein_pipeline(folders: Folders) -> Any:
    pipe = Flux2KleinPipeline.from_pretrained(folders.models / "toy-klein", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn_by(pipe: Any, folders: Folders) -> list[np.ndarray]:
    """The pipeline's own pictures of the job's three prompts: guided, unguided, with a reference.

    Its negative prompt is always the empty one; another goes in as an embedding.
    """
    negative, _ = pipe.encode_prompt(NEGATIVE)
    shown = [Image.open(folders.datasets / REFERENCE).convert("RGB")]
    pictures = [
        pipe(
            image=image,
            prompt=PROMPT,
            negative_prompt_embeds=negative,
            width=64,
            height=64,
            num_inference_steps=2,
            guidance_scale=guidance,
            generator=torch.Generator("cpu").manual_seed(42),
        ).images[0]
        for guidance, image in ((4.0, None), (1.0, None), (4.0, shown))
    ]
    return [np.asarray(picture).astype(int) for picture in pictures]


@pytest.mark.slow
def test_a_klein_trains_and_samples(trained: ShortRun) -> None:
    assert trained.exit_code == 0
    assert [s.step for s in trained.of_type(Step)] == [1, 2]
    assert len(trained.samples()) == 2 * 3


@pytest.mark.slow
def test_the_result_has_a_workflow_for_comfyui_beside_it(trained: ShortRun) -> None:
    result = trained.folder.result
    workflow = json.loads(result.with_name(workflow_name(result.name)).read_text())
    assert PROMPT in json.dumps(workflow)
    assert f'"{result.name}"' in json.dumps(workflow)


def test_samples_with_and_without_guidance_are_the_pipelines(
    trained: ShortRun, klein_folders: Folders
) -> None:
    pipe = klein_pipeline(klein_folders)
    for index, drawn in enumerate(drawn_by(pipe, klein_folders)):
        assert np.array_equal(drawn, sample_at(trained, 0, index)), index


@pytest.mark.slow
def test_a_negative_prompt_changes_a_klein_picture(
    trained: ShortRun, klein_folders: Folders, tmp_path: Path
) -> None:
    job = job_with(
        {
            "model.model_architecture": "klein-base-4b",
            "model.name_or_path": "toy-klein",
            "training.steps": 1,
            "sample.guidance_scale": 4.0,
            "sample.first_sample_at_step_0": True,
            "sample.prompts": [{"prompt": PROMPT}],
        }
    )
    without = run_here(job, klein_folders, tmp_path)
    ours, with_it = (Image.open(run.folder.sample(0, 0)) for run in (without, trained))
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(with_it).astype(int)).mean() > 1
    recipes = [read_recipe(run.folder.sample(0, 0)) for run in (without, trained)]
    assert [recipe["negative_prompt"] for recipe in recipes if recipe] == ["", NEGATIVE]


@pytest.mark.slow
@pytest.mark.long
def test_single_files_and_a_shared_text_encoder_train_as_the_folder_does(
    klein_folders: Folders, tmp_path: Path
) -> None:
    """transformer.safetensors, ae.safetensors and a Qwen3 folder: no pipeline folder at all."""
    models = tmp_path / "models"
    folder = klein_folders.models / "toy-klein"
    write_original_transformer(folder, models / "klein.safetensors")
    shutil.copytree(folder / "text_encoder", models / "qwen3")
    shutil.copytree(folder / "tokenizer", models / "qwen3", dirs_exist_ok=True)
    shutil.copytree(folder / "vae", models / "autoencoder")
    parts = {
        "model.model_architecture": "klein-base-4b",
        "quantization.transformer": "float8",
        "training.steps": 2,
    }
    of_files = job_with(
        {
            **parts,
            "model.name_or_path": "klein.safetensors",
            "model.autoencoder_path": "autoencoder",
            "model.text_encoder_path": "qwen3",
        }
    )
    apart = Folders(klein_folders.datasets, models, klein_folders.cache)
    ours = run_here(of_files, apart, tmp_path / "files")
    theirs = run_here(
        job_with({**parts, "model.name_or_path": "toy-klein"}), klein_folders, tmp_path / "folder"
    )
    assert ours.exit_code == theirs.exit_code == 0
    assert ours.losses == theirs.losses


@pytest.mark.slow
@pytest.mark.parametrize("key_format", ["diffusers", "comfyui"])
def test_the_klein_pipeline_draws_our_samples_from_the_file(
    trained: ShortRun, klein_folders: Folders, tmp_path: Path, key_format: KeyFormat
) -> None:
    file = trained.folder.result
    if key_format == "comfyui":
        file = tmp_path / "comfyui.safetensors"
        convert_lora(trained.folder.result, file, key_format=key_format)
    pipe = klein_pipeline(klein_folders)
    pipe.load_lora_weights(str(file), adapter_name="ours")
    for index, drawn in enumerate(drawn_by(pipe, klein_folders)):
        ours = sample_at(trained, 2, index)
        # alpha / rank is multiplied into the file, which moves the last bits.
        assert np.abs(drawn - ours).max() <= 1, index
        assert np.abs(ours - sample_at(trained, 0, index)).max() > 8, index
    pipe.set_adapters("ours", 0.0)
    assert np.array_equal(drawn_by(pipe, klein_folders)[0], sample_at(trained, 0, 0))
