import hashlib

import numpy as np
import pytest
import torch

from augsal_transforms.scenes.scenes import SceneDataset, render_scene
from augsal_transforms.scenes.shapes import KINDS
from augsal_transforms.scenes.surfaces import power_law_noise


def test_scenes_repeat_by_index_and_seed_and_differ_otherwise():
    first, again, other, series = render_scene(3), render_scene(3), render_scene(4), render_scene(3, seed=1)
    assert torch.equal(first.image, again.image)
    assert first.caption == again.caption
    assert not torch.equal(first.image, other.image)
    assert not torch.equal(first.image, series.image)


@pytest.mark.parametrize("size", [64, 128, 200])
def test_masks_boxes_and_captions_agree_with_each_other(size):
    for index in range(30):
        scene = render_scene(index, size=size)
        assert scene.image.shape == (3, size, size)
        assert scene.image.dtype == torch.uint8
        for thing in scene.objects:
            rows, columns = thing.mask.any(1).nonzero()[:, 0], thing.mask.any(0).nonzero()[:, 0]
            x, y, width, height = thing.box
            assert (x, y) == (columns[0], rows[0])
            assert (x + width - 1, y + height - 1) == (columns[-1], rows[-1])
            assert (thing.kind in scene.caption.replace(",", "").split()) == thing.named
        masks = [thing.mask for thing in scene.objects]
        assert sum(mask.int() for mask in masks).max() <= 1  # visible pixels belong to one object


def test_there_are_a_dozen_kinds_and_more_and_all_occur():
    kinds = {thing.kind for index in range(150) for thing in render_scene(index, size=48).objects}
    assert kinds == set(KINDS)
    assert len(kinds) >= 12


def test_named_colors_are_the_objects_colors():
    hits = total = 0
    for index in range(80):
        for thing in render_scene(index).objects:
            if thing.color in ("red", "blue", "green") and thing.mask.sum() > 300:
                channel = {"red": 0, "green": 1, "blue": 2}[thing.color]
                mean = render_scene(index).image[:, thing.mask].float().mean(1)
                hits += int(mean.argmax() == channel)
                total += 1
    assert total > 20
    assert hits / total > 0.8


def test_data_set_samples_feed_the_augmentation():
    dataset = SceneDataset(2, seed=5, start=10)
    sample = dataset[1]
    assert sample["image_id"] == "scene-5-11"
    assert sample["saliency_map"].shape == (1, 128, 128)
    assert sample["saliency_map"].max() == 1
    assert torch.equal(sample["saliency_map"], dataset[1]["saliency_map"])
    with pytest.raises(IndexError):
        dataset[2]


def test_captions_name_colors_sizes_places_and_relations():
    captions = [render_scene(index, size=32).caption for index in range(200)]
    for words in (("red ", "blue "), ("small ", "large "), ("on the left", "in the middle"), (" next to ", " above ")):
        assert all(any(word in caption for caption in captions) for word in words), words
    assert len({caption.split(" ")[0] for caption in captions}) >= 4  # several sentence forms


def test_the_spectrum_falls_like_that_of_photographs():
    """Power ∝ 1/f² to 1/f³ (Field, 1987): the slope of the mean log spectrum over 60 scenes."""
    grey = torch.stack([render_scene(index).image for index in range(60)]).float().mean(1)
    window = torch.hann_window(128)
    power = torch.fft.fft2((grey - grey.mean((1, 2), keepdim=True)) * window * window[:, None]).abs().square().mean(0)
    frequency = torch.fft.fftfreq(128) * 128
    radius = torch.hypot(frequency[:, None], frequency).round()
    rings = torch.arange(3, 60)
    log_power = torch.stack([power[radius == ring].mean() for ring in rings]).log()
    log_ring = rings.float().log()
    covariance = torch.cov(torch.stack([log_ring, log_power]))
    assert -3 < covariance[0, 1] / covariance[0, 0] < -2


def test_noise_has_the_slope_it_was_asked_for():
    """Amplitude 1/f^1.2 at double the frequency is 2^-1.2 of itself."""
    rng = np.random.default_rng(0)
    spectra = [np.abs(np.fft.fft2(power_law_noise(rng, 64, 1.2))) ** 2 for _ in range(400)]
    power = np.mean(spectra, axis=0)
    assert np.sqrt(power[0, 16] / power[0, 8]) == pytest.approx(2**-1.2, rel=0.1)


def test_scenes_are_the_ones_the_bundled_editor_was_trained_on():
    """A golden hash: whoever changes how scenes are rendered also retrains and says so in the card."""
    digest = hashlib.sha256()
    for index in range(4):
        digest.update((render_scene(index).image.float() / 8).round().byte().numpy().tobytes())
        digest.update(render_scene(index).caption.encode())
    assert digest.hexdigest()[:16] == "d616a428815ea517"
