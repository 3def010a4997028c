"""The sizes of a model's parts, layer by layer, without torch and without the model.

The architectures' own models stand in a table, `model_shapes.json`, which `scripts/model_shapes.py`
writes from the real classes built without memory; a test holds it current. A model on this machine
is asked itself: the headers of its files name every tensor with its shape, whatever its size. Both
ways end in the same function, so that a shape means the same wherever it comes from.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from trainer.errors import DarkroomError
from trainer.folders import Folders
from trainer.model_parts import ModelSource, model_source
from trainer.original_layout import (
    UnknownTensor,
    autoencoder_name,
    read_header,
    transformer_names,
)
from trainer.panels.model import ModelPanel
from trainer.variants import VARIANTS, Architecture
from trainer.weight_files import weight_files

TABLE = Path(__file__).parent / "model_shapes.json"

Shape = tuple[int, ...]
Part = TypeVar("Part")
Matrix = tuple[int, int]  # rows (output features), columns (input features)

_BLOCK = re.compile(r"(transformer_blocks|single_transformer_blocks)\.(\d+)\.(.+)\.weight")
_TEXT_LAYER = re.compile(r"(?:.*\.)?layers\.(\d+)\.(.+)\.weight")
# Tensors of a text encoder that are never read: see prompt_encoding.py.
_NOT_READ = ("vision_tower", "multi_modal_projector", "lm_head")
_AUTOENCODER_LEVELS = 4


@dataclass(frozen=True)
class BlockShapes:
    """What is repeated: a double block, a single block, a layer of the text encoder.

    linears: each linear layer's weight by name. other_parameters: norms, which are never quantized.
    """

    count: int
    linears: dict[str, Matrix]
    other_parameters: int

    @property
    def parameters(self) -> int:
        """Of one block."""
        return sum(rows * columns for rows, columns in self.linears.values()) + (
            self.other_parameters
        )

    @property
    def largest(self) -> Matrix:
        """The linear layer with the most weights."""
        return max(self.linears.values(), key=prod)


@dataclass(frozen=True)
class TransformerShapes:
    """outside: every tensor outside of the blocks by name."""

    double: BlockShapes
    single: BlockShapes
    outside: dict[str, Shape]

    @property
    def hidden(self) -> int:
        return self.outside["x_embedder.weight"][0]

    @property
    def mlp(self) -> int:
        """Width of a block's feed-forward after its gate."""
        return self.double.linears["ff.linear_out"][1]

    @property
    def channels(self) -> int:
        """Numbers of an image token, 128 in every FLUX.2."""
        return self.outside["x_embedder.weight"][1]

    @property
    def prompt_width(self) -> int:
        """Numbers of a text row: three hidden states of the text encoder."""
        return self.outside["context_embedder.weight"][1]

    @property
    def num_blocks(self) -> int:
        return self.double.count + self.single.count

    @property
    def outside_parameters(self) -> int:
        return sum(map(prod, self.outside.values()))

    @property
    def parameters(self) -> int:
        """Of the whole transformer."""
        blocks = (self.double, self.single)
        return self.outside_parameters + sum(block.count * block.parameters for block in blocks)

    def block(self, place: int) -> BlockShapes:
        """The block at a place among all: double blocks, then single ones."""
        return self.double if place < self.double.count else self.single

    def linear_names(self) -> list[str]:
        """Full names of all blocks' linear layers, in the model's order."""
        return [
            f"{stem}.{number}.{name}"
            for stem, blocks in (
                ("transformer_blocks", self.double),
                ("single_transformer_blocks", self.single),
            )
            for number in range(blocks.count)
            for name in blocks.linears
        ]

    def linear(self, name: str) -> Matrix:
        """The weight of a layer by its full name."""
        stem, _, rest = name.partition(".")
        blocks = self.double if stem == "transformer_blocks" else self.single
        return blocks.linears[rest.partition(".")[2]]


@dataclass(frozen=True)
class TextEncoderShapes:
    """layer: of which `count` are read. all_parameters: with everything in the files."""

    layer: BlockShapes
    embedding: Matrix
    all_parameters: int

    @property
    def hidden(self) -> int:
        return self.embedding[1]

    @property
    def mlp(self) -> int:
        return self.layer.linears["mlp.down_proj"][1]


@dataclass(frozen=True)
class AutoencoderShapes:
    """encoder, decoder: channels of the levels, from the picture inwards."""

    parameters: int
    encoder: tuple[int, ...]
    decoder: tuple[int, ...]


@dataclass(frozen=True)
class ModelShapes:
    """The three parts that hold weights."""

    transformer: TransformerShapes
    text_encoder: TextEncoderShapes
    autoencoder: AutoencoderShapes


def shapes_of(panel: ModelPanel, folders: Folders) -> ModelShapes:
    """The sizes of the model that the Model panel names.

    A part that is not on this machine, or cannot be read, has the sizes of the architecture's own:
    the door says what is wrong with it, and the loader again.
    """
    known = known_shapes(panel.model_architecture)
    try:
        source = model_source(panel, folders)
        base = source.base_folder
    except (DarkroomError, OSError):
        return known
    num_layers = max(VARIANTS[panel.model_architecture].text_encoder_out_layers)

    def place(part: str, elsewhere: Path | None) -> Path | None:
        return elsewhere or (base / part if base is not None and part in source.needed else None)

    transformer = _tensors_at(place("transformer", source.transformer), _transformer_tensors)
    text = _tensors_at(place("text_encoder", source.text_encoder), _plain_tensors)
    autoencoder = _tensors_at(place("vae", source.autoencoder), _autoencoder_tensors)
    return ModelShapes(
        _or_known(lambda: transformer_shapes(transformer), known.transformer),
        _or_known(lambda: text_encoder_shapes(text, num_layers=num_layers), known.text_encoder),
        _or_known(lambda: autoencoder_shapes(autoencoder), known.autoencoder),
    )


def is_on_this_machine(source: ModelSource) -> bool:
    """Whether nothing has to be downloaded, as far as the folders say."""
    return not source.needed or source.base_folder is not None


@cache
def known_shapes(architecture: Architecture) -> ModelShapes:
    """The sizes of an architecture's own model, from the table."""
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return from_table(table[architecture.value])


def transformer_shapes(tensors: Mapping[str, Shape]) -> TransformerShapes:
    """From all tensors of a Flux2Transformer2DModel by name. Raises ValueError if it is none."""
    inside: dict[str, dict[int, dict[str, Shape]]] = defaultdict(lambda: defaultdict(dict))
    outside: dict[str, Shape] = {}
    for name, shape in tensors.items():
        found = _BLOCK.fullmatch(name)
        if found is None:
            outside[name] = shape
        else:
            inside[found[1]][int(found[2])][found[3]] = shape
    shapes = TransformerShapes(
        _block_shapes(list(inside["transformer_blocks"].values())),
        _block_shapes(list(inside["single_transformer_blocks"].values())),
        outside,
    )
    if not {"x_embedder.weight", "context_embedder.weight"} <= outside.keys():
        raise ValueError("no FLUX.2 transformer: its embedders are missing")
    return shapes


def text_encoder_shapes(tensors: Mapping[str, Shape], *, num_layers: int) -> TextEncoderShapes:
    """From all tensors of a text encoder; the first `num_layers` are read. Raises ValueError."""
    layers: dict[int, dict[str, Shape]] = defaultdict(dict)
    embedding: Matrix | None = None
    for name, shape in tensors.items():
        if any(part in name for part in _NOT_READ):
            continue
        found = _TEXT_LAYER.fullmatch(name)
        if found is not None:
            layers[int(found[1])][found[2]] = shape
        elif name.endswith("embed_tokens.weight"):
            embedding = _matrix(shape)
    if embedding is None:
        raise ValueError("no text encoder: it has no embedding")
    read = [layer for number, layer in sorted(layers.items()) if number < num_layers]
    return TextEncoderShapes(_block_shapes(read), embedding, sum(map(prod, tensors.values())))


def autoencoder_shapes(tensors: Mapping[str, Shape]) -> AutoencoderShapes:
    """From all tensors of an AutoencoderKLFlux2 by name. Raises ValueError if it is none."""

    def widths(side: str) -> tuple[int, ...]:
        levels = [
            tensors.get(f"{side}_blocks.{level}.resnets.0.conv1.weight")
            for level in range(_AUTOENCODER_LEVELS)
        ]
        if None in levels:
            raise ValueError("no autoencoder of FLUX.2: it lacks levels")
        return tuple(level[0] for level in levels if level is not None)

    return AutoencoderShapes(
        sum(map(prod, tensors.values())), widths("encoder.down"), widths("decoder.up")[::-1]
    )


def as_table(shapes: ModelShapes) -> dict[str, Any]:
    """What `from_table` reads, as JSON takes it."""
    return asdict(shapes)


def from_table(table: Mapping[str, Any]) -> ModelShapes:
    """The sizes that `as_table` wrote."""
    transformer, text = table["transformer"], table["text_encoder"]
    autoencoder = table["autoencoder"]
    return ModelShapes(
        TransformerShapes(
            _block_from(transformer["double"]),
            _block_from(transformer["single"]),
            {name: tuple(shape) for name, shape in transformer["outside"].items()},
        ),
        TextEncoderShapes(
            _block_from(text["layer"]), _matrix(text["embedding"]), text["all_parameters"]
        ),
        AutoencoderShapes(
            autoencoder["parameters"], tuple(autoencoder["encoder"]), tuple(autoencoder["decoder"])
        ),
    )


def _block_from(table: Mapping[str, Any]) -> BlockShapes:
    linears = {name: _matrix(shape) for name, shape in table["linears"].items()}
    return BlockShapes(table["count"], linears, table["other_parameters"])


def _block_shapes(blocks: Sequence[Mapping[str, Shape]]) -> BlockShapes:
    if not blocks or any(block != blocks[0] for block in blocks):
        raise ValueError("its blocks are missing or differ from each other")
    linears = {name: _matrix(shape) for name, shape in blocks[0].items() if len(shape) == 2}
    others = sum(prod(shape) for shape in blocks[0].values() if len(shape) != 2)
    return BlockShapes(len(blocks), linears, others)


def _matrix(shape: Sequence[int]) -> Matrix:
    rows, columns = shape
    return rows, columns


def _or_known(read: Callable[[], Part], known: Part) -> Part:
    try:
        return read()
    except (ValueError, KeyError, IndexError):
        return known


def _tensors_at(
    place: Path | None, named: Callable[[dict[str, Shape]], dict[str, Shape]]
) -> dict[str, Shape]:
    """The tensors of a folder or file by Diffusers' names; empty if there are none to read."""
    if place is None:
        return {}
    try:
        files = [place] if place.is_file() else weight_files(place)
        return named(
            {name: about.shape for file in files for name, about in read_header(file).items()}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _plain_tensors(stored: dict[str, Shape]) -> dict[str, Shape]:
    return stored


def _transformer_tensors(stored: dict[str, Shape]) -> dict[str, Shape]:
    """Under Diffusers' names: a fused q, k, v of the original layout is three layers."""
    tensors: dict[str, Shape] = {}
    for name, shape in stored.items():
        try:
            names = transformer_names(name)
        except UnknownTensor:
            names = (name,)
        for own in names:
            tensors[own] = (shape[0] // len(names), *shape[1:])
    return tensors


def _autoencoder_tensors(stored: dict[str, Shape]) -> dict[str, Shape]:
    return {
        autoencoder_name(name, num_levels=_AUTOENCODER_LEVELS): shape
        for name, shape in stored.items()
    }
