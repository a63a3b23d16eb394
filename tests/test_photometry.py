import numpy as np
import torch

from augsal_transforms.photometry import PROPERTIES, photometric_properties


def reference(image: np.ndarray, weight: np.ndarray) -> list[float]:
    """Sec. 3.2 by hand, pixel by pixel, in float64; ``weight`` is 0 or 1."""
    red, green, blue = image
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    inside = weight > 0
    patch = grey[inside]
    return [
        red[inside].mean(),
        green[inside].mean(),
        blue[inside].mean(),
        patch.mean(),
        np.sqrt(((patch - patch.mean()) ** 2).mean()),
        np.sqrt(((patch - grey.mean()) ** 2).mean()),
    ]


def test_six_properties_match_the_paper_on_a_patch_with_black_pixels():
    generator = np.random.default_rng(0)
    image = generator.random((3, 9, 11))
    image[:, 2:5, 3:6] = 0  # the released code drops black pixels; the paper does not
    weight = np.zeros((9, 11))
    weight[1:7, 2:9] = 1
    result = photometric_properties(torch.tensor(image)[None], torch.tensor(weight)[None, None])[0]
    assert torch.allclose(result, torch.tensor(reference(image, weight)), atol=1e-12)


def test_a_hand_worked_patch():
    # Two pixels inside: black and white. Means 1/2, local contrast 1/2.
    # Image mean of grey: (0 + 1 + 1 + 1) / 4 = 3/4; global contrast sqrt((9/16 + 1/16) / 2) = sqrt(5/16).
    image = torch.tensor([[0.0, 1.0, 1.0, 1.0]]).expand(3, 1, 4).double()[None]
    weight = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]]).double()
    expected = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.5, (5 / 16) ** 0.5]).double()
    assert torch.allclose(photometric_properties(image, weight)[0], expected, atol=1e-12)


def test_an_area_of_interest_is_an_area_not_the_image():
    image = torch.rand(1, 3, 8, 8)
    whole = photometric_properties(image, torch.ones(1, 1, 8, 8))
    corner = torch.zeros(1, 1, 8, 8)
    corner[..., :2, :2] = 1
    assert torch.allclose(photometric_properties(image, corner)[0, 0], image[0, 0, :2, :2].mean())
    assert torch.allclose(whole[0, 4], whole[0, 5])  # over the whole image local and global contrast agree


def test_an_empty_area_gives_zeros_not_nan():
    result = photometric_properties(torch.rand(1, 3, 4, 4), torch.zeros(1, 1, 4, 4))
    assert result.isfinite().all()
    assert len(PROPERTIES) == result.shape[1]
