"""Where viewers looked: fixations of SALICON, MIT1003 and CAT2000 as points, from the forms they are released in."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from augsal_transforms.data.folders import SaliencyFolder, list_files
from augsal_transforms.data.images import read_image
from augsal_transforms.data.layouts import cat2000_part, undoubled

_PLACES = ("fixations/{}", "fixation_maps/{}", "fixations/fixations", "fixations", "fixation_maps")
_LOSSY = (".jpg", ".jpeg")


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
    if "gaze" in table:  # SALICON, 2015 and 2017: a struct for each viewer, points from 1
        viewers = [np.asarray(viewer)["fixations"].item().reshape(-1, 2) for viewer in table["gaze"].flat]
        height, width = table["resolution"].ravel().tolist()
        return Recorded(_points(np.concatenate([np.empty((0, 2)), *viewers])), (height, width))
    for key in ("I", "fixLocs"):  # SALICON's first release and CAT2000: a map
        if key in table:
            if (table[key] % 1).any():
                raise ValueError(f"{path} holds a blurred saliency map, not fixations; it belongs into maps.")
            return _from_map(table[key] > 0)
    keys = ", ".join(key for key in table if not key.startswith("__"))
    raise ValueError(f"{path} holds none of gaze, I (SALICON) and fixLocs (CAT2000), but {keys or 'nothing'}.")


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
        table = json.loads(path.read_text())
        about = {entry["id"]: entry for entry in table["images"]}
        points: dict[int, list[list[float]]] = {}
        for entry in table["annotations"]:
            points.setdefault(entry["image_id"], []).extend(entry["fixations"])
        named = {Path(about[number]["file_name"]).stem: number for number in points}
        frames = {number: (about[number]["height"], about[number]["width"]) for number in points}
        return {  # [row, column] from 1
            name: Recorded(_points(np.array(points[number]).reshape(-1, 2)[:, ::-1]), frames[number])
            for name, number in named.items()
            if name in names
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be SALICON's JSON release of fixations; reading it failed on {type(error).__name__}: {error}."
        ) from error


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
