"""The region M that a word and a saliency map agree on (Eq. 8), and the mask that M becomes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.filters import guided_blur
from torch import Tensor

from augsal_transforms.config import EditConfig
from augsal_transforms.diffusion.batching import to_device
from augsal_transforms.diffusion.letterbox import Letterbox
from augsal_transforms.diffusion.prompts import Word


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


def find_regions(cross_attention: Tensor, saliency_map: Tensor, words: list[list[Word]]) -> tuple[Tensor, Tensor]:
    """M and i* of Eq. 8 for images with captions, and M = S for images whose caption names nothing.

    Args:
        cross_attention: C, (B, tokens, h, w), one map per token.
        saliency_map: S, (B, 1, h, w), in [0, 1].
        words: The words of each image's caption.

    Returns:
        M, (B, 1, h, w), scaled to a maximum of 1, and i*, (B,), which means nothing for an image without words.
    """
    per_word = average_tokens(cross_attention, [[word.tokens for word in found] for found in words])
    regions, index = select_region(per_word, saliency_map)
    named = to_device(torch.tensor([bool(found) for found in words]), regions.device)
    return torch.where(named[:, None, None, None], regions, normalise(saliency_map)), index


def average_tokens(cross_attention: Tensor, words: list[list[tuple[int, ...]]]) -> Tensor:
    """C of words from C of tokens: the mean over each word's tokens.

    Args:
        cross_attention: C of tokens, (B, tokens, h, w).
        words: The positions of each word's tokens, for each image.

    Returns:
        C of words, (B, words, h, w), with the number of words of the longest caption, at least one. Missing
        words are zero-padded, so they are never selected over a positive overlap.
    """
    share = torch.zeros(len(words), max(1, *map(len, words)), cross_attention.shape[1])
    for row, tokens in zip(share, words, strict=True):
        for word, positions in zip(row, tokens, strict=False):
            word[list(positions)] = 1 / len(positions)
    share = to_device(share.to(cross_attention.dtype), cross_attention.device)
    return torch.einsum("bwt,bthv->bwhv", share, cross_attention)


def normalise(image_map: Tensor) -> Tensor:
    """Scale maps (…, h, w) of values ≥ 0 to a maximum of 1 each; zeros stay zeros."""
    peak = image_map.amax((-2, -1), keepdim=True)
    return torch.where(peak > 0, image_map / peak.clamp(min=1e-30), torch.zeros_like(image_map))


def draw_masks(
    regions: Tensor, fitted: Tensor, letterboxes: list[Letterbox], downsampling: int, config: EditConfig
) -> tuple[list[Tensor], Tensor]:
    """The edit mask of each image and the latent masks, from M.

    Args:
        regions: M, (B, 1, h, w), in [0, 1].
        fitted: The images on the model's grid, (B, 3, H', W'), RGB in [0, 1].
        letterboxes: The images' places on the grid.
        downsampling: Pixels per latent cell, f.
        config: Settings of the edits; ``threshold`` and ``softness`` shape the ramp.

    Returns:
        The edit masks, each (1, H, W) at its image's own size, and the latent masks, (B, 1, H'/f, W'/f).
    """
    trios = zip(regions, fitted, letterboxes, strict=True)
    refined = [refine_region(letterbox.mirror_padding(region), image) for region, image, letterbox in trios]
    restored = [letterbox.restore(region) for letterbox, region in zip(letterboxes, refined, strict=True)]
    edit_masks = [soft_threshold(region, config.threshold, config.softness) for region in restored]
    ramps = soft_threshold(torch.stack(refined), config.threshold, config.softness)
    return edit_masks, F.adaptive_avg_pool2d(ramps, (ramps.shape[-2] // downsampling, ramps.shape[-1] // downsampling))


def refine_region(region: Tensor, image: Tensor) -> Tensor:
    """Upsample M to an image and align its edges with the image's edges.

    A guided filter (He et al., 2010) one attention cell wide. It removes the blocky halo that 16×16
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
    diameter = min(2 * cell + 1, 2 * (min(height, width) // 2) - 1)
    if diameter < 3:
        return normalise(smooth[0])
    return normalise(guided_blur(image[None], smooth, diameter, eps=0.01, separable=True)[0].clamp(min=0))


def soft_threshold(refined: Tensor, threshold: float, softness: float) -> Tensor:
    """The ramp from M to the edit mask, in steps of 1/255 so that 8 bits hold it exactly.

    Args:
        refined: M at image resolution, in [0, 1].
        threshold: Value of M at which the ramp is 1/2.
        softness: Width of the ramp, in units of M.

    Returns:
        The edit mask, shaped like ``refined``; values above zero are at least 1/255.
    """
    ramp = ((refined - threshold) / max(softness, 1e-6) + 0.5).clamp(0, 1)
    return torch.where(ramp > 0, (ramp * 255).round().clamp(min=1), 0.0) / 255
