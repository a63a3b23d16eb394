"""Upsampling and convolution in one operation, which saves a CPU five ninths of the arithmetic."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def upsample_and_convolve(images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve images of twice the size, as nearest-neighbour upsampling makes them, without making them.

    Each pixel stands four times in the upsampled image. A kernel of 3×3 covers only 2×2 different ones, so it is a
    transposed convolution of stride 2 with a kernel of 4×4: the 3×3 kernel, summed over the four places.

    Args:
        images: (B, C, H, W).
        weight: Kernel of a 3×3 convolution with padding 1, (C', C, 3, 3).
        bias: (C',), or ``None``.

    Returns:
        (B, C', 2 H, 2 W); equal to upsampling and convolution but for rounding.
    """
    mirrored = weight.flip(2, 3).transpose(0, 1)
    places = [F.pad(mirrored, (right, 1 - right, down, 1 - down)) for down in (0, 1) for right in (0, 1)]
    return F.conv_transpose2d(images, sum(places[1:], places[0]), bias, stride=2, padding=1)


class UpsamplingConvolution(nn.Module):
    """Takes the place of a VAE's ``Upsample2D``.

    The kernel is summed anew at each call, which costs next to nothing, so that changed weights count.

    Args:
        convolution: The layer's own 3×3 convolution; its weights keep their names.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.conv = convolution

    def forward(self, images: Tensor) -> Tensor:
        """Upsample (B, C, H, W) to (B, C', 2 H, 2 W)."""
        return upsample_and_convolve(images, self.conv.weight, self.conv.bias)


def join_upsampling(decoder: nn.Module) -> None:
    """Let the upsampling layers of a VAE's decoder compute the two steps as one."""
    for block in decoder.up_blocks:  # type: ignore[union-attr]
        for n, layer in enumerate(block.upsamplers or ()):
            block.upsamplers[n] = UpsamplingConvolution(layer.conv)
