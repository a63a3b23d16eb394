"""The three edits (Sec. 4.1): contrast (Eq. 1), brightness (Eq. 2) and colour, on a latent inside a region."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Self

# Basic colour terms of English (Berlin & Kay) with a hue, RGB in [0, 1].
COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.10, 0.10),
    "orange": (0.95, 0.55, 0.10),
    "yellow": (0.95, 0.88, 0.15),
    "green": (0.10, 0.65, 0.20),
    "blue": (0.10, 0.25, 0.85),
    "purple": (0.55, 0.15, 0.70),
    "pink": (0.98, 0.55, 0.72),
}

LUMA = (0.299, 0.587, 0.114)  # as everywhere in Sec. 3.2


def scale_contrast(latent: Tensor, region: Tensor, alpha: float, pivot: Tensor) -> Tensor:
    """Stretch the latent about a pivot inside the region (Eq. 1).

    Args:
        latent: Z, (B, 4, h, w), scaled latent units.
        region: M, (B, 1, h, w), in [0, 1].
        alpha: Editing strength; 1 leaves the latent unchanged.
        pivot: (B, 4, 1, 1), what Eq. 1 calls μ, in latent units.

    Returns:
        Z_E, shaped like ``latent``.
    """
    return region * (alpha * (latent - pivot) + pivot) + (1 - region) * latent


def shift_brightness(latent: Tensor, region: Tensor, alpha: float, gamma: Tensor) -> Tensor:
    """Shift the latent along γ inside the region (Eq. 2, scaled as in Sec. 4.2).

    Args:
        latent: Z, (B, 4, h, w), scaled latent units.
        region: M, (B, 1, h, w), in [0, 1].
        alpha: By how much RGB in [0, 1] should rise; γ is per unit of RGB in [−1, 1], hence the 2.
        gamma: γ, (4,).

    Returns:
        Z_E, shaped like ``latent``.
    """
    return latent + region * 2 * alpha * gamma[:, None, None]


def toward_color(color: Tensor, target: Tensor, alpha: float) -> Tensor:
    """The colour a share α of the way to a target: luma and chroma move evenly, the hue turns the short way.

    Departs from a straight line: between two hues that leads through grey, and a region that turns grey
    loses saliency where Sec. 4 wants it raised. The less chroma a colour has, the sooner it takes the target's hue.

    Args:
        color: (B, 3), RGB in [0, 1].
        target: (3,), RGB in [0, 1].
        alpha: In [0, 1]; 0 is ``color``, 1 is ``target``.

    Returns:
        (B, 3), RGB in [0, 1].
    """
    luma_weights = color.new_tensor(LUMA)
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

    Note:
        The paper changes colour by the inserted word alone, which is weak at low noise. This adds the
        latent shift that the released code applies for red, for any colour.

    Args:
        latent: Z, (B, 4, h, w), scaled latent units.
        region: M, (B, 1, h, w), in [0, 1].
        shift: (B, 3), by how much RGB in [0, 1] should change; A⁺ is for [−1, 1], hence the 2.
        pseudo_inverse: A⁺, (3, 4).

    Returns:
        Z_E, shaped like ``latent``.
    """
    return latent + region * 2 * (shift @ pseudo_inverse)[:, :, None, None]


Strength = float | tuple[float, float]


def _check_range(name: str, alpha: Strength, low: float, high: float) -> Strength:
    if isinstance(alpha, (tuple, list)):
        if len(alpha) != 2 or not low <= alpha[0] <= alpha[1] <= high:
            raise ValueError(
                f"`alpha` of {name} must be a number or a (low, high) pair in [{low}, {high}], got {alpha!r}."
            )
        return float(alpha[0]), float(alpha[1])
    if not (math.isfinite(alpha) and low <= alpha <= high):
        raise ValueError(f"`alpha` of {name} must lie in [{low}, {high}], got {alpha!r}.")
    return float(alpha)


@dataclass(frozen=True)
class _Edit:
    kind: ClassVar[str]
    identity: ClassVar[float]
    reach: ClassVar[float]

    alpha: Strength

    @property
    def strength(self) -> float:
        """α as a number; drawn edits have one, ranges do not."""
        if isinstance(self.alpha, tuple):
            raise ValueError(f"{self!r} is a range; `draw(generator)` turns it into one edit.")
        return self.alpha

    @property
    def magnitude(self) -> float:
        """How far α is from changing nothing, as a share of ``reach``; at most 1."""
        return min(1.0, abs(self.strength - self.identity) / self.reach)

    @property
    def is_null(self) -> bool:
        """Whether the edit changes nothing."""
        return self.alpha == self.identity

    def draw(self, generator: torch.Generator) -> Self:
        """One edit from the range: α uniform in (low, high); an edit with a number is returned as it is."""
        if not isinstance(self.alpha, tuple):
            return self
        low, high = self.alpha
        # Thousandths: 1.2 stays 1.2 on every machine, in records and in keys.
        return replace(self, alpha=round(low + (high - low) * torch.rand((), generator=generator).item(), 3))


@dataclass(frozen=True)
class Contrast(_Edit):
    """Multiply the contrast inside the region by about α (Eq. 1).

    Attributes:
        alpha: In [0, 5], or a (low, high) range to draw from; 1 changes nothing, below 1 flattens.
            Toward the default range's upper end the two-sigma bound takes a part of many edits.
    """

    kind: ClassVar[str] = "contrast"
    identity: ClassVar[float] = 1.0
    reach: ClassVar[float] = 0.8

    alpha: Strength = (1.2, 1.8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", _check_range("Contrast", self.alpha, 0.0, 5.0))


@dataclass(frozen=True)
class Brightness(_Edit):
    """Raise RGB inside the region by about α of full scale (Eq. 2).

    Attributes:
        alpha: In [−1, 1], or a (low, high) range to draw from; 0 changes nothing, below 0 darkens.
    """

    kind: ClassVar[str] = "brightness"
    identity: ClassVar[float] = 0.0
    reach: ClassVar[float] = 0.25

    alpha: Strength = (0.05, 0.25)

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", _check_range("Brightness", self.alpha, -1.0, 1.0))


@dataclass(frozen=True)
class Color(_Edit):
    """Turn the region's colour a share α of the way to a named colour (Sec. 4.1).

    Attributes:
        color: One of ``COLORS``, or a tuple of them to draw from.
        alpha: In [0, 1], or a (low, high) range to draw from; 0 changes nothing.
    """

    kind: ClassVar[str] = "color"
    identity: ClassVar[float] = 0.0
    reach: ClassVar[float] = 1.0

    color: str | tuple[str, ...] = tuple(COLORS)
    alpha: Strength = (0.3, 0.8)

    def __init__(self, color: str | tuple[str, ...] = tuple(COLORS), alpha: Strength = (0.3, 0.8)) -> None:
        names = (color,) if isinstance(color, str) else tuple(color)
        unknown = [name for name in names if name not in COLORS]
        if unknown or not names:
            raise ValueError(f"`color` must be among {', '.join(COLORS)}, got {color!r}.")
        object.__setattr__(self, "color", names[0] if len(names) == 1 else names)
        object.__setattr__(self, "alpha", _check_range("Color", alpha, 0.0, 1.0))

    @property
    def name(self) -> str:
        """The colour's word; drawn edits have one."""
        if isinstance(self.color, tuple):
            raise ValueError(f"{self!r} has several colours; `draw(generator)` turns it into one edit.")
        return self.color

    def draw(self, generator: torch.Generator) -> Self:
        """One colour of the tuple, one α of the range."""
        color = self.color
        if isinstance(color, tuple):
            color = color[int(torch.randint(len(color), (), generator=generator))]
        return replace(super().draw(generator), color=color)


Edit = Contrast | Brightness | Color
