"""Help texts that list what the package knows, filled in when a command's own help is printed.

``augsal --help`` prints none of them, so that it does not wait for torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperOption


def known_names() -> dict[str, str]:
    """The names of layouts, presets, kinds and colours, by the placeholder that stands for them in help texts."""
    from augsal_transforms.data.layouts import LAYOUTS
    from augsal_transforms.editor.edits import COLORS, KINDS
    from augsal_transforms.metrics.presets import PRESETS

    tables: dict[str, Iterable[str]] = {"layouts": LAYOUTS, "presets": PRESETS, "kinds": KINDS, "colors": COLORS}
    return {name: ", ".join(table) for name, table in tables.items()}


class Command(TyperCommand):
    """A command whose options' help texts may hold ``{layouts}``, ``{presets}``, ``{kinds}`` and ``{colors}``."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Fill the placeholders in, then print the help."""
        named = [option for option in self.params if isinstance(option, (TyperOption, TyperArgument))]
        unfilled = [option for option in named if "{" in (option.help or "")]
        names = known_names() if unfilled else {}
        for option in unfilled:
            option.help = (option.help or "").format(**names)
        super().format_help(ctx, formatter)
