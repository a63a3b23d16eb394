"""Progress bars: on stderr, with the rate and the time left, and only where stderr is a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any

_hidden = ContextVar("hidden", default=False)  # whether a script was started with --quiet


def bars(quiet: bool, unit: str, desc: str | None = None) -> Callable[..., Any]:
    """Make bars that vanish at the end.

    Args:
        quiet: Whether no bar is shown even in a terminal.
        unit: Name of one step.
        desc: Text before the bar.

    Returns:
        tqdm, set up: call it with what is to be iterated over, or with ``total``.
    """
    from tqdm import tqdm

    # `disable=None` is tqdm's way to say: silent where stderr is no terminal.
    return partial(tqdm, desc=desc, unit=unit, leave=False, dynamic_ncols=True, disable=True if quiet else None)


class Quiet(argparse.Action):
    """The option ``--quiet`` of a script, which hides each ``progress_bar``."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help="show no progress bar")

    def __call__(self, *_: Any) -> None:
        """Hide the bars of this script from now on."""
        _hidden.set(True)


def progress_bar(
    items: Iterable[Any] | None = None, unit: str = "step", desc: str | None = None, **options: Any
) -> Any:
    """A bar of a script, which ``Quiet`` hides.

    Args:
        items: What is iterated over; ``None`` if ``update`` is called.
        unit: Name of one step.
        desc: Text before the bar.
        options: Other options of tqdm, such as ``total``.
    """
    return bars(_hidden.get(), unit, desc)(items, **options)
