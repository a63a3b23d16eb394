import json
import os

import pytest
import torch

from augsal_transforms.data.annotations import AnnotatedFolder, make_index, read_boxes, write_index
from augsal_transforms.scenes.writer import write_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(folder, 3, seed=7, size=64)
    return folder


@pytest.fixture
def folder(tmp_path):
    """A data set whose annotations a test may change."""
    write_scenes(tmp_path / "scenes", 2, seed=7, size=48)
    return tmp_path / "scenes"


def retell(path, sentence):
    """Change every caption of an annotation file or index."""
    table = json.loads(path.read_text())
    if "annotations" in table and isinstance(table["annotations"], list):
        table["annotations"] = [{**entry, "caption": sentence} for entry in table["annotations"]]
    else:
        table["captions"] = dict.fromkeys(table["captions"], sentence)
    path.write_text(json.dumps(table))


def test_boxes_and_classes_are_the_scenes(scenes):
    path = scenes / "annotations" / "instances_train2014.json"
    read, table = read_boxes(path), json.loads(path.read_text())
    assert sum(map(len, read["boxes"].values())) == len(table["annotations"])
    first = table["annotations"][0]
    left, top, right, bottom, number = read["boxes"][f"{first['image_id']:012d}"][0]
    assert [left * 64, top * 64, (right - left) * 64, (bottom - top) * 64] == pytest.approx(first["bbox"], abs=0.02)
    assert read["classes"][number] == next(c["name"] for c in table["categories"] if c["id"] == first["category_id"])


def test_crowds_are_left_out_and_gaps_in_the_numbers_closed(tmp_path):
    boxes = [(1, 90, 0), (1, 2, 0), (1, 2, 1)]
    table = {
        "images": [{"id": 1, "file_name": "COCO_train2014_000000000001.jpg", "width": 10, "height": 20}],
        "categories": [{"id": 2, "name": "bicycle"}, {"id": 90, "name": "toothbrush"}],
        "annotations": [{"image_id": i, "category_id": c, "bbox": [1, 2, 5, 10], "iscrowd": k} for i, c, k in boxes],
    }
    (tmp_path / "instances.json").write_text(json.dumps(table))
    read = read_boxes(tmp_path / "instances.json")
    assert read["boxes"] == {"000000000001": [[0.1, 0.1, 0.6, 0.6, 1], [0.1, 0.1, 0.6, 0.6, 0]]}


def test_a_file_of_another_format_is_named(scenes, tmp_path):
    with pytest.raises(ValueError, match=r"captions_train2014\.json must be COCO's instances"):
        read_boxes(scenes / "annotations" / "captions_train2014.json")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"list\.json must be captions in COCO's or Karpathy's format"):
        make_index(tmp_path / "list.json", None)


def test_the_index_is_read_instead_of_the_annotations(scenes, tmp_path):
    path = tmp_path / "index.json"
    dataset = AnnotatedFolder(scenes, index=path)
    retell(path, "told by the index")
    sample = AnnotatedFolder(scenes, index=path)[0]
    assert sample["prompt"] == "told by the index"
    assert torch.equal(sample["boxes"], dataset[0]["boxes"])


def test_an_index_is_made_again_when_the_annotations_change(folder, tmp_path):
    path, captions = tmp_path / "index.json", folder / "annotations" / "captions_train2014.json"
    AnnotatedFolder(folder, index=path)
    retell(captions, "told once")
    assert AnnotatedFolder(folder, index=path)[0]["prompt"] == "told once"
    retell(captions, "told anew")
    os.utime(captions, ns=(0, 1))  # the size is the same, the time is not
    assert AnnotatedFolder(folder, index=path)[0]["prompt"] == "told anew"


def test_an_index_is_made_again_when_annotations_or_images_are_added(folder, tmp_path):
    path, instances = tmp_path / "index.json", folder / "annotations" / "instances_train2014.json"
    kept = instances.read_bytes()
    instances.unlink()
    image = sorted((folder / "images" / "train").iterdir())[-1]
    image.rename(tmp_path / image.name)
    assert AnnotatedFolder(folder, index=path).classes == ()
    instances.write_bytes(kept)
    assert AnnotatedFolder(folder, index=path).classes
    (tmp_path / image.name).rename(image)
    assert AnnotatedFolder(folder, index=path)[1]["prompt"]


def test_an_index_serves_where_the_annotations_are_gone(folder, tmp_path):
    before = AnnotatedFolder(folder, index=tmp_path / "index.json")[0]
    for path in (folder / "annotations").iterdir():
        path.unlink()
    after = AnnotatedFolder(folder, index=tmp_path / "index.json")[0]
    assert after["prompt"] == before["prompt"] != ""
    assert torch.equal(after["boxes"], before["boxes"])


def test_an_index_of_all_annotations_serves_any_folder_and_holds_more_than_a_folders_own(folder, tmp_path):
    annotations = [folder / "annotations" / f"{kind}_train2014.json" for kind in ("captions", "instances")]
    next((folder / "images" / "train").iterdir()).unlink()
    AnnotatedFolder(folder, index=tmp_path / "own.json")
    write_index(make_index(*annotations), tmp_path / "all.json")
    AnnotatedFolder(folder, index=tmp_path / "all.json")
    own, whole = (json.loads((tmp_path / name).read_text()) for name in ("own.json", "all.json"))
    assert own.keys() == whole.keys()
    assert (len(own["captions"]), len(whole["captions"])) == (1, 2)
    assert own["captions"].items() <= whole["captions"].items()


def test_names_that_end_alike_are_refused(scenes, tmp_path):
    for part, ending in (("images", "jpg"), ("maps", "png")):
        (tmp_path / part / "train").mkdir(parents=True)
        content = next((scenes / part / "train").iterdir()).read_bytes()
        for name in ("a_000000000001", "b_000000000001"):
            (tmp_path / part / "train" / f"{name}.{ending}").write_bytes(content)
    with pytest.raises(ValueError, match="same twelve characters"):
        AnnotatedFolder(tmp_path, index=tmp_path / "index.json")
