"""What a job will take of VRAM, of RAM and of the disk, phase by phase, before anything is loaded.

Peers find out by trying: a night's job dies at its first large picture, or loads for ten minutes to
say that it does not fit. Here the question is answered by arithmetic, in milliseconds, from what is
known beforehand: the sizes of every layer (`model_shapes.py`), what a kind of quantization stores,
what training keeps of a LoRA's numbers (`memory_sizes.py`), and what a pass of so many tokens holds
(`activation_memory.py`). The form's verdict, the door, *auto* offloading, `python -m trainer plan`
and the cures of an out-of-memory failure all read this one plan.

**Phases.** Memory is owned by phases, and each has its own largest moment:

    encode pictures   the autoencoder and one pass of pictures, in the encoding child
    encode texts      the text encoder and one pass of prompts, in the encoding child
    load              the transformer as stored, and one tensor of it as it is in the file
    train             weights, LoRA, gradients, optimizer; one micro-batch's backward pass
    sample            the same with the autoencoder; one pass without gradients, or the decoder
    save              the same; copies of the LoRA and of the optimizer's state

A phase's peak is the sum of its parts at that moment. Parts of different moments are not added: of
several sizes of pictures the one with the largest sum counts, of a sample its passes or its
decoding, whichever is more. The card and the host have a largest moment each, which need not be the
same one: with Low VRAM the card is fullest while a sample is denoised, and the host while it is
decoded, when the transformer waits there.

**Preservation** (DOP, blank prompts) and regularization cost time, not memory: the base model's
pass keeps nothing, and the two losses are differentiated one after the other, so one graph is in
memory at a time. What they keep is a prediction, [B, L, C], a megabyte. Gradient accumulation costs
nothing either.

**What the numbers leave out, and what stands in for it.** Bytes are those that tensors have. Beside
them a card holds CUDA's own context and the libraries' work spaces (CUDA_BYTES), and torch's
allocator keeps pieces that it cannot use for the next request: ALLOCATOR_SHARE of what comes and
goes, since what stays was allocated once and leaves no gaps. A program's own memory without any
model is PROGRAM_BYTES. They are constants, given with their reason, and none was fitted to a run of
ours: `docs/benchmarks.md` has the plan beside measured peaks.

On a CPU all of it is RAM. Weights that are stored as they lie in their file are then pages of that
file, which the system may drop and read again; the plan counts them, since training without them in
memory is no training.

**Not counted**: what other programs hold, and the system's page cache, which makes room by itself.

What else was possible: running the first step and measuring it (needs the card, the weights and ten
minutes; says nothing in a form), and a table of measured jobs (no row for the job at hand). Imports
no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from trainer.activation_memory import (
    Tokens,
    TransformerActivations,
    decoder_activations,
    encoder_activations,
    text_encoder_activations,
)
from trainer.block_shares import MIN_KEPT_BYTES, NUM_SLOTS, num_streamed_blocks
from trainer.config import JobConfig
from trainer.encoded_run import RECENT_TENSORS_BYTES
from trainer.memory_sizes import (
    DTYPE_BYTES,
    FLOAT32_BYTES,
    MIB,
    block_bytes,
    largest_tensor_bytes,
    numbers_kept,
    optimizer_bytes,
    optimizer_work_bytes,
    resident_weight_bytes,
    streamed_places,
    streamed_weight_bytes,
    trained_layers,
    trained_tensors,
)
from trainer.memory_workload import SampleSize, Workload
from trainer.model_shapes import ModelShapes

# What nvidia-smi shows of a torch process that has computed something, beside its tensors: a
# context of 0.3 to 0.5 GB on cards from Ampere on, and work spaces of cuBLAS and cuDNN.
CUDA_BYTES = 600 * MIB
# Of what comes and goes. torch's allocator cuts its segments to size and joins the pieces again, in
# units of 2 MB; with passes that repeat, a few percent stay unused.
ALLOCATOR_SHARE = 0.05
# Resident anonymous memory of the trainer with its libraries imported (0.35 GB without a GPU), and
# of CUDA's libraries on top, which keep about a gigabyte of the host's.
PROGRAM_BYTES = 350 * MIB
PROGRAM_CUDA_BYTES = 1000 * MIB
# A picture on its way to the autoencoder: as read, scaled, and as float32.
_PICTURE_BYTES_PER_PX = 3 + 3 + 12

PhaseName = Literal["encode_pictures", "encode_texts", "load", "train", "sample", "save"]
Place = Literal["vram", "ram"]


@dataclass(frozen=True)
class MemoryPart:
    """Something that lies in its place at that place's largest moment. key: a stable name."""

    key: str
    label: str
    num_bytes: int
    place: Place


@dataclass(frozen=True)
class PhasePlan:
    """A phase at its largest moments: parts in VRAM are those of the card's, parts in RAM those of
    the host's.
    """

    phase: PhaseName
    label: str
    parts: tuple[MemoryPart, ...]

    @property
    def vram_bytes(self) -> int:
        return _sum(self.parts, "vram")

    @property
    def tensor_bytes(self) -> int:
        """On the card, without CUDA's own and the allocator's: torch.cuda.max_memory_allocated."""
        tensors = (part for part in self.parts if part.key not in ("cuda", "allocator"))
        return _sum(tensors, "vram")

    @property
    def ram_bytes(self) -> int:
        return _sum(self.parts, "ram")


@dataclass(frozen=True)
class MemoryPlan:
    """Memory by phase, in the order of the run. on_gpu: on a CPU nothing is VRAM."""

    phases: tuple[PhasePlan, ...]
    on_gpu: bool

    @property
    def largest_vram(self) -> PhasePlan:
        return max(self.phases, key=lambda phase: phase.vram_bytes)

    @property
    def largest_ram(self) -> PhasePlan:
        return max(self.phases, key=lambda phase: phase.ram_bytes)

    def phase(self, name: PhaseName) -> PhasePlan:
        """The phase of that name."""
        return next(phase for phase in self.phases if phase.phase == name)


def plan_memory(
    job: JobConfig, shapes: ModelShapes, workload: Workload, *, on_gpu: bool
) -> MemoryPlan:
    """What the job takes of VRAM and RAM, phase by phase."""
    planner = _Planner(job, shapes, workload, on_gpu=on_gpu)
    phases = [planner.encode_pictures(), planner.encode_texts(), planner.load(), planner.train()]
    if workload.samples:
        phases.append(planner.sample())
    return MemoryPlan((*phases, planner.save()), on_gpu)


class _Planner:
    """The phases of one job; everything that several of them share is reckoned once."""

    def __init__(
        self, job: JobConfig, shapes: ModelShapes, workload: Workload, *, on_gpu: bool
    ) -> None:
        self._job, self._shapes, self._workload, self._on_gpu = job, shapes, workload, on_gpu
        self._dtype_bytes = DTYPE_BYTES[job.training.data_type]
        self._vae_bytes = DTYPE_BYTES[job.model.vae_data_type]
        self._kind = job.quantization.transformer
        self._streamed = streamed_places(shapes.transformer, job.model.percent_streamed)
        self._slot_bytes, self._host_bytes = streamed_weight_bytes(
            shapes.transformer, self._kind, self._dtype_bytes, self._streamed
        )
        self._weight_bytes = resident_weight_bytes(
            shapes.transformer, self._kind, self._dtype_bytes, self._streamed
        )
        self._tensors = trained_tensors(job, shapes.transformer)
        self._count = sum(map(prod, self._tensors))
        self._state_bytes = optimizer_bytes(job.training.optimizer, self._tensors)
        self._activations = TransformerActivations(
            shapes.transformer,
            self._dtype_bytes,
            self._kind,
            *numbers_kept(job, shapes.transformer),
            has_dropout=job.target.dropout > 0,
            on_cpu=not on_gpu,
            writes_matrices=job.model.attention_backend == "math",
        )

    def encode_pictures(self) -> PhasePlan:
        area_px, autoencoder = self._workload.encoded_area_px, self._shapes.autoencoder
        passing = encoder_activations(autoencoder, area_px=area_px, dtype_bytes=self._vae_bytes)
        return self._phase(
            "encode_pictures",
            "Encode pictures",
            [
                self._there("autoencoder", "autoencoder", self._autoencoder_bytes),
                self._passing("encoder", "a pass through the autoencoder", passing),
                _ram("pictures", "pictures as read", area_px * _PICTURE_BYTES_PER_PX),
            ],
            programs=2,
        )

    def encode_texts(self) -> PhasePlan:
        shapes, kind = self._shapes.text_encoder, self._job.quantization.text_encoder
        e, layer = self._dtype_bytes, shapes.layer
        one = block_bytes(layer, kind, e)
        streamed = num_streamed_blocks(layer.count, self._job.model.percent_of_encoder_streamed)
        passing = text_encoder_activations(
            shapes, kind, num_rows=self._workload.text_rows, dtype_bytes=e
        )
        return self._phase(
            "encode_texts",
            "Encode texts",
            [
                self._there(
                    "text_encoder", f"text encoder, {kind}", one * (layer.count - streamed)
                ),
                self._there("embedding", "its embedding", prod(shapes.embedding) * e),
                *self._streaming(one * min(NUM_SLOTS, streamed), one * streamed),
                self._passing("pass", "a pass of prompts", passing),
            ],
            programs=2,
        )

    def load(self) -> PhasePlan:
        transformer = self._shapes.transformer
        tensor = largest_tensor_bytes(
            [*transformer.double.linears.values(), *transformer.single.linears.values()],
            self._dtype_bytes,
        )
        # A block that will be streamed is gathered into one piece beside what was loaded of it.
        gathered = self._slot_bytes // 2 if self._streamed else 0
        return self._phase(
            "load",
            "Load the transformer",
            [
                *self._weights(slots=False),
                self._passing("tensor", "one tensor as it is in the file", tensor),
                *([_ram("tensor_read", "one tensor read", tensor)] if self._on_gpu else []),
                _ram("gathered", "one block being gathered", gathered),
            ],
        )

    def train(self) -> PhasePlan:
        """The backward pass of every micro-batch, and a step of the optimizer."""
        moments = [self._training_moment(tokens) for tokens in self._workload.training]
        work = optimizer_work_bytes(self._job.training.optimizer, self._tensors)
        moments.append([self._passing("step", "a step of the optimizer", work)])
        standing = [*self._standing(), *self._locked()]
        return self._phase("train", "Train", *([*standing, *parts] for parts in moments))

    def sample(self) -> PhasePlan:
        moments = [
            moment for size in self._workload.samples for moment in self._sampling_moments(size)
        ]
        return self._phase("sample", "Sample", *([*self._locked(), *parts] for parts in moments))

    def save(self) -> PhasePlan:
        count = self._count
        copies = count * FLOAT32_BYTES * (2 if self._job.training.use_ema else 1)
        copies += self._state_bytes
        written = 2 * count * DTYPE_BYTES[self._job.save.data_type] + count * FLOAT32_BYTES
        return self._phase(
            "save",
            "Save",
            [
                *self._standing(),
                *self._locked(),
                _ram("state", "copies of LoRA and optimizer", copies if self._on_gpu else 0),
                _ram("file", "the LoRA file, written and read back", written),
            ],
        )

    @property
    def _autoencoder_bytes(self) -> int:
        return self._shapes.autoencoder.parameters * self._vae_bytes

    def _weights(self, *, slots: bool = True) -> list[MemoryPart]:
        label = f"transformer, {self._kind}"
        if self._streamed:
            label += f" ({self._shapes.transformer.num_blocks - len(self._streamed)} blocks stay)"
        return [
            self._there("weights", label, self._weight_bytes),
            *self._streaming(self._slot_bytes if slots else 0, self._host_bytes),
        ]

    def _streaming(self, slot_bytes: int, host_bytes: int) -> list[MemoryPart]:
        return [
            self._there("slots", "places for streamed blocks", slot_bytes),
            _ram("streamed", "streamed blocks", host_bytes),
        ]

    def _standing(self, *, weights_away: bool = False) -> list[MemoryPart]:
        """What is there from the first step to the last."""
        training, numbers = self._job.training, self._count * FLOAT32_BYTES
        weights = self._weights()
        if weights_away:
            away = sum(part.num_bytes for part in weights if part.key == "weights")
            weights = [part for part in weights if part.key == "streamed"]
            weights.append(_ram("away", "transformer, waiting while decoding", away))
        tensors = self._cached_bytes()
        return [
            *weights,
            self._there("lora", f"LoRA, {self._count / 1e6:.1f} M numbers", numbers),
            self._there("gradients", "gradients", numbers),
            self._there("optimizer", f"optimizer, {training.optimizer}", self._state_bytes),
            self._there("average", "moving average", numbers if training.use_ema else 0),
            _ram("autoencoder_waiting", "autoencoder, waiting", self._autoencoder_bytes),
            _ram("recent", "pictures and prompts read lately", min(tensors, RECENT_TENSORS_BYTES)),
        ]

    def _training_moment(self, tokens: Tokens) -> list[MemoryPart]:
        transformer, passes = self._shapes.transformer, self._activations
        first = self._first_trained_block()
        recomputes = self._job.training.gradient_checkpointing
        inside = {True: passes.inside_double(tokens), False: passes.inside_single(tokens)}
        backward = {True: passes.backward_double(tokens), False: passes.backward_single(tokens)}
        kept, largest, num_kept = 0, 0, transformer.num_blocks - first
        away = set(self._streamed)
        for place in range(first, transformer.num_blocks):
            is_double = place < transformer.double.count
            is_recomputed = recomputes or place in away
            own = 0 if is_recomputed else inside[is_double]
            kept += own
            largest = max(largest, backward[is_double] - own)
        on_card, waiting = self._kept_inputs(tokens)
        on_host = 0 if self._on_gpu else sum(waiting)
        return [
            self._passing("inputs", f"inputs of {num_kept} blocks", on_card),
            _ram("kept_inputs", "inputs of blocks, waiting", on_host),
            self._passing("inside", "what the blocks keep inside", kept),
            self._passing("backward", "one block's backward pass", largest),
            self._passing("batch", "prompts, noise and places", passes.shared(tokens)),
        ]

    def _locked(self) -> list[MemoryPart]:
        """Host memory that inputs of blocks wait in; of a GPU it is locked, and kept to the end.

        It is given out in powers of two, and what is free is given out again for the same power.
        """
        most: Counter[int] = Counter()
        if self._on_gpu:
            for tokens in self._workload.training:
                _, waiting = self._kept_inputs(tokens)
                most |= Counter(1 << (one - 1).bit_length() for one in waiting)
        return [_ram("kept_inputs", "inputs of blocks, waiting", sum(most.elements()))]

    def _kept_inputs(self, tokens: Tokens) -> tuple[int, list[int]]:
        """(bytes where it computes, each that waits on the host) of the inputs that blocks keep.

        Only what a block is computed again from can wait, and large tensors alone: a double block
        has one for each stream, a single one both in one. Of those that wait, one block's go out,
        one's are used and one's come back.
        """
        inputs_of = {
            is_double: self._activations.input_tensors(tokens, is_double=is_double)
            for is_double in (True, False)
        }
        low_vram, recomputes = self._job.model.low_vram, self._job.training.gradient_checkpointing
        staying = 0
        waiting: list[int] = []
        largest: list[int] = []
        for place in range(self._first_trained_block(), self._shapes.transformer.num_blocks):
            inputs = inputs_of[place < self._shapes.transformer.double.count]
            can_wait = low_vram and (recomputes or place in self._streamed)
            large = [one for one in inputs if can_wait and one >= MIN_KEPT_BYTES]
            staying += sum(inputs) - sum(large)
            waiting += large
            largest = sorted([*largest, sum(large)])[-3:]
        return staying + sum(largest), waiting

    def _first_trained_block(self) -> int:
        """Blocks before it keep nothing: no gradient reaches them."""
        transformer = self._shapes.transformer
        chosen = trained_layers(self._job, transformer)
        if not chosen:
            return 0
        stem, number, _ = chosen[0].split(".", 2)
        return int(number) + (0 if stem == "transformer_blocks" else transformer.double.count)

    def _sampling_moments(self, size: SampleSize) -> list[list[MemoryPart]]:
        """Denoising, decoding, and encoding its references, each with all that is there then."""
        autoencoder, e = self._shapes.autoencoder, self._vae_bytes
        numbers = self._count * FLOAT32_BYTES
        aside = numbers if self._job.training.use_ema else 0
        drawing = [
            self._there("autoencoder", "autoencoder", self._autoencoder_bytes),
            self._there("aside", "the LoRA, while its average is used", aside),
        ]
        decoder = decoder_activations(
            autoencoder, area_px=size.area_px, dtype_bytes=e, on_cpu=not self._on_gpu
        )
        encoder = encoder_activations(autoencoder, area_px=size.reference_area_px, dtype_bytes=e)
        forward = self._activations.forward(size.tokens) + self._activations.shared(size.tokens)
        standing, decoding = (
            [one for one in self._standing(weights_away=away) if one.key != "autoencoder_waiting"]
            for away in (False, self._job.model.low_vram and self._on_gpu)
        )
        return [
            [*standing, *drawing, self._passing("forward", "a denoising step", forward)],
            [*decoding, *drawing, self._passing("decoder", "decoding a picture", decoder)],
            [*standing, *drawing, self._passing("encoder", "encoding a reference", encoder)],
        ]

    def _cached_bytes(self) -> int:
        """Of all latents and prompts, which a run reads again and again."""
        workload, width = self._workload, self._shapes.transformer.prompt_width
        rows = workload.num_prompts * self._job.variant.max_sequence_length
        return workload.latent_numbers * self._vae_bytes + rows * width * self._dtype_bytes

    def _phase(
        self, phase: PhaseName, label: str, *moments: Sequence[MemoryPart], programs: int = 1
    ) -> PhasePlan:
        """With what lies around the tensors. programs: the trainer, and its encoding child."""
        whole = [[*parts, *self._around(parts, programs)] for parts in moments]
        places: tuple[Place, ...] = ("vram", "ram")
        return PhasePlan(
            phase,
            label,
            tuple(
                part
                for place in places
                for part in max(whole, key=lambda parts, place=place: _sum(parts, place))
                if part.place == place and part.num_bytes > 0
            ),
        )

    def _around(self, parts: Sequence[MemoryPart], programs: int) -> list[MemoryPart]:
        around = [_ram("program", "programs and libraries", programs * PROGRAM_BYTES)]
        if self._on_gpu:
            passing = sum(part.num_bytes for part in parts if part.key in _PASSING)
            around += [
                MemoryPart("cuda", "CUDA and its libraries", CUDA_BYTES, "vram"),
                MemoryPart("allocator", "the allocator", int(passing * ALLOCATOR_SHARE), "vram"),
                _ram("program_cuda", "CUDA's libraries", PROGRAM_CUDA_BYTES),
            ]
        return around

    def _there(self, key: str, label: str, num_bytes: int) -> MemoryPart:
        """What stays, where the model computes."""
        return MemoryPart(key, label, num_bytes, "vram" if self._on_gpu else "ram")

    def _passing(self, key: str, label: str, num_bytes: int) -> MemoryPart:
        """What comes and goes, where the model computes."""
        assert key in _PASSING
        return self._there(key, label, num_bytes)


_PASSING = frozenset(
    {
        "encoder", "pass", "tensor", "step", "inputs", "inside", "backward", "batch", "forward",
        "decoder",
    }
)  # fmt: skip


def _ram(key: str, label: str, num_bytes: int) -> MemoryPart:
    return MemoryPart(key, label, num_bytes, "ram")


def _sum(parts: Iterable[MemoryPart], place: Place) -> int:
    return sum(part.num_bytes for part in parts if part.place == place)
