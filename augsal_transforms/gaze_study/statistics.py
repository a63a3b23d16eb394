"""Means over images with 95 % intervals, and Student's t-test of paired samples, by SciPy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple


class MeanChange(NamedTuple):
    """A mean over images.

    Attributes:
        images: Number of images.
        mean: Mean of their changes; NaN without images.
        ci95: Half of the mean's 95 % interval, of Student's t; NaN for fewer than two images.
    """

    images: int
    mean: float
    ci95: float


def paired_t(differences: Sequence[float]) -> tuple[float, float]:
    """Student's t of the differences of pairs against a mean of 0, and its two-sided p-value.

    Args:
        differences: One difference for each pair.

    Returns:
        t and p: (0, 1) if all differences are 0, (±∞, 0) if all are the same otherwise, NaN for fewer than two.
    """
    if differences and not any(differences):
        return 0.0, 1.0
    if len(differences) > 1 and len(set(differences)) == 1:
        return math.copysign(math.inf, differences[0]), 0.0
    if len(differences) < 2:
        return math.nan, math.nan
    tested = _test(differences)
    return float(tested.statistic), float(tested.pvalue)


def mean_change(changes: Sequence[float]) -> MeanChange:
    """The mean of changes with its 95 % interval; each change is of another image."""
    mean = math.fsum(changes) / len(changes) if changes else math.nan
    if len(changes) < 2:
        return MeanChange(len(changes), mean, math.nan)
    interval = _test(changes).confidence_interval(0.95)
    return MeanChange(len(changes), mean, float(interval.high - interval.low) / 2)


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; NaN for fewer than two values."""
    return float(_stats().sem(values)) if len(values) > 1 else math.nan


def _test(values: Sequence[float]) -> Any:
    with warnings.catch_warnings():
        # Of nearly equal values: "precision loss". Their spread is rounding, and the t-test calls it chance.
        warnings.simplefilter("ignore", RuntimeWarning)
        return _stats().ttest_1samp(values, 0)


def _stats() -> Any:
    try:
        import scipy.stats
    except ImportError as error:
        raise ImportError('t-tests need SciPy: pip install "augsal-transforms[salicon]".') from error
    return scipy.stats
