"""The points that viewers looked at: the fixations of SALICON, MIT1003, CAT2000 and OSIE, by image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from augsal_transforms.data.fixation_files import read_all, read_fixation_file
from augsal_transforms.data.folders import SaliencyFolder, split_unique
from augsal_transforms.data.images import read_image, read_size
from augsal_transforms.data.layouts import Layout, find_layout
from augsal_transforms.data.listing import Files
from augsal_transforms.data.names import match_names, printable
from augsal_transforms.data.outputs import refuse_foreign
from augsal_transforms.data.pictures import Source
from augsal_transforms.data.recorded import Placed, Recorded, Size, check_frame, place_fixations
from augsal_transforms.files import write_file

_SIGNATURE = ("Software", "augsal convert-fixations")  # in a PNG's text, so that a map of ours is recognised


def count_fixations(fixations: Tensor, size: Size) -> Tensor:
    """Count the fixations on each pixel.

    Args:
        fixations: (N, 2) points (x, y), whole pixels from 0 inside the image.
        size: (H, W).

    Returns:
        (1, H, W) int64.

    Raises:
        ValueError: If points are not (N, 2), or lie outside the image.
    """
    height, width = size
    if fixations.ndim != 2 or fixations.shape[1] != 2:
        raise ValueError(f"`fixations` must be (N, 2) points (x, y), got {tuple(fixations.shape)}.")
    x, y = (fixations.floor() if fixations.is_floating_point() else fixations).long().T
    if bool(((x < 0) | (x >= width) | (y < 0) | (y >= height)).any()):
        raise ValueError(
            f"`fixations` must lie inside the image, x below {width} and y below {height}; `place_fixations` leaves "
            "others out and counts them."
        )
    return torch.bincount(y * width + x, minlength=height * width).view(1, height, width)


class Fixations(Mapping[str, Tensor]):
    """Fixations (N, 2) by image name, int64, x and y in pixels of the image from 0.

    Points outside the image, and points without coordinates, are left out; ``placed`` counts them.

    Args:
        files: Fixation files by image name; each is read when it is asked for.
        release: Fixations of a file that has those of all images, by image name.
        size_of: Returns an image's (H, W) by its name; without it, frames are not compared with images.
        frame: ``"refuse"`` or ``"scale"``, for fixations of a frame of another size, as in ``place_fixations``.
        ambiguous: Names that several fixation files share, each with one of them; reading such a name is an error.

    Raises:
        ValueError: If ``frame`` is something else.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        release: Mapping[str, Recorded],
        size_of: Callable[[str], Size] | None = None,
        frame: str = "refuse",
        ambiguous: Mapping[str, Path] | None = None,
    ) -> None:
        check_frame(frame)
        self.files, self.release, self.size_of, self.frame = files, release, size_of, frame
        self.ambiguous = ambiguous or {}

    def __getitem__(self, name: str) -> Tensor:
        return self.placed(name).points

    def placed(self, name: str) -> Placed:
        """An image's fixations in its pixels, and the number of those that were left out.

        Raises:
            KeyError: If the image has none.
            ValueError: If its file cannot be read, or its frame has another size than the image.
            ImportError: For a .mat file where scipy is not installed.
        """
        recorded = self.recorded(name)
        size = self.size_of(name) if self.size_of else recorded.frame
        return place_fixations(recorded, size, frame=self.frame, name=name)

    def recorded(self, name: str) -> Recorded:
        """An image's fixations as they were recorded, with their frame.

        Raises:
            KeyError: If the image has none.
            ValueError: If its file cannot be read, or it has two; the path is named.
            ImportError: For a .mat file where scipy is not installed.
        """
        if name in self.ambiguous:
            path = printable(self.ambiguous[name])
            raise ValueError(f"{path} and another fixation file share the name {name!r}; keep one of them.")
        return read_fixation_file(self.files[name]) if name in self.files else self.release[name]

    def __contains__(self, name: object) -> bool:
        return any(name in part for part in (self.files, self.release, self.ambiguous))  # nothing is read

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self.files, *self.release, *self.ambiguous}))

    def __len__(self) -> int:
        return len({*self.files, *self.release, *self.ambiguous})


def read_fixations(dataset: SaliencyFolder, *, frame: str = "refuse") -> Fixations:
    """The fixations of a data set by name; each is read when it is asked for.

    The layout finds a file for each image. SALICON's layout and plain folders have ``fixations/{split}/NAME`` or
    ``fixation_maps/{split}/NAME`` (or there without the split), as .mat, or a .png fixation map where there is no
    .mat; or else the JSON release, ``fixations_{split}2014.json`` in the folder or in ``annotations``. MIT1003 has
    ``ALLFIXATIONMAPS/NAME_fixPts.jpg``, CAT2000 ``FIXATIONLOCS/CATEGORY/001.mat``, OSIE ``data/eye/fixations.mat``
    for all images.

    Args:
        dataset: The data set.
        frame: ``"refuse"`` or ``"scale"``, for fixations of a frame of another size, as in ``place_fixations``.
    """
    found = find_fixations(dataset.files, dataset.images)
    return Fixations(found.files, found.release, partial(_size_of, dataset.images), frame, found.ambiguous)


def _size_of(images: Mapping[str, Source], name: str) -> Size:
    return read_size(images[name])


def find_fixations(files: Files, images: Mapping[str, Source]) -> Fixations:
    """The fixation files of the images, or the file with those of all; frames are not compared with the images."""
    matched = match_names((name for name, _ in files.fixations), images)
    found, shared = split_unique([(matched[name], path) for name, path in files.fixations if name in matched])
    if found or shared or files.release is None:
        return Fixations(found, {}, ambiguous=shared)
    return Fixations({}, read_all(files.release, images))


def write_fixation_maps(
    fixations: Fixations,
    folder: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> dict[str, str]:
    """Write ``NAME.png`` for each image: 255 at fixated pixels, 0 elsewhere; how often is lost.

    Each is written beside its place and takes the place of an older one when it is whole.

    Args:
        fixations: Fixations of the images.
        folder: Folder to write to.
        overwrite: Whether files that this function did not write are replaced too.
        progress: Wrapper of the images' names that is iterated over, such as ``tqdm``.

    Returns:
        Name → reason, for the images whose fixations cannot be read.

    Raises:
        FileExistsError: If a file is in the way that this function did not write, or a link.
        ImportError: For .mat files where scipy is not installed.
    """
    for name in fixations:
        refuse_foreign(folder / f"{name}.png", is_own_map, folder, overwrite=overwrite)
    failures: dict[str, str] = {}
    text = PngInfo()
    text.add_text(*_SIGNATURE)
    for name in progress(fixations):
        try:
            recorded = fixations.recorded(name)
        except ValueError as error:
            failures[name] = str(error)
            continue
        points = place_fixations(recorded, recorded.frame).points
        counts = count_fixations(points, recorded.frame)[0].numpy()
        png = BytesIO()
        PIL.Image.fromarray((counts > 0).astype(np.uint8) * 255).save(png, "png", pnginfo=text)
        write_file(folder / f"{name}.png", png.getvalue())
    return failures


def is_own_map(path: Path) -> bool:
    """Whether a file is a map that ``write_fixation_maps`` wrote."""
    key, text = _SIGNATURE
    try:
        return bool(read_image(path).info.get(key) == text)
    except ValueError:
        return False


class FixatedFolder(SaliencyFolder):
    """A ``SaliencyFolder`` of any layout with the fixations it has, as ``fixations(name)`` returns them.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``; a data set that is not divided is all ``"train"``.
        captions: Captions by name; ``None`` reads the folder's.
        frame: ``"refuse"`` or ``"scale"``, for fixations of a frame of another size than the image, as in
            ``place_fixations``.
        sigma: Standard deviation in pixels of the Gaussian that makes maps from fixations, where there are no maps;
            ``None`` is one degree of visual angle.
        layout: The layout of the folder; ``None`` recognises it.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str = "train",
        *,
        captions: Mapping[str, str] | None = None,
        frame: str = "refuse",
        sigma: float | None = None,
        layout: Layout | None = None,
    ) -> None:
        layout = layout or find_layout(folder, split)
        super().__init__(folder, split, captions=captions, layout=layout, sigma=sigma)
        self._fixations = read_fixations(self, frame=frame)

    def fixations(self, name: str) -> Tensor:
        """(N, 2) points (x, y) in the image's pixels from 0; none where none are known.

        Raises:
            ValueError: If the image's fixation file cannot be read, or its frame has another size than the image.
        """
        return self.placed(name).points

    def placed(self, name: str) -> Placed:
        """An image's fixations as ``fixations`` returns them, and the number of those that were left out."""
        if name not in self._fixations:
            return Placed(torch.zeros(0, 2, dtype=torch.long), 0)
        return self._fixations.placed(name)
