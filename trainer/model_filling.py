"""A model without memory becomes one with weights, tensor by tensor.

Each tensor goes straight to its final place and precision: it is cast, moved and, if it is the
weight of a linear layer that is to be quantized, encoded before the next one is read. So the host
holds one tensor at a time beside what is finished (and the page cache, which the system takes back
when it likes), and the card never more than the finished model and one tensor: 33 GB for dev in
float8, where loading first and quantizing afterwards needs 64 GB and more.

A tensor whose type is that of its file is not copied at all on a CPU: it stays a view of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from trainer.errors import BadModel
from trainer.host_memory import give_back_freed_memory
from trainer.quantization import quantized, say_what_stays
from trainer.quantization_kinds import QuantizationKind
from trainer.quantized_linear import raw_tensors, set_raw_tensors

# Called with (tensors done, tensors in all).
Progress = Callable[[int, int], None]
# Called with each tensor as it is finally stored, by its name in the model.
Keep = Callable[[str, torch.Tensor], None]


@dataclass(frozen=True)
class Storage:
    """How a part's weights are to be stored.

    kind: of the linear layers whose names begin with one of `inside`; everything else is in
    `dtype`. device: where weights are cast and encoded. home_of: where the tensors of a module are
    to stay, by the module's name; None for `device`.
    """

    kind: QuantizationKind
    inside: tuple[str, ...]
    dtype: torch.dtype
    device: str
    home_of: Callable[[str], str] | None = None

    def quantizes(self, module_name: str, module: nn.Module) -> bool:
        """Whether this is a linear layer to be quantized, as far as its size allows."""
        return (
            self.kind != "none"
            and type(module) is nn.Linear
            and module_name.startswith(self.inside)
        )

    def home(self, module_name: str) -> str:
        """Where the module's tensors are to stay."""
        return self.device if self.home_of is None else self.home_of(module_name)


def fill_model(
    model: nn.Module,
    stored: Iterator[tuple[str, torch.Tensor]],
    storage: Storage,
    *,
    source: str,
    field: str,
    progress: Progress,
    keep: Keep | None = None,
) -> None:
    """Give every parameter of `model` its tensor; afterwards none asks for a gradient.

    model: its parameters on the meta device. stored: every parameter once, by its name in the
    model. source, field: for messages: whose tensors they are, and the setting that says where.
    Raises BadModel.
    """
    expected = dict(model.named_parameters())
    staying: list[str] = []
    for done, (name, tensor) in enumerate(stored, start=1):
        parameter = expected.pop(name, None)
        _refuse_another_model(name, tensor, parameter, source, field)
        _place(model, name, tensor, storage, staying, keep)
        if storage.kind != "none":
            give_back_freed_memory()
        progress(done, done + len(expected))
    if expected:
        raise BadModel(
            f"{source} lacks {len(expected)} tensors, the first is {next(iter(expected))!r}.",
            "The download is incomplete or damaged: download the folder again.",
            field=field,
            params={"missing": len(expected)},
        )
    say_what_stays(staying, storage.kind)
    model.requires_grad_(False)


def stored_tensors(files: list[Path], *, field: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of safetensors files, each read when its turn comes. Raises BadModel."""
    for file in files:
        try:
            with safe_open(file, framework="pt", device="cpu") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                    yield name, tensors.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise BadModel(
                f"{file} cannot be read: {error}",
                "It is missing or damaged: download it again.",
                field=field,
            ) from error


def put_in_place(model: nn.Module, module_name: str, module: nn.Module) -> None:
    """Replace the submodule of that name."""
    parent_name, _, leaf = module_name.rpartition(".")
    setattr(model.get_submodule(parent_name), leaf, module)


def _place(
    model: nn.Module,
    name: str,
    tensor: torch.Tensor,
    storage: Storage,
    staying: list[str],
    keep: Keep | None,
) -> None:
    """Put one tensor into the model as it is to be stored.

    staying: takes the names of layers that do not fit the kind.
    """
    module_name, _, leaf = name.rpartition(".")
    module = model.get_submodule(module_name)
    cast = tensor.to(device=storage.device, dtype=storage.dtype)
    home = storage.home(module_name)
    if leaf == "weight" and storage.quantizes(module_name, module):
        assert isinstance(module, nn.Linear)
        module.weight = nn.Parameter(cast, requires_grad=False)
        layer = quantized(module, storage.kind)
        if layer is module:
            staying.append(module_name)
        put_in_place(model, module_name, layer)
        raw = raw_tensors(layer)
        if home != storage.device:
            set_raw_tensors(layer, {part: own.to(home) for part, own in raw.items()})
        stored = {f"{module_name}.{part}": own for part, own in raw.items()}
    else:
        setattr(module, leaf, nn.Parameter(cast.to(home), requires_grad=False))
        stored = {name: cast}
    if keep is not None:
        for own_name, own in stored.items():
            keep(own_name, own)


def _refuse_another_model(
    name: str, tensor: torch.Tensor, parameter: nn.Parameter | None, source: str, field: str
) -> None:
    if parameter is None:
        raise BadModel(
            f"{source} holds a tensor {name!r} that its configuration does not have.",
            "Its configuration and its weights are from different models: download it again.",
            field=field,
            params={"tensor": name},
        )
    if tensor.shape != parameter.shape:
        raise BadModel(
            f"{name} in {source} has the shape {list(tensor.shape)}, and its configuration says "
            f"{list(parameter.shape)}.",
            "The files are from different models: download the folder again.",
            field=field,
        )
