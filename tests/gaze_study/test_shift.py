import math

import pytest
import torch

from augsal_transforms.data.fixations import count_fixations
from augsal_transforms.gaze_study.shift import gaze_changes, gaze_in_region, summarise_shift
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


def test_an_image_enters_with_the_strengths_that_it_has():
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
