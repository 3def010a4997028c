"""Frozen linear layers in 8 or 4 bits: what is quantized, how, and what it costs.

The weights of a FLUX.2 never change while a LoRA trains, so they need no gradient, no optimizer
state, and no more precision than the forward pass can tell. float8 (e4m3: 4 exponent bits, 3
mantissa bits) halves bfloat16's memory: 32 GB instead of 64 for dev; the kinds of 4 bits halve that
again, at three times the error. docs/quantization.md has the errors, `quantization_kinds.py` the
bytes.

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

float8 layers are optimum-quanto's QLinear, the others `quantized_linear.QuantizedLinear`; both are
subclasses of nn.Linear, so PEFT puts a LoRA on them as on any other. One thing is done differently
from quanto's own `quantize` + `freeze`: on CUDA those, and every move of a weight to a card, choose
a Marlin kernel that is compiled with nvcc at its first use, which the people who run this do not
have. Layers are therefore quantized where they will stay and never moved by quanto afterwards.

What else was possible: per-tensor scales (28 % error on rows of small weights), products of int8
activations (7 % where channels have outliers), and fp4 (worse than nf4 for normal weights).
"""

from __future__ import annotations

import logging

import torch
from optimum.quanto import QLinear
from torch import nn

from trainer.quantization_kinds import QuantizationKind, fits
from trainer.quantized_linear import QuantizedLinear, float8_linear_over
from trainer.weight_codes import row_slices

log = logging.getLogger(__name__)


def quantized(linear: nn.Linear, kind: QuantizationKind) -> nn.Linear:
    """The layer with its weight stored as `kind`, on the same device.

    A layer whose size does not fit the kind is given back as it is. Otherwise the weight no longer
    asks for a gradient.
    """
    if not fits(kind, rows=linear.out_features, columns=linear.in_features):
        return linear
    if kind == "float8":
        return float8_linear(linear)
    assert kind != "none"
    return QuantizedLinear.of(kind, linear)


def float8_linear(linear: nn.Linear) -> QLinear:
    """The layer with its weight in e4m3 and one scale per row, on the same device.

    The scale, and what the layer computes in, have the weight's present type.
    """
    weight = linear.weight.detach()
    codes = torch.empty(weight.shape, dtype=torch.float8_e4m3fn, device=weight.device)
    scale = torch.empty(weight.shape[0], 1, dtype=weight.dtype, device=weight.device)
    largest_code = torch.finfo(codes.dtype).max
    for rows in row_slices(weight):
        exact = weight[rows]
        # A row of zeros has no magnitude to divide by: 0 / 0 would store NaN.
        scale[rows] = (exact.abs().amax(dim=1, keepdim=True) / largest_code).clamp(
            min=torch.finfo(scale.dtype).tiny
        )
        codes[rows] = (exact / scale[rows]).clamp_(-largest_code, largest_code).to(codes.dtype)
    return float8_linear_over(linear, codes, scale)


def quantize_linears(
    module: nn.Module, *, inside: tuple[str, ...], kind: QuantizationKind = "float8"
) -> int:
    """Replace every nn.Linear below the named children of `module` by its quantized form.

    inside: dotted names of submodules, as `("transformer_blocks",)`. Layers are replaced one by
    one, so the extra memory at any time is one layer's. Returns how many were replaced; those that
    do not fit the kind stay, and the log says which.
    """
    count = 0
    staying: list[str] = []
    for prefix in inside:
        parent_of_all = module.get_submodule(prefix)
        names = [name for name, child in parent_of_all.named_modules() if type(child) is nn.Linear]
        for name in names:
            parent = parent_of_all.get_submodule(name.rpartition(".")[0])
            leaf = name.rpartition(".")[2]
            linear = getattr(parent, leaf)
            replacement = quantized(linear, kind)
            if replacement is linear:
                staying.append(f"{prefix}.{name}")
                continue
            setattr(parent, leaf, replacement)
            count += 1
    say_what_stays(staying, kind)
    return count


def say_what_stays(names: list[str], kind: QuantizationKind) -> None:
    """A line in the log for layers that were to be stored as `kind` and are not."""
    if names and kind != "none":
        log.warning(
            "%d layers stay unquantized, since their rows do not divide into %s's groups: %s",
            len(names),
            kind,
            ", ".join(names[:3]) + (", ..." if len(names) > 3 else ""),
        )
