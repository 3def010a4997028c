"""For each setting: another value, and what must be set besides for it to count.

EXCEPTIONS have an effect of another kind than test_every_field_counts.py looks for; each names the
test that shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.trainer.short_runs import job_with

STEPS = 2
BASE = job_with({"training.steps": STEPS})
ONE_PROMPT = {"sample.prompts": [{"prompt": "[trigger], a red square"}]}
TWO_PROMPTS = {"sample.prompts": [{"prompt": "a red square"}, {"prompt": "a red square"}]}
PRESERVED = {
    "regularization.differential_output_preservation": True,
    "regularization.preservation_class": "picture",
    "datasets.0.default_caption": "[trigger], a square",
}
LOKR = {"target.target_type": "lokr"}
OTHER_MODEL = "other-tiny"
START_LORA = "start.safetensors"
VALIDATED = {"advanced.validation": "dataset", "advanced.validation_dataset": "more-squares"}
PROBED = {"advanced.preservation_probe": True}
STOPPED_EARLY = {
    **PROBED,
    "advanced.validate_every": 1,
    "advanced.early_stop": "preservation_drift",
    "advanced.patience": 1,
    "advanced.drift_limit": 1e-9,
}


@dataclass(frozen=True)
class Case:
    """value: another than the base's. under: settings that let it count, for both runs."""

    value: Any
    under: dict[str, Any] = field(default_factory=dict)


CASES: dict[str, Case] = {
    "job.training_name": Case("another"),
    "job.trigger_word": Case("blorp"),
    "job.seed": Case(43),
    "model.name_or_path": Case(OTHER_MODEL),
    "model.autoencoder_path": Case(f"{OTHER_MODEL}/vae"),
    "model.text_encoder_path": Case(f"{OTHER_MODEL}/text_encoder"),
    "model.vae_data_type": Case("bf16"),
    "quantization.transformer": Case("float8"),
    "quantization.text_encoder": Case("float8"),
    "target.linear_rank": Case(8),
    "target.linear_alpha": Case(1.0),
    "target.target_type": Case("lokr"),
    "target.lokr_factor": Case(8, LOKR),
    "target.lokr_full_rank": Case(True, {**LOKR, "target.lokr_factor": 4}),
    "target.dropout": Case(0.5, {"training.learning_rate": 0.1}),
    "target.layers": Case("attention"),
    "target.layer_pattern": Case(
        "*.to_out*", {"target.layers": "pattern", "target.layer_pattern": "*.attn.*"}
    ),
    "training.batch_size": Case(2),
    "training.gradient_accumulation": Case(2),
    "training.steps": Case(STEPS - 1),
    # Below rank 22 every matrix of this model is small enough for 32-bit state.
    "training.optimizer": Case("adamw", {"target.linear_rank": 32}),
    "training.learning_rate": Case(0.001),
    "training.lr_schedule": Case("linear"),
    "training.warmup_steps": Case(1, {"training.lr_schedule": "constant_with_warmup"}),
    "training.weight_decay": Case(1.0, {"training.learning_rate": 0.1}),
    # Adam divides by the gradient's size: clipping shows where it reaches below Adam's epsilon.
    "training.max_gradient_norm": Case(1e-8),
    "training.timestep_type": Case("shift"),
    "training.timestep_bias": Case("high_noise"),
    "training.loss_type": Case("mae"),
    "training.start_from_lora": Case(START_LORA, {"target.linear_rank": 4}),
    "training.use_ema": Case(True),
    "training.ema_decay": Case(0.5, {"training.use_ema": True}),
    "training.unload_te": Case(True, {"training.cache_text_embeddings": False}),
    "training.data_type": Case("bf16"),
    "save.data_type": Case("fp16"),
    "save.key_format": Case("comfyui"),
    "save.save_every": Case(1),
    "save.max_step_saves_to_keep": Case(1, {"save.save_every": 1}),
    "regularization.differential_output_preservation": Case(
        True, {"regularization.preservation_class": "picture"}
    ),
    "regularization.trigger": Case("square", PRESERVED),
    "regularization.multiplier": Case(100.0, PRESERVED),
    "regularization.preservation_class": Case("drawing", PRESERVED),
    "regularization.every_n_steps": Case(2, PRESERVED),
    "regularization.blank_prompt_preservation": Case(True),
    "advanced.do_differential_guidance": Case(True),
    "advanced.scale": Case(2.0, {"advanced.do_differential_guidance": True}),
    "advanced.validation": Case("held_out"),
    # With this seed one of the six pictures is held out at 0.1, five at 0.5.
    "advanced.held_out_share": Case(0.5, {"advanced.validation": "held_out", "job.seed": 13}),
    "advanced.validation_dataset": Case("few-squares", VALIDATED),
    "advanced.validate_every": Case(1, PROBED),
    "advanced.validation_noise_levels": Case(2, PROBED),
    "advanced.validation_seed": Case(43, PROBED),
    "advanced.preservation_probe": Case(True),
    "advanced.early_stop": Case("off", STOPPED_EARLY),
    "advanced.patience": Case(2, STOPPED_EARLY),
    "advanced.drift_limit": Case(10.0, STOPPED_EARLY),
    "datasets.0.target_dataset": Case("more-squares"),
    # One picture of six has no caption: batches of all pictures of a size see it within two steps.
    "datasets.0.default_caption": Case("[trigger], a square", {"training.batch_size": 6}),
    "datasets.0.control_datasets": Case(["references"]),
    "datasets.0.mask_dataset": Case("masks"),
    "datasets.0.caption_extension": Case("caption"),
    "datasets.0.batch_size": Case(2),
    "datasets.0.lora_weight": Case(0.5),
    "datasets.0.num_repeats": Case(2),
    "datasets.0.is_regularization": Case(
        True, {"datasets": [{**BASE["datasets"][0], "num_repeats": 50}, BASE["datasets"][0]]}
    ),
    "datasets.0.flip_x": Case(True),
    "datasets.0.flip_y": Case(True),
    "datasets.0.allow_upscaling": Case(True, {"datasets.0.resolutions": [128]}),
    "datasets.0.caption_dropout_rate": Case(1.0),
    "datasets.0.resolutions": Case([48 + 16 * 2]),
    "sample.sample_every": Case(1, ONE_PROMPT),
    "sample.first_sample_at_step_0": Case(True, ONE_PROMPT),
    "sample.width": Case(96, ONE_PROMPT),
    "sample.height": Case(96, ONE_PROMPT),
    "sample.guidance_scale": Case(4.0, ONE_PROMPT),
    "sample.sample_steps": Case(3, ONE_PROMPT),
    "sample.seed": Case(43, ONE_PROMPT),
    "sample.walk_seed": Case(True, TWO_PROMPTS),
    "sample.prompts.0.prompt": Case("a blue square", ONE_PROMPT),
    "sample.time_out_per_sample": Case(1e-9, ONE_PROMPT),
    "sample.prompts.0.lora_strength": Case(0.0, {**ONE_PROMPT, "training.learning_rate": 0.02}),
    "sample.prompts.0.control_images": Case(["squares/1-green.png"], ONE_PROMPT),
    "sample.prompts.0.width": Case(96, ONE_PROMPT),
    "sample.prompts.0.height": Case(96, ONE_PROMPT),
    "sample.prompts.0.seed": Case(43, ONE_PROMPT),
    "sample.prompts.0.guidance_scale": Case(4.0, ONE_PROMPT),
}

# Their runs encode everything anew, in a process of its own.
LONG_CASES = {
    "training.unload_te",
    "training.data_type",
    "model.name_or_path",
    "model.vae_data_type",
    "quantization.text_encoder",
}

EXCEPTIONS: dict[str, str] = {
    "model.revision": "chooses among versions on the hub; test_hub.py downloads and refuses some",
    "sample.sampler": "has one value",
    "sample.negative_prompt": "the tiny model draws without one; test_klein.py draws with it",
    "job.resume_after_interruption": "read by the queue worker, not by the trainer; "
    "tests/integration/test_interruptions.py",
    "job.gpu": "which device computes must not change the result; "
    "test_the_gpu_setting_chooses_the_device beside the walk",
    "model.model_architecture": "another architecture needs another model's files; "
    "test_klein.py trains one through the same path",
    "quantization.keep_on_disk": "changes where the next start reads from, not results; "
    "test_kept_weights_in_runs.py compares two starts, with and without",
    "advanced.memory_plan": "decides whether a job that does not fit may run; test_memory_door.py "
    "refuses one and lets it go on",
    "training.gradient_checkpointing": "changes memory, not results; "
    "test_gradient_checkpointing_keeps_less_in_memory beside the walk",
    "model.layer_offloading": "changes where weights lie, not results; test_offloading_runs.py "
    "compares the two and counts the streamed blocks",
    "model.transformer_offload_percent": "as layer_offloading",
    "model.text_encoder_offload_percent": "as layer_offloading; test_low_vram.py",
    "model.low_vram": "changes where tensors wait, not results; test_low_vram.py, part by part",
    "training.cache_text_embeddings": "changes what stays in the cache, not results; "
    "test_caches_that_are_off_are_empty_after_the_run beside the walk",
    "datasets.0.cache_latents": "as cache_text_embeddings",
    "training.encoding_batch_size": "changes how many are encoded at once, results in rounding "
    "only; test_encoding_passes.py",
    "datasets.0.bad_files": "decides between a refusal and a run; test_bad_files.py shows both",
    "advanced.changed_dataset": "counts where a run goes on from a checkpoint; "
    "test_resumes.py: test_a_dataset_that_changed_is_named_and_the_person_decides",
    "model.attention_backend": "changes the kernels, not the results; test_attention.py",
    "advanced.compile": "changes the kernels, not the results; test_compilation.py",
    "advanced.stop_when_a_non_finite_loss_repeats": "counts in a run whose numbers are not finite; "
    "test_non_finite_runs.py",
}
