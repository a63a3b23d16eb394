"""A synthetic observer: where simulated viewers look in a rendered scene.

This is not human data. It is an image-computable model in the tradition of Itti, Koch & Niebur
(1998): centre-surround contrast of luminance, two colour oppositions and orientation, an object prior
where the scene says where its objects are, and a centre bias. Simulated viewers weigh these
differently, fixations are sampled from each viewer's density, and the saliency map is their Gaussian
blur, as for SALICON. Because only pixels and object masks enter, an edited image can be observed too.
"""

from __future__ import annotations

import torch
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Tensor

VIEWERS = 24
FIXATIONS = 8  # per viewer
CUES = (0.30, 0.25, 0.15, 0.30)  # luminance, colour, orientation, objects
BLUR = 19 / 480  # SALICON's sigma, as a share of the image's height


def _blur(field: Tensor, sigma: float) -> Tensor:
    kernel = 2 * int(min(2.5 * sigma, (min(field.shape[-2:]) - 1) / 2)) + 1
    return gaussian_blur2d(field, (kernel, kernel), (sigma, sigma), border_type="replicate")


def _pop_out(feature: Tensor, scales: tuple[float, ...]) -> Tensor:
    """|centre − surround| over scales, weighed toward maps with few strong peaks. (C, H, W) → (H, W)."""
    differences = [_blur(feature[None], s) - _blur(feature[None], 5 * s) for s in scales]
    contrast = torch.cat(differences, dim=1)[0].square().sum(0).sqrt()
    contrast = contrast / contrast.amax().clamp(min=1e-6)
    return contrast * (1 - contrast.mean()) ** 2


def feature_contrast(image: Tensor) -> Tensor:
    """Centre-surround contrast of luminance, colour and orientation.

    Args:
        image: (3, H, W), uint8 or float in [0, 1].

    Returns:
        (3, H, W), each map in [0, 1].
    """
    rgb = image.float() / 255 if image.dtype == torch.uint8 else image.float()
    red, green, blue = rgb
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    opponents = torch.stack([red - green, blue - (red + green) / 2])
    gradient = spatial_gradient(luminance[None, None])[0, 0]
    energy = gradient.square().sum(0).add(1e-8).sqrt()
    double_angle = torch.stack([gradient[0] ** 2 - gradient[1] ** 2, 2 * gradient[0] * gradient[1]]) / energy
    scales = tuple(share * image.shape[-2] for share in (0.012, 0.024, 0.048))
    return torch.stack([_pop_out(f, scales) for f in (luminance[None], opponents, double_angle)])


def observe(image: Tensor, object_masks: Tensor | None = None, *, seed: int = 0) -> Tensor:
    """The saliency map that simulated viewers would leave on an image.

    Args:
        image: (3, H, W), uint8 or float in [0, 1].
        object_masks: (N, H, W) bool, the visible objects, or ``None`` where none are known.
        seed: Draws the viewers and their fixations.

    Returns:
        (1, H, W) float32, blurred fixations scaled to a maximum of 1.
    """
    height, width = image.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    cues = torch.cat([feature_contrast(image), _object_cue(image, object_masks)[None]])
    concentration = torch.tensor(CUES) * (1 + 0.5 * torch.rand(VIEWERS, len(CUES), generator=generator))
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None]
    centre = torch.exp(-(x**2 + y**2) / (2 * 0.6**2))
    density = (torch.einsum("vc,chw->vhw", concentration, cues) ** 2 + 1e-4) * (0.3 + 0.7 * centre)
    fixations = torch.multinomial(density.flatten(1), FIXATIONS, replacement=True, generator=generator)
    counts = torch.bincount(fixations.flatten(), minlength=height * width).view(1, 1, height, width)
    blurred = _blur(counts.float(), BLUR * height)[0]
    return blurred / blurred.amax()


def _object_cue(image: Tensor, object_masks: Tensor | None) -> Tensor:
    """Each object as a bump, higher where its mean colour stands out from its surround."""
    cue = torch.zeros(image.shape[-2:])
    if object_masks is None:
        return cue
    rgb = image.float() / 255 if image.dtype == torch.uint8 else image.float()
    for mask in object_masks.float():
        surround = (_blur(mask[None, None], 0.06 * image.shape[-2])[0, 0] - mask).clamp(min=0)
        inside = (rgb * mask).sum((1, 2)) / mask.sum().clamp(min=1)
        outside = (rgb * surround).sum((1, 2)) / surround.sum().clamp(min=1e-6)
        bump = _blur(mask[None, None], 0.02 * image.shape[-2])[0, 0]
        cue = torch.maximum(cue, bump * (0.3 + (inside - outside).norm()).clamp(max=1))
    return cue
