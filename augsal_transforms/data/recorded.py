"""Fixations as they were recorded, and the one place that decides how they fit an image."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from augsal_transforms.data.images import MAX_PIXELS

Size = tuple[int, int]
FRAMES = ("refuse", "scale")


class Recorded(NamedTuple):
    """Fixations as a file has them.

    Attributes:
        points: (N, 2), int64, x and y in pixels of the frame from 0; some may lie outside it.
        frame: (H, W) of the picture that was looked at.
        not_finite: Number of points that were left out because a coordinate is NaN, infinite or missing.
    """

    points: Tensor
    frame: Size
    not_finite: int = 0

    @property
    def outside(self) -> int:
        """Number of points outside the frame."""
        return len(self.points) - int(_inside(self.points, self.frame).sum())


class Recordings(Mapping[str, Recorded]):
    """The fixations of all images of a data set, by image name; whether an image has any is known without reading it.

    Attributes:
        path: The file that they are read from.
        unmatched: Names of images in that file that are not there.
    """

    path: Path
    unmatched: Sequence[str] = ()

    @abstractmethod
    def load(self) -> None:
        """Read the file, where that was not done before; ``ValueError`` if it cannot be read."""


class Placed(NamedTuple):
    """Fixations in an image: ``points`` (N, 2), int64, inside it; ``left_out``, the number of those that are not."""

    points: Tensor
    left_out: int


def place_fixations(recorded: Recorded, size: Size, *, frame: str = "refuse", name: str = "") -> Placed:
    """Fixations as whole pixels of an image; those outside, and those without coordinates, are left out and counted.

    Args:
        recorded: The fixations and their frame.
        size: (H, W) of the image.
        frame: Treatment of a frame of another size than the image: ``"refuse"``, or ``"scale"`` for images
            that were resized after the recording, which scales the points with the frame.
        name: The image's name in an error.

    Raises:
        ValueError: If ``frame`` is something else, or the sizes differ and are to be refused.
    """
    check_frame(frame)
    points = recorded.points[_inside(recorded.points, recorded.frame)]
    if recorded.frame != size:
        if frame == "refuse":
            raise ValueError(
                f"The fixations of {name!r} were recorded in a frame of {recorded.frame} (H, W), its image has {size}. "
                "Use images of the recorded size, or frame='scale' if the images were only resized."
            )
        scale = torch.tensor([size[1] / recorded.frame[1], size[0] / recorded.frame[0]], dtype=torch.float64)
        points = ((points + 0.5) * scale).floor().long()  # a pixel's centre decides its new pixel
    left_out = len(recorded.points) - len(points) + recorded.not_finite
    return Placed(points, left_out)


def check_frame(frame: str) -> None:
    """Refuse a ``frame`` that ``place_fixations`` does not know.

    Raises:
        ValueError: If it is neither ``"refuse"`` nor ``"scale"``.
    """
    if frame not in FRAMES:
        raise ValueError(f"`frame` must be 'refuse' or 'scale', got {frame!r}.")


def _inside(points: Tensor, frame: Size) -> Tensor:
    return ((points >= 0) & (points < torch.tensor([frame[1], frame[0]]))).all(1)


def to_recorded(viewers: Sequence[Any], frame: Size, *, first: int, swap: bool = False) -> Recorded:
    """Points of several viewers as one recording.

    Args:
        viewers: For each viewer an (N, 2) array of numbers, one point (2,), or nothing.
        frame: (H, W).
        first: Number of the first pixel: 1 where pixels are counted from 1, or 0.
        swap: ``True`` for points (row, column), ``False`` for (x, y).

    Raises:
        ValueError: If points are not pairs of numbers, or are shares of the frame.
    """
    found = [to_pairs(points) for points in viewers]
    pairs = np.concatenate([np.empty((0, 2)), *found])[:, :: -1 if swap else 1]
    finite = np.isfinite(pairs).all(1)
    for column, values in zip("xy", pairs[finite].T, strict=True):
        refuse_shares(values, column)
    return round_pairs(pairs, frame, first=first)


def round_pairs(pairs: np.ndarray[Any, Any], frame: Size, *, first: int) -> Recorded:
    """Points (N, 2), x and y, as the pixels nearest to them; those that are not finite are left out and counted.

    Args:
        pairs: The points, in pixels counted from ``first``.
        frame: (H, W).
        first: Number of the first pixel.
    """
    finite = np.isfinite(pairs).all(1)
    # Coordinates far outside every frame are cut off here, where they would overflow; they stay outside.
    points = np.rint(pairs[finite].clip(-1e9, 1e9)).astype(np.int64) - first
    return Recorded(torch.from_numpy(points), frame, int((~finite).sum()))


def floor_pairs(pairs: np.ndarray[Any, Any], frame: Size) -> Recorded:
    """Continuous coordinates (N, 2) from the upper left corner as the pixels that they lie in."""
    kept = pairs[np.isfinite(pairs).all(1)]
    return Recorded(torch.from_numpy(np.floor(kept.clip(-1e9, 1e9)).astype(np.int64)), frame, len(pairs) - len(kept))


def to_pairs(points: Any) -> np.ndarray[Any, Any]:
    """Points as an (N, 2) array in float64; a coordinate that is ``None`` becomes NaN, as does a missing point.

    Raises:
        ValueError: If they are something else than (N, 2), one pair, or nothing.
    """
    if isinstance(points, list):
        points = [(math.nan, math.nan) if point is None else point for point in points]
    try:
        pairs = np.asarray([] if points is None else points)
        if pairs.dtype.kind == "c":
            raise TypeError("complex numbers")
        pairs = pairs.astype(np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"fixations must be (N, 2) numbers, got something else: {error}") from error
    if pairs.size == 0:
        return np.empty((0, 2))
    if pairs.shape == (2,):
        pairs = pairs[None]
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"fixations must be (N, 2), x and y or row and column alone, got shape {pairs.shape}")
    return pairs


def refuse_shares(values: np.ndarray[Any, Any], column: str) -> None:
    """Refuse coordinates that are shares of the frame instead of pixels.

    In pixels most of a recording never falls on the frame's first column or row.

    Raises:
        ValueError: If most values lie in [0, 1] and some of these are fractions.
    """
    in_unit = values[(values >= 0) & (values <= 1)]
    if 2 * len(in_unit) > len(values) and (in_unit % 1).any():
        raise ValueError(
            f"{column} must be in pixels, but most values lie in [0, 1], as shares of the frame do; multiply them by "
            f"the image's {'width' if column == 'x' else 'height'}"
        )


def to_frame(height: Any, width: Any) -> Size:
    """A frame's (H, W) from whatever a file has.

    Raises:
        ValueError: If they are not whole numbers of at least 1, or the frame has more than 50 million pixels.
    """
    numbers = [value if isinstance(value, (int, float)) else math.nan for value in (height, width)]
    whole = all(1 <= number <= MAX_PIXELS and number == int(number) for number in numbers)
    if bool in (type(height), type(width)) or not whole or numbers[0] * numbers[1] > MAX_PIXELS:
        raise ValueError(
            f"the frame's height and width must be whole numbers from 1, at most {MAX_PIXELS // 10**6} million pixels "
            f"in all, got {height!r} and {width!r}"
        )
    return int(numbers[0]), int(numbers[1])
