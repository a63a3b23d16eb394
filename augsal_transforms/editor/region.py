"""Saliency-guided cross-attention: the word, its region M, and the mask that M becomes (Eq. 8)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.filters import guided_blur
from torch import Tensor


def select_region(cross_attention: Tensor, saliency_map: Tensor) -> tuple[Tensor, Tensor]:
    """M = C_i* × S with i* = argmax_i ⟨C_i, S⟩ (Eq. 8).

    Args:
        cross_attention: C, (B, words, h, w), one map per word of the prompt, 0 or more.
        saliency_map: S, (B, 1, h, w), in [0, 1].

    Returns:
        M, (B, 1, h, w), scaled to a maximum of 1 (all zeros where C and S do not meet), and i*, (B,).
    """
    overlap = cross_attention * saliency_map
    index = overlap.sum((-2, -1)).argmax(dim=1)
    return normalise(overlap[torch.arange(len(index), device=index.device), index][:, None]), index


def average_tokens(cross_attention: Tensor, words: list[list[tuple[int, ...]]]) -> Tensor:
    """C of words from C of tokens: the mean over each word's tokens.

    Args:
        cross_attention: (B, tokens, h, w).
        words: Per image, the positions of each word's tokens.

    Returns:
        (B, words, h, w), for the longest list and at least one; what an image does not have is zeros, which
        win Eq. 8 against nothing.
    """
    share = torch.zeros(len(words), max(1, *map(len, words)), cross_attention.shape[1])
    for row, tokens in zip(share, words, strict=True):
        for word, places in zip(row, tokens, strict=False):
            word[list(places)] = 1 / len(places)
    return torch.einsum("bwt,bthv->bwhv", share.to(cross_attention), cross_attention)


def normalise(field: Tensor) -> Tensor:
    """Scale maps (…, h, w) of values ≥ 0 to a maximum of 1 each; zeros stay zeros."""
    peak = field.amax((-2, -1), keepdim=True)
    return torch.where(peak > 0, field / peak.clamp(min=1e-30), torch.zeros_like(field))


def refine_region(region: Tensor, image: Tensor) -> Tensor:
    """Upsample M to an image and draw its edges to the image's own.

    A guided filter (He et al., 2010) one attention cell wide; it removes the blocky halo that 16×16
    maps leave around edits.

    Args:
        region: M, (1, h, w), in [0, 1].
        image: (3, H, W), RGB in [0, 1].

    Returns:
        (1, H, W), scaled to a maximum of 1: upsampling and filtering lower the peak of small regions.
    """
    height, width = image.shape[-2:]
    smooth = F.interpolate(region[None], (height, width), mode="bilinear", align_corners=False)
    cell = max(height // region.shape[-2], width // region.shape[-1], 1)
    reach = min(2 * cell + 1, 2 * (min(height, width) // 2) - 1)
    if reach < 3:
        return normalise(smooth[0])
    return normalise(guided_blur(image[None], smooth, reach, eps=0.01, separable=True)[0].clamp(min=0))


def soft_threshold(refined: Tensor, threshold: float, softness: float) -> Tensor:
    """The ramp from M to the edit mask, in steps of 1/255 so that 8 bits hold it exactly.

    Args:
        refined: M at image resolution, in [0, 1].
        threshold: Where the ramp is 1/2.
        softness: How wide it is.

    Returns:
        The edit mask, shaped like ``refined``; whatever is above zero is at least 1/255.
    """
    ramp = ((refined - threshold) / max(softness, 1e-6) + 0.5).clamp(0, 1)
    return torch.where(ramp > 0, (ramp * 255).round().clamp(min=1), 0.0) / 255
