"""Compare two variants of training over seeds: paired differences, Student's t, Holm's correction.

The seed is the unit of the test. The images that one network is scored on are not independent: they share its training.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augsal_transforms import metrics
from augsal_transforms.gaze_study.statistics import paired_t, standard_error

METRICS = {name: metrics.METRICS[name] for name in ("cc", "kld", "nss", "sim", "auc_judd")}
Scores = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric of a variant and of the baseline, over the seeds that both have.

    Attributes:
        seeds: Number of shared seeds.
        mean: Mean of the variant's scores over seeds.
        error: Standard error of ``mean``.
        difference: Mean over seeds of the variant's score minus the baseline's.
        difference_error: Standard error of ``difference``.
        t: ``difference`` in units of its standard error.
        p: Two-sided p-value of Student's t with seeds − 1 degrees of freedom.
        p_holm: ``p`` after Holm's correction for all metrics of the comparison.
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
        return f"{self.mean_text()} ({self.difference:+.4f}, p = {self.p_holm:.2g})"

    def mean_text(self) -> str:
        """The mean with its standard error, as text."""
        return f"{self.mean:.4f} ± {self.error:.4f}"

    @property
    def ci95(self) -> float:
        """Half of the 95 % interval of ``difference``; NaN for fewer than two seeds."""
        return self.difference_error * float(_student().t.ppf(0.975, self.seeds - 1)) if self.seeds > 1 else math.nan

    @property
    def smallest(self) -> float:
        """The true difference that these seeds would have shown with a chance of 80 %; NaN for fewer than two.

        Shown means p < 0.05 before Holm's correction, where differences scatter as they did here.
        """
        if self.seeds < 2:
            return math.nan
        return self.difference_error * _noncentrality(self.seeds - 1)


def _student() -> Any:
    import scipy.stats

    return scipy.stats


def _noncentrality(freedom: int, power: float = 0.8) -> float:
    """The mean, in standard errors, for which a two-sided t-test at 5 % has this power."""
    from scipy.optimize import brentq

    stats = _student()
    limit = stats.t.ppf(0.975, freedom)
    return float(brentq(lambda mean: stats.nct.sf(limit, freedom, mean) - power, 0, 100))


def compare(variant: Scores, baseline: Scores) -> dict[str, Comparison]:
    """Compare every metric, paired by seed.

    Args:
        variant: Scores by seed, then by metric.
        baseline: Scores of the same form; equal seeds mean equal initial weights and equal batches.

    Returns:
        A comparison for each metric. Errors, t and p are NaN where fewer than two seeds are shared.

    Raises:
        ValueError: If no seed is shared.
    """
    seeds = sorted(variant.keys() & baseline.keys())
    if not seeds:
        raise ValueError("`variant` and `baseline` must share at least one seed. Train both from the same seeds.")
    rows = {}
    for metric in METRICS:
        values = [variant[seed][metric] for seed in seeds]
        differences = [variant[seed][metric] - baseline[seed][metric] for seed in seeds]
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
    """Correct p-values by Holm's step-down rule.

    The k-th smallest of m is multiplied by m − k + 1, raised to the one before it where that is larger, and cut at 1.
    """
    corrected, floor = [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda n: p_values[n])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = floor
    return corrected
