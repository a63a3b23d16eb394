"""Progress bars of commands: on stderr, and only where it is a terminal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")]


def bars(quiet: bool, unit: str) -> Callable[..., Any]:
    """Make bars with the rate and the time left, which vanish at the end.

    Args:
        quiet: Whether no bar is shown even in a terminal.
        unit: Name of one step.

    Returns:
        tqdm, set up: call it with what is to be iterated over, or with ``total``.
    """
    from tqdm import tqdm

    # `disable=None` is tqdm's way to say: silent where stderr is no terminal.
    return partial(tqdm, unit=unit, leave=False, dynamic_ncols=True, disable=True if quiet else None)
