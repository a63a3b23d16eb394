"""Shims: what an upstream needs today to start at all. Each is announced in one line."""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from augsal_transforms.adapters._patching import replaced


def say(shim: str) -> None:
    """Print one line for a shim that is needed."""
    print(f"augsal: shim: {shim}", flush=True)


@contextmanager
def stand_ins(**reasons: str) -> Iterator[None]:
    """Put empty modules in the place of modules that are missing and not needed.

    Args:
        **reasons: The reason why each module is not needed, by its name.
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
    """Without a CUDA device, let ``.cuda()`` do nothing and ``torch.load`` load onto the CPU."""
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
