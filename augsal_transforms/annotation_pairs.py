"""Annotation pairs (Sec. 1): a saliency map for the edited image, from the original's and a predictor's change.

Nobody looked at the edited image, so its map is an estimate: S, reweighted inside the edit mask by the ratio of the
predictor's densities of gaze after and before the edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.readouts.contract import PredictsSaliency, predict_maps
from augsal_transforms.tv_tensors import SaliencyMap

MAX_RATIO = 4.0  # beyond this a ratio tells more of the predictor's noise than of the edit
FLOOR = 0.1  # added to both densities, in units of the uniform density: a ratio of two small numbers is noise


def reweight_saliency_map(
    saliency_map: Tensor, prediction: Tensor, edited_prediction: Tensor, edit_mask: Tensor
) -> Tensor:
    """Estimate the saliency map of edited images: S_E ∝ S (1 + M (r − 1)), with r = S′_E / S′ as densities.

    Args:
        saliency_map: S, (…, H, W), in [0, 1].
        prediction: S′, a predictor's map of the originals, shaped like ``saliency_map``, 0 or more, of any scale.
        edited_prediction: S′_E, the same predictor's map of the edited images, shaped like ``saliency_map``.
        edit_mask: M, shaped like ``saliency_map``, in [0, 1].

    Returns:
        S_E, shaped like ``saliency_map``, with the same maximum. Equal to S, to the bit, where M is 0 everywhere.

    Raises:
        ValueError: If shapes differ.

    Note:
        r is limited to [1/4, 4], and a tenth of the uniform density is added to both densities.
    """
    given = {"prediction": prediction, "edited_prediction": edited_prediction, "edit_mask": edit_mask}
    for name, values in given.items():
        if values.shape != saliency_map.shape:
            raise ValueError(
                f"`{name}` must be shaped like `saliency_map`, {tuple(saliency_map.shape)}, got {tuple(values.shape)}."
            )
    ratio = (_density(edited_prediction) + FLOOR) / (_density(prediction) + FLOOR)
    reweighted = saliency_map * (1 + edit_mask * (ratio.clamp(1 / MAX_RATIO, MAX_RATIO) - 1))
    peak, reweighted_peak = (x.amax((-2, -1), keepdim=True) for x in (saliency_map, reweighted))
    scaled = (reweighted * (peak / reweighted_peak.clamp(min=1e-12))).clamp(max=1)
    return torch.where(edit_mask.ne(0).any(-1, keepdim=True).any(-2, keepdim=True), scaled, saliency_map)


def add_edited_maps(predictor: PredictsSaliency, leaves: Sequence[dict[str, Any]]) -> None:
    """Add ``edited_saliency_map`` to the leaves of samples: equal to ``saliency_map`` where nothing was edited."""
    edited = [leaf for leaf in leaves if leaf["is_edited"]]
    images = [leaf[name].as_subclass(Tensor) for name in ("image", "edited_image") for leaf in edited]
    maps = predict_maps(predictor, images) if images else []
    for leaf in leaves:
        leaf["edited_saliency_map"] = SaliencyMap(leaf["saliency_map"].clone())
    for n, leaf in enumerate(edited):
        target, edit_mask = (leaf[name].as_subclass(Tensor) for name in ("saliency_map", "edit_mask"))
        estimate = reweight_saliency_map(target, maps[n], maps[len(edited) + n], edit_mask)
        leaf["edited_saliency_map"] = SaliencyMap(estimate)


def _density(maps: Tensor) -> Tensor:
    """A map in units of its mean; zeros where the map is empty."""
    return maps / maps.mean((-2, -1), keepdim=True).clamp(min=1e-12)
