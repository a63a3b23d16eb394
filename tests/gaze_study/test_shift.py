import math

import pytest
import torch

from augsal_transforms.data.fixations import count_fixations
from augsal_transforms.gaze_study.shift import (
    ALL_KINDS,
    AlphaSpan,
    GazeChange,
    compare_kinds,
    find_spans,
    gaze_changes,
    gaze_in_region,
    summarise_shift,
)
from augsal_transforms.scenes.observer import fixation_density

LEFT = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])


def test_gaze_is_measured_against_a_blind_observer_s():
    fixations = count_fixations(torch.tensor([[0, 0], [0, 1], [0, 1], [1, 0]]), (2, 2))
    assert gaze_in_region(fixations, LEFT).item() == pytest.approx((3 / 4) / (1 / 2))
    assert gaze_in_region(torch.ones(1, 2, 2), LEFT).item() == pytest.approx(1)
    # Half a weight on the right: (3 + 1/2) of 4 fixations, on 3/4 of the image.
    assert gaze_in_region(fixations, LEFT + (1 - LEFT) / 2).item() == pytest.approx((3.5 / 4) / 0.75)
    assert gaze_in_region(torch.zeros(1, 2, 2), LEFT).isnan()
    assert gaze_in_region(fixations, 0 * LEFT).isnan()


def test_changes_are_after_less_before_image_by_image():
    all_left, all_right, even = LEFT, 1 - LEFT, torch.ones(1, 2, 2)
    # Shares per area: 2, 0 and 1.
    changes = gaze_changes([even, all_right], [all_left, even, even, all_right], [LEFT, LEFT])
    assert changes.tolist() == [[1, 0], [1, 0]]


def test_an_edit_for_every_image_and_a_mask():
    even = torch.ones(1, 2, 2)
    with pytest.raises(ValueError, match="got 2 originals, 3 edits and 2 masks"):
        gaze_changes([even] * 2, [even] * 3, [LEFT] * 2)
    with pytest.raises(ValueError, match="got 2 originals, 4 edits and 1 masks"):
        gaze_changes([even] * 2, [even] * 4, [LEFT])


def test_the_test_is_paired_over_images():
    """Image means 1, 2 and 3: mean 2, deviation 1, t = 2 √3; with two degrees of freedom p = 1 − t / √(2 + t²)."""
    changes = torch.tensor([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
    shift = summarise_shift(changes)
    t = 2 * 3**0.5
    assert [at.mean for at in shift.by_alpha] == [1, 3]
    assert shift.t == pytest.approx(t)
    assert shift.p == pytest.approx(1 - t / (2 + t**2) ** 0.5)
    assert shift.p_rise == pytest.approx(shift.p / 2)
    assert shift.mean == pytest.approx(2)
    assert shift.effect == pytest.approx(2)
    assert (shift.images, shift.undefined) == (3, 0)
    assert shift.rises_with_alpha
    assert not summarise_shift(changes.flip(1)).rises_with_alpha
    assert not summarise_shift(-changes).rises_with_alpha


def test_images_that_nobody_looked_at_are_left_out_and_counted():
    changes = torch.tensor([[1.0], [2.0], [torch.nan], [3.0]])
    shift = summarise_shift(changes)
    assert (shift.images, shift.undefined) == (3, 1)
    assert shift.by_alpha[0].mean == 2


@pytest.mark.parametrize(("changes", "images"), [([[2.0], [torch.nan]], 1), ([[torch.nan]], 0)])
def test_fewer_than_two_images_are_reported_without_a_test(changes, images):
    shift = summarise_shift(torch.tensor(changes))
    assert (shift.images, shift.undefined) == (images, 1)
    assert all(math.isnan(value) for value in (shift.t, shift.p, shift.p_rise, shift.effect))
    assert not shift.rises_with_alpha


def test_an_image_enters_with_the_alphas_that_it_has():
    changes = torch.tensor([[1.0, torch.nan], [torch.nan, 3.0], [0.0, 4.0]])
    shift = summarise_shift(changes)
    assert [(at.images, at.mean) for at in shift.by_alpha] == [(2, 0.5), (2, 3.5)]
    assert shift.mean == pytest.approx((1 + 3 + 2) / 3)


def test_intervals_are_student_s_over_images():
    """Changes 1 and 3: deviation √2, error 1, and Student's t with one degree of freedom is Cauchy: tan(0.475 π)."""
    (at,) = summarise_shift(torch.tensor([[1.0], [3.0]])).by_alpha
    assert at.ci95 == pytest.approx(math.tan(0.475 * math.pi))
    alone = summarise_shift(torch.tensor([[1.0, 5.0], [3.0, torch.nan]])).by_alpha[1]
    assert (alone.images, alone.mean) == (1, 5)
    assert math.isnan(alone.ci95)


def test_no_change_at_all_is_no_rise():
    shift = summarise_shift(torch.zeros(3, 2))
    assert (shift.t, shift.p, shift.p_rise, shift.effect) == (0, 1, 0.5, 0)


def test_the_synthetic_observer_looks_at_a_disc_that_comes_to_stand_out():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    before, after, masks = [], [], []
    for n in range(4):
        mask = ((y - 20 - 6 * n) ** 2 + (x - 28) ** 2 < 6**2).float()[None]
        grey = torch.full((3, 64, 64), 0.4)
        before.append(fixation_density(grey))
        after += [fixation_density(grey + rise * mask) for rise in (0.1, 0.3)]
        masks.append(mask)
    shift = summarise_shift(gaze_changes(before, after, masks))
    assert shift.rises_with_alpha
    assert shift.effect > 1


def test_few_alphas_stand_alone_and_many_fall_into_three_ranges():
    assert find_spans([1.8, 1.2, 1.5, 1.2]) == (AlphaSpan(1.2, 1.2), AlphaSpan(1.5, 1.5), AlphaSpan(1.8, 1.8))
    drawn = [9, 1, 2, 3, 4, 5, 6, 7, 8]
    assert find_spans(drawn) == (AlphaSpan(1, 3), AlphaSpan(4, 6), AlphaSpan(7, 9))
    assert str(AlphaSpan(1.25, 1.5)) == "1.25–1.5"
    assert str(AlphaSpan(1.5, 1.5)) == "1.5"


def test_equal_alphas_are_never_in_two_ranges():
    alphas = [1, 2, 3, 3, 3, 3, 4, 5, 6, 7]
    spans = find_spans(alphas)
    assert spans == (AlphaSpan(1, 3), AlphaSpan(4, 4), AlphaSpan(5, 7))


def test_images_may_have_any_number_of_alphas():
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


def test_all_kinds_have_no_alpha_in_common():
    changes = [GazeChange(n, kind, 1.0, c) for n in "ab" for c, kind in enumerate(("brightness", "color", "contrast"))]
    of_all = compare_kinds(changes)[ALL_KINDS]
    assert of_all.alpha_spans == of_all.shift.by_alpha == ()


def test_gaze_and_mask_are_checked_by_name():
    with pytest.raises(ValueError, match=r"`gaze` and `edit_mask` must be .* got \(1, 2, 2\) and \(1, 2, 3\)"):
        gaze_in_region(torch.ones(1, 2, 2), torch.ones(1, 2, 3))
    with pytest.raises(ValueError, match="`gaze` must not be negative, got -2"):
        gaze_in_region(-2 * LEFT, LEFT)
    with pytest.raises(ValueError, match="`edit_mask` must not be negative"):
        gaze_in_region(LEFT, -LEFT)
