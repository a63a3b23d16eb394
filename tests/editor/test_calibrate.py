import pytest
import torch

from augsal_transforms import calibrate


def test_images_that_do_not_vary_are_refused_before_the_networks_work(editor):
    """Their standard deviations are 0: the two-sigma rule would then allow no edit at all, without a word."""
    flat = [torch.full((3, 8, 8), level / 40) for level in range(32)]
    with pytest.raises(ValueError, match="`images` must differ in brightness, colour and contrast, got standard"):
        calibrate(editor, flat)


def test_the_gain_is_measured_on_an_image_at_least(editor):
    with pytest.raises(ValueError, match="`probes` must be 1 or more, got 0"):
        calibrate(editor, torch.rand(32, 3, 8, 8, generator=torch.Generator().manual_seed(0)), probes=0)
