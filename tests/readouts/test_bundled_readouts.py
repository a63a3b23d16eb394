"""The bundled readouts on held-out scenes: they know what was asked of them, and more than nothing."""

import pytest
import torch
from readouts import read
from table2.spectral_residual import spectral_residual

from augsal_transforms import SaliencyPredictor
from augsal_transforms.losses import correlation_coefficient
from augsal_transforms.scenes.observer import observe
from augsal_transforms.scenes.scenes import render_scene
from augsal_transforms.training.samples import rectangles

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
    assert ours > 0.8
    assert ours > centre + 0.1
    assert ours > correlation_coefficient(residual, maps).mean() + 0.1


def test_objects_are_named_in_their_boxes(bundled, scenes):
    predictor = SaliencyPredictor.from_pretrained("bundled", editor=bundled)
    hits = []
    for scene in scenes:
        boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in (thing.box for thing in scene.objects)]) / 128
        _, logits = read(predictor, [scene.image], rectangles(boxes[None], (128, 128)))
        told = [predictor.readouts.config.classes[n] for n in logits[0].argmax(-1).tolist()]
        hits += [name == thing.kind for name, thing in zip(told, scene.objects, strict=True)]
    assert sum(hits) / len(hits) > 0.7  # 0.82 on the benchmark's 677 boxes; here are some 55, ± 0.05
