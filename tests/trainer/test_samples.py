"""Samples with every option of the Sample panel, against Diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2Pipeline
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.trainer.pipeline_pictures import PROMPT, bundled_pipeline, drawn_by, sample_at
from tests.trainer.short_runs import ShortRun, job_with, run_here
from trainer.__main__ import main
from trainer.door import examine_job
from trainer.events import Sample, SampleFailed, Step
from trainer.folders import Folders
from trainer.lora_convert import convert_lora
from trainer.model_loading import load_drawing_parts, load_transformer
from trainer.model_parts import parts_of_pipeline
from trainer.pictures import read_picture
from trainer.prompt_encoding import load_prompt_encoder
from trainer.sampling import SampleRequest, SampleTimedOut, build_pipeline, draw, read_recipe
from trainer.variants import BUNDLED_TINY_FOLDER, VARIANTS, Architecture

TINY = VARIANTS[Architecture.TINY]
GREEN, WIDE = "squares/1-green.png", "squares/5-purple.png"
JOB: dict[str, Any] = {
    "training.steps": 3,
    "training.learning_rate": 0.02,
    "sample.first_sample_at_step_0": True,
    "sample.guidance_scale": 1.0,
    "sample.prompts": [
        {"prompt": PROMPT},
        {"prompt": PROMPT, "lora_strength": 0.0},
        {"prompt": PROMPT, "lora_strength": 0.5},
        {"prompt": PROMPT, "control_images": [GREEN, WIDE]},
    ],
}


@pytest.fixture(scope="module")
def trained(short_folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> ShortRun:
    run = run_here(job_with(JOB), short_folders, tmp_path_factory.mktemp("trained"))
    assert run.exit_code == 0
    assert run.of_type(SampleFailed) == []
    return run


@pytest.fixture
def pipeline() -> Flux2Pipeline:
    return bundled_pipeline()


def references(folders: Folders) -> list[Image.Image]:
    return [Image.open(folders.datasets / name).convert("RGB") for name in (GREEN, WIDE)]


@pytest.mark.slow
def test_an_edit_sample_is_the_picture_that_the_pipeline_draws(
    trained: ShortRun, pipeline: Flux2Pipeline, short_folders: Folders
) -> None:
    theirs = drawn_by(pipeline, image=references(short_folders))
    assert np.abs(theirs - sample_at(trained, 0, 3)).max() == 0
    assert np.abs(theirs - sample_at(trained, 0, 0)).max() > 8  # the references are seen
    pipeline.load_lora_weights(str(trained.folder.result))
    with_lora = drawn_by(pipeline, image=references(short_folders))
    assert np.abs(with_lora - sample_at(trained, 3, 3)).max() <= 1


@pytest.mark.slow
def test_strength_0_is_the_base_and_a_half_is_the_pipelines_half(
    trained: ShortRun, pipeline: Flux2Pipeline
) -> None:
    base = sample_at(trained, 0, 0)
    assert np.abs(sample_at(trained, 3, 1) - base).max() == 0
    assert np.abs(sample_at(trained, 3, 0) - base).max() > 8
    pipeline.load_lora_weights(str(trained.folder.result), adapter_name="ours")
    pipeline.set_adapters("ours", 0.5)
    half = drawn_by(pipeline)
    assert np.abs(half - sample_at(trained, 3, 2)).max() <= 1
    assert np.abs(half - sample_at(trained, 3, 0)).max() > 1


@pytest.mark.slow
def test_each_picture_carries_its_recipe_and_its_event_says_the_same(trained: ShortRun) -> None:
    for event in trained.of_type(Sample):
        recipe = read_recipe(trained.folder.path / event.path)
        assert recipe is not None
        for name in ("step", "prompt_index", "prompt", "seed", "lora_strength", "control_images"):
            assert recipe[name] == getattr(event, name)
        assert recipe["training_name"] == "short"
    edited = read_recipe(trained.folder.sample(3, 3))
    assert edited is not None
    assert edited["control_images"] == [GREEN, WIDE]


@pytest.mark.slow
def test_a_time_out_costs_the_picture_and_leaves_the_training_untouched(
    trained: ShortRun, short_folders: Folders, tmp_path: Path
) -> None:
    run = run_here(job_with({**JOB, "sample.time_out_per_sample": 1e-9}), short_folders, tmp_path)
    assert run.exit_code == 0
    assert run.samples() == {}
    failures = run.of_type(SampleFailed)
    assert len(failures) == 2 * 4
    assert "took longer than 1e-09 s" in failures[0].message
    assert run.losses == trained.losses
    assert [s.gradient_norm for s in run.of_type(Step)] == [
        s.gradient_norm for s in trained.of_type(Step)
    ]
    ours, theirs = load_file(run.folder.result), load_file(trained.folder.result)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_reference_that_vanished_costs_its_picture_only(
    short_folders: Folders, tmp_path: Path
) -> None:
    picture = tmp_path / "mine.png"
    Image.new("RGB", (64, 64), "teal").save(picture)
    prompts = [{"prompt": PROMPT, "control_images": [str(picture)]}, {"prompt": PROMPT}]
    data = job_with({"training.steps": 1, "sample.prompts": prompts})
    verdict = examine_job(data, short_folders)
    assert not [p for p in verdict.problems if p.code == "control_image_unusable"]
    picture.unlink()
    from trainer.loop import run

    job = verdict.admitted()
    options: dict[str, Any] = {"parent": tmp_path, "folders": short_folders, "resume": "never"}
    assert run(job, verdict.indexes, verdict.warnings, **options) == 0
    assert sorted(path.name[-6:] for path in (tmp_path / "short" / "samples").iterdir()) == [
        "01.png"
    ]


def test_a_time_out_ends_a_picture_between_two_denoising_steps(pipeline: Flux2Pipeline) -> None:
    passes: list[int] = []
    hook = pipeline.transformer.register_forward_hook(lambda *_: passes.append(1))
    decodes: list[int] = []
    pipeline.vae.post_quant_conv.register_forward_hook(lambda *_: decodes.append(1))
    request = SampleRequest(0, PROMPT, 42, 64, 64, 1.0, sample_steps=6)
    embeds = torch.zeros(
        TINY.max_sequence_length, pipeline.transformer.config["joint_attention_dim"]
    )
    with pytest.raises(SampleTimedOut):
        draw(
            pipeline,
            request,
            variant=TINY,
            prompt_embeds=embeds,
            negative_embeds=None,
            stop_requested=lambda: False,
            time_out_seconds=0.0,
        )
    hook.remove()
    assert (len(passes), len(decodes)) == (1, 0)


@pytest.mark.parametrize("vae_dtype", [torch.float32, torch.bfloat16])
def test_the_autoencoder_draws_in_a_type_of_its_own(
    pipeline: Flux2Pipeline, vae_dtype: torch.dtype, short_folders: Folders
) -> None:
    parts = parts_of_pipeline(BUNDLED_TINY_FOLDER, Architecture.TINY)
    transformer = load_transformer(
        parts.transformer,
        dtype=torch.float32,
        device="cpu",
        quantization="none",
        progress=lambda *_: None,
    )
    ours = build_pipeline(TINY, transformer, load_drawing_parts(parts, vae_dtype=vae_dtype))
    assert ours.vae.dtype == vae_dtype
    encoder = load_prompt_encoder(
        BUNDLED_TINY_FOLDER, variant=TINY, dtype=torch.float32, device="cpu", quantization="none"
    )
    picture = draw(
        ours,
        SampleRequest(0, PROMPT, 42, 64, 64, 1.0, sample_steps=2),
        variant=TINY,
        prompt_embeds=encoder.encode(PROMPT),
        negative_embeds=None,
        references=[read_picture(short_folders.datasets / GREEN)],
        stop_requested=lambda: False,
    )
    theirs = drawn_by(pipeline, image=[references(short_folders)[0]])
    difference = np.abs(np.asarray(picture).astype(int) - theirs)
    assert difference.max() == 0 if vae_dtype == torch.float32 else 0 < difference.mean() < 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("squares/nothing.png", "there is no file"),
        ("../outside.png", "leads out of the datasets folder"),
        ("squares/1-green.txt", ""),
        ("squares", "there is no file"),
    ],
)
def test_a_control_image_that_cannot_be_shown_is_refused_at_its_field(
    short_folders: Folders, name: str, reason: str
) -> None:
    prompts = [{"prompt": PROMPT}, {"prompt": PROMPT, "control_images": [GREEN, name]}]
    verdict = examine_job(job_with({"sample.prompts": prompts}), short_folders)
    (problem,) = verdict.errors
    assert problem.code == "control_image_unusable"
    assert problem.field == "sample.prompts.1.control_images"
    assert name in problem.message
    assert reason in problem.message


@pytest.mark.parametrize("size", [(63, 200), (64, 513)])
def test_a_reference_that_the_pipeline_would_refuse_is_refused_at_the_door(
    short_folders: Folders, tmp_path: Path, pipeline: Flux2Pipeline, size: tuple[int, int]
) -> None:
    picture = Image.new("RGB", size, "teal")
    picture.save(tmp_path / "reference.png")
    with pytest.raises(ValueError, match=r"small|spect"):
        drawn_by(pipeline, image=[picture])
    prompts = [{"prompt": PROMPT, "control_images": [str(tmp_path / "reference.png")]}]
    verdict = examine_job(job_with({"sample.prompts": prompts}), short_folders)
    (problem,) = verdict.errors
    assert f"{size[0]} x {size[1]} px" in problem.message


def test_strength_0_in_a_sample_is_a_warning(short_folders: Folders) -> None:
    prompts = [{"prompt": PROMPT, "lora_strength": 0.0}]
    verdict = examine_job(job_with({"sample.prompts": prompts}), short_folders)
    assert "sample_without_lora" in {problem.code for problem in verdict.warnings}


# ------------------------------------------------------------------------------------ the command


def _by_command(out: Path, *options: str) -> np.ndarray:
    arguments = ["sample", "--prompt", PROMPT, "--width", "64", "--height", "64", "--steps", "2"]
    arguments += ["--guidance", "1", "--data-type", "fp32", "--vae-data-type", "fp32"]
    arguments += ["--quantization", "none", "--gpu", "cpu", "-o", str(out), *options]
    assert main(arguments) == 0
    return np.asarray(Image.open(out)).astype(int)


@pytest.mark.slow
def test_the_command_draws_what_the_training_drew_from_either_format(
    trained: ShortRun, short_folders: Folders, tmp_path: Path
) -> None:
    lora, out = trained.folder.result, tmp_path / "new" / "picture.png"
    other = tmp_path / "comfyui.safetensors"
    convert_lora(lora, other, key_format="comfyui")
    images = [str(short_folders.datasets / name) for name in (GREEN, WIDE)]
    shown = [word for image in images for word in ("--control-image", image)]
    edited = _by_command(out, "--lora", str(other), "--model", "tiny", *shown)
    assert np.abs(edited - sample_at(trained, 3, 3)).max() <= 1
    recipe = read_recipe(out)
    assert recipe is not None
    assert (recipe["prompt"], recipe["lora"]) == (PROMPT, other.name)
    assert (recipe["architecture"], recipe["control_images"]) == ("tiny", images)

    # Our own files say themselves which model they are for.
    half = _by_command(out, "--lora", str(lora), "--strength", "0.5")
    assert np.abs(half - sample_at(trained, 3, 2)).max() <= 1


@pytest.mark.parametrize(
    ("options", "exit_code", "said"),
    [
        (["--model", "tiny", "--width", "100"], 2, "--width: 100"),
        (["--model", "tiny", "--steps", "0"], 2, "--steps: 0"),
        (["--model", "tiny", "-o", "out.jpg"], 2, "out.jpg"),
        (["--model", "/nowhere"], 2, "--architecture"),
        (["--model", "/nowhere", "--architecture", "tiny"], 5, "no folder /nowhere"),
        (["--model", "tiny", "--lora", "/nowhere/lora.safetensors"], 12, "no file /nowhere"),
        (["--model", "tiny", "--control-image", "/nowhere.png"], 2, "/nowhere.png"),
        (["--model", "tiny", "--control-image", "LONG.png"], 2, "8 times as long as wide"),
        (["--model", "tiny", "--strength", "nan"], 2, "--strength: nan"),
        (["--model", "tiny", "--guidance", "-1"], 2, "--guidance: -1.0"),
        (["--model", "tiny", "--prompt", "very " * 100], 2, "of 48 tokens"),
    ],
)
def test_the_command_refuses_what_cannot_be_drawn(
    options: list[str],
    exit_code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 520)).save("LONG.png")
    assert main(["sample", "--prompt", PROMPT, "-o", "out.png", *options]) == exit_code
    assert not Path("out.png").exists()
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("transformer_blocks.7.attn.to_q", ", which this model does not have"),
        ("transformer_blocks.0.attn.to_q", " as [6144, 6144], and this model's is [192, 192]"),
    ],
)
def test_a_lora_of_another_model_is_refused_before_anything_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layer: str, said: str
) -> None:
    a, b = torch.ones(2, 6144), torch.ones(6144, 2)
    file = tmp_path / "dev.safetensors"
    save_file({f"transformer.{layer}.lora_{p}.weight": t for p, t in (("A", a), ("B", b))}, file)
    arguments = ["sample", "--model", "tiny", "--prompt", PROMPT, "--lora", str(file)]
    assert main([*arguments, "--gpu", "cpu", "-o", str(tmp_path / "out.png")]) == 12
    assert f"the layer {layer}{said}" in capsys.readouterr().err
