"""The FLUX.2 models Darkroom knows, as one table.

Everything that differs between the variants and is not in the model's own files stands here:
which hidden states of the text encoder feed the transformer, how many text rows it sees, what
guidance it is trained and sampled with, and how many parameters to expect. Sources: the official
reference code and the configurations published with the models; see docs/flux2.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

BUNDLED_TINY_FOLDER = Path(__file__).parent / "tiny_flux2" / "weights"

# The scheduler's settings, the same in every FLUX.2, for models that are a single file. Diffusers'
# pipelines give it mu by themselves, so the shifts here are what it is made with, not what it does.
SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "time_shift_type": "exponential",
}


class Architecture(StrEnum):
    """The values of Model Architecture, in the form's order."""

    FLUX2_DEV = "flux2-dev"
    KLEIN_BASE_4B = "klein-base-4b"
    KLEIN_BASE_9B = "klein-base-9b"
    KLEIN_4B = "klein-4b"
    KLEIN_9B = "klein-9b"
    TINY = "tiny"


@dataclass(frozen=True)
class Variant:
    """What one architecture needs beyond its own configuration files.

    text_encoder_out_layers: hidden states stacked on the feature axis, counted from 0 = embeddings.
    max_sequence_length: text rows T; all of them, pads included, reach the transformer.
    training_guidance: the guidance embedding during training; None where the model has none.
    sample_*: defaults of the Sample panel.
    pipeline_class: the Diffusers class that draws with it.
    distilled_from: the model to train instead, for a model made for few-step inference.
    """

    architecture: Architecture
    label: str
    hub_id: str | None
    gated: bool
    pipeline_class: str
    text_encoder_out_layers: tuple[int, int, int]
    max_sequence_length: int
    training_guidance: float | None
    sample_guidance: float
    sample_steps: int
    sample_side_px: int
    num_double_blocks: int
    num_single_blocks: int
    distilled_from: Architecture | None = None


def _klein(
    architecture: Architecture,
    label: str,
    hub_name: str,
    *,
    gated: bool,
    num_double_blocks: int,
    num_single_blocks: int,
    base: Architecture | None,
) -> Variant:
    return Variant(
        architecture=architecture,
        label=label,
        hub_id=f"black-forest-labs/{hub_name}",
        gated=gated,
        pipeline_class="Flux2KleinPipeline",
        text_encoder_out_layers=(9, 18, 27),
        max_sequence_length=512,
        training_guidance=None,
        sample_guidance=1.0 if base else 4.0,
        sample_steps=4 if base else 50,
        sample_side_px=768,
        num_double_blocks=num_double_blocks,
        num_single_blocks=num_single_blocks,
        distilled_from=base,
    )


_ALL = (
    Variant(
        architecture=Architecture.FLUX2_DEV,
        label="FLUX.2 dev (32 B)",
        hub_id="black-forest-labs/FLUX.2-dev",
        gated=True,
        pipeline_class="Flux2Pipeline",
        text_encoder_out_layers=(10, 20, 30),
        max_sequence_length=512,
        training_guidance=1.0,
        sample_guidance=1.0,
        sample_steps=25,
        sample_side_px=768,
        num_double_blocks=8,
        num_single_blocks=48,
    ),
    _klein(
        Architecture.KLEIN_BASE_4B,
        "FLUX.2 klein base 4B",
        "FLUX.2-klein-base-4B",
        gated=False,
        num_double_blocks=5,
        num_single_blocks=20,
        base=None,
    ),
    _klein(
        Architecture.KLEIN_BASE_9B,
        "FLUX.2 klein base 9B",
        "FLUX.2-klein-base-9B",
        gated=True,
        num_double_blocks=8,
        num_single_blocks=24,
        base=None,
    ),
    _klein(
        Architecture.KLEIN_4B,
        "FLUX.2 klein 4B (distilled)",
        "FLUX.2-klein-4B",
        gated=False,
        num_double_blocks=5,
        num_single_blocks=20,
        base=Architecture.KLEIN_BASE_4B,
    ),
    _klein(
        Architecture.KLEIN_9B,
        "FLUX.2 klein 9B (distilled)",
        "FLUX.2-klein-9B",
        gated=True,
        num_double_blocks=8,
        num_single_blocks=24,
        base=Architecture.KLEIN_BASE_9B,
    ),
    Variant(
        architecture=Architecture.TINY,
        label="Tiny FLUX.2 (bundled, runs on a CPU)",
        hub_id=None,
        gated=False,
        pipeline_class="Flux2Pipeline",
        # A quarter, a half and three quarters of four layers, as the large models do it.
        text_encoder_out_layers=(1, 2, 3),
        # 512 rows would cost the tiny model four to six times the step of 48.
        max_sequence_length=48,
        training_guidance=1.0,
        # Its guidance embedding is distilled from real guidance; measured best at 3 (its README).
        sample_guidance=3.0,
        sample_steps=20,
        sample_side_px=128,
        num_double_blocks=2,
        num_single_blocks=4,
    ),
)

VARIANTS: dict[Architecture, Variant] = {variant.architecture: variant for variant in _ALL}


def with_same_loras(architecture: Architecture) -> list[Architecture]:
    """The models that take each other's LoRAs: a base and what was distilled from it."""
    own = VARIANTS[architecture]
    return [
        one
        for one, variant in VARIANTS.items()
        if one in {architecture, own.distilled_from} or variant.distilled_from == architecture
    ]
