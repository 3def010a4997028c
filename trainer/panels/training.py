"""The panel Training: steps, optimizer and objective."""

from __future__ import annotations

from typing import Literal

from trainer.panels.field import Panel, setting

HIGHEST_ACCUMULATION = 128


class TrainingPanel(Panel):
    """Training: steps, optimizer and objective."""

    batch_size: int = setting(
        1,
        label="Batch Size",
        help="Pictures in one forward pass.",
        guides="1 on 16-24 GB, 1-2 on 32-48 GB, 2-4 from 64 GB on.",
        plain=True,
        unit="pictures",
        ge=1,
        le=64,
    )
    gradient_accumulation: int = setting(
        1,
        label="Gradient Accumulation",
        help="Forward passes averaged into one step: the effective batch is Batch Size times this, "
        "in the memory of one. Every picture of a step counts the same, so 4 passes of 1 give what "
        "a batch of 4 gives.",
        unit="passes",
        ge=1,
        le=HIGHEST_ACCUMULATION,
        guides="1; more where a larger batch is wanted and does not fit.",
    )
    steps: int = setting(
        2000,
        label="Steps",
        help="Optimizer steps.",
        unit="steps",
        ge=1,
        le=1_000_000,
        guides="Style 800-2000 (at rank 32, 800-1500 are often enough), character or object "
        "1000-2500, edit 1500-3000.",
        plain=True,
    )
    optimizer: Literal["adamw8bit", "adamw", "adafactor", "prodigy", "lion8bit"] = setting(
        "adamw8bit",
        label="Optimizer",
        help="How gradients become steps, with what each keeps of a LoRA parameter. AdamW8bit: "
        "AdamW with its state in 8 bits (2 bytes instead of 8). Adafactor: next to nothing; moves "
        "like AdamW's, at the same Learning Rate. Prodigy (16 bytes) finds the size of its steps "
        "by itself: set Learning Rate to 1, and expect some fifty steps before it moves. Lion8bit "
        "(1 byte) moves every number by the full Learning Rate: take 3 to 10 times less than with "
        "AdamW.",
        choices={
            "adamw8bit": "AdamW8bit",
            "adamw": "AdamW",
            "adafactor": "Adafactor",
            "prodigy": "Prodigy",
            "lion8bit": "Lion8bit",
        },
        guides="AdamW8bit.",
    )
    learning_rate: float = setting(
        1e-4,
        label="Learning Rate",
        help="How far a step moves the LoRA, by its optimizer. Lion8bit wants 1e-5 to 3e-5, "
        "Prodigy 1. The tiny model wants 1e-3 to 3e-3 (Lion8bit: 1e-4 to 1e-3).",
        gt=0,
        le=1.0,
        guides="1e-4; 5e-5 when samples overshoot; 7.5e-5 with rank 16 and preservation when "
        "the LoRA overwrites the base.",
        plain=True,
    )
    lr_schedule: Literal["constant", "constant_with_warmup", "cosine", "linear"] = setting(
        "constant",
        label="LR Schedule",
        help="What Learning Rate is multiplied by at step k of N = Steps. constant: 1. The others "
        "begin with W = Warm-up Steps, then, with p = (k - 1 - W) / (N - W) running from 0 to just "
        "below 1: constant with warm-up: 1; linear: 1 - p; cosine: (1 + cos(pi p)) / 2. The last "
        "step of linear has 1 / (N - W): 0 would be reached one step later, so none is wasted.",
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
        help="Steps W over which the learning rate rises: step k has k / (W + 1) of it. With 3: "
        "1/4, 2/4, 3/4, then all of it.",
        unit="steps",
        no_effect="LR Schedule is constant.",
        ge=0,
        le=100_000,
    )
    weight_decay: float = setting(
        1e-4,
        label="Weight Decay",
        help="Decoupled: each step multiplies the LoRA's weights by 1 - learning rate x this, "
        "beside the optimizer's own move. At 1e-4 and Learning Rate 1e-4, 2000 steps take away "
        "0.002 %.",
        ge=0,
        le=1.0,
        guides="1e-4.",
    )
    max_gradient_norm: float = setting(
        1.0,
        label="Max Gradient Norm",
        help="When the Euclidean norm of all gradients together exceeds this, they are multiplied "
        "by this / norm: at 1, a norm of 4 becomes 1, and 0.3 stays. 0 leaves them. The curve "
        "shows the norm before.",
        ge=0,
        le=1000,
    )
    timestep_type: Literal["weighted", "sigmoid", "linear", "shift"] = setting(
        "weighted",
        label="Timestep Type",
        help="How much noise a picture is trained at: t from 0, the picture, to 1, noise. "
        "weighted: t even over 0..1, the loss times 1/2 + 6 t^2 (1 - t), which has mean 1 and its "
        "peak of 1.39 at t = 2/3. linear: even, every loss alike. sigmoid: t = 1 / (1 + e^-z), z "
        "normal: most in the middle. shift: as sigmoid, the odds t / (1 - t) times e^mu, with mu "
        "from 0.5 at 256 image tokens (256 px) to 1.15 at 4096 (1024 px): more noise for larger "
        "pictures, as FLUX.2 has it.",
        choices={
            "weighted": "weighted",
            "sigmoid": "sigmoid",
            "linear": "linear",
            "shift": "shift (FLUX.2)",
        },
        guides="weighted.",
    )
    timestep_bias: Literal["balanced", "high_noise", "low_noise"] = setting(
        "balanced",
        label="Timestep Bias",
        help="What is done to each t of Timestep Type. Balanced: t. High Noise: the square root "
        "of t, for composition and layout. Low Noise: t squared, for texture and detail. 0.25 "
        "becomes 0.25, 0.5 or 0.0625.",
        choices={
            "balanced": "Balanced",
            "high_noise": "High Noise",
            "low_noise": "Low Noise",
        },
        guides="Balanced.",
    )
    loss_type: Literal["mse", "mae", "huber"] = setting(
        "mse",
        label="Loss Type",
        help="What an error e counts, before the mean over a picture. MSE: e^2. MAE: |e|, which "
        "forgives outliers. Huber: e^2 / 2 up to |e| = 1 and |e| - 1/2 beyond: as MSE for small "
        "errors, as MAE for large ones. The three curves are not comparable with each other.",
        choices={"mse": "MSE", "mae": "MAE", "huber": "Huber"},
        guides="MSE.",
    )
    use_ema: bool = setting(
        False,
        label="Use EMA",
        help="Keep an exponential moving average of the LoRA's weights and use it for samples and "
        "saved files: average = decay x average + (1 - decay) x weights after each step, beginning "
        "with the LoRA as it starts. Training itself goes on from the weights; a checkpoint keeps "
        "both. Costs 4 bytes a LoRA parameter.",
        guides="Off.",
    )
    ema_decay: float = setting(
        0.99,
        label="EMA Decay",
        help="Share of the average that survives a step: 0.99 looks back about 1 / (1 - 0.99) = "
        "100 steps.",
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
    unload_te: bool = setting(
        False,
        label="Unload TE",
        help="Ignore the captions: every picture trains on the Trigger Word alone, so that the "
        "text encoder has one text to encode. Pictures of regularization sets train on the "
        "Preservation Class. Excludes Cache Text Embeddings.",
    )
    encoding_batch_size: int | None = setting(
        None,
        label="Encoding Batch Size",
        help="Pictures, and prompts, that are encoded in one forward pass before training. Auto: "
        "one on a CPU; on a GPU as many pictures as make up 1024 x 1024 px and as many prompts as "
        "make up 512 rows. The results differ in rounding only.",
        unit="pictures or prompts",
        placeholder="blank = auto",
        ge=1,
        le=64,
    )
    start_from_lora: str = setting(
        "",
        label="Start from a LoRA",
        help="A LoRA or LoKr file, a checkpoint's folder or a job's folder whose values the "
        "training begins with, at step 0 with a fresh optimizer. A full path, or a relative one "
        "in the models folder. It must be of this model, Target Type, Linear Rank and Layers; "
        "alpha may differ. A resumed job goes on from its own checkpoint instead.",
        placeholder="blank = from nothing",
        max_length=1000,
    )
    data_type: Literal["bf16", "fp32"] = setting(
        "bf16",
        label="Data Type",
        help="Precision the model computes in; the LoRA's own weights are kept in fp32.",
        choices={"bf16": "BF16", "fp32": "FP32"},
    )
