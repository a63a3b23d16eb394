"""The readouts on aggregated features: photometric (LLFR), class (HLFR) and saliency (SR), Sec. 3.2–3.4.

An area of interest is a weight in [0, 1] for each cell of the latent; several areas of an image are read at once.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from augsal_transforms.photometry import PROPERTIES

HIDDEN = 128


def pool_moments(features: Tensor, areas: Tensor) -> Tensor:
    """Mean and standard deviation of features inside each area and in the whole image.

    Args:
        features: (B, C, h, w).
        areas: (B, K, h, w), in [0, 1].

    Returns:
        (B, K, 4C): mean and standard deviation in the area, then in the image.
    """
    weights = areas.flatten(2) / areas.flatten(2).sum(-1, keepdim=True).clamp(min=1e-6)
    flat = features.flatten(2)
    mean = torch.einsum("bkp,bcp->bkc", weights, flat)
    square = torch.einsum("bkp,bcp->bkc", weights, flat.square())
    deviation = (square - mean.square()).clamp(min=1e-8).sqrt()
    whole = torch.cat([flat.mean(-1), flat.var(-1, unbiased=False).clamp(min=1e-8).sqrt()], dim=1)
    return torch.cat([mean, deviation, whole[:, None].expand(-1, areas.shape[1], -1)], dim=2)


class PhotometricReadout(nn.Module):
    """LLFR: a small MLP for each of ``PROPERTIES``, all on the same low-level features (Sec. 3.2).

    Note:
        The released heads flatten a 64×64 feature map, which takes 16.8 M weights each. The properties depend on the
        mean and the standard deviation over the area; these need no fixed size, and 67 k weights at C = 128.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(4 * width), nn.Linear(4 * width, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 1))
            for _ in PROPERTIES
        )

    def forward(self, low: Tensor, areas: Tensor) -> Tensor:
        """Low-level features (B, C, h, w) and areas (B, K, h, w) → (B, K, 6), as ``PROPERTIES``."""
        moments = pool_moments(low, areas)
        return torch.cat([head(moments) for head in self.heads], dim=-1)


class ClassReadout(nn.Module):
    """HLFR: the class of the object in an area, by convolutions on high-level features (Sec. 3.3).

    The convolutions are dilated, so that each output depends on 15×15 cells, which hold a whole object. Trained alone
    for 600 steps on scenes, they were right in 46 % of boxes; two plain convolutions over 5×5 cells in 34 %.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, dilation in ((width, 1), (HIDDEN, 2), (HIDDEN, 4)):
            layers += [nn.Conv2d(channels, HIDDEN, 3, padding=dilation, dilation=dilation), nn.SiLU()]
        self.convolutions = nn.Sequential(*layers)
        self.classify = nn.Linear(HIDDEN, classes)

    def forward(self, high: Tensor, areas: Tensor) -> Tensor:
        """High-level features (B, C, h, w) and areas (B, K, h, w) → logits (B, K, classes)."""
        weights = areas.flatten(2) / areas.flatten(2).sum(-1, keepdim=True).clamp(min=1e-6)
        pooled = torch.einsum("bkp,bcp->bkc", weights, self.convolutions(high).flatten(2))
        logits: Tensor = self.classify(pooled)
        return logits


class SaliencyReadout(nn.Module):
    """SR: seven convolutions with SiLU on both feature maps, and a skip from each of the two (Sec. 3.4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.both = _silu_convolutions(2 * width, width, half)
        self.with_high = _silu_convolutions(half + width, half, quarter)
        self.with_low = _silu_convolutions(quarter + width, half, quarter)
        self.last = _silu_convolutions(quarter, 16)
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Both feature maps (B, C, h, w) → S′ (B, 1, h, w) in (0, 1)."""
        hidden = self.both(torch.cat([low, high], dim=1))
        hidden = self.with_high(torch.cat([hidden, high], dim=1))
        hidden = self.with_low(torch.cat([hidden, low], dim=1))
        return torch.sigmoid(self.out(self.last(hidden)))


def _silu_convolutions(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.SiLU()]
    return nn.Sequential(*layers)
