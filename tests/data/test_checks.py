"""Each thing that goes wrong in data sets, made on disk once, and reported as what it is."""

import csv
import json
import sys

import numpy as np
import PIL.Image
import pytest
from scipy.io import savemat

from augsal_transforms.data.checks import Problem, check_data, write_problems

NAMES = [f"COCO_train2014_{number:012d}" for number in (1, 2, 3)]
FIRST = NAMES[0]


def picture(path, values=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.full((6, 8), 100, "uint8") if values is None else values
    PIL.Image.fromarray(values).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three images with maps, captions and fixations, and nothing wrong but files that are to be skipped."""
    folder = tmp_path / "salicon"
    images = [{"id": n, "file_name": f"{name}.jpg", "height": 6, "width": 8} for n, name in enumerate(NAMES)]
    for name in NAMES:
        picture(folder / f"images/train/{name}.jpg")
        picture(folder / f"maps/train/{name}.png")
    captions = [{"image_id": n, "caption": "a dog"} for n in range(3)]
    fixations = [{"image_id": n, "fixations": [[1, 1], [6, 8]]} for n in range(3)]
    (folder / "annotations").mkdir()
    for kind, annotations in (("captions", captions), ("fixations", fixations)):
        table = {"images": images, "annotations": annotations}
        (folder / f"annotations/{kind}_train2014.json").write_text(json.dumps(table))
    (folder / "images/train/.DS_Store").write_bytes(b"Bud1")
    (folder / "images/train/._thumb.jpg").write_bytes(b"")
    picture(folder / f"images/train/.ipynb_checkpoints/{FIRST}.jpg")
    return folder


def kinds(folder, **options):
    return [(problem.kind, problem.name) for problem in check_data(folder, **options).problems]


def test_a_clean_data_set_is_counted_and_has_no_problems(folder):
    report = check_data(folder)
    assert (report.layout, report.split, report.problems) == ("salicon", "train", [])
    assert (report.images, report.maps, report.pairs, report.captions, report.fixations, report.points) == (
        *(3, 3, 3, 3, 3),
        6,
    )


def zero_bytes(folder):
    (folder / f"images/train/{FIRST}.jpg").write_bytes(b"")


def a_web_page(folder):
    (folder / f"images/train/{FIRST}.jpg").write_text("<html>404</html>")


def a_truncated_image(folder):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype("uint8")
    path = picture(folder / f"images/train/{FIRST}.jpg", noise)
    path.write_bytes(path.read_bytes()[:-500])


def a_bomb(folder):
    picture(folder / f"images/train/{FIRST}.jpg", np.zeros((8000, 8000), "uint8"))


def a_broken_map(folder):
    (folder / f"maps/train/{FIRST}.png").write_bytes(b"\x89PNG")


@pytest.mark.parametrize("spoil", [zero_bytes, a_web_page, a_truncated_image, a_bomb, a_broken_map])
def test_files_that_cannot_be_read_are_listed_and_the_others_checked(folder, spoil):
    spoil(folder)
    picture(folder / f"maps/train/{NAMES[2]}.png", np.zeros((6, 8), "uint8"))
    assert kinds(folder) == [("unreadable", FIRST), ("empty map", NAMES[2])]


def another_size(folder):
    picture(folder / f"maps/train/{FIRST}.png", np.full((3, 4), 9, "uint8"))
    return "sizes differ", "4×3 for an image of 8×6"


def rotated(folder):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture(folder / f"images/train/{FIRST}.jpg", exif=exif)
    return "rotated", "read as stored"


def empty(folder):
    picture(folder / f"maps/train/{FIRST}.png", np.zeros((6, 8), "uint8"))
    return "empty map", "0 everywhere"


def deep(folder):
    picture(folder / f"maps/train/{FIRST}.png", np.full((6, 8), 40_000, "uint16"))
    return "deep map", "divided by its maximum"


def without_caption(folder):
    path = folder / "annotations/captions_train2014.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "annotations": table["annotations"][1:]}))
    return "no caption", "other images have one"


def without_map(folder):
    (folder / f"maps/train/{FIRST}.png").unlink()
    return "image without map", "left out"


def without_image(folder):
    (folder / f"images/train/{FIRST}.jpg").unlink()
    return "map without image", "left out"


def two_maps(folder):
    picture(folder / f"maps/train/{FIRST}.jpg")
    return "two maps", "has the same name"


def two_images(folder):
    picture(folder / f"images/train/{FIRST}.png")
    return "two images", "has the same name"


def outside(folder):
    path = folder / "annotations/fixations_train2014.json"
    path.write_text(path.read_text().replace("[[1, 1], [6, 8]]", "[[1, 1], [6, 9]]", 1))
    return "points outside", "1 of 2 outside 8×6"


@pytest.mark.parametrize(
    "spoil",
    [another_size, rotated, empty, deep, without_caption, without_map, without_image, two_maps, two_images, outside],
)
def test_a_problem_is_reported_once_as_what_it_is(folder, spoil):
    kind, words = spoil(folder)
    (problem,) = check_data(folder).problems
    assert (problem.kind, problem.name) == (kind, FIRST)
    assert words in problem.detail


def test_captions_that_nobody_has_are_not_missed(folder):
    (folder / "annotations/captions_train2014.json").unlink()
    report = check_data(folder)
    assert (report.captions, report.problems) == (0, [])


def test_broken_annotations_are_problems_and_not_the_end(folder):
    for kind in ("captions", "fixations"):
        (folder / f"annotations/{kind}_train2014.json").write_text('{"images": [')
    report = check_data(folder)
    assert [problem.kind for problem in report.problems] == ["unreadable", "unreadable"]
    assert "captions_train2014.json" in report.problems[0].detail
    assert "fixations_train2014.json" in report.problems[1].detail
    assert report.pairs == 3


def test_fixations_of_another_frame_and_broken_files_are_found(folder):
    (folder / "fixations/train").mkdir(parents=True)
    savemat(folder / f"fixations/train/{FIRST}.mat", {"I": np.eye(4)})
    (folder / f"fixations/train/{NAMES[1]}.mat").write_bytes(b"")
    assert kinds(folder) == [("sizes differ", FIRST), ("unreadable", NAMES[1])]


def test_mat_files_without_scipy_are_refused_with_the_extras_name(folder, monkeypatch):
    (folder / "fixations/train").mkdir(parents=True)
    savemat(folder / f"fixations/train/{FIRST}.mat", {"I": np.eye(4)})
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r"augsal-transforms\[salicon\]"):
        check_data(folder)


def test_test_images_in_unisals_flat_folder_miss_no_map(tmp_path):
    for name in (FIRST, "COCO_val2014_000000000007", "COCO_test2014_000000000008"):
        picture(tmp_path / f"images/{name}.jpg")
    picture(tmp_path / f"maps/train/{FIRST}.png")
    assert check_data(tmp_path).problems == []


def test_problems_are_written_as_a_table(tmp_path):
    problem = Problem("empty map", "a", "maps/a,b.png", 'a "detail"')
    write_problems([problem], tmp_path / "problems.csv")
    with (tmp_path / "problems.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["kind", "name", "path", "detail"], list(problem)]
