"""Fit images to the model's grid, restore what comes back to the image's own size, and composite."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from augsal_transforms.photometry import to_unit_range


@dataclass(frozen=True)
class Letterbox:
    """Place of an image on the model's grid; sizes are (height, width).

    Attributes:
        size: The image's own size.
        inner: Its size when edited: about ``resolution²`` pixels, aspect kept.
        outer: ``inner`` padded to multiples that the networks need.
    """

    size: tuple[int, int]
    inner: tuple[int, int]
    outer: tuple[int, int]

    @classmethod
    def plan(cls, size: tuple[int, int], resolution: int, multiple: int) -> Letterbox:
        """Fit an image of ``size`` to ``resolution²`` pixels and sides that are multiples of ``multiple``."""
        scale = resolution / math.sqrt(size[0] * size[1])
        inner = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        outer = (-(-inner[0] // multiple) * multiple, -(-inner[1] // multiple) * multiple)
        return cls(size, inner, outer)

    def fit(self, image: Tensor) -> Tensor:
        """An image (C, H, W) on the grid (C, *outer), mirrored at its right and lower edges."""
        resized = resize(image, self.inner)
        rows, columns = (_mirror(n, m, image.device) for n, m in zip(self.inner, self.outer, strict=True))
        return resized[:, rows][:, :, columns]

    def fit_map(self, saliency_map: Tensor, size: tuple[int, int]) -> Tensor:
        """A map (1, H, W) on the grid, averaged to ``size``: a cell over its part of the image, 0 in the padding."""
        padding = (0, self.outer[1] - self.inner[1], 0, self.outer[0] - self.inner[0])
        resized = resize(saliency_map, self.inner)
        values, covered = (F.adaptive_avg_pool2d(F.pad(x, padding), size) for x in (resized, torch.ones_like(resized)))
        return values / covered.clamp(min=1e-6)

    def mirror_padding(self, image_map: Tensor) -> Tensor:
        """A map (1, h, w) over the grid, its padding filled with the image's cells mirrored at the image's edge."""
        sizes = zip(self.inner, self.outer, image_map.shape[-2:], strict=True)
        rows, columns = (_mirror(-(-inner * n // outer), n, image_map.device) for inner, outer, n in sizes)
        return image_map[:, rows][:, :, columns]

    def restore(self, placed: Tensor) -> Tensor:
        """A tensor on the grid, (C, *outer), at the image's own size, (C, H, W), without the padding."""
        return resize(placed[:, : self.inner[0], : self.inner[1]], self.size)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased resize of (C, H, W); the same tensor if it has that size already."""
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


def _mirror(length: int, padded: int, device: torch.device) -> Tensor:
    """``padded`` indices that run from 0 to ``length`` − 1 and back again, over and over."""
    period = max(2 * length - 2, 1)
    index = torch.arange(padded, device=device) % period
    return torch.where(index < length, index, period - index)


def composite(image: Tensor, change: Tensor, edit_mask: Tensor) -> Tensor:
    """``image + change`` where the mask is above zero, in the image's own type; bit-exact elsewhere."""
    edited = (to_unit_range(image) + change).clamp(0, 1)
    edited = (edited * 255).round() if image.dtype == torch.uint8 else edited
    return torch.where(edit_mask > 0, edited.to(image.dtype), image)


def keep_mean(image: Tensor, change: Tensor, edit_mask: Tensor) -> Tensor:
    """``change`` without the part that would move the mean colour of the region, clipping included.

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        change: Change of the image, (B, 3, H, W), before it is weighted by the mask.
        edit_mask: (B, 1, H, W), in [0, 1].

    Returns:
        Shaped like ``change``. Its mean over the region is 0 to first order: clipping is measured once, not again after
        the correction.
    """
    weight = edit_mask.square().sum((-2, -1), keepdim=True).clamp(min=1e-8)
    centred = change - (edit_mask.square() * change).sum((-2, -1), keepdim=True) / weight
    clipped = (image + edit_mask * centred).clamp(0, 1) - image
    return centred - (edit_mask * clipped).sum((-2, -1), keepdim=True) / weight


def check_images(images: Any) -> list[Tensor]:
    """A batch (B, 3, H, W) or a list of RGB images (3, H, W) as a list.

    Raises:
        TypeError: If they are not tensors of uint8 or float.
        ValueError: If a shape or a range is wrong.
    """
    if not isinstance(images, (Tensor, list, tuple)) or getattr(images, "ndim", 1) == 0:
        raise TypeError(
            f"`images` must be a list of (3, H, W) tensors or a batch (B, 3, H, W), got {type(images).__name__}. "
            "Write `[image]` for one image."
        )
    for n, image in enumerate(images):
        if not isinstance(image, Tensor):
            raise TypeError(
                f"`images[{n}]` must be a tensor (3, H, W), got {type(image).__name__}. Convert a PIL image or an "
                "array (H, W, 3): `v2.functional.to_image(image)`."
            )
        if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            hint = {2: " Write `[image]` for one image.", 4: " Take the batch apart: one (3, H, W) per image."}
            advice = hint.get(image.ndim, "")
            raise ValueError(f"`images[{n}]` must be RGB of shape (3, H, W), got {tuple(image.shape)}.{advice}")
        if image.dtype != torch.uint8 and not image.is_floating_point():
            raise TypeError(f"`images[{n}]` must be uint8 or float in [0, 1], got {image.dtype}.")
        if image.is_floating_point() and not bool(((image >= 0) & (image <= 1)).all()):
            raise ValueError(
                f"`images[{n}]` must lie in [0, 1], got values in [{image.min():.3g}, {image.max():.3g}]. "
                "Edit before Normalize; divide 0–255 floats by 255."
            )
    return list(images)
