"""Replace attributes of an upstream for a while, and find its modules."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_claimed: set[str] = set()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute for a block, and put it back afterwards."""
    own, before = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def claim(upstream: str) -> None:
    """Refuse a second upstream in one process: both have modules called ``model``, ``loss`` and ``dataloader``."""
    _claimed.add(upstream)
    if len(_claimed) > 1:
        raise RuntimeError(f"One upstream a process: {' and '.join(sorted(_claimed))} were both asked for in this one.")


def upstream_module(name: str, folder: str) -> ModuleType:
    """Import a module of an upstream.

    Raises:
        ModuleNotFoundError: If it is not found; the message says in which folder to start.
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
