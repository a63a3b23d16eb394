"""benchmarks/table2/paired.py, by hand and beside SciPy."""

import pytest
from scipy.stats import ttest_rel
from table2.paired import METRICS, Comparison, compare, holm


def test_holm_by_hand():
    # Smallest first: 4 × 0.01 = 0.04; 3 × 0.02 = 0.06; 2 × 0.025 = 0.05, raised to 0.06; 1 × 0.5.
    assert holm([0.02, 0.5, 0.01, 0.025]) == pytest.approx([0.06, 0.5, 0.04, 0.06])


def test_holm_is_never_above_one():
    assert holm([0.9, 0.4, 0.8]) == [1.0, 1.0, 1.0]


def scores(**by_metric):
    """Scores by seed, then by metric; every metric not named is 0.5."""
    count = len(next(iter(by_metric.values())))
    return {n: {metric: by_metric.get(metric, [0.5] * count)[n] for metric in METRICS} for n in range(count)}


def test_a_comparison_agrees_with_scipy():
    variant = scores(cc=[0.70, 0.74, 0.72, 0.77], kld=[0.41, 0.40, 0.44, 0.39])
    baseline = scores(cc=[0.69, 0.70, 0.71, 0.72], kld=[0.45, 0.40, 0.43, 0.47])
    found = compare(variant, baseline)
    raw = {m: ttest_rel([s[m] for s in variant.values()], [s[m] for s in baseline.values()]) for m in ("cc", "kld")}
    for metric in ("cc", "kld"):
        assert found[metric].t == pytest.approx(raw[metric].statistic)
        assert found[metric].p == pytest.approx(raw[metric].pvalue)
    assert found["cc"].mean == pytest.approx(0.7325)
    assert found["cc"].difference == pytest.approx(0.0275)  # (0.01 + 0.04 + 0.01 + 0.05) / 4
    assert found["cc"].p_holm == pytest.approx(min(1, 5 * raw["cc"].pvalue))  # the smallest of five
    assert found["kld"].p_holm == pytest.approx(min(1, 4 * raw["kld"].pvalue))


def test_only_seeds_that_both_have_are_compared():
    variant, baseline = scores(cc=[0.6, 0.7, 0.9]), scores(cc=[0.5, 0.6])
    assert compare(variant, baseline)["cc"].seeds == 2
    assert compare(variant, baseline)["cc"].mean == pytest.approx(0.65)
    with pytest.raises(ValueError, match="must share at least one seed"):
        compare({7: baseline[0]}, baseline)


def test_a_difference_shows_its_sign_and_its_corrected_p():
    row = Comparison(
        seeds=8, mean=0.7, error=0.01, difference=-0.002, difference_error=0.001, t=-2.0, p=0.02, p_holm=0.1
    )
    assert str(row) == "0.7000 ± 0.0100 (-0.0020, p = 0.1)"
    assert row.mean_text() == "0.7000 ± 0.0100"
