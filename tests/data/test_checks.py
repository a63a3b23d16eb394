"""Each thing that goes wrong in data sets, made on disk once, and reported as what it is."""

import csv
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from scipy.io import savemat

from augsal_transforms.data.checks import check_data
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.data.problems import Problem, write_problems
from augsal_transforms.data.tables import csv_plain, csv_safe
from augsal_transforms.scenes.writer import write_scenes

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
    return "points outside", "1 of 2 outside 8×6; left out"


def lost_sample(folder):
    path = folder / "annotations/fixations_train2014.json"
    path.write_text(path.read_text().replace("[[1, 1], [6, 8]]", "[[1, 1], [NaN, 8]]", 1))
    return "points without coordinates", "1 of 2 NaN or empty; left out"


def caption_of_a_wrong_type(folder):
    path = folder / "annotations/captions_train2014.json"
    path.write_text(path.read_text().replace('"a dog"', '{"raw": "a dog"}', 1))
    return "bad caption", "must be a caption (str), a list of captions or None, got dict"


def null_caption(folder):
    path = folder / "annotations/captions_train2014.json"
    path.write_text(path.read_text().replace('"a dog"', "null", 1))
    return "no caption", "other images have one"


def a_pipe(folder):
    path = folder / f"maps/train/{FIRST}.png"
    path.unlink()
    os.mkfifo(path)
    return "image without map", "left out"


def one_name_in_two_spellings(folder):
    for name in ("caf\u00e9", "cafe\u0301"):
        picture(folder / f"images/train/{name}.jpg")
    picture(folder / "maps/train/caf\u00e9.png")
    return "two images", "has the same name"


@pytest.mark.parametrize(
    "spoil",
    [
        *(another_size, rotated, empty, deep, without_caption, without_map, without_image, two_maps, two_images),
        *(outside, lost_sample, caption_of_a_wrong_type, null_caption, a_pipe),
    ],
)
def test_a_problem_is_reported_once_as_what_it_is(folder, spoil):
    kind, words = spoil(folder)
    (problem,) = check_data(folder).problems
    assert (problem.kind, problem.name) == (kind, FIRST)
    assert words in problem.detail


def test_two_spellings_of_one_name_are_two_images(folder):
    one_name_in_two_spellings(folder)
    assert [(kind, name) for kind, name in kinds(folder) if kind != "no caption"] == [("two images", "caf\u00e9")]
    with pytest.warns(UserWarning, match="shared by two images"):
        assert "caf\u00e9" not in SaliencyFolder(folder).names


def test_names_in_a_table_of_captions_that_no_image_has_are_found(folder):
    (folder / "annotations/captions_train2014.json").unlink()
    (folder / "captions.json").write_text(json.dumps({f"{FIRST}.jpg": "a dog", "COCO_train2014_1": "a cat"}))
    found = kinds(folder)
    assert ("caption without image", "COCO_train2014_1") in found
    assert [name for kind, name in found if kind == "no caption"] == NAMES[1:]


def test_names_of_any_bytes_can_be_printed_and_a_file_of_other_captions_is_one_problem(folder):
    picture(folder / "images/train" / os.fsdecode(b"caf\xe9.png"))
    (folder / "annotations/captions_train2014.json").unlink()
    (folder / "captions.json").write_text(json.dumps({"\ud800": "a dog", "b": "a cat"}))
    problems = check_data(folder).problems
    assert [(problem.kind, problem.name) for problem in problems] == [
        ("caption without image", "\\ud800"),
        ("image without map", "caf\\udce9"),
    ]
    assert problems[0].detail == "none of its 2 names is an image's"
    "".join(map("".join, problems)).encode()


def test_captions_of_the_other_split_are_not_without_image(folder):
    picture(folder / "images/val/b.jpg")
    picture(folder / "maps/val/b.png")
    (folder / "annotations/captions_train2014.json").unlink()
    (folder / "captions.json").write_text(json.dumps(dict.fromkeys([*NAMES, "b"], "a dog")))
    assert kinds(folder) == []


def test_a_blurred_map_in_the_place_of_fixations_is_unreadable(folder):
    values = np.add.outer(np.arange(6), np.arange(8)).astype("uint8") * 15 + 20
    picture(folder / f"fixations/train/{FIRST}.png", values)
    (problem,) = check_data(folder).problems
    assert (problem.kind, problem.name) == ("unreadable", FIRST)
    assert "blurred saliency map" in problem.detail


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 6, seed=5, size=16)
    return folder


@pytest.mark.parametrize("seed", range(40))
def test_every_image_that_readers_leave_out_is_named(tmp_path, scenes, seed):
    """Random damage; then a sample is read in full, or its name is among the problems, and nothing else is raised."""
    rng = np.random.default_rng(seed)
    shutil.copytree(scenes, tmp_path, dirs_exist_ok=True)
    files = [path for part in ("images", "maps", "annotations") for path in sorted((tmp_path / part).rglob("*.*"))]
    for path in rng.choice(files[:12], 4, replace=False):
        damage(Path(path), rng)
    if seed % 4 == 0:
        damage(files[12 + seed // 4 % 3], rng)
    report = check_data(tmp_path)
    named = {problem.name for problem in report.problems}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            dataset = SaliencyFolder(tmp_path)
    except ValueError:  # captions that cannot be read
        assert "unreadable" in {problem.kind for problem in report.problems}
        return
    assert report.pairs == len(dataset)
    assert report.captions == dataset.captioned
    assert set(dataset.left_out) <= named
    for index, name in enumerate(dataset.names):
        try:
            sample = dataset[index]
            image = to_rgb_image(sample["image"])
            assert to_saliency_map(sample["saliency_map"], image.shape[-2:]).any() or name in named
        except ValueError:
            assert name in named


def damage(path, rng):
    content = path.read_bytes()
    kind = rng.integers(7)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(content[: rng.integers(len(content))])
    elif kind == 2:
        path.rename(path.with_name(f"cafe\u0301{rng.integers(2)}{path.suffix}"))
    elif kind == 3:
        path.with_suffix(".bmp").write_bytes(content)  # the name twice
    elif kind == 4:
        path.rename(path.with_suffix(".webp"))
    elif kind == 5:
        path.write_bytes(b"[" * 100_000)
    else:
        path.write_bytes(bytes(rng.integers(0, 256, len(content), dtype=np.uint8)))


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


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "'", "'="])
def test_no_cell_of_the_table_is_a_formula_and_all_are_read_back(tmp_path, begin):
    problem = Problem("empty map", f"{begin}cmd()", f"{begin}1+1.png", "a, b")
    write_problems([problem], tmp_path / "problems.csv")
    with (tmp_path / "problems.csv").open(newline="") as file:
        _, row = csv.reader(file)
    assert not any(cell.startswith(tuple("=+-@\t\r\n")) for cell in row)
    assert Problem(*map(csv_plain, row)) == problem
    assert [csv_safe(number) for number in (-1.5, 2)] == [-1.5, 2]


def test_problems_are_written_over_problems_and_over_nothing_else(folder, tmp_path):
    image, report = folder / f"images/train/{FIRST}.jpg", tmp_path / "problems.csv"
    write_problems([], report)
    write_problems([Problem("a", "b", "c", "d")], report)
    before = image.read_bytes()
    (tmp_path / "link.csv").symlink_to(report)
    for path in (image, tmp_path / "link.csv", folder):
        with pytest.raises(FileExistsError):
            write_problems([], path)
    assert image.read_bytes() == before
    assert len(report.read_text().splitlines()) == 2


def test_problems_are_written_as_a_table(tmp_path):
    problem = Problem("empty map", "a", "maps/a,b.png", 'a "detail"')
    write_problems([problem], tmp_path / "problems.csv")
    with (tmp_path / "problems.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["kind", "name", "path", "detail"], list(problem)]
