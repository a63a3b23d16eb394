"""The bundled readouts on held-out scenes: better than knowing nothing, by a margin that chance has not."""

import pytest
import torch

from augsal_transforms import SaliencyPredictor
from augsal_transforms.data.observer import observe
from augsal_transforms.data.scenes import render_scene
from augsal_transforms.data.spectral_residual import spectral_residual
from augsal_transforms.losses import correlation_coefficient

HELD_OUT, SERIES = 24, 4243  # never trained on


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(n, SERIES) for n in range(HELD_OUT)]


def test_saliency_agrees_with_the_observer(bundled, scenes):
    predictor = SaliencyPredictor.from_pretrained("bundled", editor=bundled)
    maps = torch.stack([observe(scene.image, scene.objects, seed=n) for n, scene in enumerate(scenes)])
    ours = correlation_coefficient(torch.stack(predictor.predict([scene.image for scene in scenes])), maps).mean()
    centre = correlation_coefficient(maps.mean(0).expand_as(maps), maps).mean()
    residual = torch.stack([spectral_residual(scene.image) for scene in scenes])
    assert ours > 0.75
    assert ours > centre + 0.1
    assert ours > correlation_coefficient(residual, maps).mean() + 0.1
