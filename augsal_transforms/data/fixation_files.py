"""The forms in which fixations come: .mat files, fixation maps, SALICON's JSON, and tables of eye trackers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augsal_transforms.data.images import read_image
from augsal_transforms.data.mat_files import load_mat
from augsal_transforms.data.names import match_names, printable
from augsal_transforms.data.osie import OsieFixations
from augsal_transforms.data.pictures import Source
from augsal_transforms.data.recorded import (
    Recorded,
    Recordings,
    Size,
    floor_pairs,
    refuse_shares,
    to_frame,
    to_pairs,
    to_recorded,
)
from augsal_transforms.data.tables import csv_plain, read_json, read_text

_LOSSY = ("JPEG", "MPO", "WEBP")
_LOSSY_MARK = 128  # the least value of a fixation in a map whose compression smears it
_MOST_LEVELS = 16  # values that differ, in a map of counts
_MOST_INTERIOR = 0.2  # share of marked pixels whose four neighbours are marked too; 0.07 at most in SALICON's
_MAT_KEYS = ("gaze", "resolution", "I", "fixLocs")


def read_fixation_file(path: Path) -> Recorded:
    """Fixations of one image from a .mat file or a fixation map.

    In a lossless map every pixel that is not black is a fixation; in JPEG and WebP, whose compression smears them,
    every pixel of at least 128. A map does not say how often a pixel was fixated.

    Raises:
        ValueError: If the file is neither, or is a blurred saliency map; the path is named.
        ImportError: For a .mat file where scipy is not installed.
    """
    if path.suffix.lower() == ".mat":
        return _read_mat(path)
    image = read_image(path)
    values = np.asarray(image if image.mode.startswith("I") else image.convert("L"))
    return _from_map(path, values, lossy=image.format in _LOSSY)


def _read_mat(path: Path) -> Recorded:
    table, variables = load_mat(path, _MAT_KEYS)
    if "gaze" in table:  # SALICON, 2015 and 2017
        return _from_gaze(path, table)
    for key in ("I", "fixLocs"):  # SALICON's first release and CAT2000: a map
        if key in table:
            return _from_map(path, _to_dense(path, key, table[key]), lossy=False)
    holds = ", ".join(variables) or "nothing"
    raise ValueError(f"{printable(path)} holds none of gaze, I (SALICON) and fixLocs (CAT2000), but {holds}.")


def _to_dense(path: Path, key: str, stored: Any) -> np.ndarray[Any, Any]:
    """A map of a .mat file, which MATLAB may store as a sparse matrix, as a dense array (H, W)."""
    values = stored.toarray() if hasattr(stored, "toarray") else np.asarray(stored)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or 0 in values.shape:
        raise ValueError(
            f"{printable(path)}: {key} must be a matrix (H, W) of numbers, got {values.dtype} {values.shape}."
        )
    return np.asarray(values)


def _from_gaze(path: Path, table: dict[str, Any]) -> Recorded:
    """A struct for each viewer, with ``location`` (the mouse's path), ``timestamp`` and ``fixations`` (x, y) from 1."""
    try:
        viewers = [np.asarray(viewer)["fixations"].item() for viewer in table["gaze"].flat]
        height, width = np.asarray(table["resolution"]).ravel().tolist()
        viewers = [points.toarray() if hasattr(points, "toarray") else points for points in viewers]
        return to_recorded(viewers, to_frame(height, width), first=1)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{printable(path)} holds a gaze that is not SALICON's: {type(error).__name__}: {error}."
        ) from error


def _from_map(path: Path, values: np.ndarray[Any, Any], *, lossy: bool) -> Recorded:
    """The marked pixels of a fixation map (H, W).

    Raises:
        ValueError: If it is a blurred map: with more values than counts have, or with areas marked and not points.
    """
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{printable(path)} holds NaN or infinite values; it is no fixation map.")
    levels = np.unique(values)
    many = not lossy and (len(levels) > _MOST_LEVELS + 1 or bool((levels % 1).any()) or levels[0] < 0)
    faint = lossy and 0 < levels[-1] < _LOSSY_MARK
    fixated = values >= _LOSSY_MARK if lossy else values > 0
    if many or faint or _interior(fixated) > _MOST_INTERIOR:
        shown = "areas are" if not (many or faint) else f"{len(levels)} different values are"
        raise ValueError(
            f"{printable(path)} holds a blurred saliency map, not fixations: {shown} marked, where a fixation map "
            "marks single pixels with one value. It belongs into maps; fixations are read from .mat files, .png "
            "fixation maps or SALICON's JSON release."
        )
    points = torch.from_numpy(fixated).nonzero().flip(1)  # (row, column) to (x, y)
    return Recorded(points, (fixated.shape[0], fixated.shape[1]))


def _interior(fixated: np.ndarray[Any, Any]) -> float:
    """Share of the marked pixels (H, W) whose four neighbours are marked too."""
    within = fixated[1:-1, 1:-1] & fixated[:-2, 1:-1] & fixated[2:, 1:-1] & fixated[1:-1, :-2] & fixated[1:-1, 2:]
    return float(within.sum() / max(fixated.sum(), 1))


def read_all(release: Path | Recordings, images: Mapping[str, Source]) -> Mapping[str, Recorded]:
    """Fixations of all images from one file: OSIE's .mat file, SALICON's JSON release, or what a layout found.

    Args:
        release: The file, or its fixations, which are read now.
        images: The images by name; others are left out.

    Raises:
        ValueError: If the file is something else.
        ImportError: If a library that reads the file is not installed.
    """
    if isinstance(release, Recordings):
        release.load()
        return release
    return OsieFixations(release, images) if release.suffix.lower() == ".mat" else read_release(release, images)


def read_release(path: Path, names: Collection[str]) -> dict[str, Recorded]:
    """Fixations of SALICON's JSON release, all viewers of an image together, for the images named.

    Raises:
        ValueError: If the file is not such a release.
    """
    try:
        table = read_json(path, object_hook=_pack)
        about = {entry["id"]: entry for entry in table["images"]}
        viewers: dict[Any, list[np.ndarray[Any, Any]]] = {}
        for entry in table["annotations"]:
            viewers.setdefault(entry["image_id"], []).append(entry["fixations"])
        files = {about[number]["file_name"]: number for number in viewers}
        if len(files) < len(viewers):
            raise ValueError("two images have the same file_name")
        found: dict[str, Recorded] = {}
        for file_name, name in match_names(files, names).items():
            if name in found:
                raise ValueError(f"two images are named {name!r}")
            number = files[file_name]
            frame = to_frame(about[number]["height"], about[number]["width"])
            found[name] = to_recorded(viewers[number], frame, first=1, swap=True)  # [row, column] from 1
        return found
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{printable(path)} must be SALICON's JSON release of fixations; reading it failed on "
            f"{type(error).__name__}: {error}."
        ) from error


def _pack(entry: dict[str, Any]) -> dict[str, Any]:
    """A viewer's points as an array once they are read: the release has millions, and lists of lists take gigabytes."""
    if "fixations" in entry:
        entry["fixations"] = to_pairs(entry["fixations"]).astype(np.float32)
    return entry


def read_fixation_table(path: Path, frames: Mapping[str, Size]) -> dict[str, Recorded]:
    """Fixations from a CSV table, as software of eye trackers exports it, for the images named.

    A row is a fixation, its columns ``image`` (file name, with or without its ending), ``x`` and ``y``, in pixels
    of the image from its upper left corner; other columns are ignored. A row whose x or y is empty, NaN or infinite
    is left out and counted.

    Args:
        path: The table.
        frames: (H, W) of each image by name.

    Raises:
        ValueError: If a column is missing, a row has no numbers (the line is named), or a column holds shares of the
            frame.
    """
    names: dict[str, str | None] = {}
    viewed: dict[str, list[tuple[float, float]]] = {}
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        if not {"image", "x", "y"} <= set(reader.fieldnames or ()):
            got = ", ".join(reader.fieldnames or ())
            raise ValueError(f"{printable(path)} must have the columns image, x and y, got {got}.")
        for row in reader:
            key = csv_plain(row["image"] or "")
            if key not in names:
                names[key] = match_names([key], frames).get(key)
            if (name := names[key]) is not None:
                viewed.setdefault(name, []).append(_point(row, f"{printable(path)}, line {reader.line_num}"))
    except csv.Error as error:
        raise ValueError(f"{printable(path)}, line {reader.line_num}: {error}.") from error
    every = np.array([point for points in viewed.values() for point in points]).reshape(-1, 2)
    for column, values in zip("xy", every.T, strict=True):
        try:
            refuse_shares(values[np.isfinite(values)], column)
        except ValueError as error:
            raise ValueError(f"{printable(path)}: {error}.") from error
    return {name: floor_pairs(np.array(points), frames[name]) for name, points in viewed.items()}


def _point(row: Mapping[str, str | None], place: str) -> tuple[float, float]:
    try:
        x, y = (math.nan if (cell := row[column]) is not None and not cell.strip() else cell for column in "xy")
        return float(x), float(y)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        got = f"{row['image']!r}, {row['x']!r} and {row['y']!r}"
        raise ValueError(f"{place}: image, x and y must be there, got {got}.") from None
