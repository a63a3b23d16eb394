"""GazeChangeLoss: the change of a region's share of gaze, predicted against known."""

import math

import pytest
import torch

from augsal_transforms.losses import GazeChangeLoss


def maps(*rows):
    """(B, 1, 1, n) float64 maps from rows of numbers."""
    return torch.tensor(rows, dtype=torch.float64)[:, None, None]


def test_the_loss_by_hand():
    # M = (1, 1/2, 0). Predicted shares: S' (0.2 + 0.1) / 1 = 0.3, S'_E (0.5 + 0.1) / 1 = 0.6: change ln 2.
    # Known shares: S (0.4 + 0.2) / 1.2 = 0.5, S_E (0.4 + 0.1) / 0.8 = 0.625: change ln 1.25.
    mask = maps([1, 0.5, 0])
    loss = GazeChangeLoss()(
        maps([0.2, 0.2, 0.6]), maps([0.5, 0.2, 0.3]), mask, maps([0.4, 0.4, 0.4]), maps([0.4, 0.2, 0.2])
    )
    assert loss.item() == pytest.approx((math.log(2) - math.log(1.25)) ** 2, abs=1e-12)


def test_the_known_change_costs_nothing_at_any_scale_of_the_maps():
    before, after, mask = (torch.rand(2, 1, 4, 4, dtype=torch.float64) for _ in range(3))
    loss = GazeChangeLoss()(before, after, mask, before / 2, after / 3)
    assert loss.item() == pytest.approx(0, abs=1e-20)
    assert GazeChangeLoss()(before, before, mask, before, after).item() > 1e-4


def test_descent_moves_gaze_into_a_region_that_gained_and_out_of_one_that_lost():
    mask = maps([1, 0])
    for known_after, sign in ((maps([0.8, 0.2]), -1), (maps([0.2, 0.8]), 1)):
        after = maps([0.5, 0.5]).requires_grad_()
        GazeChangeLoss()(maps([0.5, 0.5]), after, mask, maps([0.5, 0.5]), known_after).backward()
        assert after.grad[0, 0, 0, 0] * sign > 0
        assert after.grad[0, 0, 0, 1] * sign < 0


def test_gradient_in_float64():
    before, after = (torch.rand(2, 1, 3, 3, dtype=torch.float64).requires_grad_() for _ in range(2))
    rest = [torch.rand(2, 1, 3, 3, dtype=torch.float64) for _ in range(3)]
    assert torch.autograd.gradcheck(lambda p, e: GazeChangeLoss()(p, e, *rest), (before, after))


def test_edited_items_are_summed_and_divided_by_the_batch():
    items = [torch.rand(3, 1, 4, 4) for _ in range(5)]
    is_edited = torch.tensor([True, False, True])
    alone = [GazeChangeLoss()(*(x[n : n + 1] for x in items)).item() for n in (0, 2)]
    assert GazeChangeLoss()(*items, is_edited).item() == pytest.approx(sum(alone) / 3, rel=1e-5)


def test_unedited_items_reach_neither_loss_nor_gradient():
    items = [torch.rand(2, 1, 4, 4) for _ in range(5)]
    items[1][1] = math.nan
    before = items[0].requires_grad_()
    loss = GazeChangeLoss()(*items, torch.tensor([True, False]))
    loss.backward()
    assert loss.isfinite()
    assert not before.grad[1].any()
    empty = GazeChangeLoss()(before, items[0], torch.zeros(2, 1, 4, 4), *items[3:])
    empty.backward()
    assert empty.item() == 0


def test_maps_of_zeros_stay_finite():
    zeros = torch.zeros(1, 1, 4, 4, requires_grad=True)
    loss = GazeChangeLoss()(zeros, torch.rand(1, 1, 4, 4), torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), zeros)
    loss.backward()
    assert loss.isfinite()
    assert zeros.grad.isfinite().all()


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (torch.full((2, 1, 4, 4), 255.0), ValueError, r"must lie in \[0, 1\]"),
        (torch.rand(2, 1, 4, 5), ValueError, "must be shaped like"),
        (None, TypeError, "must be a tensor"),
    ],
)
def test_an_argument_that_is_wrong_is_named(place, wrong, error, words):
    names = ("prediction", "edited_prediction", "edit_mask", "saliency_map", "edited_saliency_map")
    items = [torch.rand(2, 1, 4, 4) for _ in names]
    items[place] = wrong
    with pytest.raises(error, match=words) as raised:
        GazeChangeLoss()(*items)
    assert "shaped like" in words or f"`{names[place]}`" in str(raised.value)
