"""Counts the bytes of all tensors alive while a real model runs, also where nothing is computed.

Under torch's fake tensors a model of true dimensions runs forward and backward in seconds and
without memory; every kernel's outputs have their sizes, and autograd keeps and drops what it always
does. So the peak of a 32 B model's step can be counted on a laptop.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from trainer.quantized_linear import kind_of, raw_tensors, set_raw_tensors


class LiveBytes(TorchDispatchMode):
    """Within the block, `now` and `peak`: bytes of storages that did not exist before.

    module: whose parameters, buffers and gradients are not counted.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: Any = weakref.WeakKeyDictionary()
        for tensor in (*module.parameters(), *module.buffers()):
            self._seen[tensor.untyped_storage()] = True
            if tensor.grad is not None:
                self._seen[tensor.grad.untyped_storage()] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        self.peak = max(self.peak, self.now)
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._seen:
            return
        self._seen[storage] = True
        num_bytes = storage.nbytes()
        self.now += num_bytes
        weakref.finalize(storage, self._gone, num_bytes)

    def _gone(self, num_bytes: int) -> None:
        self.now -= num_bytes


def without_memory(module: nn.Module) -> nn.Module:
    """The module, built on the meta device, with fake tensors for its parameters and buffers.

    To be called under a FakeTensorMode.
    """
    for child in module.modules():
        if isinstance(child, nn.Linear) and kind_of(child) == "float8":
            raw = raw_tensors(child)
            set_raw_tensors(child, {n: torch.empty(t.shape, dtype=t.dtype) for n, t in raw.items()})
            continue
        for name, parameter in list(child._parameters.items()):
            if parameter is not None:
                fake = torch.empty(parameter.shape, dtype=parameter.dtype)
                child._parameters[name] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
        for name, buffer in list(child._buffers.items()):
            if buffer is not None:
                child._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
    return module
