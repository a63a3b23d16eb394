import re
import sys

import PIL.Image
import pytest

from augsal_transforms.gaze_study.report import ShiftStudy, draw_shift
from augsal_transforms.gaze_study.shift import GazeChange


@pytest.fixture
def study():
    rows = [(name, kind, alpha) for kind in ("color", "contrast") for name in "abc" for alpha in (0.3, 0.8)]
    rows.append(("a", "color", 0.9))  # a strength of one image has no interval
    return ShiftStudy(source="x", changes=tuple(GazeChange(*row, float(n)) for n, row in enumerate(rows)))


def test_the_figure_has_one_line_for_each_kind(study, tmp_path):
    draw_shift(study, tmp_path / "shift.svg")
    drawn = (tmp_path / "shift.svg").read_text()
    panels = re.findall(r'<g id="axes_\d+">', drawn)
    assert len(panels) == 2
    assert all(drawn.count(f"<!-- {kind}, 3 images -->") == 1 for kind in ("color", "contrast"))
    # Colours of lines: the first and second of matplotlib's cycle.
    assert all(f"stroke: {color}" in drawn for color in ("#1f77b4", "#ff7f0e"))
    assert "stroke: #2ca02c" not in drawn


def test_the_figure_is_a_picture_by_its_ending(study, tmp_path):
    draw_shift(study, tmp_path / "shift.png")
    with PIL.Image.open(tmp_path / "shift.png") as picture:
        assert picture.width > picture.height > 100


def test_without_matplotlib_the_extra_is_named(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # what an import finds that is not installed
    with pytest.raises(ImportError, match=r'pip install "augsal-transforms\[viz\]"'):
        draw_shift(study, tmp_path / "shift.png")
