"""Changes of a job that take less memory, in the order of what they cost a person.

    1  the same results to the bit: what waits in RAM goes back to a card that has room for it;
       Gradient Checkpointing, Low VRAM, Layer Offloading
    2  the same training within rounding: Batch Size down with Gradient Accumulation up, fewer
       prompts encoded at once, another Attention Backend, a smaller optimizer state
    3  weights in 8 bits, then in 4, as far as this machine can run them
    4  smaller samples, smaller pictures

Only changes that change something are offered; whether they help is the plan's to say. Layer
Offloading is offered just as far as it has to go, up for the card and down for the host; after
memory ran out, further. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.config import JobConfig
from trainer.machine import Machine
from trainer.memory_workload import Workload
from trainer.model_shapes import ModelShapes
from trainer.offload_shares import settled, text_encoder_percent, transformer_percent
from trainer.panels.training import HIGHEST_ACCUMULATION
from trainer.quantization_kinds import KINDS, QuantizationKind
from trainer.quantization_support import obstacle

# Sides that people train at, below which a FLUX.2 LoRA is seldom worth it.
_SIDES_PX = (1408, 1152, 1024, 896, 768, 640, 512)
_SMALLEST_SAMPLE_PX = 512
# Of the blocks: what is tried after a failure, as far as it is more than the job streams.
_SHARES_PERCENT = (25.0, 50.0, 75.0, 100.0)
# After a failure, behind Resolutions.
_TRIED_FIRST = (
    "training.gradient_checkpointing",
    "training.batch_size",
    "model.low_vram",
    "model.layer_offloading",
    "quantization.",
)


@dataclass(frozen=True)
class Change:
    """Settings to set together. label: what a person is told to do."""

    label: str
    settings: Mapping[str, Any]

    def applied(self, job: JobConfig) -> JobConfig:
        """The job with the settings changed."""
        data = job.model_dump(mode="json")
        for path, value in self.settings.items():
            *parents, leaf = path.split(".")
            place: Any = data
            for key in parents:
                place = place[int(key)] if isinstance(place, list) else place[key]
            place[leaf] = value
        return JobConfig.model_validate(data)


def changes_of(
    job: JobConfig, shapes: ModelShapes, workload: Workload, machine: Machine
) -> Iterator[Change]:
    """The changes that the job has not made yet, in order."""
    if machine.vram_bytes is not None:
        yield from changes_back_to_the_card(job, shapes, workload, machine.vram_bytes)
    yield from _same_results(job)
    if machine.vram_bytes is not None:
        yield from larger_shares_that_fit(job, shapes, workload, machine.vram_bytes)
    yield from _same_training(job)
    yield from _stored_smaller(job, on_gpu=machine.on_gpu)
    yield from _smaller_pictures(job)


def changes_back_to_the_card(
    job: JobConfig, shapes: ModelShapes, workload: Workload, vram_bytes: int
) -> Iterator[Change]:
    """What takes less RAM where the card has room: the smallest shares of Layer Offloading that fit
    it, *auto*, and Low VRAM off.
    """
    now = _shares(settled(job, shapes, workload, vram_bytes))
    least = _least_shares(job, shapes, workload, vram_bytes)
    fewer = min(now[0], least[0]), min(now[1], least[1])
    if fewer != now:
        yield _with_shares(job, *fewer, does="lower")
    if job.model.layer_offloading == "on":
        yield Change("set Layer Offloading to auto", {"model.layer_offloading": "auto"})
    if job.model.low_vram:
        yield Change("turn Low VRAM off", {"model.low_vram": False})


def larger_shares(job: JobConfig, *, streamed: JobConfig) -> Iterator[Change]:
    """More Layer Offloading than the plan asks for, since memory ran out all the same: the next
    shares of the transformer, then of the text encoder, up to all of it.

    streamed: the job with the shares to start from, *auto* settled.
    """
    now = _shares(streamed)
    for share in _SHARES_PERCENT:
        if share > now[0]:
            yield _with_shares(job, share, now[1])
    for share in _SHARES_PERCENT:
        if share > now[1]:
            yield _with_shares(job, now[0], share)


def in_order_of_trying(job: JobConfig, changes: Sequence[Change]) -> list[Change]:
    """The same after memory did run out: first what helps for certain and is easily judged.

    Resolutions (the next two sides down), Gradient Checkpointing, Batch Size, what moves to host
    memory, fewer bits, then the rest as it comes.
    """
    smaller = [change for change in changes if _settings_end(change, "resolutions")]
    for change in [*smaller]:
        smaller += _of_resolutions(change.applied(job))
    others = [change for change in changes if change not in smaller]

    def rank(change: Change) -> int:
        for number, name in enumerate(_TRIED_FIRST):
            if any(path.startswith(name) for path in change.settings):
                return number
        return len(_TRIED_FIRST)

    return [*smaller, *sorted(others, key=rank)]


def _settings_end(change: Change, name: str) -> bool:
    return all(path.endswith(name) for path in change.settings)


def disk_changes(job: JobConfig) -> Iterator[Change]:
    """Changes that write less, the mildest first: none of them changes what is trained."""
    kinds, keep = job.quantization, job.save.max_step_saves_to_keep
    if kinds.keep_on_disk and (kinds.transformer != "none" or kinds.text_encoder != "none"):
        yield Change("turn Keep Quantized Weights off", {"quantization.keep_on_disk": False})
    for fewer in range(keep - 1, 0, -1):
        noun = "checkpoint" if fewer == 1 else "checkpoints"
        label = f"keep {fewer} {noun} (Max Step Saves to Keep)"
        yield Change(label, {"save.max_step_saves_to_keep": fewer})


def _same_results(job: JobConfig) -> Iterator[Change]:
    if not job.training.gradient_checkpointing:
        yield Change("turn Gradient Checkpointing on", {"training.gradient_checkpointing": True})
    if not job.model.low_vram:
        yield Change("turn Low VRAM on", {"model.low_vram": True})


def larger_shares_that_fit(
    job: JobConfig, shapes: ModelShapes, workload: Workload, vram_bytes: int
) -> Iterator[Change]:
    """The smallest shares that fit the card, where they are more than the job streams."""
    model = job.model
    if model.layer_offloading == "auto":
        return
    is_on = model.layer_offloading == "on"
    now = (model.transformer_offload_percent, model.text_encoder_offload_percent)
    fit = _least_shares(job, shapes, workload, vram_bytes)
    least = max(fit[0], now[0] * is_on), max(fit[1], now[1] * is_on)
    if least == (0.0, 0.0) or (is_on and least == now):
        return
    yield _with_shares(job, *least)


def _least_shares(
    job: JobConfig, shapes: ModelShapes, workload: Workload, vram_bytes: int
) -> tuple[float, float]:
    """Of transformer and text encoder, that fit the card; 100 where none does."""
    transformer = transformer_percent(job, shapes, workload, vram_bytes)
    text_encoder = text_encoder_percent(job, shapes, workload, vram_bytes)
    return (
        100.0 if transformer is None else transformer,
        100.0 if text_encoder is None else text_encoder,
    )


def _shares(job: JobConfig) -> tuple[float, float]:
    """Of transformer and text encoder, that are streamed; *auto* is settled."""
    return job.model.percent_streamed, job.model.percent_of_encoder_streamed


def _with_shares(
    job: JobConfig, transformer: float, text_encoder: float, *, does: str = "raise"
) -> Change:
    """does: what is done to shares that are set already."""
    parts = {"Transformer Offload": transformer, "Text Encoder Offload": text_encoder}
    if job.model.layer_offloading == "on":
        changed = [
            f"{name} to {share:g} %"
            for (name, share), now in zip(parts.items(), _shares(job), strict=True)
            if share != now
        ]
        label = f"{does} {' and '.join(changed)}"
    else:
        turned = {"off": "turn Layer Offloading on", "auto": "set Layer Offloading to on"}
        shares = " and ".join(f"{name} {share:g} %" for name, share in parts.items())
        label = f"{turned[job.model.layer_offloading]}, with {shares}"
    settings: dict[str, Any] = {
        "model.layer_offloading": "on",
        "model.transformer_offload_percent": transformer,
        "model.text_encoder_offload_percent": text_encoder,
    }
    return Change(label, settings)


def _same_training(job: JobConfig) -> Iterator[Change]:
    training = job.training
    yield from _smaller_batches(job)
    if job.model.attention_backend == "math":
        yield Change("choose auto as Attention Backend", {"model.attention_backend": "auto"})
    if training.encoding_batch_size != 1:
        yield Change("set Encoding Batch Size to 1", {"training.encoding_batch_size": 1})
    if training.optimizer == "adamw":  # Prodigy's Learning Rate of 1 would ruin the training
        yield Change("choose AdamW8bit as Optimizer", {"training.optimizer": "adamw8bit"})
    if job.model.vae_data_type == "fp32":
        yield Change("choose BF16 as VAE Data Type", {"model.vae_data_type": "bf16"})
    if training.data_type == "fp32":
        yield Change("choose BF16 as Data Type", {"training.data_type": "bf16"})


def _smaller_batches(job: JobConfig) -> Iterator[Change]:
    """Half of the pictures at once, as many of them a step, if so many passes can be set."""
    training, batch_size = job.training, job.largest_batch_size
    if batch_size == 1:
        return
    smaller = batch_size // 2
    accumulation = -(-batch_size * training.gradient_accumulation // smaller)
    if accumulation > HIGHEST_ACCUMULATION:
        return
    settings: dict[str, Any] = {
        "training.batch_size": min(smaller, training.batch_size),
        "training.gradient_accumulation": accumulation,
    }
    for number, dataset in enumerate(job.datasets):
        if dataset.batch_size is not None and dataset.batch_size > smaller:
            settings[f"datasets.{number}.batch_size"] = smaller
    yield Change(
        f"lower Batch Size to {smaller} and raise Gradient Accumulation to {accumulation}", settings
    )


def _stored_smaller(job: JobConfig, *, on_gpu: bool) -> Iterator[Change]:
    """Fewer bits, of the kinds that this machine can run there."""
    kinds: list[tuple[QuantizationKind, tuple[QuantizationKind, ...]]] = [
        ("float8", ("none",)),
        ("nf4", ("none", "float8", "int8")),
    ]
    for kind, larger in kinds:
        if obstacle(kind, on_gpu=on_gpu) is not None:
            continue
        for part, label in (("transformer", "Transformer"), ("text_encoder", "Text Encoder")):
            if getattr(job.quantization, part) in larger:
                yield Change(
                    f"choose {KINDS[kind].label} for the {label} (Quantization)",
                    {f"quantization.{part}": kind},
                )


def _smaller_pictures(job: JobConfig) -> Iterator[Change]:
    yield from _smaller_samples(job)
    yield from _of_resolutions(job)


def _of_resolutions(job: JobConfig) -> Iterator[Change]:
    largest = max(max(dataset.resolutions) for dataset in job.datasets)
    limit = next((side for side in _SIDES_PX if side < largest), None)
    if limit is None:
        return
    settings = {}
    for number, dataset in enumerate(job.datasets):
        if max(dataset.resolutions) > limit:
            kept = [side for side in dataset.resolutions if side <= limit]
            settings[f"datasets.{number}.resolutions"] = kept or [limit]
    yield Change(f"lower Resolutions to at most {limit}", settings)


def _smaller_samples(job: JobConfig) -> Iterator[Change]:
    side = job.variant.sample_side_px
    sizes = [(job.sample.width or side, job.sample.height or side)] + [
        (prompt.width or 0, prompt.height or 0) for prompt in job.sample.prompts
    ]
    if max(max(size) for size in sizes) <= _SMALLEST_SAMPLE_PX or not job.sample.prompts:
        return
    settings: dict[str, Any] = {
        "sample.width": min(sizes[0][0], _SMALLEST_SAMPLE_PX),
        "sample.height": min(sizes[0][1], _SMALLEST_SAMPLE_PX),
    }
    for number, prompt in enumerate(job.sample.prompts):
        for name in ("width", "height"):
            own = getattr(prompt, name)
            if own is not None and own > _SMALLEST_SAMPLE_PX:
                settings[f"sample.prompts.{number}.{name}"] = _SMALLEST_SAMPLE_PX
    yield Change(f"draw samples of at most {_SMALLEST_SAMPLE_PX} px", settings)
