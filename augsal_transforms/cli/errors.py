"""Mistakes at the shell: one line, exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

FINISHED_WITH_FAILURES = 3  # the command did its work, and found or left something that failed


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
