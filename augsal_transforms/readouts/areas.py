"""Areas of interest: random patches for LLFR and boxes of objects for HLFR, as weights per cell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_BOXES = 8  # of an image's objects
SMALLEST, LARGEST = 0.1, 0.6  # side of a patch, as a share of the image's


def draw_patches(images: int, patches: int, generator: torch.Generator) -> Tensor:
    """Random rectangles, (images, patches, 4): left, top, right and bottom as shares of the image."""
    sides = SMALLEST + (LARGEST - SMALLEST) * torch.rand(images, patches, 2, generator=generator)
    start = torch.rand(images, patches, 2, generator=generator) * (1 - sides)
    return torch.cat([start, start + sides], dim=-1)


def rectangles(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Rectangles (B, K, 4) as masks of whole pixels, (B, K, H, W) of 0 and 1; one of no size is empty."""
    left, top, right, bottom = corners.unbind(-1)
    y, x = (torch.arange(n, device=corners.device) + 0.5 for n in size)
    rows = (y >= top[..., None] * size[0]) & (y < bottom[..., None] * size[0])
    columns = (x >= left[..., None] * size[1]) & (x < right[..., None] * size[1])
    return (rows[..., :, None] & columns[..., None, :]).float()


def pool_area(areas: Tensor, cells: tuple[int, int]) -> Tensor:
    """Areas (B, K, H, W) as the share of each latent cell that they cover, (B, K, h, w)."""
    return F.adaptive_avg_pool2d(areas, cells)
