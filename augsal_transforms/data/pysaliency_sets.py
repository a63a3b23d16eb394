"""A data set of pysaliency, from its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import PIL.Image

from augsal_transforms.data.degrees import degree_of
from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.data.layouts import Layout
from augsal_transforms.data.listing import Files
from augsal_transforms.data.pictures import Picture
from augsal_transforms.data.pysaliency_files import (
    Points,
    StimulusList,
    check_points,
    check_stimulus,
    name_files,
    number_names,
    to_files,
    to_picture,
)
from augsal_transforms.data.recorded import Size, to_frame


@dataclass(frozen=True, eq=False)
class StimulusInMemory(Picture):
    """An image that pysaliency has in memory.

    Attributes:
        name: Name of the image.
        source: Name of the data set.
        pixels: (H, W) or (H, W, C), uint8.
    """

    name: str
    source: Path
    pixels: np.ndarray[Any, Any]

    def read(self) -> PIL.Image.Image:
        """The image."""
        return to_picture(self.pixels)

    def read_size(self) -> Size:
        """(H, W)."""
        return check_stimulus(self.pixels.shape, self.pixels.dtype)


class PysaliencyDataset(FixatedFolder):
    """A data set of pysaliency with the interface of a ``FixatedFolder``: images, maps made from fixations, fixations.

    ``open_layout`` opens data sets that pysaliency saved as HDF5 files, and needs h5py alone.

    Args:
        stimuli: ``Stimuli`` or ``FileStimuli``. Where they have an attribute ``split``, with ``"train"``, ``"val"`` or
            another text for each image, it divides them.
        fixations: ``Fixations``, ``FixationTrains`` or ``ScanpathFixations`` of these stimuli: x and y from 0. A point
            lies in the pixel of its whole part.
        split: The split; stimuli without such an attribute are all ``"train"``.
        sigma: Standard deviation in pixels of the Gaussian that makes maps from fixations; ``None`` is one degree of
            visual angle where ``name`` is OSIE, MIT1003 or SALICON.
        name: Name of the data set.
        captions: Captions by image name.
        frame: ``"refuse"`` or ``"scale"``, for images of another size than the stimuli had, as in ``place_fixations``.

    Raises:
        TypeError: If ``stimuli`` or ``fixations`` are no such objects.
        ValueError: If ``sigma`` is needed and not given, or the fixations are not those of the stimuli.
        FileNotFoundError: If the split has no image.
    """

    def __init__(
        self,
        stimuli: Any,
        fixations: Any,
        split: str = "train",
        *,
        sigma: float | None = None,
        name: str = "pysaliency",
        captions: Mapping[str, str] | None = None,
        frame: str = "refuse",
    ) -> None:
        images, place = _list_stimuli(stimuli, Path(name)), Path(name)
        if not all(hasattr(fixations, part) for part in "xyn"):
            raise TypeError(f"`fixations` must be pysaliency's, with x, y and n, got {type(fixations).__name__}.")
        points = check_points(fixations.x, fixations.y, fixations.n, len(images.names))

        def find(_: Path, split: str) -> Files:
            return to_files(images, partial(_same, points), place, split, degree_of(name))

        layout = Layout("pysaliency", "stimuli of the split {split!r}", find)
        super().__init__(place, split, captions=captions or {}, frame=frame, sigma=sigma, layout=layout)


def _same(points: Points) -> Points:
    return points


def _list_stimuli(stimuli: Any, place: Path) -> StimulusList:
    """The images of ``Stimuli``, or the files of ``FileStimuli``.

    Raises:
        TypeError: If they are neither.
    """
    if not hasattr(stimuli, "stimuli") or not hasattr(stimuli, "shapes"):
        raise TypeError(f"`stimuli` must be pysaliency's Stimuli or FileStimuli, got {type(stimuli).__name__}.")
    count = len(stimuli)
    splits = getattr(stimuli, "attributes", {}).get("split")
    splits = None if splits is None else [str(split) for split in splits]
    if splits is not None and len(splits) != count:
        raise ValueError(f"The attribute `split` of `stimuli` must have {count} texts, got {len(splits)}.")
    frames = [to_frame(int(shape[0]), int(shape[1])) for shape in stimuli.shapes]
    if hasattr(stimuli, "filenames"):
        paths = [Path(file) for file in stimuli.filenames]
        return StimulusList(name_files([PurePosixPath(path.as_posix()) for path in paths]), paths, frames, splits)
    names = number_names(count)
    pixels = [np.asarray(stimuli.stimuli[number]) for number in range(count)]
    images = [StimulusInMemory(name, place, array) for name, array in zip(names, pixels, strict=True)]
    return StimulusList(names, images, frames, splits)
