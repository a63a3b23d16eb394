"""I + λ M (D(Z_out) − D(Z)): the change that the networks made, bounded and put onto the photograph (Sec. 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from augsal_transforms.diffusion.batching import to_device
from augsal_transforms.diffusion.letterbox import composite, keep_mean
from augsal_transforms.editor.constraint import allowed_strength
from augsal_transforms.editor.results import ImageAnalysis
from augsal_transforms.photometry import PROPERTIES, photometric_properties, to_unit_range
from augsal_transforms.readouts.gate import secant_strength


def bounded_edit(
    analysis: ImageAnalysis, residual: Tensor, readout_properties: Tensor, bounds: Tensor, *, keeps_mean: bool
) -> tuple[Tensor, Tensor]:
    """I + λ M (D(Z_out) − D(Z)), with the largest λ for which no property moves more than its bound.

    Args:
        analysis: The analysis of the image.
        residual: D(Z_out) − D(Z), (3, H', W'), in units of [0, 1].
        readout_properties: LLFR's reading of the edit in full, (6,), or (0,) without a gate.
        bounds: The largest move of each of ``PROPERTIES``, (6,).
        keeps_mean: Whether the region's mean colour stays as it is.

    Returns:
        The edited image, (3, H, W), and 14 measurements: λ; the index in ``PROPERTIES`` of the property that
        limits it, plus 6 where the gate does, −1 where none does; the six properties before and after.
        Both stay on the device.
    """
    original = to_device(analysis.source.image, residual.device)
    image, mask = to_unit_range(original)[None], analysis.edit_mask[None]
    change = analysis.source.letterbox.restore(residual)[None]
    if keeps_mean:
        change = keep_mean(image, change, mask)
    change = mask * change
    strength, bound = allowed_strength(image, change, mask, bounds)
    if len(readout_properties):
        gated, gate = secant_strength(analysis.readout_properties[None], readout_properties[None], bounds)
        bound = torch.where(gated < strength, gate + len(PROPERTIES), bound)
        strength = torch.minimum(gated, strength)
    result = composite(original, strength * change[0], analysis.edit_mask)
    after = photometric_properties(to_unit_range(result)[None], mask)[0]
    return result, torch.cat([strength, bound.to(strength), analysis.properties, after])
