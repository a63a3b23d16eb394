"""Score predictions of photographs by the definitions of MIT's benchmark."""

from __future__ import annotations

import statistics

from torch import Tensor

from augsal_transforms.metrics.table import Truth
from table2.frozen import resize_density
from table2.paired import METRICS
from table2.photographs import Photographs

PRESET = "mit_matlab"


def score_maps(predictions: Tensor, photographs: Photographs) -> dict[str, list[float]]:
    """Score predictions (N, 1, h, w) of photographs: each metric for each photograph, at the size of its map."""
    scores: dict[str, list[float]] = {name: [] for name in METRICS}
    height, width = photographs.scored_maps.shape[-2:]
    resized = resize_density(predictions, (height, width))
    for prediction, saliency_map, fixation_map in zip(
        resized, photographs.scored_maps, photographs.fixation_maps, strict=True
    ):
        truths: dict[Truth, Tensor] = {"saliency_map": saliency_map, "fixation_map": fixation_map}
        for name, metric in METRICS.items():
            scores[name].append(metric.score(prediction, truths, preset=PRESET).item())
    return scores


def mean_scores(scores: dict[str, list[float]]) -> dict[str, float]:
    """The mean of each metric over photographs."""
    return {name: statistics.fmean(values) for name, values in scores.items()}
