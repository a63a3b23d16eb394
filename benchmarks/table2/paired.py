"""Two ways of training compared over seeds: paired differences, Student's t, Holm's correction.

The seed is the unit: images of one trained network are no independent evidence of how it was trained.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from augsal_transforms import metrics
from augsal_transforms.gaze_study.statistics import paired_t, standard_error

METRICS = {name: metrics.METRICS[name] for name in ("cc", "kld", "nss", "sim", "auc_judd")}
Scores = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric of a cell beside the baseline's, over the seeds that both have.

    Attributes:
        seeds: How many.
        mean: Of the cell.
        error: Standard error of ``mean`` over seeds.
        difference: Mean of cell less baseline, seed by seed.
        difference_error: Its standard error.
        t: ``difference`` in its standard errors.
        p: Two-sided, of Student's t with seeds − 1 degrees of freedom.
        p_holm: The same with Holm's correction for all metrics of the comparison.
    """

    seeds: int
    mean: float
    error: float
    difference: float
    difference_error: float
    t: float
    p: float
    p_holm: float

    def __str__(self) -> str:
        return f"{self.level()} ({self.difference:+.4f}, p = {self.p_holm:.2g})"

    def level(self) -> str:
        """The mean alone."""
        return f"{self.mean:.4f} ± {self.error:.4f}"


def compare(cell: Scores, baseline: Scores) -> dict[str, Comparison]:
    """Paired comparison of every metric.

    Args:
        cell: By seed, then by metric.
        baseline: Likewise; the same batches and first weights for the same seed.

    Returns:
        By metric. Errors, t and p are NaN where fewer than two seeds are shared.

    Raises:
        ValueError: If no seed is shared.
    """
    seeds = sorted(cell.keys() & baseline.keys())
    if not seeds:
        raise ValueError("`cell` and `baseline` must share a seed; run both on the same ones.")
    rows = {}
    for metric in METRICS:
        values = [cell[seed][metric] for seed in seeds]
        differences = [cell[seed][metric] - baseline[seed][metric] for seed in seeds]
        rows[metric] = (values, differences, *paired_t(differences))
    corrected = dict(zip(rows, holm([p for *_, p in rows.values()]), strict=True))
    return {
        metric: Comparison(
            seeds=len(seeds),
            mean=statistics.fmean(values),
            error=standard_error(values),
            difference=statistics.fmean(differences),
            difference_error=standard_error(differences),
            t=t,
            p=p,
            p_holm=corrected[metric],
        )
        for metric, (values, differences, t, p) in rows.items()
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the k-th smallest of m times m − k + 1, never falling, at most 1."""
    corrected, floor = [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda n: p_values[n])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = floor
    return corrected
