"""A drawing: pictures of a model with LoRA files at any strength, as one YAML file.

    name: try-hatch
    model: {model_architecture: tiny}
    loras: [/output/tiny-hatch/tiny-hatch.safetensors]
    pictures:
      - {prompt: a red circle}                                  # the base model's
      - {prompt: a red circle, lora: 0}                         # with the first file
      - {prompt: a red circle, lora: 0, lora_strength: 0.6}

It is to drawing what a job is to training: `python -m trainer draw` takes it, its run leaves the
same files, and the worker watches it in the same way.

Most of what has to be known of a drawing is known of a job with these pictures as its samples:
which texts are encoded, which sizes are drawn, what that takes of memory, whether model, kinds of
quantization and control images can be used here. So `as_job` makes that job, which trains next to
nothing, and the functions for jobs are asked. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from trainer.config import JobConfig
from trainer.dataset_index import DatasetIndex
from trainer.folders import Folders, located
from trainer.hub_lora import PREFIX as HUB
from trainer.hub_lora import HubLora, hub_lora
from trainer.job_folder import JobFolder
from trainer.lora_header import refuse_unreadable
from trainer.lora_keys import LORA_FACTORS, parse_key
from trainer.original_layout import read_header
from trainer.panels.datasets import Dataset
from trainer.panels.field import Panel, TrainingName
from trainer.panels.job import JobPanel
from trainer.panels.model import ModelPanel
from trainer.panels.quantization import QuantizationPanel
from trainer.panels.sample import SamplePanel, SamplePrompt
from trainer.panels.target import TargetPanel
from trainer.panels.training import TrainingPanel
from trainer.variants import VARIANTS, Variant

MAX_PICTURES = 400
# The index of the dataset that the job of `as_job` names and nobody reads.
NO_PICTURES = (DatasetIndex(Path("none")),)
MAX_LORAS = 32
# What a file that tells no rank (a LoKr, mostly) is planned as; one layer's factors are small
# beside a picture's features either way.
_ASSUMED_RANK = 32
_HIGHEST_PLANNED_RANK = 256


class PictureToDraw(SamplePrompt):
    """One picture. lora: which of the drawing's files, counted from 0; None is the base model."""

    lora: int | None = Field(default=None, ge=0, lt=MAX_LORAS)


class DrawingConfig(Panel):
    """A whole drawing.

    trigger_word: in the place of [trigger]. sample_steps: None for the architecture's. loras: files
    of any program, absolute or relative to the models folder, or as hub_lora.py names the hub's.
    """

    name: TrainingName
    gpu: str = Field(default="any", pattern=r"^(any|cpu|GPU-[0-9a-fA-F-]+)$")
    model: ModelPanel = Field(default_factory=lambda: ModelPanel(layer_offloading="auto"))
    quantization: QuantizationPanel = Field(default_factory=QuantizationPanel)
    data_type: Literal["bf16", "fp32"] = "bf16"
    trigger_word: str = Field(default="", max_length=64)
    sample_steps: int | None = Field(default=None, ge=1, le=200)
    negative_prompt: str = Field(default="", max_length=10_000)
    time_out_per_picture: float = Field(default=600.0, gt=0, le=86_400)
    loras: list[str] = Field(default_factory=list, max_length=MAX_LORAS)
    pictures: list[PictureToDraw] = Field(min_length=1, max_length=MAX_PICTURES)

    @model_validator(mode="after")
    def _pictures_name_files_that_are_there(self) -> Self:
        for place, picture in enumerate(self.pictures):
            if picture.lora is not None and picture.lora >= len(self.loras):
                raise ValueError(
                    f"picture {place} is to be drawn with LoRA {picture.lora}, and there are "
                    f"{len(self.loras)}, counted from 0"
                )
        return self

    @property
    def run_name(self) -> str:
        """The name of the folder that its runs write into."""
        return self.name

    @property
    def num_units(self) -> int:
        """What a run of it counts up to: pictures."""
        return len(self.pictures)

    @property
    def variant(self) -> Variant:
        """The table row of the architecture."""
        return VARIANTS[self.model.model_architecture]


def lora_files(
    drawing: DrawingConfig, folders: Folders, parent: Path | None = None
) -> list[Path | HubLora]:
    """Where the LoRA files lie; of the hub's, those that are not on this machine yet as such.

    parent: where the drawing's own folder lies; a file that is kept there is the one that was
    chosen, whatever has become of its first place. None for a drawing that has no folder yet.
    Raises JobRefused for a name that leads out of the models folder, or is none of the hub's;
    BadLora for what is no whole safetensors file.
    """
    found: list[Path | HubLora] = []
    for place, name in enumerate(drawing.loras):
        kept = None if parent is None else _kept(JobFolder(parent, drawing.name), name)
        source = kept or _source(name, place, folders)
        if isinstance(source, Path):
            refuse_unreadable(source)
        found.append(source)
    return found


def _kept(folder: JobFolder, name: str) -> Path | None:
    file = folder.loras / folder.kept_name(name)
    return file if file.is_file() else None


def _source(name: str, place: int, folders: Folders) -> Path | HubLora:
    if name.startswith(HUB):
        lora = hub_lora(name, place=place)
        return lora.cached() or lora
    return located(folders.models, name, field=f"loras.{place}")


def as_job(drawing: DrawingConfig, loras: Sequence[Path] = ()) -> JobConfig:
    """The job whose samples are the drawing's pictures. loras: the files, whose sizes count."""
    rank = min(_HIGHEST_PLANNED_RANK, max(1, sum(map(_rank, loras))))
    panel = SamplePanel(
        sample_steps=drawing.sample_steps,
        negative_prompt=drawing.negative_prompt,
        time_out_per_sample=drawing.time_out_per_picture,
    )
    return JobConfig(
        job=JobPanel(
            training_name=drawing.name, gpu=drawing.gpu, trigger_word=drawing.trigger_word
        ),
        model=drawing.model,
        quantization=drawing.quantization,
        target=TargetPanel(linear_rank=rank),
        training=TrainingPanel(steps=1, optimizer="adafactor", data_type=drawing.data_type),
        datasets=[Dataset(target_dataset="none", resolutions=[64], caption_dropout_rate=0.0)],
        # More than a job may have.
        sample=panel.model_copy(update={"prompts": [*drawing.pictures]}),
    )


def _rank(path: Path) -> int:
    """The highest of the file's layers."""
    ranks = []
    for name, tensor in read_header(path).items():
        key = parse_key(name)
        if key is not None and key.factor == LORA_FACTORS[0]:
            ranks += tensor.shape[:1]
    return max(ranks, default=_ASSUMED_RANK)
