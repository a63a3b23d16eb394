"""The second pass of a model over a batch, run so that it leaves no trace: same randomness, same statistics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class RandomState:
    """Torch's random state before the main pass: dropout must drop the same units of the edited images."""

    def __init__(self, device: torch.device) -> None:
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if device.type == "cuda" else []

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Run from this state; afterwards the state is what it was before."""
        with torch.random.fork_rng(devices=range(len(self.cuda))):
            torch.set_rng_state(self.cpu)
            if self.cuda:
                torch.cuda.set_rng_state_all(self.cuda)
            yield


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Normalise by the batch's statistics where training does, and let the running ones be as they were after.

    Note:
        The buffers are exchanged and not ``track_running_stats`` switched off: a layer under activation
        checkpointing, run again in ``backward``, must save as many tensors as before. What it adds to its
        statistics then, it adds, as checkpointing has every batch norm count its batches twice.
    """
    norms = [m for m in module.modules() if m.training and getattr(m, "track_running_stats", False)]
    own = [dict(norm.named_buffers(recurse=False)) for norm in norms]
    for norm, buffers in zip(norms, own, strict=True):
        norm._buffers.update({name: buffer.clone() for name, buffer in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, own, strict=True):
            norm._buffers.update(buffers)


def synchronises(module: nn.Module) -> bool:
    """Whether a pass needs all ranks, so that one that has an edit must not run it alone."""
    return any(isinstance(m, nn.SyncBatchNorm) for m in module.modules())
