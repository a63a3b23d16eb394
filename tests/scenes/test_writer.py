import json

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import pil_to_tensor

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.scenes.scenes import render_scene
from augsal_transforms.scenes.shapes import CATEGORIES
from augsal_transforms.scenes.writer import run_lengths, write_scenes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 3, seed=5, start=10, size=64)
    write_scenes(folder, 1, split="val", seed=6, size=64)
    return folder


def annotations(folder, kind):
    return json.loads((folder / "annotations" / f"{kind}_train2014.json").read_text())


def decode(segmentation):
    """COCO's run lengths, the other way round than the library writes them."""
    values = np.repeat(np.arange(len(segmentation["counts"])) % 2, segmentation["counts"])
    return torch.from_numpy(values.reshape(segmentation["size"][::-1]).T.copy()).bool()


def test_the_folder_reads_as_salicon_does(folder):
    samples = list(SaliencyFolder(folder))
    assert len(samples) == 3
    assert len(SaliencyFolder(folder, "val")) == 1
    for number, sample in zip(range(10, 13), samples, strict=True):
        scene = render_scene(number, 5, 64)
        assert sample["prompt"] == scene.caption
        error = pil_to_tensor(sample["image"]).float() - scene.image
        assert error.abs().mean() < 8  # JPEG
        assert pil_to_tensor(sample["saliency_map"]).max() == 255


def test_instances_hold_every_object_with_its_box_and_mask(folder):
    table = annotations(folder, "instances")
    assert {entry["name"]: entry["id"] for entry in table["categories"]} == CATEGORIES
    assert len({entry["id"] for entry in table["annotations"]}) == len(table["annotations"])
    for number in range(10, 13):
        entries = [entry for entry in table["annotations"] if entry["image_id"] == number]
        for entry, thing in zip(entries, render_scene(number, 5, 64).objects, strict=True):
            assert entry["category_id"] == CATEGORIES[thing.kind]
            assert tuple(entry["bbox"]) == thing.box
            assert entry["area"] == thing.mask.sum()
            assert torch.equal(decode(entry["segmentation"]), thing.mask)


def test_fixations_are_one_based_rows_and_columns(folder):
    for entry in annotations(folder, "fixations")["annotations"]:
        points = torch.tensor(entry["fixations"])
        assert points.shape == (192, 2)
        assert points.min() >= 1
        assert points.max() <= 64
    saliency_map = pil_to_tensor(SaliencyFolder(folder)[0]["saliency_map"])[0].float()
    rows, columns = torch.tensor(annotations(folder, "fixations")["annotations"][0]["fixations"]).T - 1
    assert saliency_map[rows, columns].mean() > 2 * saliency_map.mean()


def test_run_lengths_count_zeros_first_down_the_columns():
    mask = torch.tensor([[1, 0, 0], [1, 0, 1]]).bool()  # columns: 11 00 01
    assert run_lengths(mask) == [0, 2, 3, 1]
    assert run_lengths(torch.zeros(2, 2).bool()) == [4]


def test_a_split_is_never_written_over(folder):
    with pytest.raises(FileExistsError, match="exists already"):
        write_scenes(folder, 1)
