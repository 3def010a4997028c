"""Linear layers stored as codes: their error, their product, their raw tensors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from optimum.quanto import QLinear, WeightQBytesTensor, qfloat8, qint4
from optimum.quanto.tensor.optimizers import AbsmaxOptimizer, MaxOptimizer
from optimum.quanto.tensor.weights.quantization import quantize_weight
from torch import nn

from tests.trainer.short_runs import job_with
from trainer import weight_codes
from trainer.job_file import parse_job
from trainer.offloading import frozen_linears
from trainer.quantization import float8_linear, quantized
from trainer.quantization_kinds import QUANTIZATION_KINDS, QuantizationKind, stored_bytes
from trainer.quantized_linear import QuantizedLinear, kind_of, raw_tensors, set_raw_tensors
from trainer.trainee import Trainee, load_trainee
from trainer.training_step import predict_velocity
from trainer.variants import BUNDLED_TINY_FOLDER
from trainer.weight_codes import CodedKind

STORED: tuple[QuantizationKind, ...] = QUANTIZATION_KINDS[1:]
CODED: tuple[CodedKind, ...] = ("int8", "nf4", "int4")


def linear(
    dtype: torch.dtype = torch.float32, scale: float = 0.02, columns: int = 192, bias: bool = False
) -> nn.Linear:
    layer = nn.Linear(columns, 256, bias=bias).to(dtype).requires_grad_(False)
    layer.weight.copy_(
        torch.randn(256, columns, generator=torch.Generator().manual_seed(0)) * scale
    )
    return layer


def decoded(layer: nn.Linear) -> torch.Tensor:
    """The weight [out, in] that the layer computes with, in float32."""
    if isinstance(layer, QuantizedLinear):
        return layer.decoded(torch.float32)
    return layer.weight.dequantize().float()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 0.02, 1e-4])
@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("float8", 0.02, 0.03), ("int8", 0.006, 0.01), ("nf4", 0.085, 0.1), ("int4", 0.09, 0.12)],
)
def test_the_rounding_error_is_the_kinds_own_for_weights_of_any_size(
    kind: QuantizationKind, least: float, most: float, scale: float, dtype: torch.dtype
) -> None:
    layer = linear(dtype, scale)
    exact = layer.weight.float()
    error = ((decoded(quantized(layer, kind)) - exact).norm() / exact.norm()).item()
    assert least < error < most


@pytest.mark.parametrize("kind", STORED)
def test_a_row_of_large_weights_costs_the_others_nothing(kind: QuantizationKind) -> None:
    layer = linear()
    layer.weight[0] *= 10
    stored = decoded(quantized(layer, kind))
    error = (stored[1:] - layer.weight[1:]).norm() / layer.weight[1:].norm()
    assert error.item() < 0.12


@pytest.mark.parametrize("kind", STORED)
def test_a_row_of_zeros_stays_zero(kind: QuantizationKind) -> None:
    layer = linear()
    layer.weight[3] = 0
    out = quantized(layer, kind)(torch.ones(1, 192))
    assert out.isfinite().all()
    assert out[0, 3].item() == 0


@pytest.mark.parametrize("kind", CODED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_forward_and_input_gradient_are_those_of_the_decoded_weight(
    kind: CodedKind, dtype: torch.dtype, bias: bool
) -> None:
    layer = quantized(linear(dtype, bias=bias), kind)
    assert isinstance(layer, QuantizedLinear)
    plain = nn.Linear(192, 256, bias=bias).to(dtype).requires_grad_(False)
    plain.weight.copy_(layer.decoded(dtype))
    if bias:
        plain.bias.copy_(layer.bias)
    x = torch.randn(2, 5, 192, generator=torch.Generator().manual_seed(1)).to(dtype)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = layer(ours), plain(theirs)
    assert out.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert torch.allclose(out, expected, atol=tolerance)
    out.sum().backward()
    expected.sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=tolerance * 10)


def test_float8_is_what_quanto_would_have_stored() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        layer = linear(dtype)
        scale = AbsmaxOptimizer()(layer.weight, qtype=qfloat8, axis=0)
        theirs = quantize_weight(layer.weight, qfloat8, 0, scale, optimized=False)
        ours = raw_tensors(float8_linear(layer))
        assert torch.equal(ours["scale"], theirs._scale)
        assert torch.equal(ours["weight"].float(), theirs._data.float())


def test_int4_is_what_quanto_would_have_stored() -> None:
    layer = linear()
    scale, shift = MaxOptimizer()(layer.weight, qtype=qint4, axis=0, group_size=96)
    codes = torch.ops.quanto.quantize_affine(layer.weight, 4, 0, 96, scale, shift)
    expected = (codes * scale - shift).view(256, 192)
    assert torch.allclose(decoded(quantized(layer, "int4")), expected, atol=1e-7)


def test_nf4_is_what_bitsandbytes_would_have_stored() -> None:
    from bitsandbytes import functional as bnb

    layer = linear()
    packed, state = bnb.quantize_4bit(
        layer.weight, blocksize=64, quant_type="nf4", compress_statistics=True
    )
    assert torch.equal(decoded(quantized(layer, "nf4")), bnb.dequantize_4bit(packed, state))


@pytest.mark.parametrize("kind", STORED)
def test_encoding_by_rows_gives_the_same_codes_as_all_at_once(
    kind: QuantizationKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = raw_tensors(quantized(linear(), kind))
    monkeypatch.setattr(weight_codes, "WEIGHTS_AT_ONCE", 192 * 85)  # 3 times 85 rows, then one
    by_rows = raw_tensors(quantized(linear(), kind))
    assert all(torch.equal(whole[name].float(), by_rows[name].float()) for name in whole)


@pytest.mark.parametrize("kind", STORED)
def test_the_weight_that_is_encoded_stays_as_it_was(kind: QuantizationKind) -> None:
    layer = linear()
    before = layer.weight.clone()
    quantized(layer, kind)
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("kind", STORED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("columns", [192, 160, 100])
def test_what_is_stored_takes_the_bytes_of_the_table(
    kind: QuantizationKind, dtype: torch.dtype, columns: int
) -> None:
    layer = quantized(linear(dtype, columns=columns), kind)
    found = sum(tensor.nbytes for tensor in raw_tensors(layer).values())
    assert found == stored_bytes(kind, rows=256, columns=columns, dtype_bytes=dtype.itemsize)


@pytest.mark.parametrize(("kind", "columns"), [("nf4", 160), ("nf4", 33), ("int4", 100)])
def test_a_layer_whose_rows_do_not_divide_stays_as_it_is(
    kind: QuantizationKind, columns: int
) -> None:
    layer = linear(columns=columns)
    assert quantized(layer, kind) is layer


@pytest.mark.parametrize("kind", QUANTIZATION_KINDS)
def test_raw_tensors_put_into_another_layer_make_it_the_same_layer(kind: QuantizationKind) -> None:
    layer = quantized(linear(torch.bfloat16), kind)
    other = quantized(linear(torch.bfloat16, scale=0.5), kind)
    assert kind_of(layer) == kind_of(other) == kind
    x = torch.randn(3, 192).bfloat16()
    assert not torch.equal(layer(x), other(x))
    set_raw_tensors(other, {name: raw.clone() for name, raw in raw_tensors(layer).items()})
    assert torch.equal(layer(x), other(x))
    given = {name: raw.clone() for name, raw in raw_tensors(layer).items()}
    set_raw_tensors(other, given)
    for name, raw in raw_tensors(other).items():
        assert raw.data_ptr() == given[name].data_ptr()  # used as it is, not copied


@pytest.mark.parametrize("kind", CODED)
def test_a_buffer_overwritten_before_its_backward_pass_is_noticed(kind: CodedKind) -> None:
    layer = quantized(linear(), kind)
    out = layer(torch.randn(3, 192).requires_grad_())
    raw_tensors(layer)["weight"].zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("kind", CODED)
def test_no_decoded_weight_is_kept_for_the_backward_pass(kind: CodedKind) -> None:
    layer = quantized(linear(), kind)
    kept: list[torch.Size] = []

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        layer(torch.randn(3, 192).requires_grad_())
    assert kept == [raw.shape for raw in raw_tensors(layer).values()]


# torch.compile itself does what torch warns of.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("kind", CODED)
def test_a_compiled_graph_is_not_cut_at_the_layer(kind: CodedKind) -> None:
    layer = quantized(linear(), kind)
    ours, theirs = (torch.ones(3, 192).requires_grad_() for _ in range(2))
    expected = layer(theirs)  # the table of NF4's scales is made at the first call
    out = torch.compile(layer, backend="aot_eager", fullgraph=True)(ours)
    assert torch.equal(out, expected)
    out.sum().backward()
    expected.sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.long
def test_no_kind_needs_a_compiler() -> None:
    """In a process of its own: where an extension was compiled before, none is compiled again."""
    program = """
import os, subprocess, torch
from torch import nn
from torch.utils import cpp_extension
def refuse(*_, **__): raise AssertionError("something is being compiled")
cpp_extension.load = torch._dynamo.optimize = refuse
import optimum.quanto.library.extensions.extension as extension
extension.load = refuse
from trainer.quantization import quantized
for kind in ("float8", "int8", "nf4", "int4"):
    layer = nn.Linear(192, 32, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    x = torch.randn(2, 192, dtype=torch.bfloat16).requires_grad_()
    quantized(layer, kind)(x).sum().backward()
    assert x.grad.isfinite().all()
assert "torch._inductor.codecache" not in __import__("sys").modules
print("fine")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/nowhere", "PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "fine", done.stderr


@pytest.mark.usefixtures("no_chosen_kernel")
def test_float8_is_quantos_plain_tensor_without_its_choice() -> None:
    layer = quantized(linear(torch.bfloat16), "float8")
    assert isinstance(layer, QLinear)
    assert type(layer.weight).__name__ == "WeightQBytesTensor"
    assert layer(torch.ones(1, 192, dtype=torch.bfloat16)).isfinite().all()
    # quanto's own way asks for the choice, so that the fixture is known to notice one.
    with pytest.raises(AssertionError, match="asked to choose"):
        _ = QLinear.from_module(linear(torch.bfloat16), weights=qfloat8).qweight  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.usefixtures("no_chosen_kernel")
def test_no_load_no_stream_and_no_way_back_asks_quanto_for_a_class(tmp_path: Path) -> None:
    changes = {"quantization.transformer": "float8", "training.data_type": "bf16"}
    job = parse_job(job_with(changes))
    for _ in range(2):  # the second one reads the kept weights
        trainee = load_trainee(
            job,
            BUNDLED_TINY_FOLDER / "transformer",
            device="cpu",
            progress=lambda *_: None,
            percent_streamed=50.0,
            cache=tmp_path,
        )
        assert trainee.stream is not None
        embeds = torch.ones(1, 4, trainee.transformer.config["joint_attention_dim"])

        def step(trainee: Trainee = trainee, embeds: torch.Tensor = embeds) -> None:
            velocity = predict_velocity(
                trainee.transformer,
                torch.ones(1, 6, 128, dtype=torch.bfloat16),
                timestep=torch.tensor([0.5]),
                embeds=embeds.bfloat16(),
                size=(2, 3),
                guidance=1.0,
            )
            velocity.float().sum().backward()

        step()
        with trainee.transformer_aside():
            pass
        step()
        linears = frozen_linears(trainee.transformer)
        kinds = {type(linear.weight.data) for linear in linears if isinstance(linear, QLinear)}
        assert kinds == {WeightQBytesTensor}
