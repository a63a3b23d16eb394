"""Leave-one-out references for sAUC and IG: the fixations and the mean density of all images but one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from augsal_transforms.data.fixations import count_fixations
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.letterbox import resize

Size = tuple[int, int]


class FixationDataset(Protocol):
    """Images, saliency maps and fixations.

    A data set that knows how many fixations of an image it left out may have ``placed(name)`` too, which returns the
    points and that number, as ``FixatedFolder`` does; it is then asked instead of ``fixations``.
    """

    @property
    def names(self) -> Sequence[str]:
        """Names of the images, in the order of their indices."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A sample with ``image`` and ``saliency_map``."""

    def fixations(self, name: str) -> Tensor:
        """(N, 2) points (x, y) in the image's pixels from 0."""


class Sample(NamedTuple):
    """One image of a data set with its ground truth, on the CPU.

    Attributes:
        image: (3, H, W), uint8 or float in [0, 1], as stored.
        saliency_map: (1, H, W) at the image's size, in [0, 1].
        fixation_map: (1, H, W), number of fixations on each pixel.
        left_out: Number of fixations outside the image or without coordinates.
    """

    image: Tensor
    saliency_map: Tensor
    fixation_map: Tensor
    left_out: int


def read_sample(dataset: FixationDataset, index: int) -> Sample:
    """Read an image, its saliency map and its fixations; fixations outside the image are left out and counted."""
    sample, name = dataset[index], dataset.names[index]
    image = to_rgb_image(sample["image"]).as_subclass(Tensor).cpu()
    size = (image.shape[-2], image.shape[-1])
    saliency_map = to_saliency_map(sample["saliency_map"], size).as_subclass(Tensor).cpu()
    placed = getattr(dataset, "placed", None)
    points, left_out = placed(name) if placed else (dataset.fixations(name), 0)
    inside, outside = _inside(points, size)
    return Sample(image, saliency_map, count_fixations(inside, size), left_out + outside)


def _inside(fixations: Tensor, size: Size) -> tuple[Tensor, int]:
    """The points inside an image as whole pixels, (N, 2) int64, and the number of the others."""
    points = torch.as_tensor(fixations).cpu().double()
    points = points.reshape(0, 2) if points.numel() == 0 else points
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"`fixations` must be (N, 2) points (x, y), got {tuple(points.shape)}.")
    if bool(((points >= 0) & (points <= 1)).all()) and bool((points % 1).any()):
        raise ValueError("`fixations` must be in pixels of the image, got shares of its width and height.")
    limit = torch.tensor([size[1], size[0]])
    inside = ((points >= 0) & (points < limit)).all(1)  # false for NaN
    return points[inside].floor().long(), int((~inside).sum())


class LeaveOneOut:
    """Fixations and mean density of all images but one, at that one's size.

    Only sums are kept: for each image size, one map of counts and one of densities. ``add`` every image first.
    """

    def __init__(self) -> None:
        self.counts: dict[Size, Tensor] = {}
        self.densities: dict[Size, Tensor] = {}
        self._all_at = lru_cache(maxsize=8)(self._sum_at)

    def __reduce__(self) -> Any:
        return _restore, (self.counts, self.densities)  # the cache stays here

    def add(self, saliency_map: Tensor, fixation_map: Tensor) -> None:
        """Add an image's saliency map and fixation map, both (1, H, W)."""
        size = (saliency_map.shape[-2], saliency_map.shape[-1])
        for sums, added in ((self.counts, fixation_map), (self.densities, to_density(saliency_map))):
            sums[size] = sums[size] + added if size in sums else added
        self._all_at.cache_clear()

    def fixation_map(self, own: Tensor) -> Tensor:
        """Number of fixations of the other images on each pixel, (1, H, W).

        Args:
            own: The image's own fixation map, (1, H, W), which was added.
        """
        return self._all_at((own.shape[-2], own.shape[-1]))[0] - own

    def baseline(self, own: Tensor) -> Tensor:
        """Mean density of the other images up to its scale, (1, H, W).

        Args:
            own: The image's own saliency map, (1, H, W), which was added.
        """
        total = self._all_at((own.shape[-2], own.shape[-1]))[1]
        rest = total - to_density(own)
        return torch.where(rest > 1e-12 * total, rest, 0)  # where no other image has density, rounding is left

    def _sum_at(self, size: Size) -> tuple[Tensor, Tensor]:
        counts = [scale_counts(counted, size) for counted in self.counts.values()]
        densities = [to_density(resize(summed, size)) * summed.sum() for summed in self.densities.values()]
        return torch.stack(counts).sum(0), torch.stack(densities).sum(0)


def _restore(counts: dict[Size, Tensor], densities: dict[Size, Tensor]) -> LeaveOneOut:
    restored = LeaveOneOut()
    restored.counts, restored.densities = counts, densities
    return restored


def to_density(image_map: Tensor) -> Tensor:
    """A map in double precision, scaled to a sum of 1; an empty one stays empty."""
    total = image_map.double().sum()
    return image_map.double() / torch.where(total > 0, total, 1)


def scale_counts(fixation_map: Tensor, size: Size) -> Tensor:
    """A map of counts (1, H, W) at another size; each count goes to the pixel that holds its pixel's upper left corner.

    Args:
        fixation_map: (1, H, W), number of fixations on each pixel.
        size: (H, W) of the result.
    """
    _, y, x = fixation_map.nonzero().unbind(1)
    height, width = fixation_map.shape[-2:]
    places = (y * size[0] // height) * size[1] + x * size[1] // width
    counts = fixation_map[0, y, x]
    return torch.zeros(size, dtype=counts.dtype).put_(places, counts, accumulate=True)[None]
