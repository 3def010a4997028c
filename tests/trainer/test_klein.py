"""klein through the same path: no guidance embedding, another text encoder, real CFG in samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline
from PIL import Image

from tests.trainer.short_runs import ShortRun, job_with, run_here
from tests.trainer.toy_klein import save_toy_klein
from trainer.events import Step
from trainer.folders import Folders

PROMPT = "zorvex, a red square"


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
            "quantization.transformer": "float8",
            "training.steps": 2,
            "training.learning_rate": 0.05,
            "sample.guidance_scale": 4.0,
            "sample.first_sample_at_step_0": True,
            "sample.prompts": [{"prompt": PROMPT}, {"prompt": PROMPT, "guidance_scale": 1.0}],
        }
    )
    return run_here(job, klein_folders, tmp_path_factory.mktemp("trained"))


@pytest.mark.slow
def test_a_klein_trains_and_samples(trained: ShortRun) -> None:
    assert trained.exit_code == 0
    assert [s.step for s in trained.of_type(Step)] == [1, 2]
    assert len(trained.samples()) == 4


@pytest.mark.slow
def test_samples_with_and_without_guidance_are_the_pipelines(
    trained: ShortRun, klein_folders: Folders
) -> None:
    pipe = Flux2KleinPipeline.from_pretrained(
        klein_folders.models / "toy-klein", dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    # The trained model is quantized, the pipeline is not: compare to within that error.
    for index, guidance in enumerate((4.0, 1.0)):
        drawn = pipe(
            prompt=PROMPT,
            width=64,
            height=64,
            num_inference_steps=2,
            guidance_scale=guidance,
            generator=torch.Generator("cpu").manual_seed(42),
        ).images[0]  # type: ignore[union-attr]
        ours = Image.open(trained.folder.sample(0, index))
        difference = np.abs(np.asarray(drawn).astype(int) - np.asarray(ours).astype(int))
        assert difference.mean() < 6, guidance


@pytest.mark.slow
def test_the_file_loads_into_the_klein_pipeline(trained: ShortRun, klein_folders: Folders) -> None:
    pipe = Flux2KleinPipeline.from_pretrained(
        klein_folders.models / "toy-klein", dtype=torch.float32
    )
    pipe.load_lora_weights(str(trained.folder.result))
    assert pipe.get_active_adapters()
