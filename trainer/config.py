"""The job: ten panels, each setting defined once.

A setting is one field below: its type and limits, its label, its help text (what it does, and when
it has no effect), its unit and its default. The API's schema, the browser's form, the TypeScript
types, the YAML file and docs/settings.md all follow from it. Rules that need two fields stand in
`job_rules.py`; what needs the disk (a folder, a picture) in `door.py`.

Extra keys in a field's JSON schema, read by the form beside the usual title and description:

    unit          what a number counts
    no_effect     when the setting changes nothing
    choices       label of each value of an enumeration (their order is that of `enum`)
    placeholder   what a blank field stands for
    widget        text_lines | slider | dataset | device | resolutions | prompts | datasets | words
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined

from trainer.variants import VARIANTS, Architecture, Variant

TRIGGER_PLACEHOLDER = "[trigger]"
SIDE_MULTIPLE_PX = 16  # one latent token after the autoencoder (1/8) and its 2x2 patches

TrainingName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
SidePx = Annotated[int, Field(ge=64, le=2048, multiple_of=SIDE_MULTIPLE_PX)]
SeedNumber = Annotated[int, Field(ge=0, le=2**32 - 1)]


def setting(
    default: Any = PydanticUndefined,
    *,
    label: str,
    help: str,
    unit: str | None = None,
    no_effect: str | None = None,
    choices: dict[str, str] | None = None,
    placeholder: str | None = None,
    widget: str | None = None,
    **limits: Any,
) -> Any:
    """One field of a panel; `limits` are pydantic's (ge, le, multiple_of, ...)."""
    extra = {
        "unit": unit,
        "no_effect": no_effect,
        "choices": choices,
        "placeholder": placeholder,
        "widget": widget,
    }
    if callable(default):
        limits["default_factory"] = default
    else:
        limits["default"] = default
    return Field(
        title=label,
        description=help,
        json_schema_extra={key: value for key, value in extra.items() if value is not None},
        **limits,
    )


class Panel(BaseModel):
    """What all panels share: unknown keys are refused, numbers are finite, values are final."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, frozen=True, use_enum_values=False
    )


class JobPanel(Panel):
    """Job: what the training is called and where it runs."""

    training_name: TrainingName = setting(
        label="Training Name",
        help="Letters, digits, _ and -. It becomes the output folder and the LoRA's file name.",
    )
    gpu: str = setting(
        "any",
        label="GPU",
        help="Where the job may run: any free GPU, one GPU by its UUID, or the CPU. A machine "
        "without a GPU runs any on its CPU.",
        widget="device",
        pattern=r"^(any|cpu|GPU-[0-9a-fA-F-]+)$",
    )
    trigger_word: str = setting(
        "",
        label="Trigger Word",
        help="The word that calls the LoRA. It replaces [trigger] in captions, default captions "
        "and sample prompts; a word that means nothing yet works best.",
        no_effect="No caption or prompt contains [trigger], and preservation is off.",
        max_length=64,
    )
    seed: SeedNumber = setting(
        42,
        label="Seed",
        help="Noise, timesteps, order and caption dropout are functions of this number and the "
        "step, so the same job gives the same LoRA.",
    )


class ModelPanel(Panel):
    """Model: which FLUX.2 is trained on."""

    model_architecture: Architecture = setting(
        Architecture.FLUX2_DEV,
        label="Model Architecture",
        help="The kind of FLUX.2. The tiny one is bundled and trains on any CPU; the distilled "
        "klein models are made for inference and train badly: take their base models.",
        choices={v.architecture.value: v.label for v in VARIANTS.values()},
    )
    name_or_path: str = setting(
        "",
        label="Name or Path",
        help="A local folder in Diffusers layout (it holds model_index.json), absolute or relative "
        "to the models folder.",
        placeholder="blank = the bundled model, for the tiny architecture",
        max_length=1024,
    )


class QuantizationPanel(Panel):
    """Quantization: how the frozen weights are stored while training."""

    transformer: Literal["none", "float8"] = setting(
        "float8",
        label="Transformer",
        help="float8 stores the blocks' frozen weights in 8 bits with a scale per row, halving "
        "their memory; embedders, modulation, norms and the final layer stay as they are.",
        choices={"none": "none", "float8": "float8 (default)"},
    )
    text_encoder: Literal["none", "float8"] = setting(
        "float8",
        label="Text Encoder",
        help="The same for the text encoder, which is in memory only while prompts are encoded.",
        choices={"none": "none", "float8": "float8 (default)"},
    )


class TargetPanel(Panel):
    """Target: what is trained."""

    target_type: Literal["lora"] = setting(
        "lora",
        label="Target Type",
        help="A LoRA on every linear layer of the transformer's blocks.",
        choices={"lora": "LoRA"},
    )
    linear_rank: int = setting(
        32,
        label="Linear Rank",
        help="Size of the LoRA's inner dimension. The guides take 16-32 for styles, 32-64 for "
        "characters and objects; 4-8 hardly moves FLUX.2.",
        ge=1,
        le=256,
    )
    linear_alpha: float | None = setting(
        None,
        label="Linear Alpha",
        help="The LoRA's output is scaled by alpha / rank. Equal to the rank, the scale is 1.",
        placeholder="blank = the rank",
        gt=0,
        le=1024,
    )


class TrainingPanel(Panel):
    """Training: steps, optimizer and objective."""

    batch_size: int = setting(
        1, label="Batch Size", help="Pictures in one forward pass.", unit="pictures", ge=1, le=64
    )
    gradient_accumulation: int = setting(
        1,
        label="Gradient Accumulation",
        help="Forward passes averaged into one step: the effective batch is Batch Size times this, "
        "in the memory of one.",
        unit="passes",
        ge=1,
        le=128,
    )
    steps: int = setting(
        2000,
        label="Steps",
        help="Optimizer steps. The guides: style 800-2000, character or object 1000-2500, "
        "edit 1500-3000.",
        unit="steps",
        ge=1,
        le=1_000_000,
    )
    optimizer: Literal["adamw8bit", "adamw"] = setting(
        "adamw8bit",
        label="Optimizer",
        help="AdamW8bit keeps its state in 8 bits (2 bytes a parameter instead of 8).",
        choices={"adamw8bit": "AdamW8bit", "adamw": "AdamW"},
    )
    learning_rate: float = setting(
        1e-4,
        label="Learning Rate",
        help="The guides start at 1e-4 on FLUX.2 and take 5e-5 when samples overshoot. The tiny "
        "model wants 1e-3 to 3e-3.",
        gt=0,
        le=1.0,
    )
    lr_schedule: Literal["constant", "constant_with_warmup", "cosine", "linear"] = setting(
        "constant",
        label="LR Schedule",
        help="How the learning rate moves over the steps: constant; constant after a linear "
        "warm-up; or down to 0 by the last step along a cosine or a line, after the warm-up.",
        choices={
            "constant": "constant",
            "constant_with_warmup": "constant with warm-up",
            "cosine": "cosine",
            "linear": "linear",
        },
    )
    warmup_steps: int = setting(
        0,
        label="Warm-up Steps",
        help="Steps over which the learning rate rises from 0.",
        unit="steps",
        no_effect="LR Schedule is constant.",
        ge=0,
        le=100_000,
    )
    weight_decay: float = setting(
        1e-4,
        label="Weight Decay",
        help="Decoupled: each step shrinks the LoRA's weights by learning rate x this.",
        ge=0,
        le=1.0,
    )
    max_gradient_norm: float = setting(
        1.0,
        label="Max Gradient Norm",
        help="Gradients are scaled down to this Euclidean norm when they exceed it; 0 leaves them.",
        ge=0,
        le=1000,
    )
    timestep_type: Literal["weighted", "sigmoid", "linear", "shift"] = setting(
        "weighted",
        label="Timestep Type",
        help="weighted: uniform timesteps with a smooth loss weight (mean 1) that peaks in the "
        "upper middle. sigmoid: sigmoid of a normal number, most in the middle. linear: uniform. "
        "shift: sigmoid, moved towards noise by the picture's token count as FLUX.2 does it.",
        choices={
            "weighted": "weighted",
            "sigmoid": "sigmoid",
            "linear": "linear",
            "shift": "shift (FLUX.2)",
        },
    )
    timestep_bias: Literal["balanced", "high_noise", "low_noise"] = setting(
        "balanced",
        label="Timestep Bias",
        help="high noise replaces each timestep t by its square root (composition, layout); low "
        "noise by its square (texture, detail); balanced leaves it.",
        choices={
            "balanced": "Balanced",
            "high_noise": "High Noise",
            "low_noise": "Low Noise",
        },
    )
    loss_type: Literal["mse", "mae", "huber"] = setting(
        "mse",
        label="Loss Type",
        help="Mean squared error, mean absolute error, or Huber (squared below an error of 1, "
        "absolute above).",
        choices={"mse": "MSE", "mae": "MAE", "huber": "Huber"},
    )
    use_ema: bool = setting(
        False,
        label="Use EMA",
        help="Keep an exponential moving average of the LoRA and use it for samples and saves.",
    )
    ema_decay: float = setting(
        0.99,
        label="EMA Decay",
        help="Share of the average that survives a step: 0.99 looks back about 100 steps.",
        no_effect="Use EMA is off.",
        ge=0,
        lt=1,
    )
    gradient_checkpointing: bool = setting(
        True,
        label="Gradient Checkpointing",
        help="Recompute each block in the backward pass instead of keeping its activations: far "
        "less memory, about a third more time, the same result.",
    )
    cache_text_embeddings: bool = setting(
        True,
        label="Cache Text Embeddings",
        help="Keep encoded prompts on disk for the next run. Off encodes them for this run and "
        "deletes them at its end. The text encoder leaves memory before training either way, and "
        "preservation and caption dropout work with both.",
    )
    data_type: Literal["bf16", "fp32"] = setting(
        "bf16",
        label="Data Type",
        help="Precision the model computes in; the LoRA's own weights are kept in fp32.",
        choices={"bf16": "BF16", "fp32": "FP32"},
    )


class SavePanel(Panel):
    """Save: checkpoints on the way."""

    data_type: Literal["bf16", "fp16", "fp32"] = setting(
        "bf16",
        label="Data Type",
        help="Precision of the LoRA file. The state to resume from is always full precision.",
        choices={"bf16": "BF16", "fp16": "FP16", "fp32": "FP32"},
    )
    save_every: int = setting(
        250,
        label="Save Every",
        help="Steps between checkpoints. The last step is always saved.",
        unit="steps",
        ge=1,
        le=1_000_000,
    )
    max_step_saves_to_keep: int = setting(
        4,
        label="Max Step Saves to Keep",
        help="Older checkpoints are removed beyond this number; pinned and starred ones never.",
        unit="checkpoints",
        ge=1,
        le=10_000,
    )


class RegularizationPanel(Panel):
    """Regularization: keep what the model already knew."""

    differential_output_preservation: bool = setting(
        False,
        label="Differential Output Preservation",
        help="Hold the LoRA's answer on the class caption (the caption with the trigger replaced "
        "by the class) to the base model's: the style stays with its trigger. Costs about 2.3 "
        "times the step. A caption without the trigger is skipped and counted.",
    )
    trigger: str | None = setting(
        None,
        label="Trigger",
        help="The word that is replaced by the class, on word boundaries.",
        placeholder="blank = the Trigger Word of the Job panel",
        no_effect="Differential Output Preservation is off.",
        max_length=64,
    )
    multiplier: float = setting(
        1.0,
        label="Multiplier",
        help="Weight of the preservation loss beside the training loss.",
        no_effect="Differential Output Preservation is off.",
        gt=0,
        le=1000,
    )
    preservation_class: str = setting(
        "photo",
        label="Preservation Class",
        help="What stands in the trigger's place in the class caption: what the trigger is one of.",
        no_effect="Differential Output Preservation is off.",
        max_length=200,
    )


class AdvancedPanel(Panel):
    """Advanced: change the training signal."""

    do_differential_guidance: bool = setting(
        False,
        label="Do Differential Guidance",
        help="Move the target away from the model's present answer v: target' = v + scale x "
        "(target - v). The curve still shows the loss against the true target.",
    )
    scale: float = setting(
        3.0,
        label="Scale",
        help="Under MSE the gradient is multiplied by it. Try 2 or 1 when early samples ring.",
        no_effect="Do Differential Guidance is off, or Loss Type is MAE.",
        gt=0,
        le=100,
    )


class Dataset(Panel):
    """One folder of pictures with captions."""

    target_dataset: str = setting(
        label="Target Dataset",
        help="Name of a folder in the datasets folder. Each picture trains with the text file of "
        "the same name beside it.",
        widget="dataset",
        min_length=1,
        max_length=255,
    )
    default_caption: str = setting(
        "",
        label="Default Caption",
        help="Caption of pictures without a text file. [trigger] is replaced.",
        no_effect="Every picture has a caption of its own.",
        max_length=10_000,
    )
    caption_extension: str = setting(
        "txt",
        label="Caption Extension",
        help="A caption for cat.png is cat.txt.",
        pattern=r"^[A-Za-z0-9_]{1,16}$",
    )
    caption_dropout_rate: float = setting(
        0.05,
        label="Caption Dropout Rate",
        help="Share of the times that a picture trains with the empty prompt.",
        ge=0,
        le=1,
    )
    cache_latents: bool = setting(
        True,
        label="Cache Latents",
        help="Keep encoded pictures on disk for the next run. Off encodes them for this run and "
        "deletes them at its end.",
    )
    resolutions: list[SidePx] = setting(
        lambda: [768, 896, 1024],
        label="Resolutions",
        help="Sides of the square whose area a picture is scaled down to, keeping its shape. Each "
        "picture trains once, in the largest it fills; one smaller than all keeps its size.",
        unit="px, multiples of 16",
        widget="resolutions",
        min_length=1,
        max_length=16,
    )


class SamplePrompt(Panel):
    """One prompt to draw at every sampling, with settings of its own where they differ."""

    prompt: str = setting(
        label="Prompt",
        help="What to draw. [trigger] is replaced by the Trigger Word.",
        widget="text_lines",
        max_length=10_000,
    )
    width: SidePx | None = setting(
        None, label="Width", help="Of this picture.", unit="px", placeholder="blank = as below"
    )
    height: SidePx | None = setting(
        None, label="Height", help="Of this picture.", unit="px", placeholder="blank = as below"
    )
    seed: SeedNumber | None = setting(
        None, label="Seed", help="Of this picture.", placeholder="blank = as below"
    )
    guidance_scale: float | None = setting(
        None,
        label="Guidance Scale",
        help="Of this picture.",
        placeholder="blank = as below",
        ge=0,
        le=30,
    )


class SamplePanel(Panel):
    """Sample: pictures drawn while it trains, through the pipeline that inference uses."""

    sample_every: int | None = setting(
        None,
        label="Sample Every",
        help="Steps between samples. The last step is always sampled.",
        unit="steps",
        placeholder="blank = Save Every",
        ge=1,
        le=1_000_000,
    )
    first_sample_at_step_0: bool = setting(
        True,
        label="First sample at step 0",
        help="Draw the base model's pictures before training, to compare with.",
    )
    width: SidePx | None = setting(
        None,
        label="Width",
        help="Of the pictures drawn.",
        unit="px, a multiple of 16",
        placeholder="blank = 768 (tiny: 128)",
    )
    height: SidePx | None = setting(
        None,
        label="Height",
        help="Of the pictures drawn.",
        unit="px, a multiple of 16",
        placeholder="blank = 768 (tiny: 128)",
    )
    guidance_scale: float | None = setting(
        None,
        label="Guidance Scale",
        help="How literally the prompt is taken. Training previews of dev use 1 as the guides say; "
        "at inference about 2 is loose, 3.5-4 literal.",
        placeholder="blank = dev 1, klein 1, klein base 4, tiny 3",
        ge=0,
        le=30,
    )
    sample_steps: int | None = setting(
        None,
        label="Sample Steps",
        help="Denoising steps for a picture.",
        unit="steps",
        placeholder="blank = dev 25, klein 4, klein base 50, tiny 20",
        ge=1,
        le=200,
    )
    seed: SeedNumber = setting(
        42,
        label="Seed",
        help="Of the pictures' noise: the same at every step, so that pictures can be compared.",
    )
    walk_seed: bool = setting(
        False,
        label="Walk Seed",
        help="Give each prompt a seed of its own: the seed plus the prompt's place in the list.",
        no_effect="There is one prompt, or each has a seed of its own.",
    )
    prompts: list[SamplePrompt] = setting(
        list,
        label="Prompts",
        help="Two to four are enough to judge by; one without the trigger shows what leaks.",
        widget="prompts",
        max_length=64,
    )


class JobConfig(Panel):
    """A whole job: the ten panels, in the form's order."""

    job: JobPanel = Field(title="Job")
    model: ModelPanel = Field(default_factory=ModelPanel, title="Model")
    quantization: QuantizationPanel = Field(default_factory=QuantizationPanel, title="Quantization")
    target: TargetPanel = Field(default_factory=TargetPanel, title="Target")
    training: TrainingPanel = Field(default_factory=TrainingPanel, title="Training")
    save: SavePanel = Field(default_factory=SavePanel, title="Save")
    regularization: RegularizationPanel = Field(
        default_factory=RegularizationPanel, title="Regularization"
    )
    advanced: AdvancedPanel = Field(default_factory=AdvancedPanel, title="Advanced")
    datasets: list[Dataset] = Field(min_length=1, max_length=64, title="Datasets")
    sample: SamplePanel = Field(default_factory=SamplePanel, title="Sample")

    @property
    def variant(self) -> Variant:
        """The table row of the job's architecture."""
        return VARIANTS[self.model.model_architecture]

    @property
    def lora_alpha(self) -> float:
        """Linear Alpha with its default filled in."""
        alpha = self.target.linear_alpha
        return float(self.target.linear_rank) if alpha is None else alpha

    @property
    def preservation_trigger(self) -> str:
        """The word that preservation replaces by the class."""
        own = self.regularization.trigger
        return self.job.trigger_word if own is None else own

    @property
    def sample_every(self) -> int:
        """Steps between samples with the default filled in."""
        own = self.sample.sample_every
        return self.save.save_every if own is None else own
