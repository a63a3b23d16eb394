import math

import pytest
import torch

from augsal_transforms.editor.constraint import allowed_strength, measure_std, property_bounds
from augsal_transforms.photometry import PROPERTIES, photometric_properties


def brute_force(image, change, weight, bounds, steps=4000):
    """The largest strength on a grid such that it and all smaller ones keep every property in bounds."""
    before = photometric_properties(image, weight)
    largest = 0.0
    for k in range(steps + 1):
        moved = (photometric_properties(image + k / steps * change, weight) - before).abs()
        if (moved > bounds + 1e-9).any():
            break
        largest = k / steps
    return largest


@pytest.mark.parametrize("seed", range(6))
def test_closed_form_equals_brute_force(seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, 12, 12, generator=generator).double()
    change = torch.randn(1, 3, 12, 12, generator=generator).double() * (0.05, 0.2, 0.6)[seed % 3]
    change = change + (0.0, 0.3)[seed % 2]
    weight = torch.rand(1, 1, 12, 12, generator=generator).double()
    bounds = torch.tensor([0.12, 0.12, 0.13, 0.11, 0.05, 0.05]).double()
    strength, _ = allowed_strength(image, change, weight, bounds)
    assert strength.item() == pytest.approx(brute_force(image, change, weight, bounds), abs=5e-4)


def test_a_falling_contrast_is_bound_too():
    image = torch.rand(1, 3, 8, 8).double()
    weight = torch.ones(1, 1, 8, 8).double()
    flatten = image.mean((2, 3), keepdim=True) - image  # λ = 1 is flat grey
    bounds = torch.full((6,), math.inf).double()
    bounds[4] = 0.05
    strength, index = allowed_strength(image, flatten, weight, bounds)
    moved = photometric_properties(image + strength * flatten, weight) - photometric_properties(image, weight)
    assert moved[0, 4].item() == pytest.approx(-0.05, abs=1e-9)
    assert PROPERTIES[index] == "local_contrast"


def test_no_property_leaves_its_bound_after_clamping_and_one_reaches_it():
    image, change = torch.rand(4, 3, 16, 16), torch.full((4, 3, 16, 16), 0.5)
    weight = torch.rand(4, 1, 16, 16)
    bounds = torch.tensor([0.2, 0.2, 0.2, 0.2, 0.1, 0.1])
    strength, index = allowed_strength(image, change, weight, bounds)
    edited = image + strength[:, None, None, None] * change
    moved = (photometric_properties(edited, weight) - photometric_properties(image, weight)).abs()
    assert (moved <= bounds + 1e-3).all()
    assert torch.allclose(moved.gather(1, index[:, None])[:, 0], bounds[index], atol=1e-4)
    clamped = (photometric_properties(edited.clamp(0, 1), weight) - photometric_properties(image, weight)).abs()
    assert (clamped[:, :4] <= bounds[:4] + 1e-3).all()


def test_without_bounds_every_edit_is_allowed_in_full():
    strength, index = allowed_strength(
        torch.rand(2, 3, 4, 4), 9 * torch.randn(2, 3, 4, 4), torch.ones(2, 1, 4, 4), torch.full((6,), math.inf)
    )
    assert strength.tolist() == [1, 1]
    assert index.tolist() == [-1, -1]


def test_no_bound_is_no_bound_for_a_property_that_never_varied_too():
    # 0 · ∞ is not a number, and a bound that is none makes black images.
    std = torch.tensor([0.0, 0.25])
    assert property_bounds(std, math.inf).tolist() == [math.inf, math.inf]
    assert property_bounds(std, 2.0).tolist() == [0.0, 0.5]


def test_bounds_of_zero_allow_nothing():
    strength, _ = allowed_strength(
        torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4), torch.zeros(6)
    )
    assert strength.item() == 0


def test_one_image_does_not_change_the_next():
    image, change, weight = torch.rand(2, 3, 8, 8), torch.randn(2, 3, 8, 8), torch.rand(2, 1, 8, 8)
    bounds = torch.full((6,), 0.05)
    both = allowed_strength(image, change, weight, bounds)[0]
    alone = torch.cat(
        [allowed_strength(image[n : n + 1], change[n : n + 1], weight[n : n + 1], bounds)[0] for n in (0, 1)]
    )
    assert torch.allclose(both, alone, atol=1e-6)


def test_deviations_are_of_areas_and_repeat():
    images = [torch.full((3, 20, 30), level) for level in (0.2, 0.4, 0.6)]
    first, second = measure_std(images, seed=3), measure_std(images, seed=3)
    assert torch.equal(first, second)
    # 15 areas of flat images: five each of 0.2, 0.4 and 0.6; deviation sqrt(5 · (0.04 + 0 + 0.04) / 14) = 0.169.
    assert first[0].item() == pytest.approx(math.sqrt(0.4 / 14), abs=1e-6)
    assert first[4].item() == pytest.approx(0, abs=1e-6)
