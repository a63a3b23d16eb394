"""The bundled editor on held-out scenes: edits move what they should, the way they should."""

import colorsys

import pytest
import torch

from augsal_transforms import Brightness, Color, Contrast
from augsal_transforms.data.scenes import SceneDataset
from augsal_transforms.editor.edits import COLORS

HELD_OUT = 24
SEED = 4242  # never trained on: the editor's scenes have seed 1


@pytest.fixture(scope="module")
def held_out(bundled):
    samples = [SceneDataset(HELD_OUT, seed=SEED)[n] for n in range(HELD_OUT)]
    images, maps, prompts = ([sample[key] for sample in samples] for key in ("image", "saliency_map", "prompt"))
    colors = list(COLORS)
    edits = [[Brightness(0.15), Contrast(1.5), Color(colors[n % len(colors)], 0.6)] for n in range(HELD_OUT)]
    results = bundled.edit(images, maps, prompts, edits)
    return images, [results[n : n + 3] for n in range(0, len(results), 3)]


def test_brightness_rises_in_the_region(held_out):
    moved = [
        b.properties_after["brightness"] - b.properties_before["brightness"]
        for _, (b, _, _) in zip(*held_out, strict=True)
    ]
    assert sum(change > 0.01 for change in moved) >= 22


def test_contrast_rises_in_the_region(held_out):
    ratios = [
        c.properties_after["local_contrast"] / c.properties_before["local_contrast"]
        for _, (_, c, _) in zip(*held_out, strict=True)
    ]
    assert sum(ratio > 1.02 for ratio in ratios) >= 22


def test_color_moves_toward_the_target(held_out):
    """Distance of the region's mean colour to the target, in RGB."""
    nearer = 0
    for _, (_, _, edited) in zip(*held_out, strict=True):
        target = torch.tensor(COLORS[edited.color])
        before, after = (
            torch.tensor([properties[name] for name in ("red", "green", "blue")])
            for properties in (edited.properties_before, edited.properties_after)
        )
        nearer += int((after - target).norm() < (before - target).norm() - 0.005)
    assert nearer >= 22


def test_downward_edits_go_down(bundled):
    sample = SceneDataset(1, seed=SEED)[0]
    darker, flatter = bundled.edit(
        [sample["image"]], [sample["saliency_map"]], [sample["prompt"]], [[Brightness(-0.15), Contrast(0.6)]]
    )
    assert darker.properties_after["brightness"] < darker.properties_before["brightness"]
    assert flatter.properties_after["local_contrast"] < flatter.properties_before["local_contrast"]


def test_a_good_part_of_each_picture_is_left_alone(held_out):
    images, results = held_out
    for image, edits in zip(images, results, strict=True):
        for edited in edits:
            outside = (edited.edit_mask == 0).expand_as(image)
            assert torch.equal(edited.image[outside], image[outside])
            assert outside.float().mean() > 0.3


def test_stronger_edits_change_more(bundled):
    sample = SceneDataset(1, seed=SEED, start=1)[0]
    levels = bundled.edit(
        [sample["image"]], [sample["saliency_map"]], [sample["prompt"]], [[Brightness(a) for a in (0.05, 0.1, 0.15)]]
    )
    brightness = [result.properties_after["brightness"] for result in levels]
    assert brightness == sorted(brightness)
    assert brightness[0] > levels[0].properties_before["brightness"]


def test_the_card_and_the_weights_are_small_and_there(bundled):
    folder = bundled.model.folder
    assert (folder / "README.md").exists()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 40e6


def test_hues_of_the_targets_are_their_names():
    hues = {name: colorsys.rgb_to_hsv(*rgb)[0] * 360 for name, rgb in COLORS.items()}
    assert [name for name, _ in sorted(hues.items(), key=lambda item: item[1])][1:] == [
        *("orange", "yellow", "green", "blue", "purple", "pink")
    ]
