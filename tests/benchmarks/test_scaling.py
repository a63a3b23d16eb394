"""benchmarks/scaling.py: slopes, and costs in units of the smallest."""

import pytest
import scaling


def test_slopes_by_hand():
    # y = 3 x^1.5: log y rises by 1.5 for each of log x, whatever the factor.
    assert scaling.slope([1.0, 4.0, 16.0], [3.0, 24.0, 192.0]) == pytest.approx(1.5)


def test_the_cost_of_an_edit_is_compared_with_its_smallest(editor):
    given = [("side", side, scaling.edits_of(editor, side, 1, 1, editor.config)) for side in (32, 64)]
    found = {f.name: f for f in scaling.figures(scaling.measure(given, 1, cuda=False))}
    assert found["side 32"].value == "time × 1.00, operations × 1.00"
    assert float(found["side 64"].value.rsplit(" ", 1)[1]) > 3
    assert found["slope over pixels"].bar == "≤ 1.15"
