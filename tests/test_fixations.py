import json

import pytest
import torch

from augsal_transforms.data.coco import write_scenes
from augsal_transforms.data.fixations import FixatedFolder, count_fixations, read_json_fixations
from augsal_transforms.data.observer import fixate
from augsal_transforms.data.scenes import render_scene


def test_rows_from_one_become_points_from_zero_of_all_viewers(tmp_path):
    path = tmp_path / "fixations.json"
    images = [{"id": 7, "file_name": "a.jpg", "height": 4, "width": 6}]
    rows = [[[1, 1], [4, 6]], [[2, 3]], [[5, 0]]]  # the last is outside
    path.write_text(json.dumps({"images": images, "annotations": [{"image_id": 7, "fixations": r} for r in rows]}))
    assert read_json_fixations(path)["a"].tolist() == [[0, 0], [5, 3], [2, 1], [0, 3]]


def test_fixations_are_counted_per_pixel():
    counts = count_fixations(torch.tensor([[2, 0], [2, 0], [0, 1]]), (2, 3))
    assert counts.tolist() == [[[0, 0, 2], [1, 0, 0]]]
    assert count_fixations(torch.zeros(0, 2, dtype=torch.long), (2, 3)).sum() == 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_folder_of_scenes_gives_back_the_observer_s_fixations(tmp_path, split):
    write_scenes(tmp_path, 2, split=split, seed=5, size=48)
    dataset = FixatedFolder(tmp_path, split)
    scene = render_scene(1, 5, 48)
    assert torch.equal(dataset.fixations(dataset.names[1]), fixate(scene.image, scene.objects, seed=1))
    assert dataset.fixations("another").shape == (0, 2)


def test_a_folder_without_fixations_has_none(tmp_path):
    write_scenes(tmp_path, 1, size=48)
    (tmp_path / "annotations" / "fixations_train2014.json").unlink()
    dataset = FixatedFolder(tmp_path)
    assert dataset.fixations(dataset.names[0]).shape == (0, 2)
