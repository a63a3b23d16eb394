"""A training run with an adapter: what is patched meanwhile, and the check that the adapter did something."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from augsal_transforms.adapters._dataset import DatasetProxy, StoredEdits
from augsal_transforms.adapters._hook import EditingHook, gradient_scale_seen
from augsal_transforms.adapters._patching import replaced
from augsal_transforms.store.store import EditStore


def open_edits(store: EditStore | str | Path, p: float, seed: int) -> StoredEdits:
    """The edits of a store or of its folder."""
    return StoredEdits(store if isinstance(store, EditStore) else EditStore(store, readonly=True), p, seed)


@contextmanager
def training(hook: EditingHook, proxies: Sequence[DatasetProxy] = (), p: float | None = None) -> Iterator[EditingHook]:
    """Patch scalers and DataParallel for a training run, and leave nothing on models and data afterwards.

    Raises:
        RuntimeError: At the end, if no edited item was seen although p > 0, or, where p is not known, no item at all.
    """
    try:
        with gradient_scale_seen(hook), _carried_to_data_parallel(hook):
            yield hook
    finally:
        hook.detach()
        for proxy in proxies:
            proxy.release()
    inert = not hook.passes if p is None else p > 0 and not hook.edited
    if inert:
        raise RuntimeError(
            f"The augmentation did nothing: of {hook.passes} training passes through the adapter none held an edited "
            "image. Were the data loader and the model made before the adapter was entered, or is this another "
            "version of the upstream than the one it was written for?"
        )
    print(
        f"augsal: {hook.edited} edited items in {hook.passes} training passes, mean editing loss {hook.loss:.4f}",
        flush=True,
    )


@contextmanager
def _carried_to_data_parallel(hook: EditingHook) -> Iterator[None]:
    """Move the hook from a model to the DataParallel around it: each replica inside would add the whole loss."""
    original = nn.DataParallel.__init__

    @functools.wraps(original)
    def init(self: Any, module: nn.Module, *args: Any, **kwargs: Any) -> None:
        original(self, module, *args, **kwargs)
        if hook.holds(module):
            hook.detach(module)
            hook.attach(self)

    with replaced(nn.DataParallel, "__init__", init):
        yield
