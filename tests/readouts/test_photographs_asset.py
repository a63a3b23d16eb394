"""The predictor for photographs that is bundled: small, and drawn to what stands out, wherever it is."""

import pytest
import torch

from augsal_transforms import SaliencyPredictor
from augsal_transforms.readouts.readouts import ASSETS, locate_folder


@pytest.fixture(scope="module")
def predictor():
    return SaliencyPredictor.from_pretrained("photographs")


def disc(x, y, size=(120, 160)):
    """A grey-green field with a red disc at (x, y)."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    inside = (rows - y) ** 2 + (columns - x) ** 2 < 10**2
    field = torch.tensor([0.45, 0.5, 0.45]).view(3, 1, 1).expand(3, *size)
    return torch.where(inside, torch.tensor([0.85, 0.1, 0.1]).view(3, 1, 1), field), inside


def test_gaze_goes_to_a_disc_that_stands_out_wherever_it_is(predictor):
    for x, y in ((35, 40), (120, 40), (35, 85), (120, 85)):
        image, inside = disc(x, y)
        (saliency_map,) = predictor.predict([image])
        row, column = divmod(saliency_map.argmax().item(), 160)
        assert (row - y) ** 2 + (column - x) ** 2 < 20**2
        assert saliency_map[0, inside].mean() > 4 * saliency_map[0, ~inside].mean()


def test_the_names_of_what_is_bundled_have_cards_with_licences():
    for name in ASSETS:
        assert "Licence" in (locate_folder(name) / "README.md").read_text()


def test_the_folder_is_a_few_megabytes():
    assert sum(path.stat().st_size for path in locate_folder("photographs").iterdir()) < 6.5e6
