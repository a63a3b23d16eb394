"""A compact saliency network in the style of UNISAL's static branch (Droste et al., ECCV 2020).

A MobileNetV2 encoder without downloaded weights, learned Gaussian priors, a light decoder with one
skip connection, and a final smoothing. Small enough to train on two CPU cores.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn
from torchvision.models import mobilenet_v2


class GaussianPriors(nn.Module):
    """Axis-aligned Gaussians with learned centres and widths, appended to the features as channels."""

    def __init__(self, count: int = 8) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.randn(count, 2) * 0.2)
        self.log_width = nn.Parameter(torch.randn(count, 2) * 0.2 - 0.7)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        y = torch.linspace(-1, 1, height, device=features.device)[None, :, None]
        x = torch.linspace(-1, 1, width, device=features.device)[None, None, :]
        (cx, cy), (sx, sy) = self.centre.T[..., None, None], self.log_width.exp().T[..., None, None]
        priors = torch.exp(-(((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2) / 2)
        return torch.cat([features, priors[None].expand(len(features), -1, -1, -1)], dim=1)


class Encoder(nn.Module):
    """The first half of a MobileNetV2 at half its width: images → features at strides 8 (16 channels) and 16 (48)."""

    def __init__(self) -> None:
        super().__init__()
        layers = mobilenet_v2(weights=None, width_mult=0.5).features
        self.fine, self.coarse = layers[:7], layers[7:14]

    def forward(self, images: Tensor) -> list[Tensor]:
        fine = self.fine(images)
        return [fine, self.coarse(fine)]


class CompactUnisal(nn.Module):
    """Images (B, 3, H, W), normalised → saliency maps (B, 1, H, W) in [0, 1]."""

    def __init__(self, priors: int = 8) -> None:
        super().__init__()
        self.encoder, fine, coarse = Encoder(), 16, 48
        self.priors = GaussianPriors(priors)
        self.post = nn.Sequential(nn.Conv2d(coarse + priors, 64, 1), nn.BatchNorm2d(64), nn.ReLU6())
        self.merge = nn.Sequential(nn.Conv2d(64 + fine, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU6())
        self.readout = nn.Conv2d(32, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine, coarse = self.encoder(images)
        upsampled = F.interpolate(self.post(self.priors(coarse)), fine.shape[-2:], mode="bilinear", align_corners=False)
        logits = self.readout(self.merge(torch.cat([upsampled, fine], dim=1)))
        logits = F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)
        return gaussian_blur2d(logits.sigmoid(), (9, 9), (2.0, 2.0))
