"""A frozen linear layer whose weight is stored as codes, and the raw tensors of any linear layer.

`QuantizedLinear` decodes its weight when it is called, multiplies, and forgets the decoded matrix:
autograd keeps references to the codes alone, and backward decodes once more. Left to autograd, a
checkpointed block of dev would hold 1 GB of decoded weights until its backward pass is through.
Only the input has a gradient.

It is a subclass of nn.Linear, so PEFT puts a LoRA on it as on any other, and its codes are buffers
with plain types: moving or saving it needs no knowledge of what they mean.

**Raw tensors.** Whoever moves weights as bytes (layer offloading, the cache of quantized weights)
asks `raw_tensors` for a layer's storage and puts other tensors of the same shapes and types in its
place with `set_raw_tensors`. The names are those of `weight_codes.RAW_NAMES`:

    nn.Linear                    weight
    quanto's QLinear (float8)    weight, scale                     the two halves of its tensor
    QuantizedLinear int8         weight, scale
                    nf4          weight, scale, scale_of_scale, scale_offset
                    int4         weight, scale, shift

The tensors that are put in are used as they are, wherever they lie and whoever else writes to them;
they have to be contiguous, on one device, and to stay unchanged from a forward pass to the backward
pass that belongs to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from optimum.quanto import QLinear, WeightQBytesTensor, qfloat8
from torch import nn
from torch.nn import functional

from trainer.quantization_kinds import QuantizationKind
from trainer.weight_codes import RAW_NAMES, CodedKind, decode, encode


class QuantizedLinear(nn.Linear):
    """x [..., in] to [..., out] in x's type, with the weight stored as int8, nf4 or int4.

    `weight` is the buffer of codes; it is no matrix of numbers.
    """

    def __init__(
        self,
        kind: CodedKind,
        raw: Mapping[str, torch.Tensor],
        *,
        in_features: int,
        out_features: int,
        bias: nn.Parameter | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.kind: CodedKind = kind
        self.in_features = in_features
        self.out_features = out_features
        self.bias = bias
        assert tuple(raw) == RAW_NAMES[kind]
        for name, tensor in raw.items():
            self.register_buffer(name, tensor)

    @classmethod
    def of(cls, kind: CodedKind, linear: nn.Linear) -> QuantizedLinear:
        """The layer with its weight encoded, on the same device."""
        return cls(
            kind,
            encode(kind, linear.weight.detach()),
            in_features=linear.in_features,
            out_features=linear.out_features,
            bias=linear.bias,
        )

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        raw = [self.get_buffer(name) for name in RAW_NAMES[self.kind]]
        product = _Product.apply(input, self.kind, self.in_features, *raw)
        return product if self.bias is None else product + self.bias

    def decoded(self, dtype: torch.dtype) -> torch.Tensor:
        """The weight [out, in] that it computes with."""
        return decode(self.kind, raw_tensors(self), columns=self.in_features, dtype=dtype)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kind={self.kind}"


class _Product(torch.autograd.Function):
    """input @ weight.T for a weight that has no gradient and is decoded in each direction.

    Raw tensors are parameters of their own, up to four: torch.compile cuts its graph at a function
    that takes any number of them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input: torch.Tensor,
        kind: CodedKind,
        columns: int,
        codes: torch.Tensor,
        second: torch.Tensor,
        third: torch.Tensor | None = None,
        fourth: torch.Tensor | None = None,
    ) -> torch.Tensor:
        ctx.save_for_backward(codes, second, third, fourth)
        ctx.kind, ctx.columns = kind, columns
        raw = (codes, second, third, fourth)
        return functional.linear(input, _decoded(kind, raw, columns, input.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        nothing = (None,) * 6
        if not ctx.needs_input_grad[0]:
            return None, *nothing
        weight = _decoded(ctx.kind, ctx.saved_tensors, ctx.columns, gradient.dtype)
        return gradient @ weight, *nothing


def _decoded(
    kind: CodedKind, raw: tuple[torch.Tensor | None, ...], columns: int, dtype: torch.dtype
) -> torch.Tensor:
    given = [tensor for tensor in raw if tensor is not None]
    named = dict(zip(RAW_NAMES[kind], given, strict=True))
    return decode(kind, named, columns=columns, dtype=dtype)


def kind_of(linear: nn.Linear) -> QuantizationKind:
    """How the layer's weight is stored."""
    if isinstance(linear, QuantizedLinear):
        return linear.kind
    return "float8" if isinstance(linear.weight, WeightQBytesTensor) else "none"


def raw_tensors(linear: nn.Linear) -> dict[str, torch.Tensor]:
    """The tensors that store the layer's weight, by name; the layer's own, not copies."""
    if isinstance(linear, QuantizedLinear):
        return {name: linear.get_buffer(name) for name in RAW_NAMES[linear.kind]}
    if isinstance(linear.weight, WeightQBytesTensor):
        return {"weight": linear.weight._data, "scale": linear.weight._scale}
    return {"weight": linear.weight.detach()}


@torch.no_grad()
def set_raw_tensors(linear: nn.Linear, raw: Mapping[str, torch.Tensor]) -> None:
    """Let the layer compute with other tensors of the same names, shapes and types."""
    if isinstance(linear, QuantizedLinear):
        for name in RAW_NAMES[linear.kind]:
            setattr(linear, name, raw[name])
        return
    stored = raw["weight"]
    if isinstance(linear.weight, WeightQBytesTensor):
        stored = float8_weight(raw["weight"], raw["scale"])
    linear.weight = nn.Parameter(stored, requires_grad=False)


def linear_over(
    linear: nn.Linear, kind: QuantizationKind, raw: Mapping[str, torch.Tensor]
) -> nn.Linear:
    """A layer over stored raw tensors; `linear` says its sizes and brings its bias."""
    if kind == "float8":
        return float8_linear_over(linear, raw["weight"], raw["scale"])
    assert kind != "none"
    return QuantizedLinear(
        kind,
        raw,
        in_features=linear.in_features,
        out_features=linear.out_features,
        bias=linear.bias,
    )


def float8_weight(codes: torch.Tensor, scale: torch.Tensor) -> WeightQBytesTensor:
    """quanto's plain tensor over e4m3 codes [R, C] and scales [R, 1]: no other kernel is chosen."""
    return WeightQBytesTensor(qfloat8, 0, codes.size(), codes.stride(), codes, scale, None)


def float8_linear_over(linear: nn.Linear, codes: torch.Tensor, scale: torch.Tensor) -> QLinear:
    """quanto's layer over stored codes; `linear` says its sizes and brings its bias.

    Made without memory and given its tensors afterwards: quanto's own way allocates a whole weight
    first. The scales of inputs and outputs, idle here, are what a layer without any has.
    """
    layer = QLinear.qcreate(linear, weights=qfloat8, device=torch.device("meta"))
    layer.input_scale = torch.ones((), dtype=scale.dtype, device=scale.device)
    layer.output_scale = torch.ones((), dtype=scale.dtype, device=scale.device)
    layer.weight = nn.Parameter(float8_weight(codes, scale), requires_grad=False)
    layer.bias = linear.bias
    return layer
