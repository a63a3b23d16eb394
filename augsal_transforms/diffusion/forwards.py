"""Replace the forwards of modules for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor


@contextmanager
def replaced_forwards(forwards: Mapping[Any, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Give modules other forwards while the block runs.

    A compiled network notices that a module's forward has changed. It would not notice hooks.

    Args:
        forwards: The new forward of each module; the lock of their model must be held.
    """
    own = {module: vars(module).get("forward") for module in forwards}  # set on the module itself, as offloading does
    try:
        for module, forward in forwards.items():
            module.forward = forward
        yield
    finally:
        for module, forward in own.items():
            del module.forward
            if forward is not None:
                module.forward = forward
