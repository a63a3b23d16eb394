"""Spectral residual saliency (Hou & Zhang, CVPR 2007): a second measure of what an edit does, not designed by us."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

WIDTH, BLUR = 64, 2.5  # input width and sigma of the published program, in pixels


def spectral_residual(image: Tensor) -> Tensor:
    """Compute saliency from the log spectrum of an image minus its local average.

    Args:
        image: (3, H, W), uint8 or float in [0, 1].

    Returns:
        Saliency map (1, H, W), float32 in [0, 1]. It is computed at a width of 64 pixels, as published.
    """
    rgb = image.float() / 255 if image.dtype == torch.uint8 else image.float()
    size = (max(1, round(WIDTH * image.shape[-2] / image.shape[-1])), WIDTH)
    grey = F.interpolate(rgb.mean(0)[None, None], size, mode="bilinear", antialias=True)
    spectrum = torch.fft.fft2(grey)
    log_amplitude = spectrum.abs().clamp(min=1e-12).log()
    average = F.avg_pool2d(F.pad(log_amplitude, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    residual = torch.polar((log_amplitude - average).exp(), spectrum.angle())
    saliency = gaussian_blur2d(torch.fft.ifft2(residual).abs().square(), (9, 9), (BLUR, BLUR))
    saliency = saliency - saliency.amin()
    resized = F.interpolate(saliency / saliency.amax().clamp(min=1e-12), image.shape[-2:], mode="bilinear")
    return resized[0]
