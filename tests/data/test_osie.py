"""OSIE's layout: one .mat file with the fixations of all images, from which maps are made."""

import json
import math
import pickle
import shutil
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.osie import POINTS, SIZE, VIEWERS, cell, entry, viewer, write_osie
from scipy.io import savemat
from typer.testing import CliRunner

from augsal_transforms import AugmentedDataset, SaliencyDiffusionAugment
from augsal_transforms.cli import app
from augsal_transforms.data.annotations import AnnotatedFolder
from augsal_transforms.data.checks import check_data
from augsal_transforms.data.degrees import degree_of_osie
from augsal_transforms.data.fixations import FixatedFolder, read_fixations
from augsal_transforms.data.images import read_image, read_size
from augsal_transforms.data.layouts import images_of, open_layout
from augsal_transforms.data.made_maps import make_saliency_map
from augsal_transforms.data.osie import read_viewers
from augsal_transforms.data.splits import open_splits
from augsal_transforms.evaluation.evaluate import evaluate


@pytest.fixture
def osie(tmp_path):
    return write_osie(tmp_path / "osie", [entry("1001.jpg"), entry("1002.jpg", VIEWERS[1:])])


@pytest.mark.parametrize("inside", ["", "data"])
def test_the_folder_and_its_data_are_recognised(osie, inside):
    dataset = open_layout(osie / inside)
    assert (dataset.layout, dataset.split, dataset.names) == ("osie", "train", ["1001", "1002"])
    sample = dataset[0]
    assert sample["image"].size == sample["saliency_map"].size == SIZE[::-1]
    assert (sample["saliency_map"].mode, sample["prompt"], sample["image_id"]) == ("L", "", "1001")
    with pytest.raises(FileNotFoundError, match="no layout known for 'val'"):
        open_layout(osie / inside, "val")


def test_fixations_count_from_one_and_all_viewers_are_together(osie):
    fixations = read_fixations(open_layout(osie))
    assert {name: points.tolist() for name, points in fixations.items()} == {"1001": POINTS, "1002": POINTS[2:]}
    assert FixatedFolder(osie).fixations("1001").tolist() == POINTS


def test_viewers_are_kept_apart_for_whoever_asks(osie):
    viewers = read_viewers(osie / "data" / "eye" / "fixations.mat")
    assert [points.tolist() for points in viewers["1001.jpg"]] == [[[5.2, 10.0], [20.4, 2.6]], [[40.0, 30.0]]]


def test_maps_are_gaussians_at_the_fixations(osie):
    made = np.asarray(open_layout(osie, sigma=3)[0]["saliency_map"])
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    # Gaussians of sigma 3 at the three points; the others reach each peak by less than exp(-(15² + 7²) / 18) = 2e-7.
    exact = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18) for px, py in POINTS)
    assert np.abs(made / 255 - exact).max() <= 0.5 / 255 + 1e-6
    assert (made[9, 4], made[2, 19], made[29, 39]) == (255, 255, 255)
    assert made[9, 7] == round(255 * math.exp(-0.5))
    assert np.array_equal(made, np.asarray(open_layout(osie, sigma=3)[0]["saliency_map"]))


def test_repeated_fixations_count_and_many_points_are_summed_in_parts():
    points = torch.tensor([[5, 5]] * 1500 + [[30, 20]] * 500)
    made = make_saliency_map(points, SIZE, 2.0)
    assert made.shape == (1, *SIZE)
    assert float(made[0, 5, 5]) == 1
    assert float(made[0, 20, 30]) == pytest.approx(1 / 3)
    assert not make_saliency_map(points[:0], SIZE, 2.0).any()


def test_sigma_is_one_degree_of_vision_unless_given(osie):
    assert (degree_of_osie((600, 800)), degree_of_osie((768, 1024))) == (24, 26)  # OSIE, Saliency in Crowd
    own, given = (np.asarray(open_layout(osie, sigma=sigma)[1]["saliency_map"]) for sigma in (None, 24))
    assert np.array_equal(own, given)
    assert own[5, 39] == round(255 * math.exp(-0.5))  # 24 pixels above the only fixation, (39, 29)


@pytest.mark.parametrize(
    ("sigma", "error"), [(0, ValueError), (-1, ValueError), (math.nan, ValueError), (math.inf, ValueError),
                         ("24", TypeError), (True, TypeError)],
)  # fmt: skip
def test_other_sigmas_are_refused(osie, sigma, error):
    with pytest.raises(error, match="`sigma` must be a"):
        open_layout(osie, sigma=sigma)


def test_sigma_for_maps_that_are_files_is_refused(tmp_path):
    for path in (tmp_path / "images" / "a.png", tmp_path / "maps" / "a.png"):
        path.parent.mkdir()
        PIL.Image.fromarray(np.ones((8, 8), np.uint8)).save(path)
    with pytest.raises(ValueError, match="the maps of this one are files"):
        open_layout(tmp_path, sigma=3)


def test_maps_that_the_authors_code_writes_are_not_taken_for_it(osie):
    """Their code writes ``data/fixation_maps`` and, of a model, ``data/saliency_maps``."""
    shutil.copytree(osie / "data" / "stimuli", osie / "data" / "saliency_maps")
    assert open_layout(osie / "data").layout == "osie"


def test_points_outside_and_without_coordinates_are_left_out_and_counted(tmp_path):
    far = [1e300, -5.0, 41.0, math.nan, 3.0, 1.0], [5.0, 5.0, 5.0, 5.0, math.inf, 1.0]
    folder = write_osie(tmp_path, [entry("1001.jpg", [far])], ["1001"])
    placed = FixatedFolder(folder).placed("1001")
    assert (placed.points.tolist(), placed.left_out) == ([[0, 0]], 5)
    report = check_data(folder)
    assert (report.points, report.points_left_out) == (1, 5)
    assert [problem.kind for problem in report.problems] == ["points outside", "points without coordinates"]


def test_viewers_without_fixations_have_none(tmp_path):
    silent = {"img": "1001.jpg", "subjects": cell([viewer([], []), np.empty((0, 0)), viewer([1.0], [1.0])])}
    nobody = {"img": "1002.jpg", "subjects": np.empty((0, 0))}
    dataset = FixatedFolder(write_osie(tmp_path, [silent, nobody]))
    assert [dataset.fixations(name).tolist() for name in dataset.names] == [[[0, 0]], []]
    assert not np.asarray(dataset[1]["saliency_map"]).any()
    assert [(p.kind, p.name) for p in check_data(tmp_path).problems] == [("empty map", "1002")]


def test_struct_arrays_and_folders_in_names_are_read(tmp_path):
    """Other tools write arrays of structs in the place of cells, and paths in the place of names."""
    table = np.array(
        [[(r"C:\osie\1001.JPG", 0)], [("../stimuli/1002.jpg", 0)]], [("img", object), ("subjects", object)]
    )
    subjects = np.array([[([[5.2]], [[10.0]])], [([[40.0]], [[30.0]])]], [("fix_x", object), ("fix_y", object)])
    table["subjects"][:, 0] = [subjects, subjects]
    folder = write_osie(tmp_path, [])
    savemat(folder / "data" / "eye" / "fixations.mat", {"fixations": table})
    dataset = FixatedFolder(folder)
    assert [dataset.fixations(name).tolist() for name in dataset.names] == [[[4, 9], [39, 29]]] * 2


STRANGE = {
    "two entries of `fixations` name the image": [entry("1001.jpg"), entry("1001.jpg")],
    "two entries of `fixations` name the image '1001'": [entry("1001.jpg"), entry("a/1001.jpg")],
    "entry 2 of `fixations` must be a struct with `img`.* has the fields subjects": [
        entry("1001.jpg"),
        {"subjects": cell([viewer([1.0], [1.0])])},
    ],
    "entry 1 of `fixations` must be a struct with `img`.* has the fields img": [{"img": "1001.jpg"}],
    "entry 1 of `fixations` must be a struct .* is of type int": [7, entry("1001.jpg")],
    "image '1001.jpg', viewer 1: `fix_x` must be a row of numbers; it has the fields fix_y": [
        {"img": "1001.jpg", "subjects": cell([{"fix_y": 3.0}])}
    ],
    "viewer 2: `fix_x` must be a row of numbers; it is of type int": [
        {"img": "1001.jpg", "subjects": cell([viewer([1.0], [1.0]), 4])}
    ],
    "viewer 1: `fix_y` must be a row of numbers; it has": [
        {"img": "1001.jpg", "subjects": cell([viewer([1.0], [1.0], fix_y="left")])}
    ],
    r"`fix_x` must be a row of numbers; it has float64 of shape \(2, 2\)": [
        {"img": "1001.jpg", "subjects": cell([viewer([1.0], [1.0], fix_x=np.ones((2, 2)))])}
    ],
    "`fix_x` has 2 numbers and `fix_y` 1": [entry("1001.jpg", [([1.0, 2.0], [1.0])])],
    "fix_x must be in pixels": [entry("1001.jpg", [([0.25, 0.5], [0.25, 0.5])])],
}


@pytest.mark.parametrize(("words", "entries"), STRANGE.items(), ids=range(len(STRANGE)))
def test_another_structure_is_refused_with_its_place(tmp_path, words, entries):
    folder = write_osie(tmp_path, entries)
    for reader in (open_layout, check_data, FixatedFolder):
        with pytest.raises(ValueError, match=f"(?s)fixations.mat: .*{words}"):
            reader(folder)


def test_another_variable_and_damaged_files_are_refused(osie):
    path = osie / "data" / "eye" / "fixations.mat"
    savemat(path, {"gaze": 1})
    with pytest.raises(ValueError, match="must hold the variable `fixations`, as in OSIE; it holds gaze"):
        open_layout(osie)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(ValueError, match=r"fixations\.mat is not a readable \.mat file"):
        open_layout(osie)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 60)
    with pytest.raises(ValueError, match=r"is a MATLAB 7\.3 file \(HDF5\), which is not read. Save it again in MATLAB"):
        open_layout(osie)


def test_without_scipy_the_extra_is_named_and_images_are_listed_all_the_same(osie, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r'pip install "augsal-transforms\[salicon\]"'):
        open_layout(osie)
    assert [path.name for path in images_of(osie)] == ["1001.jpg", "1002.jpg"]


def test_images_and_entries_without_each_other_are_left_out_and_listed(tmp_path):
    folder = write_osie(tmp_path, [entry("1001.jpg"), entry("1003.jpg")])
    dataset = open_layout(folder)
    assert (dataset.names, dataset.left_out) == (["1001"], ["1002"])
    kinds = [(problem.kind, problem.name) for problem in check_data(folder).problems]
    assert kinds == [("image without map", "1002"), ("map without image", "1003")]


def test_a_file_of_other_images_is_refused_with_a_name_of_each(tmp_path):
    folder = write_osie(tmp_path, [entry("a.jpg")])
    with pytest.raises(FileNotFoundError, match="2 images and 1 maps were found, none of the same name"):
        open_layout(folder)


def test_a_damaged_image_costs_itself(osie):
    path = osie / "data" / "stimuli" / "1002.jpg"
    path.write_bytes(path.read_bytes()[:20])
    assert [(p.kind, p.name) for p in check_data(osie).problems] == [("unreadable", "1002")]
    result = evaluate(lambda name, image: torch.rand(1, 30, 40), FixatedFolder(osie))
    assert (list(result.scores), list(result.failures)) == (["1001"], ["1002"])


def test_two_images_of_one_name_cost_that_name(osie):
    shutil.copy(osie / "data" / "stimuli" / "1001.jpg", osie / "data" / "stimuli" / "1001.png")
    with pytest.warns(UserWarning, match="such as '1001'"):
        assert open_layout(osie).names == ["1002"]
    assert [problem.kind for problem in check_data(osie).problems] == ["two images"]


def test_a_made_map_is_a_picture_with_the_size_of_its_image(osie):
    dataset = open_layout(osie)
    made = dataset.maps["1001"]
    assert (read_size(made), made.stem, made.source.name) == (SIZE, "1001", "fixations.mat")
    assert np.array_equal(np.asarray(read_image(made)), np.asarray(dataset[0]["saliency_map"]))


def test_the_data_set_is_sent_to_workers_and_divided_by_name(tmp_path):
    stems = [f"{n}" for n in range(1001, 1011)]
    folder = write_osie(tmp_path, [entry(f"{stem}.jpg") for stem in stems], stems)
    copy = pickle.loads(pickle.dumps(FixatedFolder(folder, sigma=3)))
    assert copy.fixations("1003").tolist() == POINTS
    assert np.array_equal(copy[2]["saliency_map"], open_layout(folder, sigma=3)[2]["saliency_map"])
    training, held_out, own = open_splits(folder)
    assert (len(training), len(held_out), own) == (8, 2, False)


def test_it_is_augmented_and_annotated_as_any_other(osie, editor, tmp_path):
    augment = SaliencyDiffusionAugment(editor=editor, p=1.0, seed=0)
    with pytest.warns(UserWarning, match="A sample has no caption"):
        augmented = AugmentedDataset(open_layout(osie, sigma=4), augment)[0]
    assert augmented["is_edited"]
    assert augmented["edited_image"].shape == (3, *SIZE)
    sample = AnnotatedFolder(osie, index=tmp_path / "index.json")[0]
    assert (sample["image_id"], sample["boxes"].shape) == ("1001", (0, 4))


def test_every_command_takes_it(osie, sd1_folder, tmp_path):
    def augsal(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    report = json.loads(augsal("check-data", osie, "--sigma", 4, "--json"))
    assert [report[key] for key in ("layout", "images", "maps", "fixations", "points")] == ["osie", 2, 2, 2, 4]
    store = tmp_path / "store"
    augsal("generate", "--data", osie, "--sigma", 4, "--store", store, "--editor", sd1_folder, "--kinds", "contrast")
    assert json.loads(augsal("stats", "--store", store, "--json"))["images"] == 2
    augsal("convert-fixations", osie, "--out", tmp_path / "maps")
    marked = np.argwhere(np.asarray(PIL.Image.open(tmp_path / "maps" / "1001.png")))
    assert marked[:, ::-1].tolist() == sorted(POINTS, key=lambda point: point[::-1])
    scores = json.loads(augsal("evaluate", "--data", osie, "--sigma", 4, "--pred", tmp_path / "maps", "--json"))
    assert (scores["fixations"], scores["left_out"]) == (4, 0)
