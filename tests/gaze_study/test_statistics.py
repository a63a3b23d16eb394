import math
import sys

import pytest

from augsal_transforms.gaze_study.statistics import mean_change, paired_t, standard_error


def test_paired_t_by_hand():
    # Differences 1, 2, 3: mean 2, deviation 1, standard error 1/√3, t = 2√3. With two degrees of freedom
    # the two-sided p is 1 − t / √(t² + 2) = 1 − √(12/14).
    t, p = paired_t([1.0, 2.0, 3.0])
    assert t == pytest.approx(2 * math.sqrt(3))
    assert p == pytest.approx(1 - math.sqrt(12 / 14))
    assert paired_t([-1.0, -2.0, -3.0]) == pytest.approx((-t, p))


def test_no_difference_at_all_is_no_discovery():
    assert paired_t([0.0, 0.0, 0.0]) == (0.0, 1.0)


@pytest.mark.parametrize("shift", [0.1, -1e-9, 3.0])
def test_equal_differences_leave_no_chance(shift):
    t, p = paired_t([shift] * 7)
    assert (t, p) == (math.copysign(math.inf, shift), 0)


def test_almost_equal_differences_warn_of_nothing():
    # Mean 1 + 1e-15 or so, deviations of some 1e-16: t is large, and its digits mean little.
    t, p = paired_t([1.0, 1.0, 1.0 + 4e-16, 1.0])
    assert t > 1e12
    assert p < 1e-12


def test_one_difference_has_no_error():
    assert math.isnan(standard_error([0.5]))
    assert all(math.isnan(x) for x in paired_t([0.5]))
    assert all(math.isnan(x) for x in paired_t([]))


def test_standard_error_by_hand():
    # 1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9 = 14, variance 14/3; √(14/3 / 4).
    assert standard_error([1.0, 2.0, 3.0, 6.0]) == pytest.approx(math.sqrt(14 / 12))


def test_intervals_are_student_s():
    """Values 1 and 3: deviation √2, error 1, and Student's t with one degree of freedom is Cauchy: tan(0.475 π)."""
    assert mean_change([1.0, 3.0]) == (2, 2.0, pytest.approx(math.tan(0.475 * math.pi)))
    assert mean_change([0.5, 0.5, 0.5]) == (3, 0.5, 0.0)
    images, mean, ci95 = mean_change([5.0])
    assert (images, mean) == (1, 5)
    assert math.isnan(ci95)
    assert mean_change([])[0] == 0
    assert all(math.isnan(x) for x in mean_change([])[1:])


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)  # what an import finds that is not installed
    with pytest.raises(ImportError, match=r'pip install "augsal-transforms\[salicon\]"'):
        paired_t([1.0, 2.0])
