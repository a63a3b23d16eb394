"""Where viewers looked: the fixations of SALICON, MIT1003 and CAT2000, by image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from augsal_transforms.data.fixation_files import Recorded, read_fixation_file, read_release
from augsal_transforms.data.folders import SaliencyFolder, list_files
from augsal_transforms.data.layouts import cat2000_part, find_layout, undoubled

_PLACES = ("fixations/{}", "fixation_maps/{}", "fixations/fixations", "fixations", "fixation_maps")


def count_fixations(fixations: Tensor, size: tuple[int, int]) -> Tensor:
    """How often each pixel was fixated.

    Args:
        fixations: (N, 2) points (x, y), whole pixels from 0 inside the image.
        size: (H, W).

    Returns:
        (1, H, W) int64.
    """
    height, width = size
    places = fixations[:, 1] * width + fixations[:, 0]
    return torch.bincount(places, minlength=height * width).view(1, height, width)


def read_fixations(dataset: SaliencyFolder) -> Fixations:
    """The fixations of a data set by name; each is read when it is asked for.

    For SALICON's layout and plain folders looks for a file per image, ``fixations/{split}/NAME`` or
    ``fixation_maps/{split}/NAME`` (or there without the split), as .mat, or a .png fixation map where there
    is no .mat; then for the JSON release, ``fixations_{split}2014.json`` in the folder or in ``annotations``.
    For MIT1003 ``ALLFIXATIONMAPS/NAME_fixPts.jpg``, for CAT2000 ``FIXATIONLOCS/CATEGORY/001.mat``.
    """
    return find_fixations(dataset.folder, dataset.split, dataset.layout, dataset.images)


def find_fixations(folder: Path, split: str, layout: str, names: Collection[str]) -> Fixations:
    """``read_fixations`` of the images named, where images and maps are not known to make a data set."""
    files = {name: path for name, path in _fixation_files(folder, split, layout) if name in names}
    release = f"fixations_{split}2014.json"
    for path in (folder / "annotations" / release, folder / release):
        if not files and path.exists():
            return Fixations({}, read_release(path, names))
    return Fixations(files, {})


class Fixations(Mapping[str, Tensor]):
    """Name → fixations (N, 2), int64, x and y in pixels from 0, those outside the frame moved to its edge."""

    def __init__(self, files: Mapping[str, Path], release: Mapping[str, Recorded]) -> None:
        self.files, self.release = files, release

    def __getitem__(self, name: str) -> Tensor:
        return self.recorded(name).clipped()

    def recorded(self, name: str) -> Recorded:
        """An image's fixations as they were recorded, with their frame.

        Raises:
            KeyError: If the image has none.
            ValueError: If its file cannot be read; the path is named.
            ImportError: For a .mat file where scipy is not installed.
        """
        return read_fixation_file(self.files[name]) if name in self.files else self.release[name]

    def __contains__(self, name: object) -> bool:
        return name in self.files or name in self.release  # Mapping's own would read the file

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self.files, *self.release}))

    def __len__(self) -> int:
        return len({*self.files, *self.release})


def _fixation_files(folder: Path, split: str, layout: str) -> list[tuple[str, Path]]:
    if layout == "mit1003":
        files = list_files(undoubled(folder / "ALLFIXATIONMAPS"))
        return [(path.stem.removesuffix("_fixPts"), path) for path in files if path.stem.endswith("_fixPts")]
    if layout == "cat2000":
        return cat2000_part(folder, "FIXATIONLOCS")
    places = [folder / place.format(split) for place in _PLACES]
    found = ([*list_files(place), *list_files(place, (".mat",))] for place in places)  # .mat last: it has repeats
    return next(([(path.stem, path) for path in files] for files in found if files), [])


def write_fixation_maps(fixations: Fixations, folder: Path) -> dict[str, str]:
    """Write ``NAME.png`` for each image: 255 where anyone looked, 0 elsewhere; how often is lost.

    Returns:
        Name → why, for the images whose fixations cannot be read.

    Raises:
        ValueError: If a map would be written over the file it is made from.
        ImportError: For .mat files where scipy is not installed.
    """
    if own := next((p for n, p in fixations.files.items() if p.resolve() == (folder / f"{n}.png").resolve()), None):
        raise ValueError(f"{own} is a fixation map already and would be written over; name another folder.")
    failures: dict[str, str] = {}
    for name in fixations:
        try:
            recorded = fixations.recorded(name)
        except ValueError as error:
            failures[name] = str(error)
            continue
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        fixation_map = np.zeros(recorded.frame, np.uint8)
        fixation_map[tuple(recorded.clipped().flip(1).T.numpy())] = 255
        PIL.Image.fromarray(fixation_map).save(path)
    return failures


class FixatedFolder(SaliencyFolder):
    """A ``SaliencyFolder`` of any layout with the fixations it has, as ``fixations(name)`` gives them.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``.
        captions: As in ``SaliencyFolder``.
    """

    def __init__(self, folder: str | Path, split: str = "train", *, captions: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, split, captions=captions, layout=find_layout(folder, split))
        self._fixations = read_fixations(self)

    def fixations(self, name: str) -> Tensor:
        """(N, 2) points (x, y) in pixels from 0; none where none are known."""
        return self._fixations.get(name, torch.zeros(0, 2, dtype=torch.long))
