"""Compact networks in the style of SimpleNet, DeepGaze IIE and TempSAL; the one in the style of UNISAL is an example.

Each keeps the idea that distinguishes its model from the others, without its size and its pretrained backbone: the
encoder is small and is trained with the rest. Input: normalised images (B, 3, H, W), H and W multiples of 16. Output:
maps (B, 1, H, W) in [0, 1].
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from compact_unisal import CompactUnisal
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

from augsal_transforms.adapters._hook import peak

__all__ = ["CompactDeepGaze", "CompactSimpleNet", "CompactTempSAL", "CompactUnisal"]

CHANNELS = (16, 32, 64, 96)  # at strides 2, 4, 8 and 16


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Make a 3×3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


def upsample(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, like.shape[-2:], mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """Images (B, 3, H, W) → features at strides 2, 4, 8 and 16, a list."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(block(inputs, outputs, 2), block(outputs, outputs))
            for inputs, outputs in pairwise((3, *CHANNELS))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [images]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]


class Decoder(nn.Module):
    """Features → logits at stride 2, from coarse to fine, with a skip connection at each scale.

    Args:
        outputs: Number of maps that the decoder returns.
        guides: Number of maps that are concatenated to the features at every scale.
    """

    def __init__(self, outputs: int, guides: int = 0) -> None:
        super().__init__()
        coarse_to_fine = CHANNELS[::-1]
        self.merges = nn.ModuleList(block(coarse + fine + guides, fine) for coarse, fine in pairwise(coarse_to_fine))
        self.readout = nn.Conv2d(CHANNELS[0], outputs, 3, padding=1)

    def forward(self, features: list[Tensor], *guides: Tensor) -> Tensor:
        *finer, merged = features
        for merge, skip in zip(self.merges, reversed(finer), strict=True):
            beside = [upsample(maps, skip) for maps in (merged, *guides)]
            merged = merge(torch.cat([*beside, skip], dim=1))
        logits: Tensor = self.readout(merged)
        return logits


class CompactSimpleNet(nn.Module):
    """In the style of SimpleNet (Reddy et al., IROS 2020): one encoder, one decoder, one skip connection per scale."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder(1)

    def forward(self, images: Tensor) -> Tensor:
        return upsample(self.decoder(self.encoder(images)), images).sigmoid()


class CompactTempSAL(nn.Module):
    """In the style of TempSAL (Aydemir et al., CVPR 2023): maps of five time slices refine the image's map.

    One decoder predicts the image's map, a second one the maps of the slices, and a third one takes all of them at
    every scale. In the original the first two are trained first, on maps of their own. Here the slices differ only in
    their initial weights, because a data set with one map per image has no times.
    """

    def __init__(self, slices: int = 5) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.image, self.slices, self.fusion = Decoder(1), Decoder(slices), Decoder(1, guides=1 + slices)

    def forward(self, images: Tensor) -> Tensor:
        features = self.encoder(images)
        guides = torch.cat([self.image(features), self.slices(features)], dim=1).sigmoid()
        return upsample(self.fusion(features, guides), images).sigmoid()


class Readout(nn.Module):
    """Features → one map, pixel by pixel; each layer has group normalisation before it and a softplus after it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (channels, 8, 16, 1)
        layers = [(nn.GroupNorm(1, a), nn.Conv2d(a, b, 1), nn.Softplus()) for a, b in pairwise(widths)]
        self.layers = nn.Sequential(*(layer for step in layers for layer in step))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        readout: Tensor = self.scale * self.layers(features)
        return readout


class CentreBias(nn.Module):
    """The log of a Gaussian about the centre, (H, W), up to a constant; its two widths are learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_width = nn.Parameter(torch.zeros(2))  # in units of half the image's side

    def forward(self, images: Tensor) -> Tensor:
        y, x = (torch.linspace(-1, 1, length, device=images.device) for length in images.shape[-2:])
        height, width = self.log_width.exp()
        return -((y[:, None] / height) ** 2 + (x[None, :] / width) ** 2) / 2


class CompactDeepGaze(nn.Module):
    """In the style of DeepGaze IIE (Linardos et al., ICCV 2021): the average of the densities of pointwise readouts.

    As in the original, features of several depths are read pixel by pixel at one resolution, smoothed by a Gaussian,
    added to a centre bias and turned into a density. The original averages four frozen backbones; here one trained
    encoder has several readouts, which are averaged.
    """

    def __init__(self, readouts: int = 3) -> None:
        super().__init__()
        self.encoder, self.centre_bias = Encoder(), CentreBias()
        self.readouts = nn.ModuleList(Readout(sum(CHANNELS[1:])) for _ in range(readouts))
        self.log_blur = nn.Parameter(torch.zeros(()))  # log of the sigma, in pixels of the readouts

    def forward(self, images: Tensor) -> Tensor:
        _, *features = self.encoder(images)
        stacked = torch.cat([upsample(one, features[0]) for one in features], dim=1)
        blur, bias = self.log_blur.exp().expand(len(images), 2), self.centre_bias(images)
        densities = []
        for readout in self.readouts:
            smooth = upsample(gaussian_blur2d(readout(stacked), (9, 9), blur), images)
            densities.append((smooth + bias).flatten(1).log_softmax(1))
        mixture = torch.stack(densities).logsumexp(0) - math.log(len(densities))
        return peak(mixture.view(-1, 1, *images.shape[-2:]))
