"""The numbers of an edit, each with the paper's section or the reason it differs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """How edits are made. Frozen; vary it with ``dataclasses.replace``.

    Attributes:
        steps: Noise levels visited. 1 is one seeded noise level; more inverts the image (Sec. 4).
        noise_level: The noisiest level τ as a share of the scheduler's training steps, in (0, 1). From 0.05 to
            0.3 the bundled editor finds objects equally well (IoU 0.65; 0.64 at 0.4).
        resolution: The image is edited at about ``resolution²`` pixels; ``None``: the model's own size.
        attention_size: Cross-attention is read where maps are this wide at the model's own size
            (16 as in the released code: latent/4 for SD v1.5). On rendered scenes IoU 0.65, with 8 0.56.
        threshold: Centre of the ramp that turns M into the edit mask, as a share of M's maximum. On rendered
            scenes the mask and the object overlap by 0.64 (Σ min / Σ max) at 0.20 and 0.25, by 0.60 at max/3 as
            in the released code.
        softness: Width of that ramp, as a share of M's maximum; 0 is a hard mask. Up to 0.2 it costs 0.01 of
            that overlap.
        keep_stopwords: Whether "a", "the", "on" … may win Eq. 8.
        pivot: What contrast is stretched about: ``"gamma"``, the latent of the region's mean grey
            (Sec. 4.2), or ``"mean"``, the region's mean latent (Eq. 1 unscaled).
        injection: Largest weight of the inserted empty token where M = 1 (Sec. 4.1).
        color_injection: The same for the colour word, whose map the paper scales up (Sec. 4.1).
        guidance: Weight of the target pass's deviation from the source pass. A calibration holds for the
            ``steps``, ``noise_level`` and ``guidance`` that it was measured with.
        max_std: Largest move of a photometric property, in standard deviations (Sec. 4.2); ``math.inf``: no bound.
        decode: ``"full"``, or ``"crop"``: only the region and six latent cells about it, with the statistics that the
            decoder's norms had on the whole image. On 40 scenes pixels in the mask then differ by 0.3 grey levels
            on average (by 15 at most), and an edit takes 0.90 of the time, each of four of one image 0.82.
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
    decode: Literal["full", "crop"] = "full"
    batch_size: int = 8

    @classmethod
    def paper(cls) -> EditConfig:
        """Invert over six noise levels up to t = 830 of 1000, as the released configuration does."""
        return cls(steps=6, noise_level=0.83)

    def __post_init__(self) -> None:
        for name in ("steps", "attention_size", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a whole number of 1 or more, got {value!r}.")
        if self.resolution is not None and self.resolution < 1:
            raise ValueError(f"`resolution` must be `None` (the model's own) or 1 or more, got {self.resolution!r}.")
        if not 0 < self.noise_level < 1:
            raise ValueError(f"`noise_level` must lie in (0, 1), got {self.noise_level!r}.")
        for name in ("threshold", "softness", "injection", "color_injection"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {getattr(self, name)!r}.")
        if not math.isfinite(self.guidance):
            raise ValueError(f"`guidance` must be finite, got {self.guidance!r}.")
        if not self.max_std >= 0:
            raise ValueError(f"`max_std` must be 0 or more (`math.inf` for no bound), got {self.max_std!r}.")
        if self.decode not in ("full", "crop"):
            raise ValueError(f"`decode` must be 'full' or 'crop', got {self.decode!r}.")
        if self.pivot not in ("gamma", "mean"):
            raise ValueError(f"`pivot` must be 'gamma' or 'mean', got {self.pivot!r}.")
