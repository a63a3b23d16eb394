"""Student's t-test of paired samples, from SciPy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; NaN for fewer than two values."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def paired_t(differences: Sequence[float]) -> tuple[float, float]:
    """Student's t of a mean of zero, and its two-sided p-value.

    Differences that are all 0 give t = 0 and p = 1: the two ways of training are the same.
    """
    error = standard_error(differences)
    if not any(differences):
        return 0.0, 1.0
    t = statistics.fmean(differences) / error if error else math.copysign(math.inf, statistics.fmean(differences))
    return t, float(2 * student_t().sf(abs(t), len(differences) - 1))


def student_t() -> Any:
    """SciPy's t distribution; the rest of the library does without SciPy."""
    try:
        from scipy.stats import t
    except ImportError as error:
        raise ImportError('t-tests need scipy: pip install "augsal-transforms[salicon]".') from error
    return t
