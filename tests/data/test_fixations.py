"""Fixations from files of the real structures, written here: three points, known by hand."""

import json
import pickle
import sys

import numpy as np
import PIL.Image
import pytest
import scipy.sparse
import torch
from scipy.io import savemat

from augsal_transforms.data.checks import check_data
from augsal_transforms.data.fixation_files import read_fixation_file, read_fixation_table, read_release
from augsal_transforms.data.fixations import FixatedFolder, count_fixations, read_fixations, write_fixation_maps
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.data.recorded import Recorded, place_fixations
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


def release(folder, fixations, **image):
    table = {
        "images": [{"id": 9, "file_name": f"{NAME}.jpg", "height": 6, "width": 8, **image}],
        "annotations": [{"image_id": 9, "worker_id": 1, "fixations": fixations}],
    }
    (folder / "fixations_train2014.json").write_text(json.dumps(table))
    return FixatedFolder(folder)


@pytest.mark.parametrize(
    ("fixations", "points", "left_out"),
    [
        ([], [], 0),
        (None, [], 0),
        ([2, 3], [[2, 1]], 0),  # one point without its list
        ([[2, 3], None, [None, 4], [float("nan"), 1], [1, float("inf")]], [[2, 1]], 4),
        ([[2, 3], [2, 9], [0, 1], [1e12, 1]], [[2, 1]], 3),
        ([[2.4, 3.4]], [[2, 1]], 0),
    ],
)
def test_points_without_coordinates_or_outside_are_left_out_and_counted(salicon, fixations, points, left_out):
    dataset = release(salicon, fixations)
    assert dataset.fixations(NAME).tolist() == points
    assert dataset.placed(NAME).left_out == left_out


@pytest.mark.parametrize(
    "fixations",
    [
        [[2, 3, 200]],
        [[2], [3]],
        [1, 2, 3, 4],
        [[[2, 3]]],
        "none",
        {"x": 1},
        [["a", "b"]],
        [[2, 3], [4]],
        7,
        [[10**400, 1]],
    ],
)
def test_points_that_are_no_pairs_are_refused_with_the_file(salicon, fixations):
    with pytest.raises(ValueError, match=r"fixations_train2014\.json must be SALICON's JSON release"):
        release(salicon, fixations)


@pytest.mark.parametrize("height", [0, -1, float("nan"), float("inf"), 1e9, 10**40, 6.5, "480", None, True, [6]])
def test_frames_that_are_none_are_refused_with_the_file(salicon, height):
    with pytest.raises(
        ValueError, match=r"fixations_train2014\.json must be .* height and width must be whole numbers"
    ):
        release(salicon, [[1, 1]], height=height)


@pytest.mark.parametrize("resolution", [[0, 8], [-1, 8], [np.nan, 8], [1e9, 1e9], [6.5, 8], [6], []])
def test_resolutions_of_mat_files_are_checked(salicon, resolution):
    mat(salicon / f"fixations/train/{NAME}.mat", {**gaze(), "resolution": np.array([resolution])})
    with pytest.raises(ValueError, match=r"000009\.mat holds a gaze that is not SALICON's"):
        FixatedFolder(salicon).fixations(NAME)


def viewers(*points):
    table = gaze([[]] * len(points))
    for row, own in zip(table["gaze"], points, strict=True):
        row[0]["fixations"] = own
    return table


def test_viewers_of_mat_files_may_have_no_points_one_point_or_sparse_ones(salicon):
    one, nan = np.array([3.0, 2.0]), np.array([[np.nan, 2], [1, np.inf], [8, 6]])
    sparse = scipy.sparse.csc_matrix(np.array([[1.0, 1.0]]))
    mat(salicon / f"fixations/train/{NAME}.mat", viewers(one, nan, sparse, np.zeros((0, 0)), np.zeros((0, 3))))
    placed = FixatedFolder(salicon).placed(NAME)
    assert placed.points.tolist() == [[2, 1], [7, 5], [0, 0]]
    assert placed.left_out == 2


@pytest.mark.parametrize(
    "points",
    [
        np.array([[1.0, 2.0, 250.0], [3.0, 4.0, 180.0]]),  # x, y and duration: six numbers, which make three pairs
        np.ones((2, 2, 2)),
        np.array([[1 + 1j, 2]]),
        np.array([["a", "b"]], object),
        "text",
    ],
)
def test_viewers_points_of_another_shape_are_refused_with_the_file(salicon, points):
    mat(salicon / f"fixations/train/{NAME}.mat", viewers(points))
    with pytest.raises(ValueError, match=r"000009\.mat holds a gaze that is not SALICON's"):
        FixatedFolder(salicon).fixations(NAME)


@pytest.mark.parametrize("key", ["I", "fixLocs"])
def test_sparse_maps_of_mat_files_are_read_and_others_refused(tmp_path, key):
    path = tmp_path / "a.mat"
    mat(path, {key: scipy.sparse.csc_matrix(fixation_map().astype(float))})
    same(read_fixation_file(path).points)
    huge = scipy.sparse.csc_matrix((10**6, 10**6))
    for values in (np.ones((2, 3, 4)), np.full((4, 4), 1j), np.array([["a"]]), -fixation_map().astype(float), huge):
        mat(path, {key: values})
        with pytest.raises(ValueError, match=r"a\.mat"):
            read_fixation_file(path)


def blurred(size, sigma):
    """A Gaussian of ``sigma`` px about the middle of a square image, with a maximum of 255."""
    squares = np.square(np.arange(size) - size // 2)
    return np.rint(255 * np.exp(-(squares[:, None] + squares[None]) / (2 * sigma**2))).astype(np.uint8)


@pytest.mark.parametrize("sigma", [2.5, 5, 10])
@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_blurred_map_is_no_fixation_map(tmp_path, sigma, ending):
    path = tmp_path / f"a.{ending}"
    PIL.Image.fromarray(blurred(64, sigma)).save(path)
    with pytest.raises(ValueError, match=rf"a\.{ending} holds a blurred saliency map, not fixations"):
        read_fixation_file(path)


def test_areas_of_one_value_are_no_fixations_and_a_map_too_faint_is_not_empty(tmp_path):
    disc = (blurred(64, 8) > 128).astype(np.uint8)
    PIL.Image.fromarray(disc * 255).save(tmp_path / "disc.png")
    PIL.Image.fromarray(np.eye(64, dtype=np.uint8) * 60).save(tmp_path / "faint.jpg", quality=95)
    for name in ("disc.png", "faint.jpg"):
        with pytest.raises(ValueError, match=name):
            read_fixation_file(tmp_path / name)
    PIL.Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "black.jpg")
    assert len(read_fixation_file(tmp_path / "black.jpg").points) == 0


def test_dense_fixations_and_counts_are_still_fixations(tmp_path):
    """4,000 of 10,000 pixels, drawn alike: a marked pixel has four marked neighbours with a chance of 0.4⁴ = 0.026."""
    counts = np.random.default_rng(0).multinomial(4000, np.full(10_000, 1e-4)).reshape(100, 100).astype(np.uint8)
    PIL.Image.fromarray(counts).save(tmp_path / "a.png")
    assert len(read_fixation_file(tmp_path / "a.png").points) == (counts > 0).sum()


def test_the_ground_truth_in_the_place_of_fixations_is_refused(tmp_path):
    write_scenes(tmp_path, 2, seed=5, size=48)
    (tmp_path / "fixations").symlink_to(tmp_path / "maps")
    dataset = FixatedFolder(tmp_path)
    with pytest.raises(ValueError, match="blurred saliency map"):
        dataset.fixations(dataset.names[0])


SHARES = [[0.5, 0.25], [0.1, 0.9], [0.75, 0.5]]


def test_shares_of_the_frame_are_refused_in_every_form(salicon, tmp_path):
    with pytest.raises(ValueError, match="x must be in pixels, but most values lie in \\[0, 1\\]"):
        release(salicon, SHARES)
    mat(tmp_path / "a.mat", gaze([SHARES]))
    with pytest.raises(ValueError, match="x must be in pixels"):
        read_fixation_file(tmp_path / "a.mat")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (SHARES, "x must be in pixels, .* multiply them by the image's width"),
        ([[100, 0.4], [3, 0.9], [7, 1]], "y must be in pixels, .* by the image's height"),
        ([*SHARES, [1.02, -0.1]], "x must be in pixels"),  # one gaze off the screen
    ],
)
def test_shares_in_a_table_are_refused_with_the_column(tmp_path, rows, words):
    (tmp_path / "fixations.csv").write_text("image,x,y\n" + "".join(f"a.png,{x},{y}\n" for x, y in rows))
    with pytest.raises(ValueError, match=rf"fixations\.csv: {words}"):
        read_fixation_table(tmp_path / "fixations.csv", {"a": (400, 400)})


def test_whole_numbers_at_the_upper_left_are_pixels(tmp_path):
    (tmp_path / "fixations.csv").write_text("image,x,y\na,0,0\na,1,1\na,1,0\n")
    assert len(read_fixation_table(tmp_path / "fixations.csv", {"a": (400, 400)})["a"].points) == 3


def test_lost_samples_of_a_table_are_left_out_and_counted(tmp_path):
    path = tmp_path / "fixations.csv"
    path.write_bytes(
        "\ufeffimage,x,y\ncafe\u0301.PNG,3,2\ncafe\u0301.PNG,,2\ncaf\u00e9,nan,1\ncaf\u00e9,1,inf\n".encode()
    )
    found = read_fixation_table(path, {"caf\u00e9": (4, 6)})["caf\u00e9"]
    assert (found.points.tolist(), found.not_finite) == ([[3, 2]], 3)


def half_size(salicon):
    """Fixations of a frame of 8 × 6 on an image of 4 × 3."""
    for path in (salicon / f"images/train/{NAME}.jpg", salicon / f"maps/train/{NAME}.png"):
        picture(path, np.zeros((3, 4), "uint8"))
    mat(salicon / f"fixations/train/{NAME}.mat", gaze([[[1, 1], [8, 6], [3, 2], [9, 1]]]))
    return salicon


def test_fixations_of_another_frame_are_refused_with_both_sizes_or_scaled_when_asked(salicon):
    dataset = FixatedFolder(half_size(salicon))
    with pytest.raises(ValueError, match=r"recorded in a frame of \(6, 8\) \(H, W\), its image has \(3, 4\)"):
        dataset.fixations(NAME)
    with pytest.raises(ValueError, match=r"its image has \(3, 4\)"):
        read_fixations(open_layout(salicon))[NAME]
    scaled = FixatedFolder(salicon, frame="scale").placed(NAME)
    # Centres of pixels (0, 0), (7, 5) and (2, 1) at half: (0.25, 0.25), (3.75, 2.75) and (1.25, 0.75).
    assert scaled.points.tolist() == [[0, 0], [3, 2], [1, 0]]
    assert scaled.left_out == 1
    with pytest.raises(ValueError, match="`frame` must be 'refuse' or 'scale', got 'stretch'"):
        FixatedFolder(salicon, frame="stretch")


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (60, 80), (7, 1000)])
def test_scaled_points_stay_inside_and_keep_their_order(size):
    frame = (48, 64)
    points = torch.cartesian_prod(torch.arange(64), torch.arange(48))
    placed = place_fixations(Recorded(points, frame), size, frame="scale")
    assert placed.left_out == 0
    assert count_fixations(placed.points, size).sum() == len(points)
    assert placed.points[0].tolist() == [int(0.5 * size[1] / 64), int(0.5 * size[0] / 48)]
    assert placed.points[-1].tolist() == [int(63.5 * size[1] / 64), int(47.5 * size[0] / 48)]


@pytest.mark.parametrize("points", [[[3, 0]], [[0, 2]], [[-1, 0]], [[-0.5, 0.0]], [[0, 0, 5]]])
def test_points_outside_are_never_counted_in_another_row(points):
    with pytest.raises(ValueError, match="`fixations` must"):
        count_fixations(torch.tensor(points), (2, 3))


def test_two_fixation_files_of_one_image_cost_that_image_alone(salicon):
    picture(salicon / "images/train/other.jpg")
    picture(salicon / "maps/train/other.png")
    for name in (NAME, f"{NAME}.jpg", "other"):
        picture(salicon / f"fixations/train/{name}.png", fixation_map())
    dataset = FixatedFolder(salicon)
    same(dataset.fixations("other"))
    with pytest.raises(ValueError, match=f"another fixation file share the name '{NAME}'"):
        dataset.fixations(NAME)
    assert list(write_fixation_maps(read_fixations(dataset), salicon / "out")) == [NAME]
    report = check_data(salicon)
    assert (report.fixations, report.points) == (2, 3)
    assert [problem.name for problem in report.problems if problem.kind == "unreadable"] == [NAME]


def test_two_entries_of_one_image_in_a_release_are_refused(salicon):
    images = [{"id": n, "file_name": name, "height": 6, "width": 8} for n, name in enumerate((NAME, f"{NAME}.jpg"))]
    entries = [{"image_id": n, "fixations": [[1, 1]]} for n in range(2)]
    path = salicon / "release.json"
    for second in (NAME, f"{NAME}.jpg"):
        images[1]["file_name"] = second
        path.write_text(json.dumps({"images": images, "annotations": entries}))
        with pytest.raises(ValueError, match=r"release\.json must be .* two images"):
            read_release(path, [NAME])


@pytest.mark.parametrize("name", [f"{NAME}.jpg", f"train/{NAME}.jpg"])
def test_fixation_files_may_keep_the_ending_of_their_images(salicon, name):
    picture(salicon / f"fixations/train/{name.rpartition('/')[2]}.png", fixation_map())
    same(FixatedFolder(salicon).fixations(NAME))


def test_maps_are_written_again_over_our_own_and_over_nothing_else(salicon, tmp_path):
    mat(salicon / f"fixations/train/{NAME}.mat", gaze())
    fixations, out = read_fixations(open_layout(salicon)), tmp_path / "out"
    assert write_fixation_maps(fixations, out) == write_fixation_maps(fixations, out) == {}
    same(read_fixation_file(out / f"{NAME}.png").points)
    (out / f"{NAME}.png").unlink()
    (out / f"{NAME}.png").symlink_to(salicon / f"maps/train/{NAME}.png")
    for folder, words in ((out, "is a link"), (salicon / "maps/train", "was not written by this command")):
        before = (salicon / f"maps/train/{NAME}.png").read_bytes()
        with pytest.raises(FileExistsError, match=words):
            write_fixation_maps(fixations, folder)
        assert (salicon / f"maps/train/{NAME}.png").read_bytes() == before


def test_a_data_set_with_fixations_can_be_sent_to_workers(salicon):
    mat(salicon / f"fixations/train/{NAME}.mat", gaze())
    copy = pickle.loads(pickle.dumps(FixatedFolder(salicon)))
    assert copy.fixations(NAME).tolist() == POINTS
