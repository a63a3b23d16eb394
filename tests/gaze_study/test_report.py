import json
import math
import re
import sys

import PIL.Image
import pytest
from helpers.studies import RISE, P, T, write_study

from augsal_transforms.gaze_study.report import ShiftStudy, draw_shift
from augsal_transforms.gaze_study.shift import GazeChange
from augsal_transforms.gaze_study.study import read_study


def test_the_table_has_every_kind_and_alpha_and_says_what_its_words_mean(tmp_path):
    table = read_study(write_study(tmp_path, {**RISE, "d": (None, 2, 2)})).table()
    assert "8 edits of 4 images, 44 fixations\n" in table
    assert "without coordinates: 0 · images without a fixation: 1\n" in table
    # t = 2 √3 = 3.46, p = 1 − t / √(2 + t²) = 0.0742, d = 2
    assert "contrast              3         1  +0.500    3.46    0.074    0.037   +2.00" in table
    # Changes 0, 0.5, 0.5: deviation 0.2887, error 1/6, t(0.975, 2) = 4.3027.
    assert "contrast 1.2                     3  +0.333 ± 0.717" in table
    assert "all kinds" in table
    assert "d: Cohen's d" in table


def test_json_has_the_same_and_every_edit(tmp_path):
    report = json.loads(read_study(write_study(tmp_path, {**RISE, "d": (None, 2, 2)})).to_json())
    contrast = report["kinds"]["contrast"]
    assert (contrast["t"], contrast["p"]) == pytest.approx((T, P))
    assert contrast["by_alpha"][1]["low"] == 1.8
    assert contrast["by_alpha"][1]["images"] == 3
    assert report["changes"][1] == {"original": "a", "kind": "contrast", "alpha": 1.8, "change": 0.5}
    assert report["changes"][-1]["change"] is None
    assert report["unseen"] == ["d"]


def test_what_is_infinite_or_undefined_is_json_too():
    changes = tuple(GazeChange(name, "contrast", 1.5, 1.0) for name in "ab")
    changes += (GazeChange("a", "contrast", 1.8, 1.0), GazeChange("b", "contrast", 1.8, math.nan))
    contrast = json.loads(ShiftStudy(source="x", changes=changes).to_json())["kinds"]["contrast"]
    assert contrast["t"] == "inf"
    assert contrast["p"] == 0
    assert contrast["by_alpha"][1]["ci95"] is None


@pytest.fixture
def study():
    rows = [(name, kind, alpha) for kind in ("color", "contrast") for name in "abc" for alpha in (0.3, 0.8)]
    rows.append(("a", "color", 0.9))  # an α of one image has no interval
    return ShiftStudy(source="x", changes=tuple(GazeChange(*row, float(n)) for n, row in enumerate(rows)))


def test_the_figure_has_one_line_for_each_kind(study, tmp_path):
    draw_shift(study, tmp_path / "shift.svg")
    drawn = (tmp_path / "shift.svg").read_text()
    panels = re.split(r'<g id="axes_\d+">', drawn)[1:]
    assert len(panels) == 2
    assert all(panel.count("stroke: #0072b2; stroke-width: 1.5; stroke-linecap: square") == 1 for panel in panels)
    assert all(drawn.count(f"<!-- {kind}, 3 images -->") == 1 for kind in ("color", "contrast"))


def test_the_figure_is_a_picture_by_its_ending(study, tmp_path):
    draw_shift(study, tmp_path / "shift.png")
    with PIL.Image.open(tmp_path / "shift.png") as picture:
        assert picture.width > picture.height > 100


def test_a_figure_that_fails_leaves_what_was_there(study, tmp_path):
    (tmp_path / "shift.nonsense").write_text("before")
    with pytest.raises(ValueError, match="nonsense"):
        draw_shift(study, tmp_path / "shift.nonsense")
    assert (tmp_path / "shift.nonsense").read_text() == "before"
    assert not list(tmp_path.glob("*.incomplete"))


def test_without_matplotlib_the_extra_is_named(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # what an import finds that is not installed
    with pytest.raises(ImportError, match=r'pip install "augsal-transforms\[viz\]"'):
        draw_shift(study, tmp_path / "shift.png")
