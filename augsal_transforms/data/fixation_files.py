"""The forms in which fixations come: .mat files, fixation maps, SALICON's JSON, and tables of eye trackers."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from augsal_transforms.data.images import read_image

_LOSSY = (".jpg", ".jpeg")
_ENDING = re.compile(r"\.(jpe?g|png|webp|bmp)$", re.IGNORECASE)


class Recorded(NamedTuple):
    """Fixations as a file has them: ``points`` (N, 2), int64, x and y from 0, and their frame's (H, W)."""

    points: Tensor
    frame: tuple[int, int]

    @property
    def outside(self) -> int:
        """How many points lie outside the frame."""
        return int((self.points != self.clipped()).any(1).sum())

    def clipped(self) -> Tensor:
        """The points, (N, 2), those outside the frame moved to its edge."""
        height, width = self.frame
        return self.points.clamp(torch.tensor([0, 0]), torch.tensor([width - 1, height - 1]))


def read_fixation_file(path: Path) -> Recorded:
    """Fixations of one image from a .mat file or a fixation map.

    In maps written as PNG every pixel that is not black is a fixation; in those written as JPEG, which smears
    them, every pixel of at least 128. A map does not tell how often a pixel was looked at.

    Raises:
        ValueError: If the file is neither; the path is named.
        ImportError: For a .mat file where scipy is not installed.
    """
    if path.suffix.lower() == ".mat":
        return _read_mat(path)
    image = read_image(path)
    values = np.asarray(image if image.mode.startswith("I") else image.convert("L"))
    return _from_map(values >= 128 if path.suffix.lower() in _LOSSY else values > 0)


def _read_mat(path: Path) -> Recorded:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(
            f'{path} needs scipy to be read: pip install "augsal-transforms[salicon]". '
            "Where it is installed, `augsal convert-fixations` makes .png fixation maps, which need no scipy."
        ) from error
    try:
        table = loadmat(path)
    except Exception as error:  # a damaged file fails anywhere in scipy's parser
        raise ValueError(f"{path} is not a readable .mat file: {error}") from error
    if "gaze" in table:  # SALICON, 2015 and 2017
        return _from_gaze(path, table)
    for key in ("I", "fixLocs"):  # SALICON's first release and CAT2000: a map
        if key in table:
            if (table[key] % 1).any():
                raise ValueError(f"{path} holds a blurred saliency map, not fixations; it belongs into maps.")
            return _from_map(table[key] > 0)
    keys = ", ".join(key for key in table if not key.startswith("__"))
    raise ValueError(f"{path} holds none of gaze, I (SALICON) and fixLocs (CAT2000), but {keys or 'nothing'}.")


def _from_gaze(path: Path, table: dict[str, Any]) -> Recorded:
    """A struct for each viewer, with ``location`` (the mouse's path), ``timestamp`` and ``fixations`` (x, y) from 1."""
    try:
        viewers = [np.asarray(viewer)["fixations"].item().reshape(-1, 2) for viewer in table["gaze"].flat]
        height, width = table["resolution"].ravel().tolist()
    except (AttributeError, IndexError, KeyError, ValueError) as error:
        raise ValueError(f"{path} holds a gaze that is not SALICON's: {type(error).__name__}: {error}.") from error
    return Recorded(_points(np.concatenate([np.empty((0, 2)), *viewers])), (height, width))


def _points(one_based: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.rint(one_based).astype(np.int64)) - 1


def _from_map(fixated: np.ndarray[Any, Any]) -> Recorded:
    points = torch.from_numpy(fixated).nonzero().flip(1)  # (row, column) to (x, y)
    return Recorded(points, (fixated.shape[0], fixated.shape[1]))


def read_release(path: Path, names: Collection[str]) -> dict[str, Recorded]:
    """Fixations of SALICON's JSON release, all viewers of an image together, for the images named.

    Raises:
        ValueError: If the file is not such a release.
    """
    try:
        table = json.loads(path.read_text(), object_hook=_pack)
        about = {entry["id"]: entry for entry in table["images"]}
        points: dict[int, list[np.ndarray[Any, Any]]] = {}
        for entry in table["annotations"]:
            points.setdefault(entry["image_id"], []).append(entry["fixations"])
        named = {Path(about[number]["file_name"]).stem: number for number in points}
        frames = {number: (about[number]["height"], about[number]["width"]) for number in points}
        return {  # [row, column] from 1
            name: Recorded(_points(np.concatenate(points[number])[:, ::-1]), frames[number])
            for name, number in named.items()
            if name in names
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be SALICON's JSON release of fixations; reading it failed on {type(error).__name__}: {error}."
        ) from error


def _pack(entry: dict[str, Any]) -> dict[str, Any]:
    """A viewer's points as an array once they are read: the release has millions, and lists of lists take gigabytes."""
    if "fixations" in entry:
        entry["fixations"] = np.array(entry["fixations"], np.float32).reshape(-1, 2)
    return entry


def read_fixation_table(path: Path, frames: Mapping[str, tuple[int, int]]) -> dict[str, Recorded]:
    """Fixations from a CSV table, as software of eye trackers exports it, for the images named.

    A row is a fixation, its columns ``image`` (file name, with or without its ending), ``x`` and ``y``, in pixels
    of the image from its upper left corner; other columns are ignored.

    Args:
        path: The table.
        frames: (H, W) of each image by name.

    Raises:
        ValueError: If a column is missing or a row has no numbers; the line is named.
    """
    points: dict[str, list[tuple[int, int]]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"image", "x", "y"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path} must have the columns image, x and y, got {', '.join(reader.fieldnames or ())}.")
        for row in reader:
            try:
                name = _ENDING.sub("", row["image"])
                if name not in frames:
                    continue
                points.setdefault(name, []).append((math.floor(float(row["x"])), math.floor(float(row["y"]))))
            except (OverflowError, TypeError, ValueError):
                got = f"{row['image']!r}, {row['x']!r} and {row['y']!r}"
                raise ValueError(f"{path}, line {reader.line_num}: image, x and y must be there, got {got}.") from None
    return {name: Recorded(torch.tensor(found), frames[name]) for name, found in points.items()}
