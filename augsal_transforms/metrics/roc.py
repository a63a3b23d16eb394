"""The area under a ROC curve, exactly: by one sort, for any number of items, on any device."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def roc_area(
    values: Tensor, positives: Tensor, negatives: Tensor, *, points: Literal["all", "value", "pixel"] = "all"
) -> Tensor:
    """∫ TP dFP by trapezoids, as the threshold falls.

    Args:
        values: (..., P), what is thresholded.
        positives: (..., P) float64, how often each value is one of a positive.
        negatives: (..., P) float64, how often each value is one of a negative.
        points: Where the curve is known: at ``"all"`` values (so that ties count 1/2), at each ``"value"`` of a
            positive, or at each positive ``"pixel"``, as in MATLAB's AUC-Judd: of several positives of one value
            the i-th has i positives above the threshold and takes the others for negatives.

    Returns:
        (...,) float64; NaN without a positive or a negative, or where a value is NaN.
    """
    undefined = values.isnan().any(-1)
    order = values.argsort(-1, descending=True)
    values, positives, negatives = (field.gather(-1, order) for field in (values, positives, negatives))
    hits, alarms = positives.cumsum(-1), negatives.cumsum(-1)
    ends = F.pad(values[..., 1:] != values[..., :-1], (0, 1), value=True)  # the last of several equal values
    totals = hits[..., -1:], alarms[..., -1:]
    if points == "all":
        known = ends
    elif points == "value":
        found = torch.where(ends, hits, 0).cummax(-1).values
        known = ends & (found > F.pad(found[..., :-1], (1, 0)))
    else:
        known = positives > 0
        above = torch.where(ends, hits + alarms, torch.inf).flip(-1).cummin(-1).values.flip(-1)
        alarms = above - hits
    tp, fp = (_curve(count, total, known) for count, total in zip((hits, alarms), totals, strict=True))
    area = torch.trapezoid(tp, fp) / (totals[0] * totals[1])[..., 0]
    return torch.where(undefined, torch.nan, area)


def _curve(count: Tensor, total: Tensor, known: Tensor) -> Tensor:
    """From 0 through the known counts to the total; where none is known, the last known stands again."""
    places = torch.arange(1, count.shape[-1] + 1, device=count.device)
    last = F.pad(torch.where(known, places, 0).cummax(-1).values, (1, 0))
    return torch.cat([F.pad(count, (1, 0)).gather(-1, last), total], dim=-1)
