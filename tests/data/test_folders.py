import json

import numpy as np
import PIL.Image
import pytest

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.layouts import list_images


def write(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.zeros((size[1], size[0]), "uint8")).save(path)


@pytest.fixture(params=["salicon", "flat"])
def folder(request, tmp_path):
    below = "train/" if request.param == "salicon" else ""
    for name in ("COCO_train2014_000000000001", "COCO_train2014_000000000002"):
        write(tmp_path / f"images/{below}{name}.jpg")
        write(tmp_path / f"maps/train/{name}.png")
    write(tmp_path / f"images/{below}no_map.jpg")
    (tmp_path / f"images/{below}.DS_Store").touch()
    write(tmp_path / f"images/{below}.ipynb_checkpoints/COCO_train2014_000000000001.jpg")
    return tmp_path


def coco(folder, path):
    path.parent.mkdir(exist_ok=True)
    table = {
        "images": [{"id": 1, "file_name": "COCO_train2014_000000000001.jpg"}],
        "annotations": [
            {"image_id": 1, "id": 5, "caption": "a first caption"},
            {"image_id": 1, "id": 6, "caption": "a second caption"},
        ],
    }
    path.write_text(json.dumps(table))


def test_images_maps_and_first_captions_are_joined_by_name(folder):
    coco(folder, folder / "annotations" / "captions_train2014.json")
    dataset = SaliencyFolder(folder)
    assert len(dataset) == 2
    assert [dataset[n]["prompt"] for n in range(2)] == ["a first caption", ""]
    assert dataset[0]["image_id"] == "COCO_train2014_000000000001"
    assert dataset[0]["image"].size == dataset[0]["saliency_map"].size == (8, 6)


def test_a_plain_table_of_captions_is_read(folder):
    (folder / "captions.json").write_text(json.dumps({"COCO_train2014_000000000002": "two"}))
    assert SaliencyFolder(folder)[1]["prompt"] == "two"


def test_dot_files_and_dot_folders_are_skipped(folder):
    assert len(list_images(folder / "images")) == 3


def test_a_folder_without_pairs_says_what_it_expected(tmp_path):
    write(tmp_path / "images/train/a.jpg")
    with pytest.raises(FileNotFoundError, match=r"1 images and 0 maps .* Expected images/train/NAME\.jpg"):
        SaliencyFolder(tmp_path)


@pytest.mark.parametrize("split", ["val", "vall"])
def test_a_split_that_is_not_there_is_not_another_one(folder, split):
    with pytest.raises(FileNotFoundError, match="0 maps"):
        SaliencyFolder(folder, split)


def test_two_maps_of_one_image_cost_that_image_alone(folder):
    before = SaliencyFolder(folder).names
    name = "COCO_train2014_000000000001"
    write(folder / f"maps/train/{name}.jpg")
    with pytest.warns(UserWarning, match="1 names .* are shared by two images or two maps"):
        dataset = SaliencyFolder(folder)
    assert dataset.names == [other for other in before if other != name]
    assert [*dataset.ambiguous] == [name]
    assert name in dataset.left_out
