"""The six photometric properties of an area of interest (Sec. 3.2).

The paper measures a rectangular patch; here every pixel has a weight in [0, 1], so that a soft region
can be measured too. With weights of 0 and 1 the values are the paper's.
"""

from __future__ import annotations

import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor

PROPERTIES = ("red", "green", "blue", "brightness", "local_contrast", "global_contrast")


def to_unit_range(image: Tensor) -> Tensor:
    """uint8 or float in [0, 1] → float32 in [0, 1]."""
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean over (H, W) of ``values`` (B, C, H, W) weighted by ``weight`` (B, 1, H, W). Returns (B, C)."""
    return (values * weight).sum((-2, -1)) / weight.sum((-2, -1)).clamp(min=1e-8)


def photometric_properties(image: Tensor, weight: Tensor) -> Tensor:
    """μ_R, μ_G, μ_B, μ_Br, c_L and c_G of an area of interest (Sec. 3.2).

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        weight: (B, 1, H, W), the area of interest, in [0, 1].

    Returns:
        (B, 6) in the order of ``PROPERTIES``; c_G is measured about the mean of the whole image.
    """
    grey = rgb_to_grayscale(image)
    rgb = weighted_mean(image, weight)
    brightness = weighted_mean(grey, weight)
    local_variance = weighted_mean((grey - brightness[..., None, None]).square(), weight)
    global_variance = weighted_mean((grey - grey.mean((-2, -1), keepdim=True)).square(), weight)
    return torch.cat([rgb, brightness, local_variance.sqrt(), global_variance.sqrt()], dim=1)
