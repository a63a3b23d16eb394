"""The two-sigma rule in closed form: how much of an edit natural images allow (Sec. 4.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from kornia.color import rgb_to_grayscale
from torch import Tensor

from augsal_transforms.photometry import photometric_properties, weighted_mean


def property_bounds(std: Tensor, max_std: float) -> Tensor:
    """The largest move of each of ``PROPERTIES``, (6,): ``max_std`` standard deviations ``std``, (6,)."""
    return std * max_std if math.isfinite(max_std) else torch.full_like(std, math.inf)  # 0 · ∞ is no number


def allowed_strength(image: Tensor, change: Tensor, weight: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """The largest λ for which no property of ``image + λ change`` moves more than its bound (Sec. 4.2).

    The paper lowers the strength and edits again until its readouts agree. Along λ the four means are
    linear and the two contrasts are norms of something linear, so the first λ at which each leaves its
    bound is the root of a line or of a quadratic. That needs no second edit and always ends.

    Args:
        image: (B, 3, H, W), RGB in [0, 1].
        change: (B, 3, H, W), the change of the image at λ = 1.
        weight: (B, 1, H, W), the region whose properties count, in [0, 1].
        bounds: (6,), the largest move of each of ``PROPERTIES``.

    Returns:
        λ, (B,), in [0, 1], and the index of the property that limits it, (B,), −1 where λ = 1.
    """
    grey, grey_change = rgb_to_grayscale(image), rgb_to_grayscale(change)
    slopes = torch.cat([weighted_mean(change, weight), weighted_mean(grey_change, weight)], dim=1)
    exits = [bounds[:4] / slopes.abs().clamp(min=1e-12)]
    for bound, centre in zip(bounds[4:], (_region_mean, _image_mean), strict=True):
        value = grey - centre(grey, weight)
        slope = grey_change - centre(grey_change, weight)
        exits.append(_first_exit(value, slope, weight, bound))
    strengths = torch.cat(exits, dim=1)
    strength, index = strengths.min(dim=1)
    return strength.clamp(max=1), torch.where(strength < 1, index, -1)


def _region_mean(grey: Tensor, weight: Tensor) -> Tensor:
    return weighted_mean(grey, weight)[..., None, None]


def _image_mean(grey: Tensor, weight: Tensor) -> Tensor:
    return grey.mean((-2, -1), keepdim=True)


def _first_exit(value: Tensor, slope: Tensor, weight: Tensor, bound: Tensor) -> Tensor:
    """Smallest λ > 0 with |‖value + λ slope‖ − ‖value‖| = bound, where ‖·‖² is a weighted mean of squares. (B, 1)."""
    a = _in_float64(weighted_mean(slope.square(), weight))
    b = _in_float64(weighted_mean(slope * value, weight))  # half of the linear coefficient
    c = _in_float64(weighted_mean(value.square(), weight))
    at_zero, bound = c.sqrt(), _in_float64(bound)
    never = torch.full_like(a, torch.inf)

    def root(target: Tensor, sign: int) -> Tensor:
        discriminant = b.square() - a * (c - target.square())
        distance = (-b + sign * discriminant.clamp(min=0).sqrt()) / a.clamp(min=1e-24)
        return torch.where((discriminant >= 0) & (distance >= 0) & (a > 1e-24), distance, never)

    above = root(at_zero + bound, +1)
    below = torch.where(at_zero > bound, root((at_zero - bound).clamp(min=0), -1), never)
    return torch.minimum(above, below).to(value)


def _in_float64(values: Tensor) -> Tensor:
    """The same values in float64, on the CPU where their device has no float64 (MPS)."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def measure_std(images: Iterable[Tensor], *, areas: int = 5, seed: int = 0) -> Tensor:
    """Standard deviation of each property over random areas of original images (Sec. 4.2).

    Args:
        images: (3, H, W) each, RGB in [0, 1].
        areas: Number of random boxes per image, with sides between a fifth and two thirds of the image's.
        seed: Seed of the boxes.

    Returns:
        (6,) in the order of ``PROPERTIES``.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for image in images:
        height, width = image.shape[-2:]
        for _ in range(areas):
            share, place = torch.rand(2, generator=generator), torch.rand(2, generator=generator)
            tall, wide = (
                max(1, int((0.2 + 0.467 * s) * n)) for s, n in zip(share.tolist(), (height, width), strict=True)
            )
            top, left = int(place[0] * (height - tall + 1)), int(place[1] * (width - wide + 1))
            weight = torch.zeros(1, 1, height, width)
            weight[..., top : top + tall, left : left + wide] = 1
            rows.append(photometric_properties(image[None].float().cpu(), weight))
    return torch.cat(rows).std(dim=0)
