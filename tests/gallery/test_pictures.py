import base64
import io

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.records import picture

from augsal_transforms.gallery.pictures import find_change, shrink, shrink_box, to_patch


def paste(original, patch):
    """A picture with a patch on it, in float."""
    drawn = PIL.Image.open(io.BytesIO(base64.b64decode(patch.uri.partition(",")[2])))
    pasted = original.copy()
    pasted.paste(drawn, (patch.left, patch.top))
    return np.asarray(pasted).astype(float)


@pytest.mark.parametrize("place", [(40, 60, 30, 50), (0, 0, 9, 9), (230, 301, 10, 19), (0, 0, 240, 320)])
@pytest.mark.parametrize("side", [320, 300, 111])
def test_a_patch_completes_the_original_to_the_edited_picture(place, side):
    top, left, height, width = place
    image = picture(size=(240, 320))
    edited = image.clone()
    edited[:, top : top + height, left : left + width] = 255 - edited[:, top : top + height, left : left + width]
    assert find_change(image, edited) == (left, top, left + width, top + height)
    original, expected = shrink(image, side), np.asarray(shrink(edited, side)).astype(float)
    box = shrink_box((left, top, left + width, top + height), (320, 240), original.size)
    pasted = paste(original, to_patch(edited, box, original.size, 100))
    # Equal but for the rounding of the kernels' places.
    assert np.abs(pasted - expected).max() <= 8
    assert np.abs(pasted - expected).mean() < 0.01


def test_equal_pictures_have_no_change():
    assert find_change(picture(size=(9, 9)), picture(size=(9, 9))) is None


def test_a_change_of_one_value_is_found():
    image = torch.zeros(3, 9, 9, dtype=torch.uint8)
    for channel in range(3):
        edited = image.clone()
        edited[channel, 4, 7] = 1
        assert find_change(image, edited) == (7, 4, 8, 5)
