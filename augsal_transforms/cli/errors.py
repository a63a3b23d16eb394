"""How commands end: 0, 2 for a mistake at the shell, 3 for what could not be done to the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

UNFINISHED = 3  # done, and told what could not be


@contextmanager
def usage_errors() -> Iterator[None]:
    """Print the library's errors as one line and exit with 2, as click does for its own."""
    try:
        yield
    except typer.Exit:
        raise
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        typer.echo(f"augsal: {error}", err=True)
        raise typer.Exit(2) from error
