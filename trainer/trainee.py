"""What is trained: the frozen transformer, its LoRA, the optimizer, the average, the step count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import Flux2Transformer2DModel

from trainer.aside import set_aside
from trainer.batches import Batch, BatchSource
from trainer.block_memory import home_of, manage_blocks, transformer_blocks
from trainer.block_shares import num_streamed_blocks, streamed_blocks
from trainer.checkpoint import Checkpoint, TrainingState, read_state
from trainer.compilation import compile_blocks
from trainer.config import JobConfig
from trainer.early_stop import Measurement
from trainer.ema import start_average, update_average
from trainer.errors import NonFinite
from trainer.host_keeper import HostKeeper
from trainer.lora import Lora, add_lokr, add_lora, block_linears
from trainer.lora_header import read_metadata
from trainer.lora_start import read_start
from trainer.model_loading import WeightSource, load_transformer
from trainer.offloading import BlockStream
from trainer.optim import (
    export_state,
    found_factor,
    import_state,
    learning_rate_factor,
    make_optimizer,
    set_learning_rate,
)
from trainer.target_layers import chosen_layers
from trainer.training_step import Objective, StepResult, training_step

STARTED_FROM = "started_from"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass
class Trainee:
    """average: None without EMA. stream: None where all blocks stay on the card. step: steps taken,
    skipped ones included.

    num_skipped_in_a_row: steps skipped since the last one that was finite. measurements: what
    validation and the preservation probe found so far, in the order of their steps. about: what
    the saved files say besides, by metadata key.
    """

    job: JobConfig
    transformer: Flux2Transformer2DModel
    lora: Lora
    optimizer: torch.optim.Optimizer
    average: dict[str, torch.Tensor] | None
    stream: BlockStream | None = None
    step: int = 0
    num_skipped_in_a_row: int = 0
    measurements: list[Measurement] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; under Prodigy, times the factor that it has found."""
        return self._scheduled_rate() * found_factor(self.optimizer)

    def _scheduled_rate(self) -> float:
        training = self.job.training
        return training.learning_rate * learning_rate_factor(
            training.lr_schedule,
            steps_done=self.step,
            warmup_steps=training.warmup_steps,
            total_steps=training.steps,
        )

    def take_step(self, batches: BatchSource) -> StepResult:
        """Take the next step, or skip it if its numbers are not finite; both count.

        One bad batch is an accident that its step can be skipped for; several in a row are a
        training that has gone wrong, and every further step would only hide it. Raises NonFinite
        when as many in a row had to be skipped as the job allows.
        """
        training = self.job.training
        set_learning_rate(self.optimizer, self._scheduled_rate())
        result = training_step(
            self.transformer,
            self.lora,
            self.optimizer,
            micro_batches(batches, self.step, training.gradient_accumulation),
            step=self.step,
            objective=objective_of(self.job),
            max_gradient_norm=training.max_gradient_norm,
        )
        self.step += 1
        self.num_skipped_in_a_row = 0 if result.is_finite else self.num_skipped_in_a_row + 1
        # Not ==: a resumed job may allow fewer than have been skipped already.
        if self.num_skipped_in_a_row >= self.job.advanced.stop_when_a_non_finite_loss_repeats:
            raise NonFinite(
                f"Loss or gradients were not finite at step {self.step}; steps skipped in a row: "
                f"{self.num_skipped_in_a_row}.",
                "Resume from the last good checkpoint with a lower Learning Rate, or in FP32.",
                field="training.learning_rate",
                params={"step": self.step, "learning_rate": training.learning_rate},
            )
        if result.is_finite and self.average is not None:
            update_average(self.average, self.lora.parameters, decay=training.ema_decay)
        return result

    @contextmanager
    def ready_to_draw(self, *, base_model: bool) -> Iterator[None]:
        """The model as samples see it: without its LoRA, or with it, averaged where EMA is on."""
        if base_model:
            with self.lora.off():
                yield
        elif self.average is not None:
            with self.lora.holding(self.average):
                yield
        else:
            yield

    def transformer_aside(self) -> AbstractContextManager[None]:
        """The transformer's frozen weights in host memory within the block."""
        return set_aside(self.transformer, transformer_blocks(self.transformer), self.stream)

    def state(self) -> TrainingState:
        """Everything that a checkpoint keeps."""
        return TrainingState(
            step=self.step,
            lora=self.lora.parameters,
            average=self.average,
            optimizer=export_state(self.optimizer, self.lora.parameters),
            num_skipped_in_a_row=self.num_skipped_in_a_row,
            measurements=tuple(self.measurements),
        )

    def start_from(self, lora_file: Path) -> None:
        """Begin with another LoRA's values and a fresh optimizer. Raises BadLora."""
        start = read_start(lora_file, self.lora)
        self.lora.load(start.values)
        if self.average is not None:
            self._restore_average(start.values)
        self.about = {STARTED_FROM: start.about}

    def restore(self, checkpoint: Checkpoint) -> bool:
        """Go on from a checkpoint that fits the job.

        True if all of it was used; False if the optimizer starts afresh because the job now names
        another one.
        """
        state = read_state(checkpoint)
        self.step = state.step
        self.num_skipped_in_a_row = state.num_skipped_in_a_row
        self.measurements = list(state.measurements)
        told = read_metadata(checkpoint.lora)
        self.about = {key: told[key] for key in (STARTED_FROM,) if key in told}
        self.lora.load(state.lora)
        if self.average is not None:
            self._restore_average(state.average if state.average is not None else state.lora)
        then: Mapping[str, Any] = checkpoint.manifest["job"]["training"]
        if then["optimizer"] != self.job.training.optimizer:
            return False
        import_state(self.optimizer, self.lora.parameters, state.optimizer)
        return True

    def _restore_average(self, values: Mapping[str, torch.Tensor]) -> None:
        assert self.average is not None
        for name, average in self.average.items():
            average.copy_(values[name])


def load_trainee(
    job: JobConfig,
    transformer_folder: Path,
    *,
    device: str,
    progress: Callable[[int, int], None],
    percent_streamed: float | None = None,
    cache: Path | None = None,
    source: WeightSource | None = None,
) -> Trainee:
    """The job's transformer with a fresh LoRA and optimizer. Raises BadModel.

    percent_streamed: of the blocks; None for what the job says. cache: the folder that keeps
    quantized weights for the next start; None keeps nothing. source: as in `load_transformer`.
    """
    training = job.training
    if device == "cuda" and training.data_type == "bf16":
        # The LoRA's small float32 products run on the tensor cores; the model itself is bfloat16.
        torch.set_float32_matmul_precision("high")
    num_blocks = job.variant.num_double_blocks + job.variant.num_single_blocks
    percent = job.model.percent_streamed if percent_streamed is None else percent_streamed
    streamed = streamed_blocks(num_blocks, num_streamed_blocks(num_blocks, percent))
    transformer = load_transformer(
        transformer_folder,
        dtype=DTYPES[training.data_type],
        device=device,
        quantization=job.quantization.transformer,
        progress=progress,
        home_of=home_of(streamed, num_double_blocks=job.variant.num_double_blocks, device=device),
        cache=cache,
        source=source,
    )
    lora = add_target(transformer, job)
    stream = manage_blocks(
        transformer,
        streamed=streamed,
        checkpointing=training.gradient_checkpointing,
        keeper=HostKeeper() if job.model.low_vram else None,
        device=device,
    )
    if job.advanced.compile:
        compile_blocks(transformer)
    optimizer = make_optimizer(
        training.optimizer,
        lora.parameters,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
    )
    return Trainee(
        job=job,
        transformer=transformer,
        lora=lora,
        optimizer=optimizer,
        average=start_average(lora.parameters) if training.use_ema else None,
        stream=stream,
    )


def add_target(transformer: Flux2Transformer2DModel, job: JobConfig) -> Lora:
    """What the Target panel asks for, on the layers that it chooses."""
    target = job.target
    layers = chosen_layers(block_linears(transformer), target.layers, target.layer_pattern)
    if target.target_type == "lokr":
        return add_lokr(
            transformer,
            rank=None if target.lokr_full_rank else target.linear_rank,
            alpha=job.lora_alpha,
            factor=target.lokr_factor,
            seed=job.job.seed,
            layers=layers,
            dropout=target.dropout,
        )
    return add_lora(
        transformer,
        rank=target.linear_rank,
        alpha=job.lora_alpha,
        seed=job.job.seed,
        layers=layers,
        dropout=target.dropout,
    )


def objective_of(job: JobConfig) -> Objective:
    """What the job's steps minimise."""
    training, regularization, advanced = job.training, job.regularization, job.advanced
    preserves = (
        regularization.differential_output_preservation or regularization.blank_prompt_preservation
    )
    return Objective(
        seed=job.job.seed,
        batch_size=job.largest_batch_size,
        timestep_type=training.timestep_type,
        timestep_bias=training.timestep_bias,
        loss_type=training.loss_type,
        training_guidance=job.variant.training_guidance,
        guidance_scale=advanced.scale if advanced.do_differential_guidance else None,
        preservation_multiplier=regularization.multiplier if preserves else None,
        preservation_every_steps=regularization.every_n_steps,
    )


def micro_batches(batches: BatchSource, step: int, count: int) -> Iterator[Batch]:
    """The micro-batches of a step, each read when its turn comes."""
    for micro in range(count):
        yield batches.batch(step, micro)
