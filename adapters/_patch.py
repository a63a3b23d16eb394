"""What the adapters share: replacing attributes for a while, the shims, and a training run with its two checks."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augsal_transforms.adapters._dataset import DatasetProxy, StoredEdits
from augsal_transforms.adapters._hook import EditingHook, gradient_scale_seen
from augsal_transforms.store.store import EditStore

_claimed: set[str] = set()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute replaced, and given back as it was."""
    own, before = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextmanager
def training(hook: EditingHook, proxies: Sequence[DatasetProxy] = (), p: float | None = None) -> Iterator[EditingHook]:
    """A training run: the hook knows of scalers and DataParallel; afterwards nothing is left on models and data.

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


def claim(upstream: str) -> None:
    """Refuse a second upstream in one process: both have modules called ``model``, ``loss`` and ``dataloader``."""
    _claimed.add(upstream)
    if len(_claimed) > 1:
        raise RuntimeError(f"One upstream a process: {' and '.join(sorted(_claimed))} were both asked for in this one.")


def upstream_module(name: str, folder: str) -> ModuleType:
    """A module of an upstream, which must be importable already.

    Raises:
        ModuleNotFoundError: Saying from where to start.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f"There is no module {name!r} here. Start in the checkout's folder {folder}, or put it on `sys.path`.",
            name=name,
        ) from error


def open_edits(store: EditStore | str | Path, p: float, seed: int) -> StoredEdits:
    """The edits of a store or of its folder."""
    return StoredEdits(store if isinstance(store, EditStore) else EditStore(store, readonly=True), p, seed)


def say(shim: str) -> None:
    """One line for each shim that was needed."""
    print(f"augsal: shim: {shim}", flush=True)


@contextmanager
def stand_ins(**reasons: str) -> Iterator[None]:
    """Modules that are missing and whose calls do nothing that matters, as empty ones.

    Args:
        **reasons: By name, why the module can do without.
    """
    missing = [name for name in reasons if name not in sys.modules and importlib.util.find_spec(name) is None]
    for name in missing:
        module = ModuleType(name)
        module.__getattr__ = _nothing  # type: ignore[method-assign]
        sys.modules[name] = module
        say(f"{name} is not installed and stood in for by an empty module: {reasons[name]}")
    try:
        yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)


def _nothing(name: str) -> Callable[..., None]:
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda *args, **kwargs: None


@contextmanager
def without_cuda() -> Iterator[None]:
    """Where there is no CUDA device, let ``.cuda()`` do nothing and ``torch.load`` load onto the CPU."""
    with ExitStack() as stack:
        if not torch.cuda.is_available():
            say("no CUDA device: `.cuda()` leaves tensors on the CPU, `torch.load` maps to it")
            stack.enter_context(replaced(Tensor, "cuda", lambda self, *args, **kwargs: self))
            stack.enter_context(replaced(torch, "load", functools.partial(torch.load, map_location="cpu")))
        yield


@contextmanager
def with_trapz() -> Iterator[None]:
    """``numpy.trapz``, which NumPy 2.4 no longer has, under its old name."""
    with ExitStack() as stack:
        if not hasattr(np, "trapz"):
            say("numpy.trapz is gone; numpy.trapezoid is put in its place")
            stack.enter_context(replaced(np, "trapz", np.trapezoid))
        yield


@contextmanager
def forked_workers() -> Iterator[None]:
    """Let data loaders fork: started any other way, a worker would run a script without main guard once more."""
    before = multiprocessing.get_start_method()
    if before == "fork" or "fork" not in multiprocessing.get_all_start_methods():
        yield
        return
    say(f"data loader workers are forked, not started by {before}: the script has no main guard")
    multiprocessing.set_start_method("fork", force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)
