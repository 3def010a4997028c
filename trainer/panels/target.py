"""The panel Target: what is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from trainer.panels.field import Panel, setting


def _is_power_of_two(value: int) -> int:
    if value & (value - 1):
        raise PydanticCustomError(
            "not_a_power_of_two",
            "a LoKr Factor is a power of two (2, 4, 8, 16, 32, 64): those divide FLUX.2's layers, "
            "and readers of the file find the factor by that",
        )
    return value


LoKrFactor = Annotated[int, Field(ge=2, le=64), AfterValidator(_is_power_of_two)]


class TargetPanel(Panel):
    """Target: what is trained."""

    target_type: Literal["lora", "lokr"] = setting(
        "lora",
        label="Target Type",
        help="What is added to each chosen layer's weight. LoRA: B A, two thin matrices with a "
        "rank between them. LoKr: a Kronecker product of two small matrices, which reaches every "
        "entry of the weight with far fewer parameters. Diffusers and ComfyUI of today read both; "
        "for a program that reads no LoKr, merge it into its base.",
        choices={"lora": "LoRA", "lokr": "LoKr"},
    )
    linear_rank: int = setting(
        32,
        label="Linear Rank",
        help="Size of the LoRA's inner dimension. 4-8 hardly moves FLUX.2. Of a LoKr it is the "
        "rank of the second matrix, which is whole where the rank reaches half its size.",
        no_effect="Target Type is LoKr and LoKr Full Rank is on.",
        ge=1,
        le=256,
        guides="16-32 for a style, 32 for a character (64 for complex identities), 32-64 for "
        "an object or edits; 8-32 on 16-24 GB.",
        plain=True,
    )
    linear_alpha: float | None = setting(
        None,
        label="Linear Alpha",
        help="What is added is scaled by alpha / rank. Equal to the rank, the scale is 1.",
        no_effect="Target Type is LoKr and LoKr Full Rank is on.",
        placeholder="blank = the rank",
        gt=0,
        le=1024,
    )
    lokr_factor: LoKrFactor | None = setting(
        None,
        label="LoKr Factor",
        help="Side of the first matrix, a power of two: a layer of 6144 features at factor 8 is "
        "8 x 8 blocks, each a multiple of one block of 768 x 768. The smaller the factor, the "
        "larger the second matrix and the LoKr. Blank takes the divisor nearest to the square root "
        "(64 x 96), the smallest LoKr there is.",
        no_effect="Target Type is LoRA.",
        placeholder="blank = nearest to the square root",
    )
    lokr_full_rank: bool = setting(
        False,
        label="LoKr Full Rank",
        help="Train the second matrix whole rather than as a product of Linear Rank. At factor 8 "
        "that is 1/64 of the layer's own parameters.",
        no_effect="Target Type is LoRA.",
    )
    dropout: float = setting(
        0.0,
        label="Dropout",
        help="Share of a layer's inputs that what is trained does not see at a step: x becomes "
        "x * m / (1 - dropout), m = 0 with this probability and 1 otherwise. The base sees them "
        "all. Samples and validation drop nothing.",
        ge=0,
        le=0.9,
        guides="0; 0.05-0.1 where few pictures are learned by heart.",
    )
    layers: Literal["all", "attention", "pattern"] = setting(
        "all",
        label="Layers",
        help="Which linear layers of the transformer's blocks are trained. All blocks: every one. "
        "Attention only: those named attn, which in single blocks includes the MLP, since there "
        "both are one layer. A pattern: those that Layer Pattern names.",
        choices={"all": "all blocks", "attention": "attention only", "pattern": "a pattern"},
    )
    layer_pattern: str = setting(
        "",
        label="Layer Pattern",
        help="Names with wildcards, between spaces: * stands for anything, ? for one letter, ! in "
        "front takes out. Example: single_transformer_blocks.1?.* *.attn.to_q !*.ff_context.* "
        "Names are transformer_blocks.0.attn.to_q, to_k, to_v, to_out.0, add_q_proj, add_k_proj, "
        "add_v_proj, to_add_out; ff and ff_context with linear_in, linear_out; and "
        "single_transformer_blocks.0.attn.to_qkv_mlp_proj, to_out.",
        no_effect="Layers is another choice than a pattern.",
        max_length=1000,
    )
