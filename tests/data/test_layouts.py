"""Which files are whose, in the layouts of the field; the files are tiny, the names are the real ones."""

import numpy as np
import PIL.Image
import pytest

from augsal_transforms.data.layouts import LAYOUTS, find_layout, open_layout

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


def test_an_unknown_folder_is_told_what_was_looked_for_and_what_it_holds(tmp_path):
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


def test_two_maps_of_one_image_are_refused_in_every_layout(tmp_path):
    write(tmp_path / "ALLSTIMULI/a.jpeg", tmp_path / "ALLFIXATIONMAPS/a_fixMap.jpg")
    write(tmp_path / "ALLFIXATIONMAPS/a_fixMap.png")
    with pytest.raises(ValueError, match="share the name 'a'"):
        open_layout(tmp_path)
