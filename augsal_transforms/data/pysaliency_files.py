"""Data sets of pysaliency: its objects, and the HDF5 files that they are saved in, as the files of a layout.

The HDF5 files are read without pysaliency. Coordinates are (x, y) from 0; a point lies in the pixel of its whole part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import PIL.Image

from augsal_transforms.data.images import MAX_PIXELS, read_size
from augsal_transforms.data.listing import Files
from augsal_transforms.data.names import to_name
from augsal_transforms.data.pictures import Source
from augsal_transforms.data.recorded import Recorded, Recordings, Size, floor_pairs, refuse_shares

Points = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]  # x, y, and the number of the image

_SPLITS = {"valid": "val", "validation": "val"}  # other spellings


@dataclass(frozen=True)
class StimulusList:
    """The images of a data set of pysaliency, in its order.

    Attributes:
        names: Name of each: the stem of its file, with folders where stems repeat, or its number.
        images: Each image.
        frames: (H, W) of each, as the data set has it; ``None`` for that of the image.
        splits: The split of each; ``None`` where the data set does not divide them.
    """

    names: Sequence[str]
    images: Sequence[Source]
    frames: Sequence[Size | None]
    splits: Sequence[str] | None = None

    def of_split(self, split: str) -> list[int]:
        """Numbers of the images of a split; without splits all are ``"train"``."""
        splits = self.splits or ["train"] * len(self.names)
        return [number for number, own in enumerate(splits) if _SPLITS.get(own, own) == split]


class PysaliencyFixations(Recordings):
    """The fixations of the images of a split, all viewers of an image together.

    Args:
        path: The file that they are read from.
        stimuli: All images of the data set.
        numbers: Numbers of the images of the split.
        read: Returns the points of all images.
    """

    def __init__(self, path: Path, stimuli: StimulusList, numbers: Sequence[int], read: Callable[[], Points]) -> None:
        self.path, self._read, self._count = path, read, len(stimuli.names)
        self._images = {stimuli.names[n]: (n, stimuli.images[n], stimuli.frames[n]) for n in numbers}

    def load(self) -> None:
        """Read the points, where that was not done before.

        Raises:
            ValueError: If they are no points, or belong to images that are not there.
        """
        _ = self._pairs

    @cached_property
    def _pairs(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """All points (N, 2), image by image, and where each image's begin."""
        x, y, numbers = check_points(*self._read(), self._count)
        order = np.argsort(numbers, kind="stable")
        return np.stack([x, y], 1)[order], np.searchsorted(numbers[order], np.arange(self._count + 1))

    def __getitem__(self, name: str) -> Recorded:
        number, image, frame = self._images[name]
        pairs, starts = self._pairs
        return floor_pairs(pairs[starts[number] : starts[number + 1]], frame or read_size(image))

    def __contains__(self, name: object) -> bool:
        return name in self._images  # no image is read

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)


def check_points(x: Any, y: Any, numbers: Any, count: int) -> Points:
    """Points as arrays in float64 and int64.

    Args:
        x: (N,) coordinates.
        y: (N,) coordinates.
        numbers: (N,) numbers of the images, from 0.
        count: Number of images.

    Raises:
        ValueError: If they are something else, or numbers are not those of images.
    """
    arrays = [np.asarray(values) for values in (x, y, numbers)]
    shapes = {values.shape for values in arrays}
    if len(shapes) > 1 or arrays[0].ndim != 1 or any(values.dtype.kind not in "biuf" for values in arrays):
        raise ValueError(
            "`x`, `y` and `n` of fixations must be as many numbers, got "
            f"{', '.join(f'{values.dtype} {values.shape}' for values in arrays)}"
        )
    x, y, numbers = arrays[0].astype(np.float64), arrays[1].astype(np.float64), arrays[2]
    if not ((numbers >= 0) & (numbers < count) & (numbers % 1 == 0)).all():
        raise ValueError(f"`n` of fixations must be the number of one of {count} images, from 0")
    for column, values in (("x", x), ("y", y)):
        refuse_shares(values[np.isfinite(values)], column)
    return x, y, numbers.astype(np.int64)


def to_files(stimuli: StimulusList, read: Callable[[], Points], path: Path, split: str, degree: float | None) -> Files:
    """The images of a split, with maps to be made from the fixations that ``read`` returns."""
    numbers = stimuli.of_split(split)
    images = [(stimuli.names[n], stimuli.images[n]) for n in numbers]
    return Files(images, [], release=PysaliencyFixations(path, stimuli, numbers, read), makes_maps=True, degree=degree)


def name_files(paths: Sequence[PurePosixPath]) -> list[str]:
    """Names of image files: their stems, with as many folders as make them different, as ``Action/001``."""
    depth, deepest = 1, max((len(path.parts) for path in paths), default=1)
    while True:
        names = [to_name("/".join((*path.parts[:-1], path.stem)[-depth:])) for path in paths]
        if len(set(names)) == len(names) or depth >= deepest:
            return names
        depth += 1


def number_names(count: int) -> list[str]:
    """Names of images that are no files: their numbers from 0, as wide as the last."""
    return [f"{number:0{len(str(max(count - 1, 0)))}d}" for number in range(count)]


def to_picture(pixels: np.ndarray[Any, Any]) -> PIL.Image.Image:
    """A stimulus, (H, W) or (H, W, C) of 8 bits, as a picture.

    Raises:
        ValueError: If it is something else, or has more than 50 million pixels.
    """
    check_stimulus(pixels.shape, pixels.dtype)
    squeezed = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    return PIL.Image.fromarray(np.ascontiguousarray(squeezed))


def check_stimulus(shape: tuple[int, ...], dtype: Any) -> Size:
    """(H, W) of a stimulus.

    Raises:
        ValueError: If it is no image of 8 bits with 1, 3 or 4 channels and at most 50 million pixels.
    """
    channels = 1 if len(shape) == 2 else shape[-1] if len(shape) == 3 else 0
    if dtype != np.uint8 or channels not in (1, 3, 4) or not 0 < shape[0] * shape[1] <= MAX_PIXELS:
        raise ValueError(
            f"a stimulus must be uint8, (H, W) or (H, W, C) with 1, 3 or 4 channels, of at most "
            f"{MAX_PIXELS // 10**6} million pixels, got {dtype} {tuple(shape)}"
        )
    return int(shape[0]), int(shape[1])
