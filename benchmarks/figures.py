"""A measured figure with the bar that was set before, and a table of such figures."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Figure:
    """A measured figure, its bar, and whether the bar holds; a figure without a bar is only shown."""

    name: str
    value: str
    bar: str = ""
    holds: bool | None = None


def report(figures: list[Figure], path: Path | None) -> None:
    """Print a table; write the same as JSON where a path is given."""
    print("| figure | measured | asked for | |\n|---|---|---|---|")
    for figure in figures:
        verdict = "" if figure.holds is None else "yes" if figure.holds else "**no**"
        print(f"| {figure.name} | {figure.value} | {figure.bar} | {verdict} |")
    if path:
        path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
