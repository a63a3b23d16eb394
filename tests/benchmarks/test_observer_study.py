"""The arithmetic of benchmarks/observer_study.py, on pictures whose answer is known."""

import pytest
import torch
from observer_study import edit_pixels, edits_away, elsewhere, lightness_difference

from augsal_transforms import Color
from augsal_transforms.editor.latent_edits import toward_color
from augsal_transforms.gaze_study.synthetic import gaze_rises


def disc_on_grey(level):
    """A disc of that grey level on mid-grey, 128 px, and its mask."""
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    mask = ((y - 40) ** 2 + (x - 60) ** 2 < 20**2).float()[None]
    return torch.where(mask > 0, level, 128.0).expand(3, -1, -1).round().byte(), mask


def test_lightness_is_compared_with_the_ring_about_the_region():
    # Grey levels 178 and 128 of 255: 50 / 255.
    assert lightness_difference(*disc_on_grey(178)) == pytest.approx(50 / 255, abs=1e-4)


@pytest.mark.parametrize(("level", "sign"), [(178, 1), (78, -1)])
def test_edits_away_go_where_the_region_differs_already(level, sign):
    edits = edits_away(*disc_on_grey(level))
    assert [edit.alpha * sign > 0 for edit in edits[:3]] == [True] * 3
    assert isinstance(edits[3], Color)


def test_pixel_edits_do_what_their_names_say():
    image, mask = disc_on_grey(100)
    edited = edit_pixels(image, mask, "red")
    before = 100 / 255
    for alpha, result in zip((0.05, 0.15, 0.25), edited[:3], strict=True):
        assert result[0, 40, 60].item() == pytest.approx(before + alpha)
        assert torch.equal(result[:, 0, 0], image[:, 0, 0].float() / 255)
    assert edited[4][0, 40, 60].item() == pytest.approx(before)  # contrast about the mean of an even region
    wanted = toward_color(torch.full((1, 3), before), torch.tensor((0.85, 0.10, 0.10)), 0.8)[0]
    assert torch.allclose(edited[8][:, 40, 60], wanted, atol=1e-5)


def test_the_other_region_has_the_same_shape_and_lies_apart():
    _, mask = disc_on_grey(100)
    other = elsewhere(mask, 0)
    assert other.sum() == mask.sum()
    assert (other * mask).sum() == 0


def test_a_judge_who_looks_at_light_sees_a_brighter_region_rise():
    """Gaze ∝ luminance: the disc's share of it per unit of area goes from 1 to more, and elsewhere stays put."""
    image, mask = disc_on_grey(128)
    brighter = edit_pixels(image, mask, "red")[2]

    def judge(picture, number):
        light = (picture.float() / 255 if picture.dtype == torch.uint8 else picture).mean(0, keepdim=True)
        return light / light.sum()

    share = mask.mean().item()
    inside, outside = 128 / 255 + 0.25, 128 / 255
    expected = inside / (share * inside + (1 - share) * outside) - 1
    assert gaze_rises(judge, [image], [brighter], [mask])[0, 0].item() == pytest.approx(expected, rel=1e-4)
