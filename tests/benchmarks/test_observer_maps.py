"""benchmarks/observer_maps.py: maps that are true of edits, and maps of other viewers."""

import torch
from observer_maps import OTHER_GROUPS, other_viewers, true_maps
from table2.training_set import read_edits

from augsal_transforms import Contrast, EditStore
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.generate.generation import Generation
from augsal_transforms.scenes.observer import fixation_density
from augsal_transforms.scenes.scenes import render_scene
from augsal_transforms.scenes.writer import write_scenes


def test_a_true_map_moves_as_the_gaze_of_the_average_viewer_does(editor, tmp_path):
    write_scenes(tmp_path / "data", 1, seed=5, size=64)
    data, store = SaliencyFolder(tmp_path / "data"), EditStore(tmp_path / "store")
    Generation(editor, store, data, edits=(Contrast(1.8),)).run(data.names)
    ((edited, seen),) = true_maps(data, 5, store, 64)[0]
    image = to_rgb_image(data[0]["image"]).as_subclass(torch.Tensor)
    ((_, pixels, _),) = read_edits(store, image)
    assert torch.equal(edited, pixels)
    objects = render_scene(0, 5, 64).objects
    change = fixation_density(pixels, objects) / fixation_density(image, objects)
    original = to_saliency_map(data[0]["saliency_map"], (64, 64)).as_subclass(torch.Tensor)
    expected = original * change
    assert torch.allclose(seen / 255, expected / expected.amax(), atol=0.5 / 255 + 1e-6)
    assert (seen / 255 - original).abs().max() > 2 / 255


def test_other_viewers_see_the_same_image_and_leave_other_maps(tmp_path):
    write_scenes(tmp_path / "data", 2, seed=5, size=64)
    data = SaliencyFolder(tmp_path / "data")
    alternatives = other_viewers(data, 5, 64)
    assert [len(of_image) for of_image in alternatives] == [OTHER_GROUPS, OTHER_GROUPS]
    images, maps = zip(*alternatives[0], strict=True)
    assert all(torch.equal(image, images[0]) for image in images)
    assert len({tuple(saliency_map.flatten().tolist()) for saliency_map in maps}) == OTHER_GROUPS
