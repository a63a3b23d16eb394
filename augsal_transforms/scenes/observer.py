"""A synthetic observer: the fixations that simulated viewers make on a rendered scene.

This is not human data. It is an image-computable model in the tradition of Itti, Koch & Niebur (1998). Its cues are
the centre-surround contrast of luminance, of two colour oppositions, of orientation and of size, each with a
saturating response that is normalised by the rest of the image (Carandini & Heeger, 2012); the objects that the scene
names, some kinds more than others; and a centre bias. Each simulated viewer weighs the cues differently. Fixations are
sampled from each viewer's density, and the saliency map is their Gaussian blur, as for SALICON. Only pixels and object
masks enter, so an edited image can be used too. The observer was frozen before the bundled editor was tuned; a test
holds its output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Tensor

from augsal_transforms.data.fixations import count_fixations
from augsal_transforms.photometry import to_unit_range

VIEWERS = 24
FIXATIONS = 8  # per viewer
CUES = {"luminance": 0.24, "color": 0.22, "orientation": 0.12, "size": 0.08, "objects": 0.34}
BLUR = 19 / 480  # SALICON's sigma, as a share of the image's height
ACUITY = 64  # rows that features are computed at
SCALES = (0.012, 0.024, 0.048)  # sigma of the centre, as a share of the height; the surround is five times as wide
HALF_RESPONSE = 0.12  # feature contrast that draws half of the largest response in an otherwise even image

# Weight of a kind of object: highest for what is alive or could move, then for what can be held.
PRIORS = {"fish": 1.0, "car": 0.9, "boat": 0.85, "house": 0.8, "flower": 0.8, "apple": 0.75, "mug": 0.7, "bottle": 0.7}
OTHER_PRIOR = 0.6


class Visible(Protocol):
    """An object as the observer knows it: its kind and its visible pixels, (H, W) bool."""

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def mask(self) -> Tensor: ...  # noqa: D102


def feature_contrast(image: Tensor) -> Tensor:
    """Centre-surround contrast of luminance, colour, orientation and size.

    Args:
        image: (3, H, W), RGB float in [0, 1].

    Returns:
        (4, H, W), responses in [0, 1).
    """
    red, green, blue = image
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    opponents = torch.stack([red - green, blue - (red + green) / 2])
    gradient = spatial_gradient(luminance[None, None])[0, 0]
    energy = gradient.square().sum(0).add(1e-8).sqrt()
    double_angle = torch.stack([gradient[0] ** 2 - gradient[1] ** 2, 2 * gradient[0] * gradient[1]]) / energy
    return torch.stack([_pop_out(f) for f in (luminance[None], opponents, double_angle, _size(luminance)[None])])


def _size(luminance: Tensor) -> Tensor:
    """Fineness of detail, (H, W): toward 1 where it is fine, toward −1 where it is coarse, 0 without detail."""
    height = luminance.shape[-2]
    blurred = [luminance[None], *(_blur(luminance[None], share * height) for share in SCALES)]
    fine, coarse = (_blur((a - b).abs(), SCALES[-1] * height)[0] for a, b in (blurred[0:2], blurred[2:4]))
    return (fine - coarse) / (fine + coarse + 0.05)


def _pop_out(feature: Tensor) -> Tensor:
    """Energy of centre − surround over all scales, saturating, normalised by its mean: (C, H, W) → (H, W)."""
    height = feature.shape[-2]
    differences = [_blur(feature, share * height) - _blur(feature, 5 * share * height) for share in SCALES]
    energy = torch.cat(differences).square().sum(0)
    return energy / (energy + HALF_RESPONSE**2 + energy.mean())


def _object_cue(image: Tensor, objects: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Objects (mask (H, W), prior) as one bump each, (H, W), the higher the more its colour differs from around it."""
    cue, height = torch.zeros(image.shape[-2:]), image.shape[-2]
    for mask, prior in objects:
        surround = (_blur(mask[None], 0.06 * height)[0] - mask).clamp(min=0)
        inside = (image * mask).sum((1, 2)) / mask.sum().clamp(min=1e-6)
        outside = (image * surround).sum((1, 2)) / surround.sum().clamp(min=1e-6)
        bump = _blur(mask[None], 0.02 * height)[0]
        cue = torch.maximum(cue, prior * bump * (0.3 + (inside - outside).norm()).clamp(max=1))
    return cue


def _viewer_densities(image: Tensor, objects: Sequence[Visible], weights: Tensor) -> Tensor:
    """Fixation densities of viewers with these weights of the cues: (viewers, H, W), each summing to 1."""
    height, width = image.shape[-2:]
    rgb = to_unit_range(image).cpu()
    small = (ACUITY, max(8, round(ACUITY * width / height)))
    seen = F.interpolate(rgb[None], small, mode="bilinear", antialias=True)[0]
    masks = [F.interpolate(thing.mask[None, None].float().cpu(), small, mode="area")[0, 0] for thing in objects]
    priors = [PRIORS.get(thing.kind, OTHER_PRIOR) for thing in objects]
    cues = torch.cat([feature_contrast(seen), _object_cue(seen, list(zip(masks, priors, strict=True)))[None]])
    y, x = torch.linspace(-1, 1, small[0])[:, None], torch.linspace(-1, 1, small[1])[None]
    centre = torch.exp(-(x**2 + y**2) / (2 * 0.6**2))
    coarse = (torch.einsum("vc,chw->vhw", weights, cues) ** 2 + 1e-3) * (0.3 + 0.7 * centre)
    density = F.interpolate(coarse[None], (height, width), mode="bilinear")[0]
    return density / density.sum((1, 2), keepdim=True)


def fixation_density(image: Tensor, objects: Sequence[Visible] = ()) -> Tensor:
    """The fixation density of the average viewer.

    Args:
        image: (3, H, W), uint8 or float in [0, 1].
        objects: The objects that the viewers recognise.

    Returns:
        (1, H, W) float32, a density over the pixels that sums to 1. Nothing is drawn.
    """
    return _viewer_densities(image, objects, torch.tensor([list(CUES.values())]))


def fixate(image: Tensor, objects: Sequence[Visible] = (), *, seed: int = 0) -> Tensor:
    """The fixations that simulated viewers make on an image.

    Args:
        image: (3, H, W), uint8 or float in [0, 1].
        objects: The objects that the viewers recognise.
        seed: Seed of the viewers' weights and of their fixations.

    Returns:
        (N, 2) points (x, y), whole pixels from 0, viewer by viewer.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor(list(CUES.values())) * (0.4 + 1.2 * torch.rand(VIEWERS, len(CUES), generator=generator))
    density = _viewer_densities(image, objects, weights)
    places = torch.multinomial(density.flatten(1), FIXATIONS, replacement=True, generator=generator).flatten()
    return torch.stack([places % image.shape[-1], places // image.shape[-1]], dim=1)


def blur_fixations(fixations: Tensor, size: tuple[int, int]) -> Tensor:
    """Fixations as a saliency map, blurred as SALICON's are.

    Args:
        fixations: (N, 2) points (x, y) in pixels, N at least 1.
        size: (H, W).

    Returns:
        (1, H, W) float32, scaled to a maximum of 1.
    """
    blurred = _blur(count_fixations(fixations, size).float(), BLUR * size[0])
    return blurred / blurred.amax()


def observe(image: Tensor, objects: Sequence[Visible] = (), *, seed: int = 0) -> Tensor:
    """The saliency map of simulated viewers on an image: ``fixate``, then ``blur_fixations``."""
    return blur_fixations(fixate(image, objects, seed=seed), (image.shape[-2], image.shape[-1]))


def _blur(features: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (C, H, W); ``sigma`` in pixels."""
    kernel = 2 * int(min(2.5 * sigma, (min(features.shape[-2:]) - 1) / 2)) + 1
    return gaussian_blur2d(features[None], (kernel, kernel), (sigma, sigma), border_type="replicate")[0]
