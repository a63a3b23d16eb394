"""Features of an image that nobody learned: colour opponency, centre and surround, texture, orientation.

They are those of the classical models of attention (Itti, Koch & Niebur, PAMI 1998; Judd et al., ICCV 2009, without the
detectors of objects), so a judge that reads them shares nothing with networks that were pretrained on ImageNet.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from table2.spectral_residual import spectral_residual

SIGMAS = (1.0, 2.0, 4.0, 8.0, 16.0)  # of the blurs, in pixels of the input
ORIENTATIONS = 4
STRIDES = (8, 16, 32)
CHANNELS = 3 + 2 * 3 * (len(SIGMAS) - 1) + 3 * 3 + 3 * ORIENTATIONS + 1


def classical_features(images: Tensor, batch_size: int = 20) -> list[Tensor]:
    """Compute the features of images.

    Args:
        images: (B, 3, H, W), uint8; H and W are multiples of 32.
        batch_size: Images that are in memory together.

    Returns:
        Features (B, ``CHANNELS``, H / 8, W / 8), and the same at strides 16 and 32, float16.
    """
    computed = [_features(batch) for batch in images.split(batch_size)]
    return [torch.cat(maps) for maps in zip(*computed, strict=True)]


def _features(images: Tensor) -> list[Tensor]:
    opponents = _opponents(images.float() / 255)
    blurred = [_blur(opponents, sigma) for sigma in SIGMAS]
    maps = [opponents]
    for fine, coarse in pairwise(blurred):
        maps += [(fine - coarse).relu(), (coarse - fine).relu()]  # lighter, and darker, than the surround
    maps += [_deviation(opponents, sigma) for sigma in SIGMAS[1:4]]
    maps += [_orientations(level[:, :1]) for level in blurred[:3]]
    maps.append(torch.stack([spectral_residual(image) for image in images]))
    finest = F.avg_pool2d(torch.cat(maps, 1), STRIDES[0])
    return [F.avg_pool2d(finest, stride // STRIDES[0]).half() for stride in STRIDES]


def _opponents(pixels: Tensor) -> Tensor:
    """Luma, red against green, and blue against yellow, (B, 3, H, W)."""
    red, green, blue = pixels.unbind(1)
    return torch.stack([(red + green + blue) / 3, red - green, blue - (red + green) / 2], 1)


def _blur(maps: Tensor, sigma: float) -> Tensor:
    size = 2 * math.ceil(2 * sigma) + 1
    blurred: Tensor = gaussian_blur2d(maps, (size, size), (sigma, sigma))
    return blurred


def _deviation(maps: Tensor, sigma: float) -> Tensor:
    """Local standard deviation of each map: its texture and its contrast."""
    return (_blur(maps.square(), sigma) - _blur(maps, sigma).square()).clamp(min=0).sqrt()


def _orientations(luma: Tensor) -> Tensor:
    """Strength of the gradient of (B, 1, H, W) along each orientation, (B, ``ORIENTATIONS``, H, W)."""
    padded = F.pad(luma, (1, 1, 1, 1), mode="replicate")
    x, y = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    angles = [math.pi * n / ORIENTATIONS for n in range(ORIENTATIONS)]
    return torch.cat([(math.cos(angle) * x + math.sin(angle) * y).abs() for angle in angles], 1)
