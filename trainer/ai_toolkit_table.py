"""AI Toolkit's job file, key by key: what each is called here, and what has no place.

Paths are those within a file's process; `*` stands for a place in a list. CARRIED says where a
value goes and how it is turned into ours; LEFT_OUT says why one goes nowhere, and with which values
that makes no difference. Keys that stand in neither are unknown, and are listed as such. The keys
and their meaning were read off its examples and the defaults of its form. Imports no torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from trainer.panels.field import SIDE_MULTIPLE_PX
from trainer.variants import VARIANTS, Architecture


class NotCarried(Exception):
    """The value has no counterpart; the message is the reason."""


def same(value: Any) -> Any:
    """As it is."""
    return value


def one_of(meanings: Mapping[Any, Any]) -> Callable[[Any], Any]:
    """The counterpart of a named value. Raises NotCarried for a name that has none."""

    def convert(value: Any) -> Any:
        key = value.lower() if isinstance(value, str) else value
        if key not in meanings:
            raise NotCarried(f"{value} has no counterpart here; {_named(meanings.values())} have.")
        return meanings[key]

    return convert


def folder_name(value: Any) -> str:
    """The last part of a path of either system: datasets are folders of one folder here."""
    text = str(value).rstrip("/\\")
    kind = PureWindowsPath if "\\" in text else PurePosixPath
    return kind(text).name


def side(value: Any) -> int:
    """A side in px, down to a multiple of 16."""
    return int(value) // SIDE_MULTIPLE_PX * SIDE_MULTIPLE_PX


def sides(value: Any) -> list[int]:
    """One side or a list of them, each once."""
    given = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(side(each) for each in given))


def slug(value: Any) -> str:
    """A name that can be a folder's: other letters become `_`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(value)).strip("_-")[:64]


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)  # JSON has no such number
    return number


def _named(values: Any) -> str:
    return ", ".join(str(value) for value in dict.fromkeys(values))


def _negated(value: Any) -> bool:
    return not value


def _percent(value: Any) -> float:
    return round(100 * _finite(value), 1)


def _extension(value: Any) -> str:
    return str(value).lstrip(".")


def _offloading(value: Any) -> str:
    return "on" if value else "off"


def _factor(value: Any) -> int | None:
    return None if int(value) < 0 else int(value)


@dataclass(frozen=True)
class Carried:
    """Where a value goes. note: what is to know of it."""

    ours: str
    convert: Callable[[Any], Any] = same
    note: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Why a key goes nowhere. harmless: values with which that makes no difference; None: all."""

    reason: str
    harmless: tuple[Any, ...] | None = (None, False, "", [], {})

    def matters(self, value: Any) -> bool:
        """Whether the training is another for leaving the value out."""
        return self.harmless is not None and value not in self.harmless


_OFFLOAD_NOTE = "Percent here, a share there."
_FOLDER_NOTE = "The folder's name: put it into the datasets folder."
_DATA_TYPES = {"bf16": "bf16", "bfloat16": "bf16", "fp32": "fp32", "float32": "fp32"}
_SAVED_TYPES = _DATA_TYPES | {"fp16": "fp16", "float16": "fp16"}

CARRIED: dict[str, Carried] = {
    "trigger_word": Carried("job.trigger_word", lambda value: value or ""),
    "network.type": Carried("target.target_type", one_of({"lora": "lora", "lokr": "lokr"})),
    "network.linear": Carried("target.linear_rank"),
    "network.rank": Carried("target.linear_rank"),
    "network.linear_alpha": Carried("target.linear_alpha"),
    "network.alpha": Carried("target.linear_alpha"),
    "network.dropout": Carried("target.dropout", lambda value: value or 0.0),
    "network.pretrained_lora_path": Carried("training.start_from_lora", lambda value: value or ""),
    "save.dtype": Carried("save.data_type", one_of(_SAVED_TYPES)),
    "save.save_every": Carried("save.save_every"),
    "save.max_step_saves_to_keep": Carried("save.max_step_saves_to_keep"),
    "datasets.*.folder_path": Carried("datasets.*.target_dataset", folder_name, _FOLDER_NOTE),
    "datasets.*.dataset_path": Carried("datasets.*.target_dataset", folder_name, _FOLDER_NOTE),
    "datasets.*.mask_path": Carried(
        "datasets.*.mask_dataset", lambda value: folder_name(value) if value else "", _FOLDER_NOTE
    ),
    "datasets.*.default_caption": Carried("datasets.*.default_caption", lambda value: value or ""),
    "datasets.*.caption_ext": Carried("datasets.*.caption_extension", _extension),
    "datasets.*.caption_dropout_rate": Carried("datasets.*.caption_dropout_rate"),
    "datasets.*.cache_latents_to_disk": Carried("datasets.*.cache_latents"),
    "datasets.*.is_reg": Carried("datasets.*.is_regularization"),
    "datasets.*.network_weight": Carried("datasets.*.lora_weight"),
    "datasets.*.num_repeats": Carried("datasets.*.num_repeats"),
    "datasets.*.flip_x": Carried("datasets.*.flip_x"),
    "datasets.*.flip_y": Carried("datasets.*.flip_y"),
    "datasets.*.resolution": Carried(
        "datasets.*.resolutions",
        sides,
        "There each picture trains once at every resolution, here once at the one nearest to its "
        "own size.",
    ),
    "train.batch_size": Carried("training.batch_size"),
    "train.steps": Carried("training.steps"),
    "train.gradient_accumulation": Carried("training.gradient_accumulation"),
    "train.gradient_accumulation_steps": Carried(
        "training.gradient_accumulation", note="Averaged here, added up there."
    ),
    "train.gradient_checkpointing": Carried("training.gradient_checkpointing"),
    "train.timestep_type": Carried(
        "training.timestep_type",
        one_of(
            {
                "weighted": "weighted",
                "sigmoid": "sigmoid",
                "linear": "linear",
                "shift": "shift",
                "flux_shift": "shift",
                "flux2_shift": "shift",
            }
        ),
    ),
    "train.content_or_style": Carried(
        "training.timestep_bias",
        one_of({"balanced": "balanced", "content": "high_noise", "style": "low_noise"}),
    ),
    "train.optimizer": Carried(
        "training.optimizer",
        one_of(
            {
                "adamw8bit": "adamw8bit",
                "adamw": "adamw",
                "adafactor": "adafactor",
                "prodigy": "prodigy",
                "lion8bit": "lion8bit",
            }
        ),
    ),
    "train.lr": Carried("training.learning_rate", _finite),
    "train.optimizer_params.weight_decay": Carried("training.weight_decay", _finite),
    "train.lr_scheduler": Carried(
        "training.lr_schedule",
        one_of(
            {
                "constant": "constant",
                "constant_with_warmup": "constant_with_warmup",
                "cosine": "cosine",
                "linear": "linear",
            }
        ),
    ),
    "train.lr_scheduler_params.num_warmup_steps": Carried("training.warmup_steps"),
    "train.max_grad_norm": Carried("training.max_gradient_norm", _finite),
    "train.ema_config.use_ema": Carried("training.use_ema"),
    "train.ema_config.ema_decay": Carried("training.ema_decay"),
    "train.dtype": Carried("training.data_type", one_of(_DATA_TYPES)),
    "train.loss_type": Carried(
        "training.loss_type", one_of({"mse": "mse", "mae": "mae", "huber": "huber"})
    ),
    "train.unload_text_encoder": Carried("training.unload_te"),
    "train.cache_text_embeddings": Carried(
        "training.cache_text_embeddings",
        note="Here it says whether they are kept for the next run; memory is freed either way.",
    ),
    "train.seed": Carried("job.seed"),
    "train.skip_first_sample": Carried("sample.first_sample_at_step_0", _negated),
    "train.diff_output_preservation": Carried("regularization.differential_output_preservation"),
    "train.diff_output_preservation_multiplier": Carried("regularization.multiplier"),
    "train.diff_output_preservation_class": Carried("regularization.preservation_class"),
    "train.blank_prompt_preservation": Carried("regularization.blank_prompt_preservation"),
    "train.do_differential_guidance": Carried("advanced.do_differential_guidance"),
    "train.differential_guidance_scale": Carried("advanced.scale", _finite),
    "model.low_vram": Carried("model.low_vram"),
    "model.layer_offloading": Carried("model.layer_offloading", _offloading),
    "model.auto_memory": Carried("model.layer_offloading", _offloading),
    "model.layer_offloading_transformer_percent": Carried(
        "model.transformer_offload_percent", _percent, _OFFLOAD_NOTE
    ),
    "model.layer_offloading_text_encoder_percent": Carried(
        "model.text_encoder_offload_percent", _percent, _OFFLOAD_NOTE
    ),
    "model.compile": Carried("advanced.compile"),
    "sample.sampler": Carried("sample.sampler", one_of({"flowmatch": "flow_match"})),
    "sample.sample_every": Carried("sample.sample_every"),
    "sample.width": Carried("sample.width", side),
    "sample.height": Carried("sample.height", side),
    "sample.neg": Carried("sample.negative_prompt", lambda value: value or ""),
    "sample.seed": Carried("sample.seed"),
    "sample.walk_seed": Carried("sample.walk_seed"),
    "sample.guidance_scale": Carried("sample.guidance_scale"),
    "sample.sample_steps": Carried("sample.sample_steps"),
    "sample.samples.*.prompt": Carried("sample.prompts.*.prompt"),
    "sample.samples.*.width": Carried("sample.prompts.*.width", side),
    "sample.samples.*.height": Carried("sample.prompts.*.height", side),
    "sample.samples.*.seed": Carried("sample.prompts.*.seed"),
    "sample.samples.*.guidance_scale": Carried("sample.prompts.*.guidance_scale"),
    "sample.samples.*.network_multiplier": Carried("sample.prompts.*.lora_strength", _finite),
}
# With LoKr only: with LoRA they stand in the file and do nothing.
CARRIED_OF_LOKR: dict[str, Carried] = {
    "network.lokr_full_rank": Carried("target.lokr_full_rank"),
    "network.lokr_factor": Carried("target.lokr_factor", _factor),
}

_FOLDERS = LeftOut("Darkroom has its own folders and database.", None)
_NO_VIDEO = LeftOut("It is for video or sound.", (None, False, True, 0, 1, "", []))
_NO_HUB = LeftOut("Nothing is uploaded from here.")
_MOE = LeftOut("It is for models of two stages.", (None, 1))
_AUTO_BATCH = LeftOut("A batch has the size that Batch Size says.", (None, False, True, 0, 1, 8))

LEFT_OUT: dict[str, LeftOut] = {
    "training_folder": _FOLDERS,
    "sqlite_db_path": _FOLDERS,
    "performance_log_every": LeftOut("Step times are always kept.", None),
    "network.conv": LeftOut("FLUX.2 has no convolutions.", None),
    "network.conv_alpha": LeftOut("FLUX.2 has no convolutions.", None),
    "network.lokr_full_rank": LeftOut("It belongs to LoKr.", None),
    "network.lokr_factor": LeftOut("It belongs to LoKr.", None),
    "network.network_kwargs.ignore_if_contains": LeftOut(
        "Layers have other names here: see Layers and Layer Pattern (Target)."
    ),
    "network.network_kwargs.only_if_contains": LeftOut(
        "Layers have other names here: see Layers and Layer Pattern (Target)."
    ),
    "save.save_format": LeftOut("A LoRA is always safetensors.", (None, "diffusers")),
    "save.push_to_hub": _NO_HUB,
    "save.hf_repo_id": _NO_HUB,
    "save.hf_private": LeftOut("Nothing is uploaded from here.", (None, True, False)),
    "datasets.*.mask_min_value": LeftOut(
        "Black does not train at all here; make masks grey where some of it should.",
        (None, 0, 0.0, 0.1),
    ),
    "datasets.*.shuffle_tokens": LeftOut("Captions are used as they are written."),
    "datasets.*.cache_latents": LeftOut(
        "Latents are always encoded before training.", (None, True, False)
    ),
    "datasets.*.controls": LeftOut("Control pictures are not made here: name folders of them."),
    "datasets.*.num_frames": _NO_VIDEO,
    "datasets.*.shrink_video_to_frames": _NO_VIDEO,
    "datasets.*.do_i2v": _NO_VIDEO,
    "datasets.*.do_audio": _NO_VIDEO,
    "datasets.*.fps": LeftOut("It is for video.", (None, 0, 1, 16, 24)),
    "datasets.*.auto_frame_count": _NO_VIDEO,
    "train.train_unet": LeftOut("The transformer is what is trained, always.", (None, True)),
    "train.train_text_encoder": LeftOut("The text encoder is never trained."),
    "train.noise_scheduler": LeftOut("FLUX.2 is trained by flow matching.", (None, "flowmatch")),
    "train.bypass_guidance_embedding": LeftOut(
        "dev is trained with a guidance embedding of 1, as its inference has one; klein has none.",
        (None, False),
    ),
    "train.force_first_sample": LeftOut("First sample at step 0 (Sample) is on unless skipped."),
    "train.switch_boundary_every": _MOE,
    "train.auto_scale_batch_size": _AUTO_BATCH,
    "train.min_batch_size": _AUTO_BATCH,
    "train.max_batch_size": _AUTO_BATCH,
    "train.batch_size_warmup_steps": LeftOut(
        "A batch has the size that Batch Size says.", (None, 0, 100)
    ),
    "model.quantize_kwargs.exclude": LeftOut(
        "Embedders, modulation, norms and the final layer are never quantized; the rest is."
    ),
    "model.model_kwargs.match_target_res": LeftOut(
        "References are scaled to at most 1024 x 1024 px of area, as inference does it."
    ),
    "sample.prompts": LeftOut("Prompts are a list of texts, and count only without samples."),
    "sample.num_frames": _NO_VIDEO,
    "sample.fps": LeftOut("It is for video.", (None, 0, 1, 16, 24)),
    "sample.samples.*.neg": LeftOut("Negative Prompt (Sample) is one for all prompts."),
    "sample.samples.*.sample_steps": LeftOut(
        "Sample Steps (Sample) is one for all prompts.", (None,)
    ),
    "sample.samples.*.num_frames": _NO_VIDEO,
    "sample.samples.*.fps": LeftOut("It is for video.", (None, 0, 1, 16, 24)),
    "sample.samples.*.ctrl_idx": LeftOut("Control images have an order here.", (None, 0)),
}

ARCHITECTURES: dict[str, Architecture] = {
    "flux2": Architecture.FLUX2_DEV,
    "flux2_dev": Architecture.FLUX2_DEV,
    "flux2_klein_4b": Architecture.KLEIN_BASE_4B,
    "flux2_klein_9b": Architecture.KLEIN_BASE_9B,
}
HUB_IDS: dict[str, Architecture] = {
    variant.hub_id.lower(): variant.architecture
    for variant in VARIANTS.values()
    if variant.hub_id is not None
}
QUANTIZATIONS: dict[str, str] = {
    "qfloat8": "float8",
    "float8": "float8",
    "qint8": "int8",
    "int8": "int8",
    "nf4": "nf4",
    "qint4": "int4",
    "int4": "int4",
    "uint4": "int4",
}
# Options within a prompt, as `--w 1024`: which setting of the prompt each is.
PROMPT_OPTIONS: dict[str, str] = {
    "w": "width",
    "h": "height",
    "d": "seed",
    "seed": "seed",
    "l": "guidance_scale",
    "g": "guidance_scale",
    "cfg": "guidance_scale",
    "m": "network_multiplier",
    "network_multiplier": "network_multiplier",
    "n": "neg",
    "s": "sample_steps",
    "steps": "sample_steps",
}
PROMPT_OPTION_TYPES: dict[str, Callable[[str], Any]] = {
    "width": int,
    "height": int,
    "seed": int,
    "sample_steps": int,
    "guidance_scale": _finite,
    "network_multiplier": _finite,
}
