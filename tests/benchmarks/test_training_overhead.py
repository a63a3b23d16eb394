"""benchmarks/training_overhead.py: training with the store and without."""

import pytest
import training_overhead


@pytest.mark.filterwarnings("ignore:A sample has no caption")  # the measured scenes have none
def test_training_with_the_store_is_compared_with_training_without(capsys):
    found = training_overhead.main(["--images", "2", "--rounds", "1", "--size", "64"])
    assert [figure.bar for figure in found if figure.bar] == ["≤ 2.0 ×", "≤ 1.55 ×"]
    assert len([figure for figure in found if figure.value.endswith(" ms")]) == 5
