"""Saliency maps that are made from fixations when they are read, for data sets that have no files of maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from augsal_transforms.data.fixation_files import read_all
from augsal_transforms.data.listing import Files
from augsal_transforms.data.names import to_name, without_ending
from augsal_transforms.data.pictures import Picture, Source
from augsal_transforms.data.recorded import Recorded, Size, place_fixations

_AT_ONCE = 1024  # points whose Gaussians are in memory together


def make_saliency_map(fixations: Tensor, size: Size, sigma: float) -> Tensor:
    """Blur fixations to a saliency map: the sum of a Gaussian at each, with nothing beyond the image's edges.

    Args:
        fixations: (N, 2) points (x, y), in pixels of the image from 0.
        size: (H, W).
        sigma: Standard deviation of the Gaussian in pixels, usually one degree of visual angle.

    Returns:
        (1, H, W) float64 with a maximum of 1; zeros without fixations.

    Raises:
        ValueError: If ``sigma`` is not a finite number above 0.
    """
    check_sigma(sigma)
    x, y = np.asarray(fixations, np.float64).reshape(-1, 2).T
    summed = np.zeros(size)
    for start in range(0, len(x), _AT_ONCE):
        rows, columns = (
            np.exp(-((np.arange(length) - part[start : start + _AT_ONCE, None]) ** 2) / (2 * sigma**2))
            for length, part in zip(size, (y, x), strict=True)
        )
        summed += rows.T @ columns  # a Gaussian is the product of its profiles
    peak = summed.max()
    return torch.from_numpy(summed / peak if peak > 0 else summed)[None]


def check_sigma(sigma: float) -> None:
    """Refuse what is no standard deviation in pixels.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not finite and above 0.
    """
    if isinstance(sigma, bool) or not isinstance(sigma, (int, float)):
        raise TypeError(f"`sigma` must be a number of pixels, got {type(sigma).__name__}.")
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"`sigma` must be a finite number of pixels above 0, got {sigma:g}.")


@dataclass(frozen=True)
class MadeMap(Picture):
    """A saliency map of 8 bits that is made from an image's fixations each time it is read.

    Attributes:
        name: Name of the image.
        source: The file of the fixations.
        fixations: Fixations by image name.
        sigma: Standard deviation of the Gaussian in pixels, or a function of the size (H, W) that returns it.
    """

    name: str
    source: Path
    fixations: Mapping[str, Recorded]
    sigma: float | Callable[[Size], float]

    def read(self) -> PIL.Image.Image:
        """The map, with a maximum of 255; all 0 where the image has no fixation.

        Raises:
            ValueError: If the image cannot be read, which tells the map's size.
        """
        recorded = self.fixations[self.name]
        size = recorded.frame
        sigma = self.sigma(size) if callable(self.sigma) else self.sigma
        values = make_saliency_map(place_fixations(recorded, size).points, size, sigma)[0]
        return PIL.Image.fromarray((values * 255).round().byte().numpy())

    def settings(self) -> str:
        """The image's name and sigma; its size is decided by the image."""
        sigma = f"{self.sigma.__module__}.{self.sigma.__qualname__}" if callable(self.sigma) else repr(self.sigma)
        return f"{self.name} {sigma}"

    def read_size(self) -> Size:
        """(H, W) of the image."""
        return self.fixations[self.name].frame


def add_made_maps(files: Files, images: Mapping[str, Source], sigma: float | None = None) -> Files:
    """The files of a data set, with maps to be made where its layout has fixations alone.

    Args:
        files: The files that the layout found.
        images: One image of each name.
        sigma: Standard deviation of the Gaussian in pixels; ``None`` is the data set's own, one degree of visual angle.

    Raises:
        ValueError: If ``sigma`` is given for a data set whose maps are files, or the fixations cannot be read.
        ImportError: If a library that reads the fixations is not installed.
    """
    if sigma is not None:
        check_sigma(sigma)
    if not files.makes_maps or files.release is None:
        if sigma is not None:
            raise ValueError("`sigma` is for data sets without maps, such as OSIE; the maps of this one are files.")
        return files
    fixations = read_all(files.release, images)
    spread = files.degree if sigma is None else sigma
    if spread is None:
        raise ValueError(
            "`sigma` must be given, in pixels: maps are made from fixations, and one degree of visual angle, the usual "
            "sigma, is not known for this data set."
        )
    unmatched = [without_ending(to_name(entry)) for entry in getattr(fixations, "unmatched", ())]
    names = [*fixations, *unmatched]  # a map without an image is left out and reported, as if it were a file
    path = files.release if isinstance(files.release, Path) else files.release.path
    return files._replace(maps=[(name, MadeMap(name, path, fixations, spread)) for name in names])
