"""The six properties of a region before and after an edit, as text and as bars."""

from __future__ import annotations

from dataclasses import dataclass

from augsal_transforms.gallery.shown import ShownEdit
from augsal_transforms.photometry import PROPERTIES


@dataclass(frozen=True)
class PropertyRow:
    """One property of the region before and after an edit, with the place of its bar; places lie in [0, 100].

    Attributes:
        name: The property.
        before: Its value, as text.
        after: Its value after the edit, as text.
        bars: Lengths of the two bars.
        bounds: Places of the two bounds, or ``None`` where they are unknown.
        limits: Whether this property limited the edit.
    """

    name: str
    before: str
    after: str
    bars: tuple[float, float]
    bounds: tuple[float, float] | None
    limits: bool


def to_rows(edit: ShownEdit) -> list[PropertyRow]:
    """The six properties of an edit's region, in the order of ``PROPERTIES``."""
    before, after = edit.result.properties_before, edit.result.properties_after
    limit = edit.result.bound_by.removesuffix(" (LLFR)")
    return [
        PropertyRow(
            name=name.replace("_", " "),
            before=_number(before[name]),
            after=_number(after[name]),
            bars=(_place(before[name]), _place(after[name])),
            bounds=(_place(before[name] - edit.bounds[n]), _place(before[name] + edit.bounds[n]))
            if edit.bounds
            else None,
            limits=name == limit,
        )
        for n, name in enumerate(PROPERTIES)
    ]


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"


def _place(value: float) -> float:
    return round(100 * min(max(value, 0.0), 1.0), 1)
