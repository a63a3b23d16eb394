"""What is wrong with a data set on disk, before anything is trained on it."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image

from augsal_transforms.data.fixations import Fixations, find_fixations
from augsal_transforms.data.folders import captions_file, load_captions
from augsal_transforms.data.images import is_rotated, read_image
from augsal_transforms.data.layouts import find_layout

Progress = Callable[[Iterable[str]], Iterable[str]]
Paths = Mapping[str, list[Path]]


class Problem(NamedTuple):
    """One thing that is wrong: what kind of thing, with which image, in which file, and in words."""

    kind: str
    name: str
    path: str
    detail: str


@dataclass(frozen=True)
class Report:
    """What a data set holds, and what is wrong with it.

    Attributes:
        layout: By name.
        split: As asked for.
        images: How many image files.
        maps: How many map files.
        pairs: How many images have a map.
        captions: How many images have a caption.
        fixations: How many images have fixations.
        points: How many fixations those are.
        problems: All that were found.
    """

    layout: str
    split: str
    images: int
    maps: int
    pairs: int
    captions: int
    fixations: int
    points: int
    problems: list[Problem]


def check_data(folder: str | Path, split: str = "train", layout: str = "auto", *, progress: Progress = iter) -> Report:
    """Read every file of a data set once and report what readers would stumble over.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``; a data set that is not divided is all ``"train"``.
        layout: As for ``open_layout``.
        progress: Wraps the names that are gone through, such as ``tqdm``.

    Returns:
        Counts and problems, of the kinds: unreadable, two images, two maps, image without map, map without
        image, sizes differ, rotated, empty map, deep map (more than 8 bits, which careless readers clip),
        no caption (where others have one), points outside.

    Raises:
        FileNotFoundError: If no layout was recognised.
        ValueError: If there is no such layout.
        ImportError: For fixations in .mat files where scipy is not installed.
    """
    folder, found = Path(folder), find_layout(folder, split, layout)
    files = found.find(folder, split)
    images, maps = _by_name(files.images), _by_name(files.maps)
    problems: list[Problem] = []
    captions = _read_captions(folder, split, problems)
    fixations = _find_fixations(folder, split, found.name, images, problems)
    points = 0
    for name in progress(sorted(images.keys() | maps.keys())):
        size = _check_pair(name, images.get(name, []), maps.get(name, []), problems)
        if captions and name in images and name not in captions:
            problems.append(Problem("no caption", name, str(images[name][0]), "other images have one"))
        if name in fixations:
            points += _check_fixations(name, fixations, size, problems)
    counts = {"images": len(files.images), "maps": len(files.maps), "pairs": len(images.keys() & maps.keys())}
    return Report(
        layout=found.name,
        split=split,
        **counts,
        captions=len(images.keys() & captions.keys()),
        fixations=len(fixations),
        points=points,
        problems=problems,
    )


def write_problems(problems: Iterable[Problem], path: Path) -> None:
    """Write problems as CSV: kind, name, path, detail."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(Problem._fields)
        table.writerows(problems)


def _by_name(named: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    table: dict[str, list[Path]] = {}
    for name, path in named:
        table.setdefault(name, []).append(path)
    return table


def _read_captions(folder: Path, split: str, problems: list[Problem]) -> dict[str, str]:
    path = captions_file(folder, split)
    try:
        return load_captions(path) if path else {}
    except ValueError as error:
        problems.append(Problem("unreadable", "", str(path), str(error)))
        return {}


def _find_fixations(folder: Path, split: str, layout: str, images: Paths, problems: list[Problem]) -> Fixations:
    try:
        return find_fixations(folder, split, layout, images)
    except ValueError as error:  # only the JSON release is read before an image is asked for
        problems.append(Problem("unreadable", "", "", str(error)))
        return Fixations({}, {})


def _check_pair(name: str, images: list[Path], maps: list[Path], problems: list[Problem]) -> tuple[int, int] | None:
    """Report what is wrong with an image and its map; returns the image's (width, height), if it has one."""
    for kind, paths in (("image", images), ("map", maps)):
        if len(paths) > 1:
            problems.append(Problem(f"two {kind}s", name, str(paths[1]), f"{paths[0]} has the same name"))
    if not maps:
        problems.append(Problem("image without map", name, str(images[0]), "it is left out"))
    if not images:
        problems.append(Problem("map without image", name, str(maps[0]), "it is left out"))
    size = None
    for path in images:
        if image := _open(name, path, problems):
            size = image.size
            if is_rotated(image):
                detail = "EXIF asks to turn it; it is read as stored, as its map is"
                problems.append(Problem("rotated", name, str(path), detail))
    for path in maps:
        if saliency_map := _open(name, path, problems):
            _check_map(name, path, saliency_map, size, problems)
    return size


def _check_map(
    name: str, path: Path, saliency_map: PIL.Image.Image, size: tuple[int, int] | None, problems: list[Problem]
) -> None:
    deep = saliency_map.mode.startswith(("I", "F"))
    if deep:
        detail = f"mode {saliency_map.mode}; read as divided by its maximum"
        problems.append(Problem("deep map", name, str(path), detail))
    if not np.asarray(saliency_map if deep else saliency_map.convert("L")).any():
        problems.append(Problem("empty map", name, str(path), "0 everywhere"))
    _check_size(name, path, saliency_map.size, size, problems)


def _check_size(
    name: str, path: Path | None, own: tuple[int, int], image: tuple[int, int] | None, problems: list[Problem]
) -> None:
    if image and own != image:
        detail = f"{own[0]}×{own[1]} for an image of {image[0]}×{image[1]}"
        problems.append(Problem("sizes differ", name, str(path or ""), detail))


def _check_fixations(name: str, fixations: Fixations, size: tuple[int, int] | None, problems: list[Problem]) -> int:
    """Report what is wrong with an image's fixations; returns how many there are."""
    path = fixations.files.get(name)
    try:
        recorded = fixations.recorded(name)
    except ValueError as error:
        problems.append(Problem("unreadable", name, str(path), str(error)))
        return 0
    height, width = recorded.frame
    _check_size(name, path, (width, height), size, problems)
    if recorded.outside:
        detail = f"{recorded.outside} of {len(recorded.points)} outside {width}×{height}; moved to the edge"
        problems.append(Problem("points outside", name, str(path or ""), detail))
    return len(recorded.points)


def _open(name: str, path: Path, problems: list[Problem]) -> PIL.Image.Image | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rotation, which is a problem of its own here
            return read_image(path)
    except ValueError as error:
        problems.append(Problem("unreadable", name, str(path), str(error)))
        return None
