import math

import pytest

from augsal_transforms.gaze_study.shift import ALL_KINDS, AlphaSpan, GazeChange, compare_kinds, find_spans


def test_few_strengths_are_levels_and_many_fall_into_three_ranges():
    assert find_spans([1.8, 1.2, 1.5, 1.2]) == (AlphaSpan(1.2, 1.2), AlphaSpan(1.5, 1.5), AlphaSpan(1.8, 1.8))
    drawn = [9, 1, 2, 3, 4, 5, 6, 7, 8]
    assert find_spans(drawn) == (AlphaSpan(1, 3), AlphaSpan(4, 6), AlphaSpan(7, 9))
    assert str(AlphaSpan(1.25, 1.5)) == "1.25–1.5"
    assert str(AlphaSpan(1.5, 1.5)) == "1.5"


def test_equal_strengths_are_never_in_two_ranges():
    alphas = [1, 2, 3, 3, 3, 3, 4, 5, 6, 7]
    spans = find_spans(alphas)
    assert spans == (AlphaSpan(1, 3), AlphaSpan(4, 4), AlphaSpan(5, 7))


def test_images_may_have_any_number_of_strengths():
    changes = [
        *(GazeChange("a", "contrast", 1.2, 1.0), GazeChange("a", "contrast", 1.2, 3.0)),  # 2 there
        *(GazeChange("a", "contrast", 1.8, 4.0), GazeChange("b", "contrast", 1.8, 6.0)),
        *(GazeChange("c", "contrast", 1.2, math.nan), GazeChange("c", "contrast", 1.8, 8.0)),
    ]
    shift = compare_kinds(changes)["contrast"].shift
    assert [(at.images, at.mean) for at in shift.by_alpha] == [(1, 2), (3, 6)]
    assert shift.mean == pytest.approx((3 + 6 + 8) / 3)  # a's is the mean of 2 and 4


def test_all_kinds_weigh_alike_in_an_image_and_each_has_its_own_images():
    changes = [
        *(GazeChange(name, "color", 0.5, 1.0) for name in "ab"),
        *(GazeChange("a", "contrast", alpha, 3.0) for alpha in (1.2, 1.5, 1.8)),
        GazeChange("c", "contrast", 1.5, 5.0),
        GazeChange("d", "contrast", 1.5, math.nan),
    ]
    kinds = compare_kinds(changes)
    assert list(kinds) == ["color", "contrast", ALL_KINDS]
    assert (kinds["color"].shift.images, kinds["color"].shift.undefined) == (2, 0)
    assert (kinds["contrast"].shift.images, kinds["contrast"].shift.undefined) == (2, 1)
    # a: (1 + 3) / 2, b: 1, c: 5
    assert kinds[ALL_KINDS].shift.mean == pytest.approx((2 + 1 + 5) / 3)
    assert kinds[ALL_KINDS].shift.undefined == 1


def test_a_kind_of_one_image_stays_without_a_test_and_the_others_have_theirs():
    changes = [GazeChange(name, "contrast", 1.5, change) for name, change in (("a", 1.0), ("b", 2.0))]
    kinds = compare_kinds([*changes, GazeChange("a", "color", 0.5, 3.0)])
    assert (kinds["color"].shift.images, kinds["color"].shift.mean) == (1, 3)
    assert math.isnan(kinds["color"].shift.p)
    assert kinds["contrast"].shift.t == pytest.approx(3)


def test_all_kinds_have_no_strength_in_common():
    changes = [GazeChange(n, kind, 1.0, c) for n in "ab" for c, kind in enumerate(("brightness", "color", "contrast"))]
    of_all = compare_kinds(changes)[ALL_KINDS]
    assert of_all.alpha_spans == of_all.shift.by_alpha == ()
