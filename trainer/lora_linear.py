"""What a LoRA layer computes: the base layer's product and the LoRA's, in the model's own type.

Legend: N = tokens of a batch, in and out = the layer's features, R = rank.

    y [N, out] = base(x [N, in]) + (x A^T) (s B)^T       A [R, in], B [out, R], s = alpha / rank

The parameters A and B are float32, since a step of 1e-4 is below bfloat16's resolution at most
weights. Computing with them in float32 too is what PEFT does: it casts the layer's input up, keeps
that copy for the backward pass, and brings the output of the base layer up as well. At 1024 px that
is 113 MB of float32 for an input of dev, 680 MB for its largest output, and products outside of the
tensor cores' bfloat16.

So here the parameters come down instead, for each pass: R (in + out) numbers, a few thousandths of
the layer. The scale is multiplied into B while it is small and float32, and the last product is
added to the base's within one operation, which sums in float32 and rounds once. Gradients come back
through the casts and add up in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear as PeftLoraLinear
from torch.nn import functional


class LoraLinear(PeftLoraLinear):
    """PEFT's layer with its parameters, switches and scale, and the arithmetic described above."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """[..., in] to [..., out], in x's type."""
        assert not self.merged, "nothing merges a LoRA that trains"
        out = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return out
        for name in self.active_adapters:
            a: Any = self.lora_A[name].weight.to(x.dtype)
            b = (self.lora_B[name].weight * self.scaling[name]).to(x.dtype)
            thin = functional.linear(self.lora_dropout[name](x), a)  # [..., R]
            out = torch.addmm(out.flatten(0, -2), thin.flatten(0, -2), b.t()).view_as(out)
        return out
