"""Problems of a data set on disk, found before anything is trained on it."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import PIL.Image

from augsal_transforms.data.captions import Captions, read_captions
from augsal_transforms.data.fixations import Fixations, find_fixations
from augsal_transforms.data.images import is_rotated, read_image, to_rgb_image, to_saliency_map
from augsal_transforms.data.layouts import Layout, find_layout
from augsal_transforms.data.listing import Files
from augsal_transforms.data.made_maps import MadeMap, add_made_maps
from augsal_transforms.data.names import printable
from augsal_transforms.data.pictures import Source
from augsal_transforms.data.problems import Problem, Report
from augsal_transforms.data.recorded import Size
from augsal_transforms.faults import belongs_to_image
from augsal_transforms.randomness import check_integer
from augsal_transforms.workers import map_in_order

Progress = Callable[[Iterable[str]], Iterable[str]]


def check_data(
    folder: str | Path,
    split: str = "train",
    layout: str = "auto",
    *,
    sigma: float | None = None,
    progress: Progress = iter,
    workers: int = 1,
) -> Report:
    """Read every file of a data set once and report what readers would refuse or leave out.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``; a data set that is not divided is all ``"train"``.
        layout: A name in ``LAYOUTS``, or ``"auto"``.
        sigma: Standard deviation in pixels of the Gaussian of maps that are made from fixations, as in ``open_layout``.
        progress: Wraps the iteration over names, as ``tqdm`` does.
        workers: Number of processes that read, 1 or more; the report is the same.

    Returns:
        Counts and problems, of the kinds: unreadable, two images, two maps, image without map, map without image, sizes
        differ, rotated, empty map, deep map (more than 8 bits, which careless readers clip), no caption (where others
        have one), bad caption (of a wrong type), caption without image, points outside, points without coordinates.

    Raises:
        FileNotFoundError: If no layout was recognised.
        TypeError: If ``workers`` is no integer.
        ValueError: If there is no such layout, maps are made from fixations and these cannot be read, or ``workers`` is
            less than 1.
        ImportError: For fixations in .mat files where scipy is not installed.
    """
    workers = check_integer("workers", workers, low=1)
    folder, found = Path(folder), find_layout(folder, split, layout)
    files = found.files(folder, split)
    check = _Check(folder, split, found, add_made_maps(files, dict(files.images), sigma))
    check.read_annotations()
    names = progress(sorted(check.images.keys() | check.maps.keys()))
    for part in map_in_order(check.examine, names, workers):
        check.include(part)
    return check.report()


class Found(NamedTuple):
    """The problems of one name, and what it adds to the counts."""

    problems: list[Problem]
    captioned: int
    points: int
    points_left_out: int


@dataclass
class _Check:
    """The state of one ``check_data``: the files by name, and the problems and points found up to now."""

    folder: Path
    split: str
    layout: Layout
    files: Files
    problems: list[Problem] = field(default_factory=list)
    captions: Captions = field(default_factory=lambda: Captions({}))
    fixations: Fixations = field(default_factory=lambda: Fixations({}, {}))
    captioned: int = 0
    points: int = 0
    points_left_out: int = 0

    def __post_init__(self) -> None:
        self.images, self.maps = defaultdict[str, list[Source]](list), defaultdict[str, list[Source]](list)
        for named, table in ((self.files.images, self.images), (self.files.maps, self.maps)):
            for name, path in named:
                table[name].append(path)
        self.pairs = {name for name in self.files.paired() if len(self.images[name]) == len(self.maps[name]) == 1}

    def add(self, kind: str, name: str, path: Source | None, detail: str) -> None:
        self.problems.append(Problem(kind, printable(name), printable(path or ""), printable(detail)))

    def read_annotations(self) -> None:
        """Read captions and find fixations; a file that cannot be read is a problem of its own."""
        try:
            self.captions = read_captions(self.folder, self.split, self.images)
        except ValueError as error:
            self.add("unreadable", "", None, str(error))
        try:
            self.fixations = find_fixations(self.files, dict(self.files.images))
        except ValueError as error:
            self.add("unreadable", "", None, str(error))
        unmatched, path = list(self.captions.unmatched), self.captions.path
        if path and path.name == "captions.json":  # a table for all splits
            elsewhere = {name for split in ("train", "val") for name, _ in self.layout.files(self.folder, split).images}
            unmatched = list(read_captions(self.folder, self.split, elsewhere).unmatched)
        elif self.captions:  # COCO's files name many images that SALICON does not have
            unmatched = []
        for name in unmatched if self.captions else unmatched[:1]:
            detail = "no image has this name" if self.captions else f"none of its {len(unmatched)} names is an image's"
            self.add("caption without image", name, path, detail)

    def examine(self, name: str) -> Found:
        """Check one name, and return the findings on it alone."""
        part = copy.copy(self)
        part.problems, part.captioned, part.points, part.points_left_out = [], 0, 0, 0
        try:
            part.check_name(name)
        except Exception as error:
            if isinstance(error, ImportError) or not belongs_to_image(error):
                raise  # without scipy every other .mat file would fail alike
            part.add("unreadable", name, None, f"{type(error).__name__}: {error}")
        return Found(part.problems, part.captioned, part.points, part.points_left_out)

    def include(self, found: Found) -> None:
        """Add what was found of a name."""
        self.problems += found.problems
        self.captioned += found.captioned
        self.points += found.points
        self.points_left_out += found.points_left_out

    def check_name(self, name: str) -> None:
        """Report what is wrong with an image, its map, its caption and its fixations."""
        images, maps = self.images.get(name, []), self.maps.get(name, [])
        for kind, paths in (("image", images), ("map", maps)):
            if len(paths) > 1:
                self.add(f"two {kind}s", name, paths[1], f"{printable(paths[0])} has the same name")
        if not maps:
            self.add("image without map", name, images[0], "it is left out")
        if not images:
            self.add("map without image", name, maps[0], "it is left out")
        size = next(filter(None, [self._check_image(name, path) for path in images]), None)
        for path in maps:
            if size or not isinstance(path, MadeMap):  # the image, which tells its size, is reported already
                self._check_map(name, path, size)
        if images:
            self._check_caption(name, images[0])
        if name in self.fixations and (size or not self.files.makes_maps):
            self._check_fixations(name, size)

    def _check_image(self, name: str, path: Source) -> Size | None:
        image = self._open(name, path)
        if image is None:
            return None
        if is_rotated(image):
            self.add("rotated", name, path, "EXIF asks to turn it; it is read as stored, as its map is")
        to_rgb_image(image)
        return image.height, image.width

    def _check_map(self, name: str, path: Source, size: Size | None) -> None:
        picture = self._open(name, path)
        if picture is None:
            return
        if picture.mode.startswith(("I", "F")):
            self.add("deep map", name, path, f"mode {picture.mode}; read as divided by its maximum")
        own = (picture.height, picture.width)
        try:
            if not to_saliency_map(picture, own).any():
                self.add("empty map", name, path, "0 everywhere")
        except (TypeError, ValueError) as error:
            self.add("unreadable", name, path, str(error))
        self._check_size(name, path, own, size)

    def _check_size(self, name: str, path: Source | None, own: Size, image: Size | None) -> None:
        if image and own != image:
            self.add("sizes differ", name, path, f"{own[1]}×{own[0]} for an image of {image[1]}×{image[0]}")

    def _check_caption(self, name: str, image: Source) -> None:
        try:
            caption = self.captions.get(name, "")
        except ValueError as error:
            self.add("bad caption", name, self.captions.path, str(error))
        else:
            self.captioned += bool(caption) and name in self.pairs
            if not caption and self.captions:
                self.add("no caption", name, image, "other images have one")

    def _check_fixations(self, name: str, size: Size | None) -> None:
        path = self.fixations.files.get(name)
        try:
            recorded = self.fixations.recorded(name)
        except ValueError as error:
            self.add("unreadable", name, path, str(error))
            return
        self._check_size(name, path, recorded.frame, size)
        self.points += len(recorded.points) - recorded.outside
        self.points_left_out += recorded.outside + recorded.not_finite
        if recorded.outside:
            frame = f"{recorded.frame[1]}×{recorded.frame[0]}"
            detail = f"{recorded.outside} of {len(recorded.points)} outside {frame}; left out"
            self.add("points outside", name, path, detail)
        if recorded.not_finite:
            detail = f"{recorded.not_finite} of {len(recorded.points) + recorded.not_finite} NaN or empty; left out"
            self.add("points without coordinates", name, path, detail)

    def _open(self, name: str, path: Source) -> PIL.Image.Image | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of rotation, which is a problem of its own here
                return read_image(path)
        except ValueError as error:
            self.add("unreadable", name, path, str(error))
            return None

    def report(self) -> Report:
        """The counts and problems found."""
        counts = (len(self.files.images), len(self.files.maps), len(self.pairs), self.captioned, len(self.fixations))
        return Report(self.layout.name, self.split, *counts, self.points, self.problems, self.points_left_out)
