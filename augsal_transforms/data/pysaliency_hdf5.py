"""The HDF5 files of pysaliency, read without it: ``stimuli.hdf5`` beside ``fixations.hdf5``, or both in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import PIL.Image

from augsal_transforms.data.degrees import degree_of
from augsal_transforms.data.hdf5_files import find_array, find_group, open_hdf5, read_texts, to_text
from augsal_transforms.data.listing import Files
from augsal_transforms.data.names import printable
from augsal_transforms.data.pictures import Picture
from augsal_transforms.data.pysaliency_files import (
    Points,
    StimulusList,
    check_stimulus,
    name_files,
    number_names,
    to_files,
    to_picture,
)
from augsal_transforms.data.recorded import Size, to_frame

_STIMULI = ("FileStimuli", "Stimuli")
_FIXATIONS = ("Fixations", "FixationTrains", "ScanpathFixations")
_MOST_IMAGES = 1_000_000


@dataclass(frozen=True)
class StoredStimulus(Picture):
    """An image that is kept in an HDF5 file.

    Attributes:
        name: Name of the image.
        source: The file.
        number: Number of the image in the file.
    """

    name: str
    source: Path
    number: int

    def read(self) -> PIL.Image.Image:
        """The image; the file is opened for it alone, so that processes and threads do not share it."""
        with _open(self.source, _STIMULI) as group:
            array = find_array(group, str(self.number))
            check_stimulus(array.shape, array.dtype)
            return to_picture(np.asarray(array[...]))

    def settings(self) -> str:
        """The number of the image."""
        return str(self.number)

    def read_size(self) -> Size:
        """(H, W)."""
        with _open(self.source, _STIMULI) as group:
            array = find_array(group, str(self.number))
            return check_stimulus(array.shape, array.dtype)


def find_hdf5(place: Path, split: str) -> Files:
    """The images of a split, from a folder with ``stimuli.hdf5`` and ``fixations.hdf5``, or one file with both.

    Raises:
        ValueError: If a file is damaged or of another kind, or names an image outside the folder.
        ImportError: If h5py is not installed.
    """
    one = place.is_file() and place.name not in ("stimuli.hdf5", "fixations.hdf5")
    folder = place.parent if place.is_file() else place
    stimuli, fixations = (place, place) if one else (folder / "stimuli.hdf5", folder / "fixations.hdf5")
    degree = degree_of(place.stem if one else folder.absolute().name)
    return to_files(_read_stimuli(stimuli), partial(_read_points, fixations), fixations, split, degree)


@contextmanager
def _open(path: Path, kinds: tuple[str, ...]) -> Iterator[Any]:
    """The group of an HDF5 file that holds one of these kinds of pysaliency's objects: the file itself, or one inside.

    Raises:
        ValueError: If there is none.
    """
    with open_hdf5(path) as file:
        inside = (group for name in file if (group := find_group(file, name)) is not None)
        found = next((group for group in (file, *inside) if _kind(group) in kinds), None)
        if found is None:
            raise ValueError(f"it holds no {' or '.join(kinds)}; `to_hdf5` of pysaliency writes them")
        yield found


def _kind(group: Any) -> str:
    return to_text(group.attrs.get("type", ""), "type")


def _read_stimuli(path: Path) -> StimulusList:
    with _open(path, _STIMULI) as group:
        count = int(group.attrs.get("size", 0))
        if not 0 < count <= _MOST_IMAGES:
            raise ValueError(f"`size` must be the number of images, at most {_MOST_IMAGES:,}, got {count}")
        splits = _read_splits(group, count)
        if _kind(group) == "Stimuli":
            names = number_names(count)
            stored = [StoredStimulus(name, path, number) for number, name in enumerate(names)]
            return StimulusList(names, stored, [None] * count, splits)
        texts = [text.replace("\\", "/") for text in read_texts(group, "filenames")]
        frames = [to_frame(*(int(side) for side in shape[:2])) for shape in find_array(group, "shapes", kinds="O")[...]]
        if not len(texts) == len(frames) == count:
            raise ValueError(f"`filenames` and `shapes` must be {count}, got {len(texts)} and {len(frames)}")
        files = [_inside(path.parent, text) for text in texts]
        return StimulusList(name_files([PurePosixPath(text) for text in texts]), files, frames, splits)


def _inside(folder: Path, text: str) -> Path:
    """The file that a path in an HDF5 file names.

    Raises:
        ValueError: If it lies outside the folder, by ``..``, an absolute path or a link.
    """
    file = folder / text
    if "\0" in text or not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"it names an image outside {printable(folder)}, {printable(text)!r}, which is not followed. Put the "
            "images beside the HDF5 file, and write that again with pysaliency"
        )
    return file


def _read_splits(group: Any, count: int) -> list[str] | None:
    """The attribute ``split`` of stimuli, where they have it."""
    if "split" not in json.loads(to_text(group.attrs.get("__attributes__", "[]"), "__attributes__")):
        return None
    splits = read_texts(group, "split")
    if len(splits) != count:
        raise ValueError(f"`split` must be {count} texts, got {len(splits)}")
    return splits


def _read_points(path: Path) -> Points:
    with _open(path, _FIXATIONS) as group:
        if _kind(group) == "Fixations":
            x, y, numbers = (np.asarray(find_array(group, name)[...]) for name in ("x", "y", "n"))
            return x, y, numbers
        scanpaths = _kind(group) == "ScanpathFixations"
        inside = find_group(group, "scanpaths") if scanpaths else group
        if inside is None:
            raise ValueError("`scanpaths` is missing")
        keys = ("xs", "ys", "n") if scanpaths else ("train_xs", "train_ys", "train_ns")
        xs, ys, numbers = (np.asarray(find_array(inside, name)[...]) for name in keys)
        lengths = np.asarray(find_array(inside, "lengths")[...]) if scanpaths else None
        return flatten_paths(xs, ys, numbers, lengths)


def flatten_paths(xs: Any, ys: Any, numbers: Any, lengths: Any = None) -> Points:
    """The points of scanpaths, rows that are filled up with NaN, one after the other.

    Args:
        xs: (N, L) coordinates.
        ys: (N, L) coordinates.
        numbers: (N,) numbers of the images.
        lengths: (N,) number of points of each path; ``None`` ends each before the NaN at its end.

    Raises:
        ValueError: If the shapes differ, or ``lengths`` are not those of rows.
    """
    if xs.ndim != 2 or xs.shape != ys.shape or numbers.shape != xs.shape[:1]:
        raise ValueError(f"scanpaths must be (N, L), (N, L) and (N,), got {xs.shape}, {ys.shape} and {numbers.shape}")
    columns = np.arange(xs.shape[1])
    if lengths is None:
        recorded = ~(np.isnan(xs.astype(np.float64)) & np.isnan(ys.astype(np.float64)))
        lengths = np.where(recorded, columns + 1, 0).max(1, initial=0)
    if lengths.shape != numbers.shape or not ((lengths >= 0) & (lengths <= xs.shape[1])).all():
        raise ValueError(f"`lengths` must be {len(xs)} numbers of at most {xs.shape[1]} points")
    kept = columns < lengths[:, None]
    return xs[kept], ys[kept], np.repeat(numbers, kept.sum(1))
