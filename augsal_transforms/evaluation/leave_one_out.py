"""What the other images of a data set tell of one: where people look in them (for sAUC and IG)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from augsal_transforms.data.fixations import count_fixations
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.letterbox import resize

Size = tuple[int, int]


class FixationDataset(Protocol):
    """Images, saliency maps and fixations."""

    @property
    def names(self) -> Sequence[str]:
        """Of the images, in the order of their indices."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A sample with ``image`` and ``saliency_map``."""

    def fixations(self, name: str) -> Tensor:
        """(N, 2) points (x, y) in the image's pixels from 0."""


def read_sample(dataset: FixationDataset, index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Image (3, H, W) as stored, saliency map (1, H, W) and fixation map (1, H, W) at the image's size."""
    sample = dataset[index]
    image = to_rgb_image(sample["image"]).as_subclass(Tensor)
    size = (image.shape[-2], image.shape[-1])
    saliency_map = to_saliency_map(sample["saliency_map"], size).as_subclass(Tensor)
    return image, saliency_map, count_fixations(dataset.fixations(dataset.names[index]), size)


class OtherImages:
    """Fixations and mean density of all images but one, at that one's size.

    Reads the data set once and keeps sums alone: of each image size one map of counts and one of densities.

    Args:
        dataset: Its fixations and maps.
    """

    def __init__(self, dataset: FixationDataset) -> None:
        self.counts: dict[Size, Tensor] = {}
        self.densities: dict[Size, Tensor] = {}
        for index in range(len(dataset.names)):
            _, saliency_map, fixation_map = read_sample(dataset, index)
            size = (saliency_map.shape[-2], saliency_map.shape[-1])
            for sums, field in ((self.counts, fixation_map), (self.densities, density(saliency_map))):
                sums[size] = sums[size] + field if size in sums else field
        self._all_at = lru_cache(maxsize=8)(self._sum_at)

    def fixation_map(self, own: Tensor) -> Tensor:
        """How often others' fixations fall on each pixel, of an image whose own fixation map is (1, H, W)."""
        return self._all_at((own.shape[-2], own.shape[-1]))[0] - own

    def baseline(self, own: Tensor) -> Tensor:
        """The mean density of the others, up to its scale, of an image whose own saliency map is (1, H, W)."""
        everyone = self._all_at((own.shape[-2], own.shape[-1]))[1]
        rest = everyone - density(own)
        return torch.where(rest > 1e-12 * everyone, rest, 0)  # what rounding leaves of nothing is nothing

    def _sum_at(self, size: Size) -> tuple[Tensor, Tensor]:
        counts = [scale_counts(field, size) for field in self.counts.values()]
        densities = [density(resize(field, size)) * field.sum() for field in self.densities.values()]
        return torch.stack(counts).sum(0), torch.stack(densities).sum(0)


def density(field: Tensor) -> Tensor:
    """A map in double precision that sums to 1; an empty one stays empty."""
    total = field.double().sum()
    return field.double() / torch.where(total > 0, total, 1)


def scale_counts(fixation_map: Tensor, size: Size) -> Tensor:
    """A map of counts (1, H, W) at another size, each fixation in the pixel that its own pixel's corner falls on."""
    _, y, x = fixation_map.nonzero().unbind(1)
    height, width = fixation_map.shape[-2:]
    places = (y * size[0] // height) * size[1] + x * size[1] // width
    counts = fixation_map[0, y, x]
    return torch.zeros(size, dtype=counts.dtype).put_(places, counts, accumulate=True)[None]
