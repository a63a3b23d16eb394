"""The option ``--quiet`` of commands, and their progress bars."""

from __future__ import annotations

from typing import Annotated

import typer

from augsal_transforms.progress import bars

__all__ = ["Quiet", "bars"]

Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress bar.")]
