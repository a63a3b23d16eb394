"""Photographs with their maps, in memory, and the batches that are drawn from them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from augsal_transforms.data.fixations import FixatedFolder
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.photometry import to_unit_range

STRIDE = 32  # sides of crops are multiples of it
MAP_SHARE = 2  # maps are kept at half the side of the images, which is finer than the network's output


@dataclass(frozen=True)
class Photographs:
    """Some images of a data set, in an order of their own.

    Attributes:
        dataset: The data set.
        names: Names of the images.
    """

    dataset: FixatedFolder
    names: Sequence[str]

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.dataset[list(self.dataset.names).index(self.names[index])]

    def fixations(self, name: str) -> Tensor:
        """(N, 2) points (x, y) in the image's pixels from 0."""
        return self.dataset.fixations(name)


def read_photographs(
    dataset: FixatedFolder, names: Sequence[str], size: tuple[int, int]
) -> list[tuple[Tensor, Tensor]]:
    """Images (3, *size), uint8, with their maps (1, H / 2, W / 2), float16."""
    photographs, read = Photographs(dataset, names), []
    for number in range(len(names)):
        sample = photographs[number]
        image = to_rgb_image(sample["image"]).as_subclass(Tensor)
        saliency_map = to_saliency_map(sample["saliency_map"], (image.shape[-2], image.shape[-1])).as_subclass(Tensor)
        placed = (resize(to_unit_range(image), size) * 255).round().byte()
        small = F.interpolate(saliency_map[None], (size[0] // MAP_SHARE, size[1] // MAP_SHARE), mode="area")[0]
        read.append((placed, small.half()))
    return read


def draw_batch(samples: Sequence[tuple[Tensor, Tensor]], draws: random.Random) -> tuple[Tensor, Tensor]:
    """A batch of augmented samples: images (B, 3, h, w) in [0, 1] and maps (B, 1, h, w).

    The crop's size is drawn for the batch: all of the image, or 0.6 to 1 of its sides. For each image are drawn the
    crop's place, mirroring (1 in 2), contrast and brightness (1 in 2), and grey (1 in 10).
    """
    sides = samples[0][0].shape[-2:]
    share = draws.uniform(0.6, 1.0) if draws.random() < 0.6 else 1.0
    height, width = (min(round(side * share / STRIDE) * STRIDE, side) for side in sides)
    images, maps = [], []
    for stored, small in samples:
        image, saliency_map = stored.float() / 255, F.interpolate(small.float()[None], tuple(sides), mode="bilinear")[0]
        top, left = draws.randint(0, sides[0] - height), draws.randint(0, sides[1] - width)
        image, saliency_map = (x[:, top : top + height, left : left + width] for x in (image, saliency_map))
        if draws.random() < 0.5:
            image, saliency_map = image.flip(-1), saliency_map.flip(-1)
        if draws.random() < 0.5:
            contrast, brightness = draws.uniform(0.8, 1.2), draws.uniform(-0.08, 0.08)
            image = ((image - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
        if draws.random() < 0.1:
            image = image.mean(0, keepdim=True).expand(3, -1, -1)
        images.append(image)
        maps.append(saliency_map)
    return torch.stack(images), torch.stack(maps)
