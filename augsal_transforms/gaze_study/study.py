"""A fixation-shift study of people on disk: the edits that were shown, their edit masks, and the fixations.

``edits.csv`` has a row for each edit, with the columns ``edit``, ``original``, ``kind`` and ``alpha``; others are
ignored. ``masks`` has an edit mask for each edit, named as the edit, or one named as the original if all edits share
it. The fixations on all images that were shown are in ``fixations.csv``, or in a form that ``read_fixations`` finds in
a plain folder. ``write_stimuli`` writes everything but the fixations.

Show the originals as the edits are shown. A data set's own fixations do not do for the originals: its saliency maps
chose the regions, so their gaze is high there by that choice, and would seem to fall after any edit.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from augsal_transforms.data.fixation_files import read_fixation_table
from augsal_transforms.data.fixations import Fixations, count_fixations, find_fixations
from augsal_transforms.data.images import read_image, to_saliency_map
from augsal_transforms.data.layouts import LAYOUTS
from augsal_transforms.data.names import to_name
from augsal_transforms.data.recorded import Placed, place_fixations
from augsal_transforms.data.tables import csv_plain, read_text
from augsal_transforms.gaze_study.report import ShiftStudy
from augsal_transforms.gaze_study.shift import ALL_KINDS, GazeChange, gaze_in_region

COLUMNS = ("edit", "original", "kind", "alpha")
TABLE = "edits.csv"
Size = tuple[int, int]


class ShownEdit(NamedTuple):
    """A row of ``edits.csv``: an edited image that was shown, with the file of its edit mask."""

    edit: str
    original: str
    kind: str
    alpha: float
    mask: Path


def read_edit_table(folder: Path) -> list[ShownEdit]:
    """The rows of ``edits.csv``.

    Raises:
        FileNotFoundError: If the table or a mask is missing.
        ValueError: If the table names no edit, lacks a column or a cell, or names an image twice; if a name is no
            plain file name, or an alpha no number. The line is named.
    """
    path = folder / TABLE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: `augsal stimuli` writes it, or a table of {', '.join(COLUMNS)}.")
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        if lacking := set(COLUMNS) - set(reader.fieldnames or ()):
            raise ValueError(
                f"{path} must have the columns {', '.join(COLUMNS)}, separated by commas; it lacks "
                f"{', '.join(sorted(lacking))}."
            )
        edits = [_shown_edit(folder, row, f"{path}, line {reader.line_num}") for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}.") from error
    if not edits:
        raise ValueError(f"{path} names no edit.")
    names = Counter([*(edit.edit for edit in edits), *{edit.original for edit in edits}])
    if repeated := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"{path} has {repeated[0]!r} more than once, as an edit, or as an edit and an original.")
    return edits


def _shown_edit(folder: Path, row: Mapping[str, str | None], place: str) -> ShownEdit:
    cells = {column: csv_plain(row[column] or "") for column in COLUMNS}
    if empty := [column for column, cell in cells.items() if not cell.strip()]:
        raise ValueError(f"{place}: {empty[0]} is empty.")
    edit, original = (_image_name(cells[column], f"{place}: {column}") for column in ("edit", "original"))
    if cells["kind"] == ALL_KINDS:
        raise ValueError(f"{place}: kind must not be {ALL_KINDS!r}, the report's name for all kinds together.")
    try:
        alpha = float(cells["alpha"])
    except ValueError:
        alpha = math.nan
    if not math.isfinite(alpha):
        raise ValueError(f"{place}: alpha must be a number, with a point and no comma, got {cells['alpha']!r}.")
    masks = [folder / "masks" / f"{cells[column]}.png" for column in ("edit", "original")]
    mask = next((path for path in masks if path.exists()), None)
    if mask is None:
        raise FileNotFoundError(f"{place}: there is neither {masks[0]} nor {masks[1]}.")
    return ShownEdit(edit, original, cells["kind"], alpha, mask)


def _image_name(cell: str, place: str) -> str:
    if Path(cell).name != cell or "\\" in cell or "\0" in cell:
        raise ValueError(f"{place} must be the name of an image without its folder and ending, got {cell!r}.")
    return to_name(cell)


def read_study(folder: Path, *, progress: Callable[[Collection[Any]], Iterable[Any]] = iter) -> ShiftStudy:
    """Compare the gaze of people on edited images and on their originals.

    The fixations of all viewers of an image are taken together. Those outside the image, or without coordinates, are
    left out and counted. Images without fixations stay in the study as undefined.

    Args:
        folder: Folder of the study.
        progress: Wrapper of the masks, then of the images, that is iterated over, such as ``tqdm``.

    Raises:
        FileNotFoundError: If ``edits.csv``, a mask, or all fixations are missing.
        ValueError: If a table or a file is wrong, or fixations were recorded on an image of another size than its
            mask.
    """
    edits = read_edit_table(folder)
    masks = {edit.edit: _read_mask(edit.mask) for edit in progress(edits)}
    frames = _frames(edits, {name: (mask.shape[-2], mask.shape[-1]) for name, mask in masks.items()})
    fixations = _find_fixations(folder, frames)
    gaze, outside = {}, 0
    for name, frame in progress(frames.items()):
        placed = _place(fixations, name, frame)
        gaze[name], outside = count_fixations(placed.points, frame), outside + placed.left_out
    changes = []
    for edit in edits:
        after, before = (gaze_in_region(gaze[name], masks[edit.edit]) for name in (edit.edit, edit.original))
        changes.append(GazeChange(edit.original, edit.kind, edit.alpha, (after - before).item()))
    return ShiftStudy(
        source=str(folder),
        changes=tuple(changes),
        fixations=sum(int(counts.sum()) for counts in gaze.values()),
        outside=outside,
        unseen=tuple(name for name, counts in gaze.items() if not counts.any()),
    )


def _read_mask(path: Path) -> Tensor:
    picture = read_image(path)
    edit_mask: Tensor = to_saliency_map(picture, (picture.height, picture.width)).as_subclass(Tensor)
    return edit_mask


def _frames(edits: list[ShownEdit], sizes: Mapping[str, Size]) -> dict[str, Size]:
    """(H, W) of every image that was shown, by name: those of the masks."""
    frames: dict[str, Size] = {}
    for edit in edits:
        size = frames[edit.edit] = sizes[edit.edit]
        if frames.setdefault(edit.original, size) != size:
            raise ValueError(
                f"{edit.mask} must have {frames[edit.original]} (H, W) as its original's other masks, got {size}."
            )
    return frames


def _find_fixations(folder: Path, frames: Mapping[str, Size]) -> Fixations:
    table = folder / "fixations.csv"
    if table.exists():
        recorded = read_fixation_table(table, frames)
        if not recorded:
            raise ValueError(f"{table} has no fixation of an image that {TABLE} names, such as {next(iter(frames))!r}.")
        return Fixations({}, recorded)
    files = LAYOUTS["plain"].files(folder, "train")
    fixations = find_fixations(files, {name: folder / name for name in frames})
    if not fixations:
        raise FileNotFoundError(
            f"{folder} has no fixations of the images that {TABLE} names. Expected fixations.csv (image, x, y), or "
            "fixations/NAME.mat or .png for every edit and original."
        )
    return fixations


def _place(fixations: Fixations, name: str, frame: Size) -> Placed:
    """An image's fixations; none if it has none."""
    if name not in fixations:
        return Placed(torch.zeros(0, 2, dtype=torch.long), 0)
    return place_fixations(fixations.recorded(name), frame, name=name)
