"""What comes and goes with a pass through a model: activations, by tokens.

Legend: N = tokens of a pass (batch x (image + references + text)), H = hidden size, M = width of
the feed-forward after its gate (3 H in FLUX.2), e = bytes of the compute type, w = a layer's weight
in the compute type.

Read off Diffusers' blocks; tests hold every sum against the real classes at their true sizes, run
without memory while every allocation is counted.

**Kept for the backward pass by a single block**, numbers a token:

    H  its input            3 H + 2 M  the fused projection          M  the gate, activated
    2 H  q and k, turned by their place                 H  what attention gives

**by a double block**, for each stream's tokens:

    H  its input    2 H  q and k    3 H  q, k and v joined    H  attention's    H  input of the MLP
    2 M  its inner layer    M  the gate, activated

A trained layer also keeps its input, one for all layers that share it: H before a projection,
H + M before a single block's output, M before a double block's second MLP layer. So does every
layer in float8, trained or not: quanto's product saves it, which only a weight that trains would
need. On a CPU the norms of q and k keep float32 copies in place of the fused kernel's nothing.

**Passing moments.** The gate's backward pass has three tensors of 2 M (the gradients of both
halves, each padded to the whole, and their sum) beside what is kept. A layer stored in 8 or 4 bits
is multiplied up to w for its product: in float8 twice for a moment (numbers, then numbers x scale).
A trained layer has the base's product beside its own output. The largest counts.

**Attention** keeps no matrix of N x N in flash's or the memory-efficient kernel, forward and
backward. torch's math kernel does: heads x N x N numbers of each picture, in float32 whatever the
compute type is, since it casts q, k and v up first. Two are there in the forward pass (the scores,
and what softmax makes of them), of which softmax's is kept; three in the backward pass (softmax's
and both gradients).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.memory_sizes import FLOAT32_BYTES
from trainer.model_shapes import (
    AutoencoderShapes,
    BlockShapes,
    Matrix,
    TextEncoderShapes,
    TransformerShapes,
)
from trainer.quantization_kinds import QuantizationKind, fits

# How many times a stored weight is there in the compute type while it is multiplied with.
DECODED_COPIES: dict[QuantizationKind, float] = {
    "none": 0.0,
    "float8": 2.0,
    "int8": 1.0,
    "nf4": 1.0,
    "int4": 1.25,
}
# What each block keeps at most of tables that all share: cosines and sines by place, float32.
_ROTATION_WIDTH = 128


@dataclass(frozen=True)
class Tokens:
    """One forward pass. image, references, text: tokens of one picture of the batch."""

    batch: int
    image: int
    text: int
    references: int = 0

    @property
    def picture_stream(self) -> int:
        return self.batch * (self.image + self.references)

    @property
    def text_stream(self) -> int:
        return self.batch * self.text

    @property
    def all(self) -> int:
        return self.picture_stream + self.text_stream


@dataclass(frozen=True)
class TransformerActivations:
    """Activations of a transformer, in bytes.

    dtype_bytes: e. tuned: the trained layers of double and of single blocks, by their names within
    a block, with the numbers a token that each keeps beside its input: a LoRA's rank. has_dropout:
    whether they drop parts of their inputs. on_cpu: where it computes. writes_matrices: whether
    attention is torch's math kernel.
    """

    shapes: TransformerShapes
    dtype_bytes: int
    kind: QuantizationKind
    tuned_double: Mapping[str, int]
    tuned_single: Mapping[str, int]
    has_dropout: bool
    on_cpu: bool
    writes_matrices: bool = False

    def input_tensors(self, tokens: Tokens, *, is_double: bool) -> list[int]:
        """Each input of one block, kept with and without gradient checkpointing: a double block has
        pictures and texts apart, a single one both in one.
        """
        streams = [tokens.picture_stream, tokens.text_stream] if is_double else [tokens.all]
        return [count * self.shapes.hidden * self.dtype_bytes for count in streams]

    def shared(self, tokens: Tokens) -> int:
        """What all blocks share: the tables of places, the prompt, latents, noise and target."""
        tables = 2 * tokens.all // tokens.batch * _ROTATION_WIDTH * FLOAT32_BYTES
        prompt = tokens.text_stream * self.shapes.prompt_width * self.dtype_bytes
        latents = 6 * tokens.picture_stream * self.shapes.channels * FLOAT32_BYTES
        return tables + prompt + latents

    def inside_single(self, tokens: Tokens) -> int:
        """What a single block keeps for its backward pass, its input aside."""
        hidden, mlp = self.shapes.hidden, self.shapes.mlp
        numbers = (3 * hidden + 2 * mlp) + mlp + 2 * hidden + hidden
        return tokens.all * (
            numbers * self.dtype_bytes
            + self._norm_copies()
            + self._own_inputs(self.tuned_single, ["attn.to_qkv_mlp_proj"], hidden)
            + self._own_inputs(self.tuned_single, ["attn.to_out"], hidden + mlp)
        ) + self._kept_by_math(tokens)

    def inside_double(self, tokens: Tokens) -> int:
        """What a double block keeps for its backward pass, its inputs aside."""
        return (
            tokens.picture_stream * self._inside_stream(_PICTURE_LAYERS, tokens.batch)
            + tokens.text_stream * self._inside_stream(_TEXT_LAYERS, tokens.batch)
            + self._kept_by_math(tokens)
        )

    def backward_single(self, tokens: Tokens) -> int:
        """The most that a single block holds between recompute and the end of its backward pass."""
        hidden, mlp, e = self.shapes.hidden, self.shapes.mlp, self.dtype_bytes
        inside = self.inside_single(tokens)
        out_input = tokens.all * self._own_inputs(self.tuned_single, ["attn.to_out"], hidden + mlp)
        gate = inside - out_input + tokens.all * (6 * mlp + 2 * hidden) * e
        projection = self._projecting(
            self.shapes.single, "attn.to_qkv_mlp_proj", tokens.all, self.tuned_single
        )
        output = inside + tokens.all * (2 * hidden + mlp) * e
        output += decoded_bytes(self.kind, self.shapes.single.linears["attn.to_out"], e)
        attention = self._math_backward(tokens, 3 * hidden + 3 * mlp)
        return max(gate, tokens.all * hidden * e + projection, output, attention)

    def backward_double(self, tokens: Tokens) -> int:
        """The same of a double block."""
        hidden, mlp, e = self.shapes.hidden, self.shapes.mlp, self.dtype_bytes
        pictures, texts = tokens.picture_stream, tokens.text_stream
        picture = self._inside_stream(_PICTURE_LAYERS, tokens.batch)
        text = self._inside_stream(_TEXT_LAYERS, tokens.batch)
        done = {layers: self._mlp_inputs(layers) + 3 * mlp * e for layers in _STREAMS}
        second = self._own_inputs(self.tuned_double, _PICTURE_LAYERS[2:], mlp)
        gate = pictures * (picture - 3 * mlp * e - second + (6 * mlp + hidden) * e) + texts * (
            text - done[_TEXT_LAYERS]
        )
        before_mlp = pictures * (picture - done[_PICTURE_LAYERS]) + texts * (
            text - done[_TEXT_LAYERS]
        )
        projection = self._projecting(
            self.shapes.double, _PICTURE_LAYERS[1], pictures, self.tuned_double
        )
        output = pictures * (picture + (hidden + mlp) * e) + texts * (text - done[_TEXT_LAYERS])
        output += decoded_bytes(self.kind, self.shapes.double.linears[_PICTURE_LAYERS[2]], e)
        kept = self._kept_by_math(tokens)  # until attention's own backward pass
        attention = self._math_backward(tokens, 7 * hidden)
        return max(
            gate + kept, before_mlp + pictures * hidden * e + projection, output + kept, attention
        )

    def forward(self, tokens: Tokens) -> int:
        """The most that a pass without gradients holds at a time."""
        hidden, mlp, e = self.shapes.hidden, self.shapes.mlp, self.dtype_bytes
        attending = tokens.all * (5 * hidden + 2 * hidden + 4 * mlp) * e
        projecting = 2 * tokens.all * hidden * e + self._projecting(
            self.shapes.single, "attn.to_qkv_mlp_proj", tokens.all, self.tuned_single
        )
        if self.writes_matrices:
            own = tokens.all * (
                (2 * hidden + 3 * hidden + 2 * mlp) * e + 5 * hidden * FLOAT32_BYTES
            )
            attending = max(attending, 2 * self._matrix(tokens) + own)
        return max(attending, projecting)

    def _matrix(self, tokens: Tokens) -> int:
        """heads x N x N of every picture, in float32."""
        rows = tokens.all // tokens.batch
        heads = self.shapes.hidden // _ROTATION_WIDTH
        return tokens.batch * heads * rows * rows * FLOAT32_BYTES

    def _kept_by_math(self, tokens: Tokens) -> int:
        """Beside what another kernel keeps: softmax's matrix; q, k and v in float32 for q, k and
        what attention gives.
        """
        if not self.writes_matrices:
            return 0
        casts = 3 * self.shapes.hidden * (FLOAT32_BYTES - self.dtype_bytes)
        return self._matrix(tokens) + tokens.all * casts

    def _math_backward(self, tokens: Tokens, beside: int) -> int:
        """Attention's own backward pass: three matrices; q, k and v in float32.

        beside: numbers a token that the block holds then.
        """
        if not self.writes_matrices:
            return 0
        casts = 3 * self.shapes.hidden * FLOAT32_BYTES
        return 3 * self._matrix(tokens) + tokens.all * (beside * self.dtype_bytes + casts)

    def _inside_stream(self, layers: tuple[str, str, str], batch: int) -> int:
        """Bytes a token of one stream of a double block, its input aside."""
        hidden, mlp = self.shapes.hidden, self.shapes.mlp
        raw = 0 if self.on_cpu else 2 * hidden
        numbers = raw + 3 * hidden + hidden + hidden + 3 * mlp
        *projections, output = _ATTENTION_LAYERS[layers]
        own = self._own_inputs(self.tuned_double, projections, hidden)
        own += self._own_inputs(self.tuned_double, [output], hidden, is_part=True, batch=batch)
        return numbers * self.dtype_bytes + self._norm_copies() + own + self._mlp_inputs(layers)

    def _mlp_inputs(self, layers: tuple[str, str, str]) -> int:
        hidden, mlp = self.shapes.hidden, self.shapes.mlp
        return self._own_inputs(self.tuned_double, layers[1:2], hidden) + self._own_inputs(
            self.tuned_double, layers[2:], mlp
        )

    def _own_inputs(
        self,
        tuned: Mapping[str, int],
        layers: Sequence[str],
        width: int,
        *,
        is_part: bool = False,
        batch: int = 1,
    ) -> int:
        """Bytes a token that layers with one input keep of it, and trained ones of their products.

        is_part: whether the input is a stream's part of what attention gave, which is kept anyway;
        of more than one picture a LoRA's product copies it. Dropout gives each trained layer an
        input of its own and a mask of a byte a number.
        """
        trained = [tuned[layer] for layer in layers if layer in tuned]
        own = sum(trained) * self.dtype_bytes
        if self.has_dropout:
            own += len(trained) * width * (self.dtype_bytes + 1)
        by_base = self.kind == "float8" and not is_part
        by_lora = trained and not self.has_dropout and not (is_part and batch == 1)
        return own + (width * self.dtype_bytes if by_base or by_lora else 0)

    def _norm_copies(self) -> int:
        """Bytes a token of q and k in float32, where no fused kernel takes their norm."""
        return 2 * self.shapes.hidden * FLOAT32_BYTES if self.on_cpu else 0

    def _projecting(
        self, block: BlockShapes, layer: str, num_tokens: int, tuned: Mapping[str, int]
    ) -> int:
        """A layer's output with what making it takes: its weight multiplied up, or the LoRA's
        product and the sum.
        """
        shape = block.linears[layer]
        output = num_tokens * shape[0] * self.dtype_bytes
        branch = output if layer in tuned else 0
        return output + max(branch, decoded_bytes(self.kind, shape, self.dtype_bytes))


_PICTURE_LAYERS = ("attn.to_q", "ff.linear_in", "ff.linear_out")
_TEXT_LAYERS = ("attn.add_q_proj", "ff_context.linear_in", "ff_context.linear_out")
_STREAMS = (_PICTURE_LAYERS, _TEXT_LAYERS)
_ATTENTION_LAYERS = {
    _PICTURE_LAYERS: ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0"),
    _TEXT_LAYERS: ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "attn.to_add_out"),
}


def decoded_bytes(kind: QuantizationKind, shape: Matrix, dtype_bytes: int) -> int:
    """A stored weight while it is multiplied with."""
    rows, columns = shape
    if not fits(kind, rows=rows, columns=columns):
        return 0
    return int(rows * columns * dtype_bytes * DECODED_COPIES[kind])


def text_encoder_activations(
    shapes: TextEncoderShapes, kind: QuantizationKind, *, num_rows: int, dtype_bytes: int
) -> int:
    """A pass over `num_rows` text rows: every layer's state is kept, one layer computes.

    A layer's MLP has three tensors of its width (gate, gate activated, up); a weight is multiplied
    up meanwhile. The states that are read are stacked at the end, which is less.
    """
    states = (shapes.layer.count + 1) * num_rows * shapes.hidden
    inside = num_rows * (3 * shapes.mlp + 3 * shapes.hidden)
    return (states + inside) * dtype_bytes + decoded_bytes(kind, shapes.layer.largest, dtype_bytes)


def encoder_activations(shapes: AutoencoderShapes, *, area_px: int, dtype_bytes: int) -> int:
    """The autoencoder over pictures of `area_px` in all: five tensors of its first level's width
    at the picture's own size.
    """
    return 5 * shapes.encoder[0] * area_px * dtype_bytes


def decoder_activations(
    shapes: AutoencoderShapes, *, area_px: int, dtype_bytes: int, on_cpu: bool
) -> int:
    """Back to a picture: three tensors of the second level's width at the picture's own size.

    On a card, convolutions may want a scratch space as large as their input on top.
    """
    second = 3 if on_cpu else 4
    widest = max(second * shapes.decoder[1], 5 * shapes.decoder[0])
    return widest * area_px * dtype_bytes
