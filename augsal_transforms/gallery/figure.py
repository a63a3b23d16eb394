"""A gallery as one figure: a row an image, with its map, its region and up to three edits (as Fig. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL.Image

from augsal_transforms.gallery.canvas import GALLERY, SOFT, Canvas
from augsal_transforms.gallery.choose import evenly
from augsal_transforms.gallery.pictures import shrink
from augsal_transforms.gallery.shown import ShownEdit, ShownImage
from augsal_transforms.gallery.texts import Caption, mark_word, shorten

_SIDE, _GAP, _LINE = 170, 10, 18  # pixels of a panel, between panels, and of a line of text
_EDITS = 3  # in a row
_LONGEST = 120  # characters of a caption


@dataclass(frozen=True)
class Row:
    """One image of the figure: its caption, and its panels, each with a title of one or two lines."""

    caption: Caption
    panels: list[tuple[str, PIL.Image.Image]]


def to_row(shown: ShownImage) -> Row:
    """The row of an image: its edits of the kind that it was chosen for, or one of each kind where there is one α."""
    of_kind = [edit for edit in shown.edits if edit.result.kind == shown.kind]
    edits = evenly(of_kind if len(of_kind) > 1 else shown.edits, _EDITS)
    first, side = edits[0].result, round(1.5 * _SIDE)
    dimmed = (shown.image * (0.25 + 0.75 * first.edit_mask)).to(shown.image.dtype)
    panels = [("image", shrink(shown.image, side))]
    if shown.saliency_map is not None:
        panels.append(("saliency map", shrink(shown.saliency_map, side)))
    panels.append(("region", shrink(dimmed, side)))
    panels += [(_title(edit), shrink(edit.result.image, side)) for edit in edits]
    return Row(shorten(mark_word(edits[0].prompt, first.word), _LONGEST), panels)


def _title(edit: ShownEdit) -> str:
    result = edit.result
    kind = f"{result.kind} {result.color}".strip()
    return f"{kind}, α = {result.alpha:g}\n{result.strength:.0%} of it allowed"


def draw_gallery(rows: Sequence[Row], path: Path) -> None:
    """Draw the rows and save the figure; its ending chooses the format."""
    columns, heights = max(len(row.panels) for row in rows), [_height(row) for row in rows]
    canvas = Canvas(columns * (_SIDE + _GAP) + _GAP, sum(heights) + len(rows) * (3 * _LINE + _GAP) + _GAP)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, (title, picture) in enumerate(row.panels):
            left = _GAP + column * (_SIDE + _GAP)
            below = {"horizontalalignment": "center", "verticalalignment": "bottom"}
            canvas.text(left + _SIDE / 2, top + 2 * _LINE - 4, title, size=7, color=SOFT, **below)
            canvas.picture(picture, (left, top + 2 * _LINE, _SIDE, height))
        canvas.caption(_GAP, top + 2 * _LINE + height + 3, row.caption)
        top += height + 3 * _LINE + _GAP
    canvas.save(path, GALLERY)


def _height(row: Row) -> int:
    """Height of the panels of a row, in pixels; a panel is at most a square."""
    return max(1, *(round(_SIDE * picture.height / max(picture.size)) for _, picture in row.panels))
