"""The three edits as tensor functions: contrast (Eq. 1), brightness (Eq. 2) and colour (Sec. 4.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from augsal_transforms.diffusion.batching import to_device

LUMA = (0.299, 0.587, 0.114)  # the weights of R, G and B in the grey image, as in Sec. 3.2


def scale_contrast(latent: Tensor, region: Tensor, alpha: float, pivot: Tensor) -> Tensor:
    """Stretch the latent about a pivot inside the region (Eq. 1).

    Args:
        latent: Z, (B, 4, h, w), scaled latent units.
        region: M, (B, 1, h, w), in [0, 1].
        alpha: Editing strength; 1 leaves the latent unchanged.
        pivot: μ of Eq. 1 in latent units, (B, 4, 1, 1).

    Returns:
        Z_E, shaped like ``latent``.
    """
    return region * (alpha * (latent - pivot) + pivot) + (1 - region) * latent


def shift_brightness(latent: Tensor, region: Tensor, alpha: float, gamma: Tensor) -> Tensor:
    """Shift the latent along γ inside the region (Eq. 2, scaled as in Sec. 4.2).

    Args:
        latent: Z, (B, 4, h, w), scaled latent units.
        region: M, (B, 1, h, w), in [0, 1].
        alpha: Rise of RGB in units of [0, 1]; γ is per unit of RGB in [−1, 1], hence the 2.
        gamma: γ, (4,).

    Returns:
        Z_E, shaped like ``latent``.
    """
    return latent + region * 2 * alpha * gamma[:, None, None]


def toward_color(color: Tensor, target: Tensor, alpha: float) -> Tensor:
    """Move a colour a share α of the way to a target: luma and chroma linearly, the hue along the shorter arc.

    Departs from a straight line in RGB. Between two hues such a line leads through grey, and a region that turns
    grey loses saliency where Sec. 4 wants it raised. A colour with less chroma takes the target's hue sooner.

    Args:
        color: (B, 3), RGB in [0, 1].
        target: (3,), RGB in [0, 1].
        alpha: Share of the way, in [0, 1]; 0 gives ``color``, 1 gives ``target``.

    Returns:
        (B, 3), RGB in [0, 1].
    """
    luma_weights = to_device(torch.tensor(LUMA, dtype=color.dtype), color.device)
    luma = torch.lerp(color @ luma_weights, (target @ luma_weights).expand(len(color)), alpha)
    chroma, wanted = _chroma(color), _chroma(target[None])
    share = alpha * wanted.abs() / (alpha * wanted.abs() + (1 - alpha) * chroma.abs()).clamp(min=1e-9)
    turn = torch.remainder(wanted.angle() - chroma.angle() + math.pi, 2 * math.pi) - math.pi
    angle = chroma.angle() + share * turn
    chroma = torch.polar(torch.lerp(chroma.abs(), wanted.abs().expand_as(chroma.abs()), alpha), angle)
    x, y = chroma.real / 1.5, chroma.imag / math.sqrt(3)
    rgb = torch.stack([x, y - x / 2, -y - x / 2], dim=1)
    return (rgb + (luma - rgb @ luma_weights)[:, None]).clamp(0, 1)


def _chroma(rgb: Tensor) -> Tensor:
    """Chroma as a complex number whose angle is the hue: (B, 3) → (B,)."""
    red, green, blue = rgb.unbind(dim=1)
    return torch.complex(red - (green + blue) / 2, (green - blue) * math.sqrt(3) / 2)


def shift_color(latent: Tensor, region: Tensor, shift: Tensor, pseudo_inverse: Tensor) -> Tensor:
    """Shift the colour of the region in the latent (the colour edit of Sec. 4.1).

    Args:
        latent: Z, (B, 4, h, w), scaled latent units.
        region: M, (B, 1, h, w), in [0, 1].
        shift: Change of RGB in units of [0, 1], (B, 3); A⁺ is per unit of RGB in [−1, 1], hence the 2.
        pseudo_inverse: A⁺, (3, 4).

    Returns:
        Z_E, shaped like ``latent``.

    Note:
        The paper changes colour by the inserted word alone, which is weak at low noise. The released code also
        shifts the latent, for red; this function shifts it for any colour.
    """
    return latent + region * 2 * (shift @ pseudo_inverse)[:, :, None, None]
