from dataclasses import replace

import pytest
import torch
from helpers.pictures import picture

from augsal_transforms import EditConfig, calibrate
from augsal_transforms.editor.calibrate import measure_gain


def test_images_that_do_not_vary_are_refused_before_the_networks_work(editor):
    """Their standard deviations are 0, so the two-sigma rule would allow no edit, without an error."""
    flat = [torch.full((3, 8, 8), level / 40) for level in range(32)]
    with pytest.raises(ValueError, match="`images` must differ in brightness, colour and contrast, got standard"):
        calibrate(editor, flat)


def test_the_gain_is_measured_on_an_image_at_least(editor):
    with pytest.raises(ValueError, match="`probes` must be 1 or more, got 0"):
        calibrate(editor, torch.rand(32, 3, 8, 8, generator=torch.Generator().manual_seed(0)), probes=0)


def test_a_gain_without_a_core_is_refused_and_not_zero(editor):
    # With a threshold of 1 and a softness of 0.2 the ramp ends at (1 − 1) / 0.2 + 0.5 = 0.5.
    hard = replace(editor, config=EditConfig(threshold=1.0))
    with pytest.raises(ValueError, match=r"`threshold` must leave pixels .* above 0\.9"):
        measure_gain(hard, [picture()])


def test_only_an_editor_is_calibrated():
    with pytest.raises(TypeError, match="`editor` must be a SaliencyEditor, got 'bundled'"):
        calibrate("bundled", [])
