"""benchmarks/table2/classical.py: geometric ones move image and map alike, photometric ones leave the map."""

import pytest
import torch
from table2.classical import CLASSICAL, uniform

from augsal_transforms.randomness import keyed_generator

MOVING = ("horizontal flip", "vertical flip", "rotation", "cropping", "shearing")


def picture():
    """A map with a bright blot on a ramp, without symmetry, and an image whose channels all equal it."""
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    saliency_map = (x * 2 + y + 120 * torch.exp(-((x - 9) ** 2 + (y - 20) ** 2) / 18)).round().byte()[None]
    return saliency_map.expand(3, -1, -1).contiguous(), saliency_map


@pytest.mark.parametrize("name", MOVING)
def test_image_and_map_move_alike(name):
    image, saliency_map = CLASSICAL[name](*picture(), keyed_generator(3))
    assert not torch.equal(saliency_map, picture()[1])
    assert torch.equal(image, saliency_map.expand(3, -1, -1))


@pytest.mark.parametrize("name", [name for name in CLASSICAL if name not in MOVING])
def test_a_change_of_pixels_leaves_the_map(name):
    image = torch.randint(256, (3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    changed, saliency_map = CLASSICAL[name](image, picture()[1], keyed_generator(3))
    assert torch.equal(saliency_map, picture()[1])
    assert changed.dtype == torch.uint8
    assert changed.shape == image.shape
    assert not torch.equal(changed, image)


def test_flips_and_inversion_by_hand():
    image = torch.tensor([[[0, 10], [20, 255]]], dtype=torch.uint8).expand(3, -1, -1)
    saliency_map = torch.tensor([[[1, 2], [3, 4]]], dtype=torch.uint8)
    assert CLASSICAL["horizontal flip"](image, saliency_map, torch.Generator())[1].tolist() == [[[2, 1], [4, 3]]]
    assert CLASSICAL["vertical flip"](image, saliency_map, torch.Generator())[1].tolist() == [[[3, 4], [1, 2]]]
    assert CLASSICAL["inversion"](image, saliency_map, torch.Generator())[0][0].tolist() == [[255, 245], [235, 0]]


@pytest.mark.parametrize("name", CLASSICAL)
def test_draws_are_the_generators_alone(name):
    before = torch.get_rng_state()
    once, again = (CLASSICAL[name](*picture(), keyed_generator("same"))[0] for _ in range(2))
    assert torch.equal(once, again)
    assert torch.equal(before, torch.get_rng_state())


def test_there_are_twelve():
    assert len(CLASSICAL) == 12


def test_uniform_stays_in_its_range():
    draws = [uniform(-2, 3, generator) for generator in [torch.Generator().manual_seed(0)] for _ in range(200)]
    assert -2 <= min(draws) < -1.5
    assert 2.5 < max(draws) < 3
