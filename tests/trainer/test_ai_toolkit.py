"""AI Toolkit's job files: every key ends in our config or in the list of what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trainer.__main__ import main
from trainer.ai_toolkit import Imported, from_ai_toolkit, is_ai_toolkit
from trainer.config import JobConfig
from trainer.errors import JobRefused
from trainer.job_file import parse_job
from trainer.presets import with_settings

# Written as its own form writes a FLUX.2 job, with values of ours.
FROM_THE_FORM = """
job: extension
config:
  name: ink portraits v2
  process:
    - type: diffusion_trainer
      training_folder: /data/output
      sqlite_db_path: ./aitk_db.db
      device: cuda
      trigger_word: zorvex
      performance_log_every: 10
      network:
        type: lora
        linear: 24
        linear_alpha: 24
        conv: 16
        conv_alpha: 16
        lokr_full_rank: true
        lokr_factor: -1
        network_kwargs:
          ignore_if_contains: []
      save:
        dtype: bf16
        save_every: 200
        max_step_saves_to_keep: 6
        save_format: diffusers
        push_to_hub: false
      datasets:
        - folder_path: /data/datasets/ink
          mask_path: null
          mask_min_value: 0.1
          default_caption: a drawing by [trigger]
          caption_ext: txt
          caption_dropout_rate: 0.1
          cache_latents_to_disk: true
          is_reg: false
          network_weight: 1
          resolution: [512, 768, 1000]
          controls: []
          shrink_video_to_frames: true
          num_frames: 1
          do_i2v: true
          flip_x: true
          flip_y: false
        - folder_path: 'D:\\sets\\holdback'
          is_reg: true
          num_repeats: 3
          resolution: 640
      train:
        batch_size: 2
        bypass_guidance_embedding: false
        steps: 1800
        gradient_accumulation: 2
        train_unet: true
        train_text_encoder: false
        gradient_checkpointing: true
        noise_scheduler: flowmatch
        optimizer: adamw8bit
        timestep_type: weighted
        content_or_style: style
        optimizer_params:
          weight_decay: 0.0001
        unload_text_encoder: false
        cache_text_embeddings: true
        lr: 1e-4
        ema_config:
          use_ema: true
          ema_decay: 0.98
        skip_first_sample: true
        force_first_sample: false
        disable_sampling: false
        dtype: bf16
        diff_output_preservation: true
        diff_output_preservation_multiplier: 1.5
        diff_output_preservation_class: drawing
        switch_boundary_every: 1
        loss_type: mse
        do_differential_guidance: true
        differential_guidance_scale: 2
      model:
        name_or_path: black-forest-labs/FLUX.2-dev
        quantize: true
        qtype: qfloat8
        quantize_te: true
        qtype_te: qint8
        arch: flux2
        low_vram: true
        model_kwargs:
          match_target_res: false
        layer_offloading: true
        layer_offloading_transformer_percent: 0.6
        layer_offloading_text_encoder_percent: 1
      sample:
        sampler: flowmatch
        sample_every: 100
        width: 1000
        height: 768
        samples:
          - prompt: "[trigger], a harbour"
          - prompt: a harbour
            width: 512
            height: 512
            seed: 7
            network_multiplier: 0.8
            ctrl_img_2: /data/b.png
            ctrl_img_1: /data/a.png
        neg: ""
        seed: 42
        walk_seed: true
        guidance_scale: 4
        sample_steps: 25
        num_frames: 1
        fps: 1
meta:
  name: "[name]"
  version: "1.0"
"""


def imported(text: str) -> Imported:
    data = yaml.safe_load(text)
    assert is_ai_toolkit(data)
    return from_ai_toolkit(data)


def process_with(**panels: Any) -> Imported:
    process = {"type": "sd_trainer", "datasets": [{"folder_path": "/data/ink"}]} | panels
    return from_ai_toolkit({"config": {"name": "x", "process": [process]}})


def left_out(found: Imported) -> dict[str, tuple[str, bool]]:
    return {one.theirs: (one.reason, one.matters) for one in found.left_out}


@pytest.fixture(scope="module")
def form() -> Imported:
    return imported(FROM_THE_FORM)


@pytest.fixture(scope="module")
def job(form: Imported) -> JobConfig:
    return parse_job(form.config)


def test_what_has_a_counterpart_arrives(job: JobConfig) -> None:
    assert (job.job.training_name, job.job.trigger_word) == ("ink_portraits_v2", "zorvex")
    assert (job.target.linear_rank, job.target.linear_alpha) == (24, 24)
    assert (job.save.save_every, job.save.max_step_saves_to_keep) == (200, 6)
    training = job.training
    assert (training.batch_size, training.gradient_accumulation, training.steps) == (2, 2, 1800)
    assert (training.learning_rate, training.weight_decay) == (1e-4, 1e-4)
    assert (training.timestep_bias, training.loss_type) == ("low_noise", "mse")
    assert (training.use_ema, training.ema_decay) == (True, 0.98)
    regularization = job.regularization
    assert regularization.differential_output_preservation
    assert (regularization.multiplier, regularization.preservation_class) == (1.5, "drawing")
    assert (job.advanced.do_differential_guidance, job.advanced.scale) == (True, 2)


def test_the_model_its_quantization_and_its_offloading_arrive(job: JobConfig) -> None:
    model = job.model
    assert (model.model_architecture, model.name_or_path) == ("flux2-dev", "")
    assert (job.quantization.transformer, job.quantization.text_encoder) == ("float8", "int8")
    assert (model.low_vram, model.layer_offloading) == (True, "on")
    assert (model.transformer_offload_percent, model.text_encoder_offload_percent) == (60, 100)


def test_datasets_arrive_by_their_folders_names(job: JobConfig) -> None:
    ink, holdback = job.datasets
    assert (ink.target_dataset, holdback.target_dataset) == ("ink", "holdback")
    assert ink.resolutions == [512, 768, 992], "down to multiples of 16"
    assert (holdback.resolutions, holdback.num_repeats) == ([640], 3)
    assert (ink.caption_dropout_rate, ink.flip_x, holdback.is_regularization) == (0.1, True, True)
    assert ink.default_caption == "a drawing by [trigger]"


def test_prompts_arrive_with_settings_and_pictures_of_their_own(job: JobConfig) -> None:
    sample = job.sample
    first, second = sample.prompts
    assert (sample.width, sample.height, sample.first_sample_at_step_0) == (992, 768, False)
    assert first.prompt == "[trigger], a harbour"
    assert (second.width, second.seed, second.lora_strength) == (512, 7, 0.8)
    assert second.control_images == ["/data/a.png", "/data/b.png"]


def test_every_key_of_the_file_is_accounted_for_once(form: Imported) -> None:
    (process,) = yaml.safe_load(FROM_THE_FORM)["config"]["process"]
    named = [one.theirs for one in [*form.carried, *form.left_out]]
    assert len(named) == len(set(named))
    listed = {key for keys in named for key in keys.split(", ")}
    assert set(keys_of(process)) - {"type"} <= listed
    assert [key for key, (_, matters) in left_out(form).items() if matters] == []


def keys_of(node: Any, path: str = "") -> list[str]:
    """The path of every value of a process."""
    if isinstance(node, dict) or (node and isinstance(node, list) and isinstance(node[0], dict)):
        inner = node.items() if isinstance(node, dict) else enumerate(node)
        return [
            key for name, value in inner for key in keys_of(value, f"{path}.{name}".lstrip("."))
        ]
    return [path]


def test_a_value_that_means_another_thing_here_carries_a_note(form: Imported) -> None:
    notes = {one.theirs: one.note for one in form.carried}
    assert "once" in notes["datasets.0.resolution"]
    assert "datasets folder" in notes["datasets.0.folder_path"]
    assert notes["name"]


def test_unknown_keys_are_listed_and_never_dropped() -> None:
    found = process_with(train={"magic": 7, "quiet": False}, brand_new={"deep": {"er": "x"}})
    listed = left_out(found)
    assert listed["train.magic"] == ("No setting here does this.", True)
    assert listed["train.quiet"][1] is False
    assert listed["brand_new.deep.er"][1] is True


@pytest.mark.parametrize(
    ("panels", "key"),
    [
        ({"train": {"optimizer": "automagic"}}, "train.optimizer"),
        ({"train": {"loss_type": "wavelet"}}, "train.loss_type"),
        ({"train": {"dtype": "fp16"}}, "train.dtype"),
        ({"train": {"train_text_encoder": True}}, "train.train_text_encoder"),
        ({"train": {"bypass_guidance_embedding": True}}, "train.bypass_guidance_embedding"),
        ({"model": {"arch": "flux2", "quantize": True, "qtype": "uint3|x/y"}},
         "model.quantize, model.qtype"),
        ({"network": {"type": "locon"}}, "network.type"),
        ({"network": {"network_kwargs": {"only_if_contains": ["x"]}}},
         "network.network_kwargs.only_if_contains"),
        ({"train": {"steps": "many"}}, "train.steps"),
        ({"network": {"linear": 4096}}, "network.linear"),
        ({"sample": {"samples": [{"prompt": "a", "neg": "b"}]}}, "sample.samples.0.neg"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_left_out_with_its_reason(
    panels: dict[str, Any], key: str
) -> None:
    found = process_with(**panels)
    reason, matters = left_out(found)[key]
    assert matters
    assert reason
    named = with_settings(found.config, {"datasets.*.target_dataset": "x"})
    parse_job(named)  # nothing that the schema refuses is left


def test_options_within_a_prompt_are_spelt_out() -> None:
    prompt = "a house -- by the sea --w 512 --h 640 --d 9 --m 0.5 --x 3"
    found = process_with(sample={"prompts": [prompt]})
    assert found.config["sample"]["prompts"] == [
        {
            "prompt": "a house -- by the sea --x 3",
            "width": 512,
            "height": 640,
            "seed": 9,
            "lora_strength": 0.5,
        }
    ]


def test_control_folders_keep_their_order_however_they_are_named() -> None:
    numbered = {"folder_path": "/d/after", "control_path_2": "/d/two", "control_path_1": "/d/one"}
    listed = {"folder_path": "/d/after", "control_path": ["/d/one", "/d/two"]}
    older = {"folder_path": "/d/after", "control_path": "/d/one", "control_path2": "/d/two"}
    for dataset in (numbered, listed, older):
        found = process_with(datasets=[dataset])
        assert found.config["datasets"][0]["control_datasets"] == ["one", "two"]


@pytest.mark.parametrize(
    ("model", "architecture", "path"),
    [
        ({"arch": "flux2_klein_9b"}, "klein-base-9b", None),
        ({"name_or_path": "black-forest-labs/FLUX.2-klein-base-4B"}, "klein-base-4b", None),
        (
            {"arch": "flux2_klein_9b", "name_or_path": "black-forest-labs/FLUX.2-klein-9B"},
            "klein-9b",
            "",
        ),
        ({"arch": "flux2", "name_or_path": "/models/dev"}, "flux2-dev", "/models/dev"),
    ],
)
def test_the_model_is_known_by_its_name_or_its_arch(
    model: dict[str, str], architecture: str, path: str | None
) -> None:
    found = process_with(model=model).config["model"]
    assert found["model_architecture"] == architecture
    assert found.get("name_or_path") == path


def test_another_kind_of_model_is_said_and_its_path_not_taken() -> None:
    listed = left_out(process_with(model={"arch": "qwen_image", "name_or_path": "Qwen/Qwen-Image"}))
    assert "no FLUX.2" in listed["model.arch"][0]
    assert "model.name_or_path" in listed


def test_lokr_settings_count_for_lokr_only() -> None:
    lokr = {"type": "lokr", "lokr_full_rank": True, "lokr_factor": 8}
    target = process_with(network=lokr).config["target"]
    assert (target["lokr_full_rank"], target["lokr_factor"]) == (True, 8)
    assert "lokr_factor" not in process_with(network=lokr | {"type": "lora"}).config["target"]


def test_unloading_the_text_encoder_excludes_the_cache_here_too() -> None:
    training = process_with(train={"unload_text_encoder": True}).config["training"]
    assert training == {"unload_te": True, "cache_text_embeddings": False}


def test_without_sampling_there_are_no_prompts() -> None:
    found = process_with(train={"disable_sampling": True}, sample={"prompts": ["a"]})
    assert found.config["sample"]["prompts"] == []


def test_a_process_that_trains_no_lora_is_refused_by_its_name() -> None:
    with pytest.raises(JobRefused, match="extract"):
        from_ai_toolkit({"config": {"name": "x", "process": [{"type": "extract"}]}})


def test_the_command_writes_the_job_and_says_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "ours.yaml"
    theirs.write_text(FROM_THE_FORM)
    assert main(["translate", str(theirs), "-o", str(ours)]) == 0
    found = from_ai_toolkit(yaml.safe_load(FROM_THE_FORM))
    assert yaml.safe_load(ours.read_text()) == found.config
    said = capsys.readouterr().err
    assert f"{len(found.carried)} settings were carried over" in said
    assert all(one.theirs in said for one in found.left_out)
    assert main(["translate", str(theirs), "-o", str(ours)]) == JobRefused.exit_code
    assert main(["translate", str(ours)]) == JobRefused.exit_code
    assert "no job file of AI Toolkit" in capsys.readouterr().err
