import csv
import json
import shutil

import numpy as np
import PIL.Image
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from augsal_transforms.cli import app
from augsal_transforms.data.annotations import AnnotatedFolder
from augsal_transforms.data.fixations import read_fixations
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.scenes.writer import write_scenes


def augsal(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    write_scenes(folder, 12, seed=3, size=32)
    return folder


@pytest.fixture
def scenes(tmp_path, rendered):
    return shutil.copytree(rendered, tmp_path / "scenes")


def empty_maps(folder):
    for path in (folder / "maps" / "train").iterdir():
        PIL.Image.fromarray(np.zeros((32, 32), "uint8")).save(path)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_check_data_counts_and_exits_with_zero_when_all_is_well(scenes):
    before = files(scenes)
    result = augsal("check-data", scenes)
    assert result.exit_code == 0, result.output
    assert "salicon, train: 12 images · 12 maps · 12 pairs · captions of 12 · fixations of 12 (2,304" in result.stdout
    assert "problems: 0\n" in result.stdout
    assert files(scenes) == before


def test_check_data_shows_ten_problems_reports_all_and_exits_with_three(scenes, tmp_path):
    empty_maps(scenes)
    result = augsal("check-data", scenes, "--report", tmp_path / "problems.csv")
    assert result.exit_code == 3
    assert result.stdout.count("  empty map: scene_3_") == 10
    assert "problems: 12 (empty map 12)" in result.stdout
    with (tmp_path / "problems.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 13


def test_check_data_speaks_json(scenes):
    empty_maps(scenes)
    result = augsal("check-data", scenes, "--json", "--layout", "salicon")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["images"], len(report["problems"])) == (3, 12, 12)
    assert report["problems"][0]["kind"] == "empty map"


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--split", "val"], "no layout known for 'val'"), (["--layout", "coco"], "`layout` must be 'auto' or one of")],
)
def test_check_data_exits_with_two_when_there_is_nothing_to_check(scenes, options, words):
    result = augsal("check-data", scenes, *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_convert_fixations_writes_maps_of_the_same_points_and_leaves_the_source(scenes, tmp_path):
    before = files(scenes)
    result = augsal("convert-fixations", scenes, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "made 12 · failed 0" in result.stdout
    assert files(scenes) == before
    for name, points in read_fixations(open_layout(scenes)).items():
        fixation_map = np.asarray(PIL.Image.open(tmp_path / "out" / f"{name}.png"))
        expected = np.zeros((32, 32), "uint8")
        expected[points[:, 1], points[:, 0]] = 255
        assert np.array_equal(fixation_map, expected)


def test_converted_maps_are_found_where_they_are_asked_to_be(scenes):
    points = dict(read_fixations(open_layout(scenes)))
    assert augsal("convert-fixations", scenes, "--out", scenes / "fixation_maps" / "train").exit_code == 0
    fixations = read_fixations(open_layout(scenes))
    assert len(fixations.files) == 12
    for name, found in fixations.items():
        assert sorted(found.tolist()) == sorted(map(list, set(map(tuple, points[name].tolist()))))
    again = augsal("convert-fixations", scenes, "--out", scenes / "fixation_maps" / "train")
    assert again.exit_code == 2
    assert "is an input of this command" in again.stderr


def test_a_damaged_mat_file_costs_its_image_and_exits_with_three(scenes, tmp_path):
    (scenes / "fixations" / "train").mkdir(parents=True)
    good, bad = open_layout(scenes).names[:2]
    savemat(scenes / f"fixations/train/{good}.mat", {"I": np.eye(32)})
    (scenes / f"fixations/train/{bad}.mat").write_bytes(b"")
    result = augsal("convert-fixations", scenes, "--out", tmp_path / "out", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["made"], list(told["failures"])) == (3, 1, [bad])
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{good}.png"]


def test_converting_what_has_no_fixations_says_so(scenes, tmp_path):
    (scenes / "annotations" / "fixations_train2014.json").unlink()
    result = augsal("convert-fixations", scenes, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "has no fixations of 'train'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_index_writes_the_file_that_training_reads_instead(scenes, tmp_path):
    annotations = scenes / "annotations"
    options = ("--captions", annotations / "captions_train2014.json")
    options += ("--instances", annotations / "instances_train2014.json", "--out", tmp_path / "index.json")
    result = augsal("index", *options)
    assert result.exit_code == 0, result.output
    assert "captions of 12 images · boxes of 12" in result.stdout
    written = (tmp_path / "index.json").read_bytes()
    for path in annotations.iterdir():
        path.unlink()
    sample = AnnotatedFolder(scenes, index=tmp_path / "index.json")[0]
    assert sample["prompt"]
    assert len(sample["boxes"]) > 0
    assert (tmp_path / "index.json").read_bytes() == written


def test_an_index_of_nothing_is_a_mistake(tmp_path):
    result = augsal("index", "--out", tmp_path / "index.json")
    assert result.exit_code == 2
    assert "--captions or --instances must be given" in result.stderr


def test_outputs_of_an_earlier_run_are_replaced_and_other_files_only_when_asked_for(scenes, tmp_path):
    image = next((scenes / "images" / "train").iterdir())
    before = image.read_bytes()
    refused = augsal("check-data", scenes, "--report", image)
    assert refused.exit_code == 2
    assert f"{image.name} exists already" in refused.stderr
    assert image.read_bytes() == before
    report = tmp_path / "new" / "problems.csv"
    assert [augsal("check-data", scenes, "--report", report).exit_code for _ in range(2)] == [0, 0]
    report.write_text("mine")
    assert augsal("check-data", scenes, "--report", report).exit_code == 2
    assert augsal("check-data", scenes, "--report", report, "--overwrite").exit_code == 0
    assert report.read_text().startswith("kind,name,path,detail")


@pytest.mark.parametrize(
    ("part", "words"), [("maps/train", "is an input of this command"), ("images/train", "has images or saliency maps")]
)
def test_fixations_are_not_converted_over_or_beside_images_and_maps(scenes, part, words):
    before = files(scenes)
    result = augsal("convert-fixations", scenes, "--out", scenes / part, "--overwrite")
    assert result.exit_code == 2
    assert words in result.stderr
    assert files(scenes) == before


def test_an_index_is_not_written_over_its_captions(scenes):
    captions = scenes / "annotations" / "captions_train2014.json"
    before = captions.read_bytes()
    result = augsal("index", "--captions", captions, "--out", captions, "--overwrite")
    assert result.exit_code == 2
    assert "is an input of this command" in result.stderr
    assert captions.read_bytes() == before


def test_check_data_reports_the_same_with_several_workers(scenes, tmp_path):
    names = open_layout(scenes).names
    (scenes / "images" / "train" / f"{names[1]}.png").write_bytes(b"no image")
    empty_maps(scenes)
    (scenes / "maps" / "train" / f"{names[4]}.png").unlink()
    reports = [tmp_path / f"{n}.csv" for n in (1, 3)]
    one, three = (
        augsal("check-data", scenes, "--json", "--workers", n, "--report", path)
        for n, path in zip((1, 3), reports, strict=True)
    )
    assert one.exit_code == three.exit_code == 3
    assert one.stdout == three.stdout
    assert len(json.loads(one.stdout)["problems"]) >= 13
    assert reports[0].read_bytes() == reports[1].read_bytes()


def test_what_cannot_be_converted_again_keeps_its_old_map(scenes, tmp_path):
    (scenes / "fixations" / "train").mkdir(parents=True)
    name, out = open_layout(scenes).names[0], tmp_path / "out"
    path = scenes / "fixations" / "train" / f"{name}.mat"
    savemat(path, {"I": np.eye(32)})
    assert augsal("convert-fixations", scenes, "--out", out).exit_code == 0
    before = (out / f"{name}.png").read_bytes()
    path.write_bytes(b"")
    assert augsal("convert-fixations", scenes, "--out", out, "--overwrite").exit_code == 3
    assert (out / f"{name}.png").read_bytes() == before
