"""Fixations from files of the real structures, written here: three points, known by hand."""

import json
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from scipy.io import savemat

from augsal_transforms.data.fixation_files import read_fixation_file, read_fixation_table
from augsal_transforms.data.fixations import FixatedFolder, count_fixations, read_fixations
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.scenes.observer import fixate
from augsal_transforms.scenes.scenes import render_scene, series_of, viewers_of
from augsal_transforms.scenes.writer import write_scenes

NAME = "COCO_train2014_000000000009"
VIEWERS = [[[1, 1], [8, 6]], [[3, 2]]]  # (x, y) from 1, in a frame of 8 × 6
POINTS = [[0, 0], [7, 5], [2, 1]]


def gaze(viewers=VIEWERS):
    """SALICON's: an N × 1 struct array, a struct for each viewer."""
    fields = [("location", object), ("timestamp", object), ("fixations", object)]
    table = np.zeros((len(viewers), 1), fields)
    for row, points in zip(table, viewers, strict=True):
        row[0] = (np.full((5, 2), 4.0), np.arange(5.0)[:, None], np.array(points, float).reshape(-1, 2))
    return {"image": NAME, "resolution": np.array([[6, 8]]), "gaze": table}


def fixation_map():
    values = np.zeros((6, 8), "uint8")
    for x, y in POINTS:
        values[y, x] = 1
    return values


def picture(path, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.zeros((6, 8), "uint8") if values is None else values).save(path)


def mat(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, table)


@pytest.fixture
def salicon(tmp_path):
    picture(tmp_path / f"images/train/{NAME}.jpg")
    picture(tmp_path / f"maps/train/{NAME}.png")
    return tmp_path


def same(fixations, points=POINTS):
    assert fixations.dtype == torch.int64
    assert sorted(fixations.tolist()) == sorted(points)


def test_gaze_holds_the_points_of_all_viewers_from_one(salicon):
    mat(salicon / f"fixations/train/{NAME}.mat", gaze())
    fixations = read_fixations(open_layout(salicon))
    assert fixations[NAME].tolist() == POINTS  # in the viewers' order
    assert fixations.recorded(NAME).frame == (6, 8)
    assert list(fixations) == [NAME]


def test_repeated_fixations_are_kept(salicon):
    mat(salicon / f"fixations/train/{NAME}.mat", gaze([[[2, 3]], [[2, 3]], []]))
    assert read_fixations(open_layout(salicon))[NAME].tolist() == [[1, 2], [1, 2]]


def test_points_outside_the_frame_are_left_out_and_counted(salicon):
    mat(salicon / f"fixations/train/{NAME}.mat", gaze([[[0, 3], [9, 7], [4, 4]]]))
    fixations = read_fixations(open_layout(salicon))
    assert fixations[NAME].tolist() == [[3, 3]]
    assert (fixations.recorded(NAME).outside, fixations.placed(NAME).left_out) == (2, 2)
    assert FixatedFolder(salicon).fixations(NAME).tolist() == [[3, 3]]


def test_the_first_releases_map_is_read_and_a_blurred_one_refused(salicon):
    path = salicon / f"fixations/train/{NAME}.mat"
    mat(path, {"I": fixation_map().astype(float)})
    same(read_fixations(open_layout(salicon))[NAME])
    mat(path, {"I": fixation_map() * 0.5})
    with pytest.raises(ValueError, match=r"000009\.mat holds a blurred saliency map"):
        read_fixations(open_layout(salicon))[NAME]


@pytest.mark.parametrize("place", ["fixations/train", "fixation_maps/train", "fixations/fixations", "fixation_maps"])
def test_png_fixation_maps_are_found_where_repositories_keep_them(salicon, place):
    picture(salicon / place / f"{NAME}.png", fixation_map())  # 0 and 1: any pixel that is not black counts
    same(read_fixations(open_layout(salicon))[NAME])


def test_a_mat_file_wins_over_the_map_that_unisal_caches_beside_it(salicon):
    picture(salicon / f"fixations/train/{NAME}.png", fixation_map())
    mat(salicon / f"fixations/train/{NAME}.mat", gaze([[[5, 5], [5, 5]]]))
    assert read_fixations(open_layout(salicon))[NAME].tolist() == [[4, 4], [4, 4]]


@pytest.mark.parametrize("place", ["annotations", "."])
def test_the_json_release_counts_rows_and_columns_from_one(salicon, place):
    table = {
        "images": [
            {"id": 9, "file_name": f"{NAME}.jpg", "height": 6, "width": 8},
            {"id": 10, "file_name": "COCO_train2014_000000000010.jpg", "height": 6, "width": 8},
        ],
        "annotations": [
            {"image_id": 9, "worker_id": 1, "fixations": [[1, 1], [6, 8]]},
            {"image_id": 10, "worker_id": 1, "fixations": [[1, 1]]},
            {"image_id": 9, "worker_id": 2, "fixations": [[2, 3]]},
        ],
    }
    (salicon / place).mkdir(exist_ok=True)
    (salicon / place / "fixations_train2014.json").write_text(json.dumps(table))
    fixations = read_fixations(open_layout(salicon))
    assert fixations[NAME].tolist() == POINTS
    assert len(fixations) == 1  # the other image is not in the data set


def test_another_json_file_is_not_a_release(salicon):
    (salicon / "fixations_train2014.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match=r"must be SALICON's JSON release .* KeyError: 'annotations'"):
        read_fixations(open_layout(salicon))


def test_mit1003s_jpeg_points_are_thresholded(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 60, (48, 64)).astype("uint8")  # what JPEG leaves around points
    values[10, 20], values[30, 40], values[31, 41] = 255, 200, 120
    picture(tmp_path / "ALLSTIMULI/a.jpeg", values)
    picture(tmp_path / "ALLFIXATIONMAPS/a_fixMap.jpg")
    (tmp_path / "ALLFIXATIONMAPS").mkdir(exist_ok=True)
    PIL.Image.fromarray(values).save(tmp_path / "ALLFIXATIONMAPS/a_fixPts.jpg", quality=100)
    same(read_fixations(open_layout(tmp_path))["a"], [[20, 10], [40, 30]])


def test_cat2000s_maps_are_found_by_category(tmp_path):
    for category in ("Action", "Noisy"):
        picture(tmp_path / f"trainSet/Stimuli/{category}/001.jpg")
        picture(tmp_path / f"trainSet/FIXATIONMAPS/{category}/001.jpg")
    mat(tmp_path / "trainSet/FIXATIONLOCS/Noisy/001.mat", {"fixLocs": fixation_map()})
    fixations = read_fixations(open_layout(tmp_path))
    assert list(fixations) == ["Noisy/001"]
    same(fixations["Noisy/001"])
    with pytest.raises(KeyError):
        fixations["Action/001"]


def test_a_data_set_without_fixations_has_none(salicon):
    assert len(read_fixations(open_layout(salicon))) == 0


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"MATLAB 5.0 MAT-file" + b"\0" * 200])
def test_a_damaged_mat_file_is_named(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.mat is not a readable \.mat file|a\.mat holds none of gaze"):
        read_fixation_file(tmp_path / "a.mat")


def test_a_mat_file_of_something_else_tells_what_it_holds(tmp_path):
    mat(tmp_path / "a.mat", {"volume": np.ones(3)})
    with pytest.raises(ValueError, match=r"holds none of gaze, I .* but volume"):
        read_fixation_file(tmp_path / "a.mat")


def test_gaze_of_another_structure_is_refused(tmp_path):
    for table in ({**gaze(), "resolution": np.zeros((0, 0))}, {"gaze": np.ones((2, 3)), "resolution": [[6, 8]]}):
        mat(tmp_path / "a.mat", table)
        with pytest.raises(ValueError, match=r"a\.mat holds a gaze that is not SALICON's"):
            read_fixation_file(tmp_path / "a.mat")


def test_without_scipy_the_extra_is_named_and_maps_are_read_all_the_same(salicon, monkeypatch):
    mat(salicon / f"fixations/train/{NAME}.mat", gaze())
    picture(salicon / "map.png", fixation_map())
    monkeypatch.setitem(sys.modules, "scipy.io", None)  # what an import finds that is not installed
    with pytest.raises(ImportError, match=r'pip install "augsal-transforms\[salicon\]"'):
        read_fixations(open_layout(salicon))[NAME]
    same(read_fixation_file(salicon / "map.png").points)


def test_tables_count_from_the_corner_and_names_may_have_endings(tmp_path):
    table = tmp_path / "fixations.csv"
    table.write_text("viewer,x,y,image\n1,0.0,3.9,a.b.JPG\n2,-0.5,1,a.b\n2,1,1,another.png\n")
    found = read_fixation_table(table, {"a.b": (4, 6), "c": (4, 6)})
    assert found.keys() == {"a.b"}
    assert found["a.b"].points.tolist() == [[0, 3], [-1, 1]]
    assert (found["a.b"].frame, found["a.b"].outside) == ((4, 6), 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("image,x\na,1\n", "must have the columns image, x and y, got image, x"),
        ("image,x,y\na,1,1\na,left,2\n", "line 3: image, x and y must be there, got 'a', 'left' and '2'"),
        ("image,x,y\na,1\n", "line 2: image, x and y must be there, got 'a', '1' and None"),
    ],
)
def test_tables_that_are_none_name_the_line(tmp_path, content, words):
    (tmp_path / "fixations.csv").write_text(content)
    with pytest.raises(ValueError, match=words):
        read_fixation_table(tmp_path / "fixations.csv", {"a": (4, 4)})


def test_fixations_are_counted_per_pixel():
    counts = count_fixations(torch.tensor([[2, 0], [2, 0], [0, 1]]), (2, 3))
    assert counts.tolist() == [[[0, 0, 2], [1, 0, 0]]]
    assert count_fixations(torch.zeros(0, 2, dtype=torch.long), (2, 3)).sum() == 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_folder_of_scenes_gives_back_the_observer_s_fixations(tmp_path, split):
    write_scenes(tmp_path, 2, split=split, seed=5, size=48)
    dataset = FixatedFolder(tmp_path, split)
    scene = render_scene(1, series_of(5, split), 48)
    viewers = viewers_of(1, 5, split)
    assert torch.equal(dataset.fixations(dataset.names[1]), fixate(scene.image, scene.objects, seed=viewers))
    assert dataset.fixations("another").shape == (0, 2)


def test_a_folder_without_fixations_has_none(tmp_path):
    write_scenes(tmp_path, 1, size=48)
    (tmp_path / "annotations" / "fixations_train2014.json").unlink()
    dataset = FixatedFolder(tmp_path)
    assert dataset.fixations(dataset.names[0]).shape == (0, 2)
