import numpy as np
import PIL.Image
import pytest
import torch
from helpers.brightest import Brightest
from helpers.datasets import write_folder

from augsal_transforms import Brightness, EditStore
from augsal_transforms.data.images import read_image
from augsal_transforms.generate.generation import Generation
from augsal_transforms.generate.predicted_maps import open_unmapped

SIZE = (20, 30)


def write_images(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(folder / name)
    return folder


def test_a_folder_of_images_gets_predicted_maps(tmp_path):
    data = open_unmapped(write_images(tmp_path, "b.png", "a.png"), "train", "auto", Brightest)
    assert data.names == ["a", "b"]
    sample = data[0]
    (expected,) = Brightest().predict([torch.from_numpy(np.array(sample["image"])).permute(2, 0, 1)])
    found = torch.from_numpy(np.array(sample["saliency_map"]))
    assert torch.equal(found, (expected[0] / expected.max() * 255).round().byte())
    assert found.max() == 255


def test_the_predictor_is_loaded_once_and_not_before_the_first_map(tmp_path):
    loaded = []
    data = open_unmapped(
        write_images(tmp_path, "a.png", "b.png"), "train", "auto", lambda: loaded.append(1) or Brightest()
    )
    assert not loaded
    assert len([data[0], data[1]]) == 2
    assert loaded == [1]


def test_equal_stems_are_told_apart_by_their_folders(tmp_path):
    data = open_unmapped(write_images(tmp_path, "x/1.png", "y/1.png"), "train", "auto", Brightest)
    assert data.names == ["x/1", "y/1"]


def test_the_images_of_a_known_layout_are_taken_without_its_maps(tmp_path):
    folder = write_folder(tmp_path / "data", 3)
    data = open_unmapped(folder, "train", "auto", Brightest)
    assert len(data) == 3
    assert all(path.is_relative_to(folder / "images") for path in data.images.values())
    (expected,) = Brightest().predict(
        [torch.from_numpy(np.array(read_image(data.images[data.names[0]]))).permute(2, 0, 1)]
    )
    found = torch.from_numpy(np.array(data[0]["saliency_map"]))
    assert torch.equal(found, (expected[0] / expected.max() * 255).round().byte())


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no image file"):
        open_unmapped(tmp_path, "train", "auto", Brightest)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        open_unmapped(tmp_path / "nowhere", "train", "auto", Brightest)


def test_edits_are_made_and_found_again_without_maps_on_disk(editor, tmp_path):
    folder = write_images(tmp_path / "data", "a.png", "b.png")
    for counts in ({"made": 2, "reused": 0}, {"reused": 2}):
        data = open_unmapped(folder, "train", "auto", Brightest)
        made = Generation(editor, EditStore(tmp_path / "store"), data, (Brightness(0.1),))
        made.run(data.names)
        assert made.counts == counts
