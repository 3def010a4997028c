"""LoKr: what is added to a weight is a Kronecker product of two small matrices.

Legend: N = tokens of a batch, in = b d and out = a c = the layer's features, R = rank.

    w1 [a, b]      w2 [c, d], or w2_a [c, R] w2_b [R, d]      adds (alpha / R) w1 (x) w2

The weight is seen as a x b blocks of c x d: every block is w2 times one number of w1. a and b come
from the factor: at 8, a layer of 6144 to 6144 features has w1 of 8 x 8 and w2 of 768 x 768. Without
a factor a and b are the divisors nearest to the square root, so that w1 and w2 are about equally
large, which is the fewest parameters a LoKr can have. The sizes are found by PEFT's rule, which is
LyCORIS's: readers find the factor out by it.

PEFT has such a layer, and its parameters (float32), switches and scale are used here. What it
computes with is not: it multiplies w1 (x) w2 out to the whole weight at every pass, in float32. For
one layer of dev (55296 x 6144) that is 1.4 GB, as much again for its gradient, and a second full
matrix product. But the product with a vector needs neither: x is cut into b pieces of d, w2 maps
each piece to c numbers, and w1 mixes the pieces:

    y[a, c] = w1[a, b] ( x[b, d] w2'[d, c] )

At factor 8 that is 1/8 of the layer's own arithmetic, and nothing larger than the activations is
ever made. The two agree to rounding, which a test holds.

As in `lora_linear.py` the matrices are cast to the model's type, not the activations to theirs.

The start: w1 (and w2_a) uniform in +-1/sqrt(columns), w2 (or w2_b) zero, as in LyCORIS, so that the
model computes as before.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoKrConfig
from peft.tuners.lokr.layer import Linear as PeftLoKrLinear
from torch import nn
from torch.nn import functional

# A rank above any size makes PEFT keep the second matrix whole.
_WHOLE = 1 << 30
_NEAREST_SQUARE = -1  # PEFT's value for no factor
PARTS = ("lokr_w1", "lokr_w2", "lokr_w2_a", "lokr_w2_b")
ZERO_AT_START = ("lokr_w2", "lokr_w2_b")


class LoKrLinear(PeftLoKrLinear):
    """A frozen linear layer with a LoKr beside it; inputs and outputs as the layer's own.

    rank: None for a second matrix that is whole. dropout: of the LoKr's input; idle unless its
    module is set to train.
    """

    def __init__(
        self,
        base: nn.Linear,
        adapter_name: str,
        *,
        rank: int | None,
        alpha: float,
        factor: int | None,
        dropout: float,
    ) -> None:
        own_rank, own_alpha = (_WHOLE, float(_WHOLE)) if rank is None else (rank, alpha)
        config = LoKrConfig(decompose_factor=_NEAREST_SQUARE if factor is None else factor)
        super().__init__(base, adapter_name, config, r=own_rank, alpha=own_alpha)
        self.input_dropout = nn.Dropout(dropout)

    def parts(self, adapter_name: str) -> dict[str, nn.Parameter]:
        """The parameters there are, by their names in files."""
        return {
            part: getattr(self, part)[adapter_name]
            for part in PARTS
            if adapter_name in getattr(self, part)
        }

    def _get_delta_activations(
        self, adapter_name: str, input: torch.Tensor, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """[..., in] to [..., out] in the input's type: the product that the essay describes."""
        parts = {part: matrix.to(input.dtype) for part, matrix in self.parts(adapter_name).items()}
        w1 = (self.lokr_w1[adapter_name] * self.scaling[adapter_name]).to(input.dtype)
        pieces = self.input_dropout(input).unflatten(-1, (w1.shape[1], -1))  # [..., b, d]
        if "lokr_w2" in parts:
            mapped = functional.linear(pieces, parts["lokr_w2"])  # [..., b, c]
        else:
            thin = functional.linear(pieces, parts["lokr_w2_b"])  # [..., b, R]
            mapped = functional.linear(thin, parts["lokr_w2_a"])  # [..., b, c]
        mixed = functional.linear(mapped.mT, w1).mT  # [..., a, c]
        return mixed.flatten(-2)
