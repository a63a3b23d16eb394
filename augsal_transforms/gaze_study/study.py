"""A study of people on disk: which edits were shown, where each changed the image, and who looked where.

``edits.csv`` has a row for each edit (columns ``edit``, ``original``, ``kind``, ``alpha``; others are ignored),
``masks`` its edit mask by the name of the edit, or of the original where all edits share one, and fixations of
all images that were shown lie in ``fixations.csv`` or in any form that ``read_fixations`` knows of a plain
folder. ``write_stimuli`` makes all but the fixations.

Originals are to be shown as edits are. The fixations of a data set whose maps chose the regions are high there by that
choice, and would seem to fall after any edit.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from augsal_transforms.data.fixation_files import read_fixation_table
from augsal_transforms.data.fixations import Fixations, count_fixations, find_fixations
from augsal_transforms.data.images import read_image, to_saliency_map
from augsal_transforms.data.recorded import place_fixations
from augsal_transforms.gaze_study.report import ShiftStudy
from augsal_transforms.gaze_study.shift import GazeChange, gaze_in_region

COLUMNS = ("edit", "original", "kind", "alpha")
TABLE = "edits.csv"
Size = tuple[int, int]


class ShownEdit(NamedTuple):
    """An edited image that was shown, and the file of its edit mask."""

    edit: str
    original: str
    kind: str
    alpha: float
    mask: Path


def read_edit_table(folder: Path) -> list[ShownEdit]:
    """The rows of ``edits.csv``.

    Raises:
        FileNotFoundError: If the table or a mask is not there.
        ValueError: If there is no edit, a column is missing, a strength is no number, or a name is there twice.
    """
    path = folder / TABLE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: `augsal stimuli` writes it, or a table of {', '.join(COLUMNS)}.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if lacking := set(COLUMNS) - set(reader.fieldnames or ()):
            raise ValueError(
                f"{path} must have the columns {', '.join(COLUMNS)}; it lacks {', '.join(sorted(lacking))}."
            )
        edits = [_shown_edit(folder, row, f"{path}, line {reader.line_num}") for row in reader]
    if not edits:
        raise ValueError(f"{path} names no edit.")
    names = [edit.edit for edit in edits] + list({edit.original for edit in edits})
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{path} has {min(repeated)!r} more than once, as an edit, or as an edit and an original.")
    return edits


def _shown_edit(folder: Path, row: Mapping[str, str], place: str) -> ShownEdit:
    try:
        alpha = float(row["alpha"])
    except (TypeError, ValueError):
        alpha = math.nan
    if not math.isfinite(alpha):
        raise ValueError(f"{place}: alpha must be a number, got {row['alpha']!r}.")
    places = [folder / "masks" / f"{row[name]}.png" for name in ("edit", "original")]
    mask = next((path for path in places if path.exists()), None)
    if mask is None:
        raise FileNotFoundError(f"{place}: there is neither {places[0]} nor {places[1]}.")
    return ShownEdit(row["edit"], row["original"], row["kind"], alpha, mask)


def read_study(folder: Path) -> ShiftStudy:
    """Compare the gaze of people on edits and originals.

    The fixations of all viewers of an image are taken together; those outside the image are left out and counted.
    Images without any stay in the study as undefined.

    Raises:
        FileNotFoundError: If ``edits.csv``, a mask, or all fixations are missing.
        ValueError: If the table is wrong, or fixations belong to an image of another size than its mask.
    """
    edits = read_edit_table(folder)
    masks = {edit.edit: _read_mask(edit.mask) for edit in edits}
    frames = _frames(edits, {name: (mask.shape[-2], mask.shape[-1]) for name, mask in masks.items()})
    fixations = _find_fixations(folder, frames)
    gaze, outside = {}, 0
    for name, frame in frames.items():
        points, left_out = _inside(fixations, name, frame)
        gaze[name], outside = count_fixations(points, frame), outside + left_out
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
    """(H, W) of every image that was shown."""
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
            raise ValueError(f"{table} has no fixation of an image that {TABLE} names, as {next(iter(frames))!r}.")
        return Fixations({}, recorded)
    fixations = find_fixations(folder, "train", "plain", frames)
    if not fixations:
        raise FileNotFoundError(
            f"{folder} has no fixations of what {TABLE} names. Expected fixations.csv (image, x, y), or "
            "fixations/NAME.mat or .png for every edit and original."
        )
    return fixations


def _inside(fixations: Fixations, name: str, frame: Size) -> tuple[Tensor, int]:
    """An image's fixations inside its frame, and how many lie outside."""
    if name not in fixations:
        return torch.zeros(0, 2, dtype=torch.long), 0
    return place_fixations(fixations.recorded(name), frame, name=name)
