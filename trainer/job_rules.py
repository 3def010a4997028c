"""Rules that need two settings: what contradicts itself, and what will have no effect.

One place for form, API, YAML and command line. A rule takes the job and yields problems; each names
the settings by their labels, gives the values and says the cure. What can be seen in one field is
that field's limit in `config.py`; what needs the disk stands in `door.py`. The rules of the
objective and its optimizer are in `objective_rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import BaseModel

from trainer.attention_rules import ATTENTION_RULES
from trainer.captions import has_trigger_placeholder
from trainer.config import JobConfig
from trainer.dataset_rules import DATASET_RULES
from trainer.early_stop import measures
from trainer.errors import Problem, Severity, without_effect
from trainer.objective_rules import OBJECTIVE_RULES
from trainer.panels.field import TRIGGER_PLACEHOLDER
from trainer.pictures import OTHER_PICTURE_SUFFIXES, PICTURE_SUFFIXES
from trainer.target_rules import TARGET_RULES
from trainer.texts import sample_guidance, samples_need_negative_prompt
from trainer.validation_rules import VALIDATION_RULES
from trainer.variants import VARIANTS, Architecture

OF_EVERY_MEASUREMENT = ("validate_every", "validation_noise_levels", "validation_seed")


def cross_field_problems(job: JobConfig) -> list[Problem]:
    """Everything wrong with the job that its settings alone show: errors first, then warnings."""
    problems = [problem for rule in _RULES for problem in rule(job)]
    return sorted(problems, key=lambda problem: problem.severity != Severity.ERROR)


def _trigger_is_a_word(job: JobConfig) -> Iterator[Problem]:
    given = {
        "job.trigger_word": job.job.trigger_word,
        "regularization.trigger": job.regularization.trigger or "",
    }
    for field, word in given.items():
        if has_trigger_placeholder(word):
            yield Problem(
                "trigger_is_placeholder",
                f"{word!r} holds {TRIGGER_PLACEHOLDER}, which stands for the trigger word itself.",
                "Write the word that calls the LoRA, such as a made-up name.",
                field,
                params={"value": word},
            )
        elif word != word.strip():
            yield Problem(
                "trigger_has_spaces",
                f"{word!r} begins or ends with a space.",
                "Remove the space: captions have their own around the trigger.",
                field,
                params={"value": word},
            )


def _placeholder_needs_a_trigger_word(job: JobConfig) -> Iterator[Problem]:
    if job.job.trigger_word:
        return
    texts = {
        f"datasets.{i}.default_caption": dataset.default_caption
        for i, dataset in enumerate(job.datasets)
        if not dataset.is_regularization  # the class takes the trigger's place there
    } | {f"sample.prompts.{i}.prompt": p.prompt for i, p in enumerate(job.sample.prompts)}
    for field, text in texts.items():
        if has_trigger_placeholder(text):
            yield Problem(
                "placeholder_without_trigger",
                f"{TRIGGER_PLACEHOLDER} stands here, but Trigger Word (Job) is blank.",
                f"Fill in Trigger Word, or take {TRIGGER_PLACEHOLDER} out.",
                field,
                params={"text": text},
            )


def _distilled_models_train_badly(job: JobConfig) -> Iterator[Problem]:
    base = job.variant.distilled_from
    if base is None:
        return
    yield Problem(
        "distilled_model",
        f"{job.variant.label} is made for inference in few steps and trains badly.",
        f"Train on {VARIANTS[base].label}; the LoRA can then be used with both.",
        "model.model_architecture",
        Severity.WARNING,
        params={"base": base.value},
    )
    for field, guidance in _sample_guidances(job):
        if guidance > 1:
            yield Problem(
                "guidance_ignored",
                f"Guidance Scale {guidance:g} has no effect: a distilled model is drawn without.",
                "Leave it blank.",
                field,
                Severity.WARNING,
                params={"value": guidance},
            )


def _samples_show_the_lora(job: JobConfig) -> Iterator[Problem]:
    for i, prompt in enumerate(job.sample.prompts):
        if prompt.lora_strength == 0:
            yield Problem(
                "sample_without_lora",
                f"At LoRA Strength 0 prompt {i + 1} shows the base model at every step.",
                "Leave it at 1; First sample at step 0 shows the base model once.",
                f"sample.prompts.{i}.lora_strength",
                Severity.WARNING,
            )


def _sample_guidances(job: JobConfig) -> Iterator[tuple[str, float]]:
    if job.sample.guidance_scale is not None:
        yield "sample.guidance_scale", job.sample.guidance_scale
    for i, prompt in enumerate(job.sample.prompts):
        if prompt.guidance_scale is not None:
            yield f"sample.prompts.{i}.guidance_scale", sample_guidance(job, prompt)


def _large_models_want_a_gpu(job: JobConfig) -> Iterator[Problem]:
    if job.job.gpu == "cpu" and job.model.model_architecture != Architecture.TINY:
        yield Problem(
            "large_model_on_cpu",
            f"{job.variant.label} on a CPU takes minutes to hours for one step.",
            "Choose a GPU, or the tiny architecture to try things out.",
            "job.gpu",
            Severity.WARNING,
        )


def _small_ranks_hardly_move_flux2(job: JobConfig) -> Iterator[Problem]:
    rank = job.target.linear_rank
    if (
        rank <= 8
        and job.target.target_type == "lora"
        and job.model.model_architecture != Architecture.TINY
    ):
        yield Problem(
            "rank_small",
            f"Linear Rank {rank} hardly moves FLUX.2.",
            "The guides take 16-32 for styles and 32-64 for characters and objects.",
            "target.linear_rank",
            Severity.WARNING,
            params={"value": rank},
        )


def _something_is_saved_and_drawn_on_the_way(job: JobConfig) -> Iterator[Problem]:
    steps = job.training.steps
    if job.save.save_every > steps:
        yield Problem(
            "no_save_on_the_way",
            f"Save Every ({job.save.save_every}) is more than Steps ({steps}): the only checkpoint "
            "is the last step's.",
            "Lower Save Every if a checkpoint on the way is wanted.",
            "save.save_every",
            Severity.WARNING,
            params={"save_every": job.save.save_every, "steps": steps},
        )
    if not job.sample.prompts:
        yield Problem(
            "no_sample_prompts",
            "There are no sample prompts, so nothing is drawn while it trains.",
            "Add two or three prompts; one without the trigger shows what leaks.",
            "sample.prompts",
            Severity.WARNING,
        )


def _caption_files_are_not_pictures(job: JobConfig) -> Iterator[Problem]:
    for i, dataset in enumerate(job.datasets):
        if f".{dataset.caption_extension.lower()}" in PICTURE_SUFFIXES | OTHER_PICTURE_SUFFIXES:
            yield Problem(
                "caption_extension_is_picture",
                f"Caption Extension {dataset.caption_extension!r} is one of pictures.",
                "Captions are text files: usually txt.",
                f"datasets.{i}.caption_extension",
                params={"value": dataset.caption_extension},
            )


def _captions_are_not_all_dropped(job: JobConfig) -> Iterator[Problem]:
    for i, dataset in enumerate(job.datasets):
        if dataset.caption_dropout_rate == 1:
            yield Problem(
                "captions_all_dropped",
                "At Caption Dropout Rate 1 no caption is ever used.",
                "The usual rate is 0.05.",
                f"datasets.{i}.caption_dropout_rate",
                Severity.WARNING,
            )


def _settings_have_an_effect(job: JobConfig) -> Iterator[Problem]:
    """Settings changed from their default while the switch that they belong to is off."""
    preservation_is_off = not job.regularization.differential_output_preservation
    target = job.target
    is_lora = target.target_type == "lora"
    has_no_rank = not is_lora and target.lokr_full_rank
    both_are_off = preservation_is_off and not job.regularization.blank_prompt_preservation
    no_class_captions = preservation_is_off and not job.advanced.preservation_probe
    no_classes = no_class_captions and not any(d.is_regularization for d in job.datasets)
    prompts = job.sample.prompts
    every_prompt_has_a_seed = all(prompt.seed is not None for prompt in prompts)
    is_not_offloaded = job.model.layer_offloading != "on"
    nothing_is_quantized = {job.quantization.transformer, job.quantization.text_encoder} == {"none"}
    belongs_to = [
        (job.quantization, "quantization", "keep_on_disk", nothing_is_quantized),
        (job.model, "model", "transformer_offload_percent", is_not_offloaded),
        (job.model, "model", "text_encoder_offload_percent", is_not_offloaded),
        (target, "target", "linear_rank", has_no_rank),
        (target, "target", "linear_alpha", has_no_rank),
        (target, "target", "lokr_factor", is_lora),
        (target, "target", "lokr_full_rank", is_lora),
        (target, "target", "layer_pattern", target.layers != "pattern"),
        (job.save, "save", "key_format", not is_lora),
        (job.training, "training", "warmup_steps", job.training.lr_schedule == "constant"),
        (job.training, "training", "ema_decay", not job.training.use_ema),
        (job.regularization, "regularization", "trigger", no_class_captions),
        (job.regularization, "regularization", "multiplier", both_are_off),
        (job.regularization, "regularization", "every_n_steps", both_are_off),
        (job.regularization, "regularization", "preservation_class", no_classes),
        (job.advanced, "advanced", "scale", not job.advanced.do_differential_guidance),
        (job.advanced, "advanced", "held_out_share", job.advanced.validation != "held_out"),
        (job.advanced, "advanced", "validation_dataset", job.advanced.validation != "dataset"),
        *((job.advanced, "advanced", name, not measures(job)) for name in OF_EVERY_MEASUREMENT),
        (job.advanced, "advanced", "patience", job.advanced.early_stop == "off"),
        (
            job.advanced,
            "advanced",
            "drift_limit",
            job.advanced.early_stop != "preservation_drift",
        ),
        (job.sample, "sample", "walk_seed", len(prompts) < 2 or every_prompt_has_a_seed),
        (job.sample, "sample", "negative_prompt", not samples_need_negative_prompt(job)),
    ]
    for panel, panel_name, name, is_idle in belongs_to:
        if is_idle and _is_changed(panel, name):
            info = type(panel).model_fields[name]
            extra = info.json_schema_extra
            assert isinstance(extra, dict), f"{name} was not made by config.setting"
            value = getattr(panel, name)
            yield without_effect(
                f"{panel_name}.{name}",
                f"{info.title} ({value}) has no effect here. {extra['no_effect']}",
                "Leave it, or change what it belongs to.",
                {"value": value},
            )


def _is_changed(panel: BaseModel, name: str) -> bool:
    return getattr(panel, name) != type(panel).model_fields[name].get_default()


_RULES: tuple[Callable[[JobConfig], Iterator[Problem]], ...] = (
    _trigger_is_a_word,
    _placeholder_needs_a_trigger_word,
    _distilled_models_train_badly,
    _samples_show_the_lora,
    _large_models_want_a_gpu,
    _small_ranks_hardly_move_flux2,
    *ATTENTION_RULES,
    *TARGET_RULES,
    *OBJECTIVE_RULES,
    *VALIDATION_RULES,
    *DATASET_RULES,
    _something_is_saved_and_drawn_on_the_way,
    _caption_files_are_not_pictures,
    _captions_are_not_all_dropped,
    _settings_have_an_effect,
)
