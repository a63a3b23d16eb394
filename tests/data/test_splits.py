"""MIT1003 and CAT2000 as they lie on disk, undivided, with pictures of a few pixels."""

import numpy as np
import PIL.Image
import pytest
import torch
from scipy.io import savemat

from augsal_transforms.data.splits import hold_out, open_splits
from augsal_transforms.scenes.writer import write_scenes


def write(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((6, 8), value, "uint8")).save(path)


def mit1003(folder, count):
    points = np.zeros((6, 8), "uint8")
    points[1, 2] = points[4, 6] = 255
    for n in range(count):
        write(folder / f"ALLSTIMULI/i{n}.jpeg")
        write(folder / f"ALLFIXATIONMAPS/i{n}_fixMap.jpg", 255)
        PIL.Image.fromarray(points).save(folder / f"ALLFIXATIONMAPS/i{n}_fixPts.jpg", quality=100)


def cat2000(folder, categories, count):
    for category in categories:
        for n in range(1, count + 1):
            write(folder / f"trainSet/Stimuli/{category}/{n:03d}.jpg")
            write(folder / f"trainSet/FIXATIONMAPS/{category}/{n:03d}.jpg")
            locations = folder / f"trainSet/FIXATIONLOCS/{category}/{n:03d}.mat"
            locations.parent.mkdir(parents=True, exist_ok=True)
            savemat(locations, {"fixLocs": np.eye(6, 8, dtype="uint8")})


def test_a_fifth_of_mit1003_is_held_out_and_nothing_is_in_both(tmp_path):
    mit1003(tmp_path, 11)
    training, held_out, own = open_splits(tmp_path)
    assert (training.layout, own) == ("mit1003", False)
    assert (len(training), len(held_out)) == (8, 3)  # 11 / 5 = 2.2, rounded up
    assert sorted(training.names + held_out.names) == sorted(f"i{n}" for n in range(11))
    assert held_out[0]["image_id"] == held_out.names[0]
    assert held_out.fixations(held_out.names[0]).tolist() == [[2, 1], [6, 4]]


def test_every_category_of_cat2000_is_held_out_alike(tmp_path):
    cat2000(tmp_path, ("Action", "Noisy", "Sketch"), 5)
    training, held_out, own = open_splits(tmp_path)
    assert (training.layout, own) == ("cat2000", False)
    assert [name.split("/")[0] for name in held_out.names] == ["Action", "Noisy", "Sketch"]
    assert len(training) == 12
    assert torch.equal(held_out.fixations(held_out.names[0]), torch.arange(6)[:, None].expand(6, 2))


def test_what_is_held_out_depends_on_the_names_alone():
    names = [f"i{n}" for n in range(1003)]
    held_out = hold_out(names)
    assert len(held_out) == 201
    assert hold_out(names[::-1]) == held_out
    assert min(held_out) == "i10"  # for good: another rule would make other tables
    assert len(hold_out(names[:-1]) ^ held_out) <= 2


def test_the_own_splits_of_a_data_set_are_kept(tmp_path):
    write_scenes(tmp_path, 3, split="train", seed=1)
    write_scenes(tmp_path, 2, split="val", seed=2)
    training, held_out, own = open_splits(tmp_path)
    assert (len(training), len(held_out), held_out.split, own) == (3, 2, "val", True)


def test_one_image_cannot_be_divided(tmp_path):
    mit1003(tmp_path, 1)
    with pytest.raises(ValueError, match="no val split"):
        open_splits(tmp_path)
