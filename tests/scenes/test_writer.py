import json

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import pil_to_tensor

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.scenes import writer
from augsal_transforms.scenes.scenes import SceneDataset, render_scene, series_of, viewers_of
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


def test_splits_of_one_seed_share_neither_scenes_nor_viewers(tmp_path):
    for split in ("train", "val", "test-2"):
        write_scenes(tmp_path, 6, split=split, seed=3, size=32)
    images = [image.read_bytes() for image in sorted((tmp_path / "images").rglob("*.jpg"))]
    assert len(set(images)) == len(images) == 18
    names = [path.stem for path in (tmp_path / "images").rglob("*.jpg")]
    assert len(set(names)) == 18
    viewers = {viewers_of(n, 3, split) for split in ("train", "val", "test-2") for n in range(6)}
    assert len(viewers) == 18
    sample = SaliencyFolder(tmp_path, "val")[4]
    assert sample["prompt"] == render_scene(4, series_of(3, "val"), 32).caption
    assert SaliencyFolder(tmp_path)[4]["prompt"] == render_scene(4, 3, 32).caption  # train is the seed's own series


def test_no_seed_of_training_is_the_series_of_another_split():
    series = [series_of(seed, split) for seed in range(200) for split in ("val", "test", "holdout")]
    assert len(set(series)) == 600
    assert min(series) >= 2**63
    with pytest.raises(ValueError, match=r"`seed` must be below 2\^63"):
        SceneDataset(1, seed=series[0])


def test_a_split_is_never_written_over(folder):
    with pytest.raises(FileExistsError, match="exists already"):
        write_scenes(folder, 1, size=32)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "`size` must be at least 8, got 0"),
        ({"size": -5}, "`size` must be at least 8"),
        ({"count": -3}, "`count` must be at least 1, got -3"),
        ({"count": 0}, "`count` must be at least 1"),
        ({"seed": -1}, "`seed` must be at least 0"),
        ({"start": -2}, "`start` must be at least 0"),
        ({"split": "../../x"}, "`split` must be a name of letters"),
        ({"split": ".."}, "`split` must be a name"),
        ({"split": "a/b"}, "`split` must be a name"),
        ({"split": ""}, "`split` must be a name"),
        ({"split": "val\n"}, "`split` must be a name"),
    ],
)
def test_numbers_and_names_that_make_no_split_are_refused_before_anything_is_written(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        write_scenes(tmp_path / "out", **{"count": 1, **options})
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("options", [{"size": 64.0}, {"count": True}, {"seed": "1"}])
def test_numbers_of_another_type_are_refused(tmp_path, options):
    with pytest.raises(TypeError, match="must be an int"):
        write_scenes(tmp_path, **{"count": 1, **options})


def test_the_folder_may_be_named_by_a_string(tmp_path):
    write_scenes(str(tmp_path / "scenes"), 1, size=16)
    assert (tmp_path / "scenes" / "annotations" / "captions_train2014.json").exists()


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("cut", [0, 7])
def test_an_interrupted_run_is_resumed_and_ends_as_if_it_had_not_been(tmp_path, monkeypatch, cut):
    write_scenes(tmp_path / "whole", 4, split="val", seed=5, size=32)
    rendered = []

    def interrupted(number, *options):
        if number == 2 and not rendered.count(2):
            rendered.append(2)
            raise KeyboardInterrupt
        rendered.append(number)
        return render_scene(number, *options)

    monkeypatch.setattr(writer, "render_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "out", 4, split="val", seed=5, size=32)
    journal = tmp_path / "out" / "annotations" / "scenes_val.incomplete"
    if cut:  # as when the process dies while it writes a line
        journal.write_bytes(journal.read_bytes()[:-cut])
    with pytest.raises(FileExistsError, match=r"unfinished run with .*'count': 4"):
        write_scenes(tmp_path / "out", 5, split="val", seed=5, size=32)
    write_scenes(tmp_path / "out", 4, split="val", seed=5, size=32)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert rendered == [0, 1, 2, *([1] if cut else []), 2, 3]


@pytest.mark.parametrize("link", ["images", "maps", "annotations", "maps/train", "annotations/captions_train2014.json"])
def test_nothing_is_written_through_links(tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    place = tmp_path / "out" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="is a link"):
        write_scenes(tmp_path / "out", 1, size=32)
    assert not list((tmp_path / "elsewhere").iterdir())
