"""Tensors that the backward pass will want, waiting in host memory in the meantime.

Gradient checkpointing keeps the inputs of every block: 3.2 GB for dev at 1024 px, a fifth of a 16
GB card. A block's input is written once, read once, and much later, so it can be elsewhere in the
meantime: it goes to the host while the block computes, and comes back while the block that
comes before it on the way back is computed. For dev at 1024 px that is 57 MB a block against some
30 ms of compute, which any PCIe link does in passing; both grow with the number of tokens, so the
ratio holds for other sizes. Small inputs stay where they are.

On CUDA the copies have a stream of their own. Going out, it waits until the input is there;
`record_stream` keeps the allocator from giving the input's memory away before the copy has read it.
Coming back, the compute stream waits for the copy. The host memory is pinned and comes from torch's
own pinned allocator, which gives the same blocks out again step after step. Where the system locks
no more of it, ordinary memory has to do, and the copies no longer run beside the work. What was
kept together knows what was kept before it, which the backward pass asks for next: taking the one
starts the return of the other. That link is weak: a pass whose backward never comes leaves nothing
behind.

On a CPU the copies are ordinary ones, so that the path is the same and values can be compared.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence

import torch

from trainer.block_shares import MIN_KEPT_BYTES

logger = logging.getLogger(__name__)


class KeptTensors:
    """Tensors in host memory that will be wanted together. Only the keeper looks inside."""

    def __init__(self, device: torch.device, before: KeptTensors | None) -> None:
        self.device = device
        self.before = None if before is None else weakref.ref(before)
        self.hosts: list[torch.Tensor] = []
        self.returning: list[torch.Tensor] | None = None
        self.returned: torch.cuda.Event | None = None


class HostKeeper:
    """Keeps tensors of at least `min_bytes` in host memory until they are taken back."""

    def __init__(self, *, min_bytes: int = MIN_KEPT_BYTES) -> None:
        self._min_bytes = min_bytes
        self._stream: torch.cuda.Stream | None = None
        self._last: weakref.ref[KeptTensors] | None = None
        self._was_refused = False

    def wants(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor is large enough to be worth the way."""
        return tensor.nbytes >= self._min_bytes

    def keep(self, tensors: Sequence[torch.Tensor]) -> KeptTensors:
        """Take the values of tensors on one device along; at least one."""
        device = tensors[0].device
        kept = KeptTensors(device, self._last() if self._last else None)
        if device.type == "cuda":
            copies = self._copies(device)
            copies.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(copies):
                for tensor in tensors:
                    host = self.host_memory_for(tensor)
                    kept.hosts.append(host.copy_(tensor, non_blocking=True))
                    tensor.record_stream(copies)
        else:
            kept.hosts += [tensor.clone() for tensor in tensors]
        self._last = weakref.ref(kept)
        return kept

    def host_memory_for(self, tensor: torch.Tensor) -> torch.Tensor:
        """Uninitialised memory on the host for its values: page-locked, unless that is refused."""
        try:
            return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        except RuntimeError as error:  # torch says it in the words that it has for a full card
            if "out of memory" not in str(error).lower():
                raise
        if not self._was_refused:
            self._was_refused = True
            logger.warning(
                "CUDA would not lock more host memory for the inputs of blocks that wait there: "
                "their copies will not run beside the card's work."
            )
        return torch.empty(tensor.shape, dtype=tensor.dtype)

    def take(self, kept: KeptTensors) -> list[torch.Tensor]:
        """The tensors on their device again, once; those kept before them start on their way."""
        self._call_back(kept)
        before = kept.before() if kept.before else None
        if before is not None:
            self._call_back(before)
        tensors = kept.returning
        assert tensors is not None
        kept.returning, kept.hosts = None, []
        if kept.returned is not None:
            compute = torch.cuda.current_stream(kept.device)
            compute.wait_event(kept.returned)
            for tensor in tensors:
                tensor.record_stream(compute)
        return tensors

    def _call_back(self, kept: KeptTensors) -> None:
        if kept.returning is not None or not kept.hosts:
            return
        if kept.device.type != "cuda":
            kept.returning = [host.clone() for host in kept.hosts]
            return
        copies = self._copies(kept.device)
        with torch.cuda.stream(copies):
            kept.returning = [host.to(kept.device, non_blocking=True) for host in kept.hosts]
            kept.returned = torch.cuda.Event()
            kept.returned.record(copies)

    def _copies(self, device: torch.device) -> torch.cuda.Stream:
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)
        return self._stream
