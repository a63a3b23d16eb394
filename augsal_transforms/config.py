"""The numbers of an edit, each with the paper's section or the reason it differs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """Settings of all edits. Frozen; vary it with ``dataclasses.replace``.

    Attributes:
        steps: Number of noise levels. 1 is one seeded noise level; more inverts the image (Sec. 4).
        noise_level: The noisiest level τ as a share of the scheduler's training steps, in (0, 1). From 0.05 to
            0.3 the bundled editor finds objects equally well (IoU 0.65; 0.64 at 0.4).
        resolution: Side in pixels of the square whose area an image is resized to; ``None``: the model's own.
        attention_size: Width of the cross-attention maps that are read, at the model's own resolution
            (16 as in the released code: latent/4 for SD v1.5). On rendered scenes IoU 0.65, with 8 0.56.
        threshold: Centre of the ramp that turns M into the edit mask, as a share of M's maximum. On rendered
            scenes the mask and the object overlap by 0.64 (Σ min / Σ max) at 0.20 and 0.25, by 0.60 at max/3 as
            in the released code.
        softness: Width of that ramp, as a share of M's maximum; 0 is a hard mask. Up to 0.2 it costs 0.01 of
            that overlap.
        keep_stopwords: Whether "a", "the", "on" … may win Eq. 8.
        pivot: The μ that contrast is stretched about: ``"gamma"``, the latent of the region's mean grey
            (Sec. 4.2), or ``"mean"``, the region's mean latent (Eq. 1 unscaled).
        injection: Largest weight of the inserted empty token where M = 1, in [0, 1] (Sec. 4.1).
        color_injection: Largest weight of an inserted colour word, whose map the paper scales up (Sec. 4.1).
        guidance: Weight of the target pass's deviation from the source pass. A calibration holds for the
            ``steps``, ``noise_level`` and ``guidance`` that it was measured with.
        max_std: Largest move of a photometric property, in standard deviations (Sec. 4.2); ``math.inf``: no bound.
        batch_size: Images or edits that go through the networks together; halved where a GPU does not hold them.
    """

    steps: int = 1
    noise_level: float = 0.2
    resolution: int | None = None
    attention_size: int = 16
    threshold: float = 0.25
    softness: float = 0.2
    keep_stopwords: bool = False
    pivot: Literal["gamma", "mean"] = "gamma"
    injection: float = 0.5
    color_injection: float = 0.9
    guidance: float = 1.0
    max_std: float = 2.0
    batch_size: int = 8

    @classmethod
    def paper(cls) -> EditConfig:
        """Invert over six noise levels up to t = 830 of 1000, as the released configuration does."""
        return cls(steps=6, noise_level=0.83)

    def __post_init__(self) -> None:
        for name in ("steps", "attention_size", "batch_size", "resolution"):
            value = getattr(self, name)
            if name == "resolution" and value is None:
                continue
            wanted = "a whole number of 1 or more" + (", or `None` for the model's own" if name == "resolution" else "")
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"`{name}` must be {wanted}, got {value!r}.")
            if value < 1:
                raise ValueError(f"`{name}` must be {wanted}, got {value!r}.")
        for name in ("noise_level", "threshold", "softness", "injection", "color_injection", "guidance", "max_std"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"`{name}` must be a number, got {value!r}.")
        if not isinstance(self.keep_stopwords, bool):
            raise TypeError(f"`keep_stopwords` must be True or False, got {self.keep_stopwords!r}.")
        if not 0 < self.noise_level < 1:
            raise ValueError(f"`noise_level` must lie in (0, 1), got {self.noise_level!r}.")
        for name in ("threshold", "softness", "injection", "color_injection"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {getattr(self, name)!r}.")
        if not math.isfinite(self.guidance):
            raise ValueError(f"`guidance` must be finite, got {self.guidance!r}.")
        if not self.max_std >= 0:
            raise ValueError(f"`max_std` must be 0 or more (`math.inf` for no bound), got {self.max_std!r}.")
        if not isinstance(self.pivot, str) or self.pivot not in ("gamma", "mean"):
            raise ValueError(f"`pivot` must be 'gamma' or 'mean', got {self.pivot!r}.")
