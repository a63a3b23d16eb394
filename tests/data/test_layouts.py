"""Which files are whose, in the layouts of the field; the files are tiny, the names are the real ones."""

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from augsal_transforms import data
from augsal_transforms.data.checks import check_data
from augsal_transforms.data.fixations import FixatedFolder, read_fixations
from augsal_transforms.data.layouts import LAYOUTS, Files, Layout, find_layout, images_of, list_files, open_layout

TRAIN, VAL = "COCO_train2014_000000000009", "COCO_val2014_000000000042"


def write(*paths, size=(8, 6)):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.zeros((size[1], size[0]), "uint8")).save(path)


def official_salicon(folder):
    for split, name in (("train", TRAIN), ("val", VAL)):
        write(folder / f"images/{split}/{name}.jpg", folder / f"maps/{split}/{name}.png")
    write(folder / "images/test/COCO_test2014_000000000001.jpg")


def simplenet(folder):
    official_salicon(folder)
    for path in sorted((folder / "images").rglob("*.jpg")):
        path.unlink()
        write(path.with_suffix(".png"))
    write(folder / f"fixations/train/{TRAIN}.png", folder / f"fixations/fixations/{VAL}.png")


def tempsal(folder):
    official_salicon(folder)
    write(folder / f"fixation_maps/train/{TRAIN}.png", folder / f"fixation_maps/val/{VAL}.png")


def unisal(folder):
    for name in (TRAIN, VAL, "COCO_test2014_000000000001"):
        write(folder / f"images/{name}.jpg")
    write(folder / f"maps/train/{TRAIN}.png", folder / f"maps/val/{VAL}.png")


def undivided(folder):
    for name in (TRAIN, VAL):
        write(folder / f"images/{name}.jpg", folder / f"maps/{name}.png")


@pytest.mark.parametrize("write_files", [official_salicon, simplenet, tempsal, unisal, undivided])
def test_salicon_and_its_variants_are_recognised_and_their_splits_kept_apart(tmp_path, write_files):
    write_files(tmp_path)
    for split, name in (("train", TRAIN), ("val", VAL)):
        dataset = open_layout(tmp_path, split)
        assert (dataset.layout, dataset.names, set(dataset.images)) == ("salicon", [name], {name})
        sample = dataset[0]
        assert (sample["image_id"], sample["prompt"]) == (name, "")
        assert sample["image"].size == sample["saliency_map"].size == (8, 6)


@pytest.mark.parametrize("doubled", [False, True])
def test_mit1003_joins_stimuli_with_their_maps(tmp_path, doubled):
    stimuli = tmp_path / "ALLSTIMULI" / ("ALLSTIMULI" if doubled else "")
    maps = tmp_path / "ALLFIXATIONMAPS"
    for name in ("i05june05_static_street_boston_p1010764", "istatic_outdoor.v2"):
        write(stimuli / f"{name}.jpeg", maps / f"{name}_fixMap.jpg", maps / f"{name}_fixPts.jpg")
    dataset = open_layout(tmp_path)
    assert dataset.layout == "mit1003"
    assert dataset.names == ["i05june05_static_street_boston_p1010764", "istatic_outdoor.v2"]
    assert [dataset.maps[name].name for name in dataset.names] == [f"{name}_fixMap.jpg" for name in dataset.names]
    assert [dataset.images[name].stem for name in dataset.names] == dataset.names


@pytest.mark.parametrize("root", ["trainSet", "."])
def test_cat2000_names_hold_the_category_and_output_folders_are_skipped(tmp_path, root):
    for category in ("Action", "Noisy"):
        for part in ("Stimuli", "FIXATIONMAPS"):
            write(tmp_path / root / part / category / "001.jpg")
        write(tmp_path / root / "Stimuli" / category / "Output" / "001_SaliencyMap.jpg")
        write(tmp_path / root / "FIXATIONMAPS" / category / "Output" / "001_SaliencyMap.jpg")
    (tmp_path / root / "Stimuli" / ".DS_Store").touch()
    (tmp_path / root / "Stimuli" / "Action" / "._001.jpg").touch()
    dataset = open_layout(tmp_path)
    assert dataset.layout == "cat2000"
    assert dataset.names == sorted(dataset.images) == sorted(dataset.maps) == ["Action/001", "Noisy/001"]
    assert dataset.images["Noisy/001"].parent.name == dataset.maps["Noisy/001"].parent.name == "Noisy"


@pytest.mark.parametrize("maps", ["maps", "saliency", "my_saliency_maps"])
def test_a_folder_of_images_beside_a_folder_of_maps_is_plain(tmp_path, maps):
    write(tmp_path / "photos" / "a.webp", tmp_path / maps / "a.png", tmp_path / "fixation_maps" / "a.png")
    (tmp_path / "captions.json").write_text('{"a": "a caption"}')
    dataset = open_layout(tmp_path)
    assert (dataset.layout, dataset.names) == ("plain", ["a"])
    assert dataset[0]["prompt"] == "a caption"


def test_images_and_maps_without_splits_are_training_images_alone(tmp_path):
    write(tmp_path / "images/a.jpg", tmp_path / "maps/a.png")
    assert open_layout(tmp_path).names == ["a"]
    with pytest.raises(FileNotFoundError, match="no layout known for 'val'"):
        open_layout(tmp_path, "val")


def test_the_error_for_an_unknown_folder_lists_the_layouts_and_its_content(tmp_path):
    write(tmp_path / "pictures" / "a.jpg")
    with pytest.raises(FileNotFoundError) as error:
        open_layout(tmp_path)
    message = str(error.value)
    assert all(f"\n  {name}: " in message for name in LAYOUTS)
    assert "it holds pictures" in message
    assert "images/train/NAME.jpg" in message


def test_what_is_not_there_is_not_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent is not a folder"):
        open_layout(tmp_path / "absent")
    with pytest.raises(ValueError, match="`layout` must be 'auto' or one of 'salicon', 'mit1003'"):
        open_layout(tmp_path, layout="coco")


def test_a_named_layout_is_taken_at_its_word(tmp_path):
    official_salicon(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"0 images and 0 maps .* Expected ALLSTIMULI/NAME\.jpeg"):
        open_layout(tmp_path, layout="mit1003")


def test_a_folder_with_images_alone_is_recognised_by_them(tmp_path):
    write(tmp_path / "ALLSTIMULI" / "a.jpeg")
    assert find_layout(tmp_path).name == "mit1003"
    with pytest.raises(FileNotFoundError, match="1 images and 0 maps"):
        open_layout(tmp_path)


def test_two_maps_of_one_image_cost_that_image_in_every_layout(tmp_path):
    for name in "ab":
        write(tmp_path / f"ALLSTIMULI/{name}.jpeg", tmp_path / f"ALLFIXATIONMAPS/{name}_fixMap.jpg")
    write(tmp_path / "ALLFIXATIONMAPS/a_fixMap.png")
    with pytest.warns(UserWarning, match="such as 'a'"):
        dataset = open_layout(tmp_path)
    assert (dataset.names, dataset.left_out) == (["b"], ["a"])


def test_layouts_are_listed_without_torch():
    code = "import sys, augsal_transforms.data as d; print(*d.LAYOUTS, 'torch' in sys.modules, 'PIL' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["salicon", "mit1003", "cat2000", "osie", "pysaliency", "plain", "False", "False"]


def test_everything_that_the_package_names_is_there():
    assert all(getattr(data, name) for name in data.__all__)
    assert set(data.__all__) <= set(dir(data))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        data.nothing  # noqa: B018


def find_toy(folder, split):
    """Pictures, their maps and their fixations side by side, told apart by the first letter."""
    pairs = {kind: [(p.stem[1:], p) for p in list_files(folder / split) if p.stem[0] == kind] for kind in "imf"}
    return Files(*pairs.values())


def test_a_new_layout_is_one_entry(tmp_path, monkeypatch):
    write(*(tmp_path / f"val/{kind}{name}.png" for kind in "imf" for name in ("1", "2")))
    with pytest.raises(FileNotFoundError):
        open_layout(tmp_path, "val")
    monkeypatch.setitem(LAYOUTS, "toy", Layout("toy", "{split}/iNAME.png, mNAME.png and fNAME.png", find_toy))
    dataset = FixatedFolder(tmp_path, "val")
    assert (dataset.layout, dataset.names, dataset[1]["image_id"]) == ("toy", ["1", "2"], "2")
    assert len(dataset.fixations("1")) == 0
    assert read_fixations(dataset).files["2"] == tmp_path / "val/f2.png"
    report = check_data(tmp_path, "val")
    assert (report.layout, report.pairs, report.fixations) == ("toy", 2, 2)
    assert images_of(tmp_path) == [tmp_path / "val/i1.png", tmp_path / "val/i2.png"]
    with pytest.raises(FileNotFoundError, match="train/iNAME"):
        open_layout(tmp_path, layout="toy")


@pytest.mark.parametrize("write_files", [official_salicon, simplenet, tempsal, unisal, undivided])
def test_the_images_of_a_data_set_are_not_its_maps(tmp_path, write_files):
    write_files(tmp_path)
    images = images_of(tmp_path)
    assert {path.stem for path in images} == {TRAIN, VAL}
    assert {path.relative_to(tmp_path).parts[0] for path in images} == {"images"}


def test_the_images_of_other_data_sets_are_not_their_maps(tmp_path):
    write(tmp_path / "mit/ALLSTIMULI/a.jpeg", *(tmp_path / f"mit/ALLFIXATIONMAPS/a_fix{x}.jpg" for x in ("Map", "Pts")))
    write(tmp_path / "plain/photos/a.jpg", tmp_path / "plain/saliency/a.png", tmp_path / "plain/fixation_maps/a.png")
    write(tmp_path / "photos/b.jpg", tmp_path / "photos/trip/c.png", tmp_path / "photos/.cache/d.png")
    assert [path.name for path in images_of(tmp_path / "mit")] == ["a.jpeg"]
    assert [path.name for path in images_of(tmp_path / "plain")] == ["a.jpg"]
    assert [path.name for path in images_of(tmp_path / "photos")] == ["b.jpg", "c.png"]
    write(tmp_path / "unpaired/images/train/a.jpg", tmp_path / "unpaired/maps/train/b.png")
    assert [path.name for path in images_of(tmp_path / "unpaired")] == ["a.jpg"]
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        images_of(tmp_path / "absent")
