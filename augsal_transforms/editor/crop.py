"""Decode only what an edit can change: a crop about the region, the decoder's statistics those of the whole image.

A decoder's group norms look at the whole image, so a crop decoded by itself comes out in another tone. Here their
means and deviations are recorded while D(Z) is decoded and kept for the crop; convolutions then reach six cells. The
first layers, which attend to everything and cost a twentieth, see the whole latent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from augsal_transforms.diffusion.forwards import replaced_forwards

if TYPE_CHECKING:
    from augsal_transforms.diffusion.model import DiffusionModel

MARGIN = 6  # cells: with 3 a pixel of the bundled decoder is off by 1.2 grey levels, with 6 by 0.002

Norms = list[tuple[Tensor, Tensor]]  # per group norm of a decoder: what it multiplies by and adds, (B, channels)


@dataclass(frozen=True)
class Crop:
    """What of an image to decode: rows top … bottom − 1 and columns left … right − 1 of its latent, and its norms."""

    box: tuple[int, int, int, int]
    norms: Norms


def group_norms(decoder: nn.Module) -> list[nn.GroupNorm]:
    """The group norms of a decoder."""
    return [module for module in decoder.modules() if isinstance(module, nn.GroupNorm)]


@contextmanager
def record_norms(decoder: nn.Module) -> Iterator[Norms]:
    """Record what each group norm makes of the images that are decoded inside; filled when the block ends."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    norms: Norms = []

    def recording(norm: nn.GroupNorm, features: Tensor) -> Tensor:
        normed, scale, shift = normalise_groups(norm, features)
        seen[norm] = scale, shift
        return normed

    with replaced_forwards({norm: partial(recording, norm) for norm in group_norms(decoder)}):
        yield norms
        norms += [seen[norm] for norm in group_norms(decoder)]


def normalise_groups(norm: nn.GroupNorm, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The norm of features (B, C, …), and the scale and shift, (B, C), that it comes down to."""
    if features.ndim == 3:  # as attention has them, transposed
        features = features.contiguous()
    parts = len(features), norm.num_channels, features[0, 0].numel(), norm.num_groups
    normed, mean, rate = torch.native_group_norm(features, norm.weight, norm.bias, *parts, norm.eps)
    mean, rate = (x.repeat_interleave(norm.num_channels // norm.num_groups, dim=1) for x in (mean, rate))
    scale = rate * norm.weight
    return normed, scale, norm.bias - mean * scale


@contextmanager
def freeze_norms(decoder: nn.Module, norms: Norms) -> Iterator[None]:
    """Let each group norm do to any features what it did to those that were recorded."""

    def frozen(scale: Tensor, shift: Tensor, features: Tensor) -> Tensor:
        shape = (*scale.shape, *(1 for _ in features.shape[2:]))
        return torch.addcmul(shift.view(shape).to(features), features, scale.view(shape).to(features))

    with replaced_forwards(
        {norm: partial(frozen, *affine) for norm, affine in zip(group_norms(decoder), norms, strict=True)}
    ):
        yield


def plan_crops(latent_masks: Tensor, norms: Norms, margin: int = MARGIN) -> list[Crop]:
    """The crop about each mask (B, 1, h, w), ``margin`` cells wider on each side where there are so many."""
    ends = []
    for inside, length in (
        (latent_masks.amax(3), latent_masks.shape[2]),
        (latent_masks.amax(2), latent_masks.shape[3]),
    ):
        present = (inside[:, 0] > 0).float()
        first, last = present.argmax(dim=1), length - present.flip(1).argmax(dim=1)
        ends += [(first - margin).clamp(min=0), (last + margin).clamp(max=length)]
    boxes = torch.stack(ends, dim=1).tolist()
    return [
        Crop((box[0], box[1], box[2], box[3]), [(scale[n : n + 1], shift[n : n + 1]) for scale, shift in norms])
        for n, box in enumerate(boxes)
    ]


def crop_residual(model: DiffusionModel, crop: Crop, output: Tensor, decoded: Tensor) -> Tensor:
    """D(Z_out) − D(Z) inside the crop, 0 outside.

    Args:
        model: The frozen model.
        crop: Of the image, planned while D(Z) was decoded.
        output: Z_out, (1, 4, h, w).
        decoded: D(Z) in [0, 1], (1, 3, h·f, w·f).
    """
    top, bottom, left, right = (side * model.downsampling for side in crop.box)
    residual = torch.zeros_like(decoded)
    with freeze_norms(model.vae.decoder, crop.norms):
        inside = model.decode(output, crop.box)
    residual[..., top:bottom, left:right] = inside - decoded[..., top:bottom, left:right]
    return residual
