"""The fixations of OSIE, and of its authors' other data sets: one .mat file with all images and viewers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from augsal_transforms.data.images import read_size
from augsal_transforms.data.mat_files import load_mat
from augsal_transforms.data.names import match_names, printable
from augsal_transforms.data.pictures import Source
from augsal_transforms.data.recorded import Recorded, Recordings, refuse_shares, round_pairs, to_pairs

Viewers = tuple[np.ndarray[Any, Any], ...]

_VARIABLE = "fixations"


class OsieFixations(Recordings):
    """The fixations of every image of such a .mat file, all viewers of an image together.

    The file has no frames: a frame is the size of the image, which is read when its fixations are asked for.

    Args:
        path: The .mat file.
        images: The images by name. An entry whose image is not among them is left out.

    Attributes:
        viewers: For each image the points of each viewer, (N, 2), x and y in pixels from 1.
        unmatched: The file's names of images that are not there.

    Raises:
        ValueError: If the file has another form; the image and the viewer are named.
        ImportError: If scipy is not installed.
    """

    def __init__(self, path: Path, images: Mapping[str, Source]) -> None:
        self.path, stored = path, read_viewers(path)
        names = match_names(stored, images)
        self.images, self.viewers = images, dict[str, Viewers]()
        self.unmatched = [entry for entry in stored if entry not in names]
        for entry, name in names.items():
            if name in self.viewers:
                raise ValueError(f"{printable(path)}: two entries of `{_VARIABLE}` name the image {name!r}.")
            self.viewers[name] = stored[entry]

    def load(self) -> None:
        """Nothing is left to read."""

    def __getitem__(self, name: str) -> Recorded:
        points = np.concatenate([np.empty((0, 2)), *self.viewers[name]])
        return round_pairs(points, read_size(self.images[name]), first=1)

    def __contains__(self, name: object) -> bool:
        return name in self.viewers  # no image is read

    def __iter__(self) -> Iterator[str]:
        return iter(self.viewers)

    def __len__(self) -> int:
        return len(self.viewers)


def read_viewers(path: Path) -> dict[str, Viewers]:
    """The points of each viewer, (N, 2), x and y in pixels from 1, by the file's names of the images.

    The variable ``fixations`` holds a struct for each image, with the fields ``img`` and ``subjects``; ``subjects``
    holds a struct for each viewer, with ``fix_x`` and ``fix_y``.

    Raises:
        ValueError: If the file has another form; the image and the viewer are named.
        ImportError: If scipy is not installed.
    """
    status = path.stat()
    return dict(_read(path, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=2)  # a data set reads its maps and its fixations from the same file
def _read(path: Path, _size: int, _changed: int) -> dict[str, Viewers]:
    table, variables = load_mat(path, [_VARIABLE], objects=True)
    place = printable(path)
    if _VARIABLE not in table:
        raise ValueError(f"{place} must hold the variable `{_VARIABLE}`, as in OSIE; it holds {', '.join(variables)}.")
    found: dict[str, Viewers] = {}
    for number, entry in enumerate(_elements(table[_VARIABLE]), 1):
        name = getattr(entry, "img", None)
        if not isinstance(name, str) or not name or not hasattr(entry, "subjects"):
            raise ValueError(
                f"{place}: entry {number} of `{_VARIABLE}` must be a struct with `img`, the name of a file, and "
                f"`subjects`; it {_describe(entry)}."
            )
        if name in found:
            raise ValueError(f"{place}: two entries of `{_VARIABLE}` name the image {name!r}.")
        found[name] = tuple(_read_image(entry.subjects, f"{place}: image {name!r}"))
    every = np.concatenate([np.empty((0, 2)), *(points for viewers in found.values() for points in viewers)])
    for column, values in zip("xy", every.T, strict=True):
        try:
            refuse_shares(values[np.isfinite(values)], f"fix_{column}")
        except ValueError as error:
            raise ValueError(f"{place}: {error}.") from error
    return found


def _read_image(subjects: Any, place: str) -> Iterator[np.ndarray[Any, Any]]:
    """The points of the viewers of one image; an empty cell in a viewer's place has none."""
    for number, viewer in enumerate(_elements(subjects), 1):
        if not (isinstance(viewer, np.ndarray) and viewer.size == 0):
            yield _read_viewer(viewer, f"{place}, viewer {number}")


def _read_viewer(viewer: Any, place: str) -> np.ndarray[Any, Any]:
    columns = []
    for field in ("fix_x", "fix_y"):
        values = np.atleast_1d(np.asarray(getattr(viewer, field, None)))
        if values.dtype.kind not in "biuf" or max(values.shape) != values.size:
            raise ValueError(f"{place}: `{field}` must be a row of numbers; it {_describe(viewer, field)}.")
        columns.append(values.ravel())
    if len(columns[0]) != len(columns[1]):
        raise ValueError(f"{place}: `fix_x` has {len(columns[0])} numbers and `fix_y` {len(columns[1])}.")
    return to_pairs(np.stack(columns, axis=1))


def _elements(values: Any) -> list[Any]:
    """The elements of a cell or of an array of structs, which SciPy reads as the element itself where it is one."""
    return list(np.asarray(values, object).ravel()) if np.size(values) else []


def _describe(entry: Any, field: str = "") -> str:
    """Describe the value that stands in the place of a struct or a field, to end a message."""
    fields = getattr(entry, "_fieldnames", None)
    if fields is None:
        return f"is of type {type(entry).__name__}"
    if field in fields:
        values = np.asarray(getattr(entry, field))
        return f"has {values.dtype} of shape {values.shape}"
    return f"has the fields {', '.join(fields) or 'none'}"
