"""Frozen linear layers in 8 bits: what is quantized, how, and what it costs.

The weights of a FLUX.2 never change while a LoRA trains, so they need no gradient, no optimizer
state, and no more precision than the forward pass can tell. float8 (e4m3: 4 exponent bits, 3
mantissa bits) halves bfloat16's memory: 32 GB instead of 64 for dev.

A plain cast to e4m3 would be useless: its smallest normal number is 2^-6, and a transformer's
weights are mostly smaller. So each row of a weight (one output feature) gets a scale, its largest
magnitude divided by 448, the largest e4m3 number; what is stored is weight / scale. The rounding
error is then about 2.6 % of a row's size, whatever that size is.

Only the linear layers inside the blocks are stored this way. Embedders, modulation, norms and the
final layer stay as they are: they are 2.5 % of dev's parameters, act on every token at once, and
their error is not averaged out by anything that follows.

The matrix product itself runs in the compute type: the layer multiplies its stored numbers up again
just before use. That costs some time rather than saving it; a native float8 product is a different
recipe. Backward needs the gradient of the input only, which takes the same multiplied-up weight.

The class is optimum-quanto's QLinear, a subclass of nn.Linear, so PEFT puts a LoRA on it as on any
other. One thing is done differently from quanto's own `quantize` + `freeze`: on CUDA those, and
every move of a weight to a card, choose a Marlin kernel that is compiled with nvcc at its first
use, which the people who run this do not have. Layers are therefore quantized where they will stay,
with `optimized=False`, and are never moved afterwards.

What else was possible: per-tensor scales (28 % error on rows of small weights), int8 rows (0.9 %
error, but no better once activations follow), 4-bit NF4 (9 %).
"""

from __future__ import annotations

import torch
from optimum.quanto import QLinear, qfloat8
from optimum.quanto.tensor.optimizers import AbsmaxOptimizer
from optimum.quanto.tensor.weights.quantization import quantize_weight
from torch import nn


def float8_linear(linear: nn.Linear) -> QLinear:
    """The layer with its weight in e4m3 and one scale per row, on the same device.

    The scale, and what the layer computes in, have the weight's present type; the weight no longer
    asks for a gradient.
    """
    weight = linear.weight.detach()
    scale = AbsmaxOptimizer()(weight, qtype=qfloat8, axis=0)
    # A row of zeros has no magnitude to divide by: 0 / 0 would store NaN.
    scale = scale.clamp(min=torch.finfo(scale.dtype).tiny)
    stored = quantize_weight(weight, qtype=qfloat8, axis=0, scale=scale, optimized=False)
    layer = QLinear.from_module(linear, weights=qfloat8)
    assert isinstance(layer, QLinear)
    layer.weight = nn.Parameter(stored, requires_grad=False)
    return layer


def quantize_linears(module: nn.Module, *, inside: tuple[str, ...]) -> int:
    """Replace every nn.Linear below the named children of `module` by its float8 form.

    inside: dotted names of submodules, as `("transformer_blocks",)`. Layers are replaced one by
    one, so the extra memory at any time is one layer's. Returns how many were replaced.
    """
    count = 0
    for prefix in inside:
        parent_of_all = module.get_submodule(prefix)
        names = [name for name, child in parent_of_all.named_modules() if type(child) is nn.Linear]
        for name in names:
            parent = parent_of_all.get_submodule(name.rpartition(".")[0])
            leaf = name.rpartition(".")[2]
            setattr(parent, leaf, float8_linear(getattr(parent, leaf)))
            count += 1
    return count
