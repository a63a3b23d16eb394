"""The exact area under a ROC curve, from one sort of the values."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from augsal_transforms.metrics.inputs import remember


def roc_area(
    values: Tensor, positives: Tensor, negatives: Tensor, *, points: Literal["all", "value", "pixel"] = "all"
) -> Tensor:
    """∫ TP dFP by trapezoids, as the threshold falls.

    Args:
        values: (..., P), the values that are thresholded.
        positives: (..., P) float64, number of positives that have each value.
        negatives: (..., P) float64, number of negatives that have each value.
        points: Points of the curve: at ``"all"`` values, so that ties count 1/2; at each distinct ``"value"`` of a
            positive; or at each positive ``"pixel"``, as in MATLAB's AUC-Judd: of several positives of one value the
            i-th has i positives at or above the threshold, and the rest count as negatives.

    Returns:
        (...,) float64; NaN without a positive or without a negative, or where a value is NaN.
    """
    values, order = remember("sort", _sort, values)
    positives, negatives = positives.gather(-1, order), negatives.gather(-1, order)
    hits, alarms = positives.cumsum(-1), negatives.cumsum(-1)
    ends = F.pad(values[..., 1:] != values[..., :-1], (0, 1), value=True)  # the last of several equal values
    totals = hits[..., -1:], alarms[..., -1:]
    undefined = values.isnan().any(-1) | (totals[0] == 0)[..., 0] | (totals[1] == 0)[..., 0]
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


def _sort(values: Tensor) -> tuple[Tensor, Tensor]:
    """The values, largest first, and their places."""
    order = values.argsort(-1, descending=True)
    return values.gather(-1, order), order


def _curve(count: Tensor, total: Tensor, known: Tensor) -> Tensor:
    """Counts from 0 through the known points to the total; at other places the last known count is repeated."""
    places = torch.arange(1, count.shape[-1] + 1, device=count.device)
    last = F.pad(torch.where(known, places, 0).cummax(-1).values, (1, 0))
    return torch.cat([F.pad(count, (1, 0)).gather(-1, last), total], dim=-1)
