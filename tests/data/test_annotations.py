import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from augsal_transforms.data.annotations import AnnotatedFolder, load_index, make_index, read_boxes, write_index
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


def replace_captions(path, sentence):
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
    replace_captions(path, "read from the index")
    sample = AnnotatedFolder(scenes, index=path)[0]
    assert sample["prompt"] == "read from the index"
    assert torch.equal(sample["boxes"], dataset[0]["boxes"])


def test_an_index_is_made_again_when_the_annotations_change(folder, tmp_path):
    path, captions = tmp_path / "index.json", folder / "annotations" / "captions_train2014.json"
    AnnotatedFolder(folder, index=path)
    replace_captions(captions, "written once")
    assert AnnotatedFolder(folder, index=path)[0]["prompt"] == "written once"
    replace_captions(captions, "written anew")
    os.utime(captions, ns=(0, 1))  # the size is the same, the time is not
    assert AnnotatedFolder(folder, index=path)[0]["prompt"] == "written anew"


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


def instances(**changes):
    image = {"id": 1, "file_name": "COCO_train2014_000000000001.jpg", "width": 10, "height": 20}
    annotation = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 5, 10]}
    table = {"images": [image], "categories": [{"id": 2, "name": "bicycle"}], "annotations": [annotation]}
    for key, value in changes.items():
        part, _, name = key.partition("__")
        table[part] = [{**table[part][0], name: value}] if name else value
    return json.dumps(table)


@pytest.mark.parametrize(
    "content",
    [
        instances(images__width=0),
        instances(images__width=-10),
        instances(images__height="20"),
        instances(images__height=None),
        instances(images__file_name=7),
        instances(annotations=None),
        instances(annotations__bbox=None),
        instances(annotations__bbox=[1, 2, 5]),
        instances(annotations__bbox=[float("nan"), 2, 5, 10]),
        instances(annotations__bbox=[10**400, 2, 5, 10]),
        instances(annotations__image_id=9),
        instances(annotations__category_id=9),
        instances(categories={"id": 2}),
        "[" * 200_000,
        "[]",
        "null",
        "",
    ],
)
def test_instances_of_another_structure_are_refused_with_the_file(tmp_path, content):
    (tmp_path / "instances.json").write_text(content)
    with pytest.raises(ValueError, match=r"instances\.json"):
        read_boxes(tmp_path / "instances.json")


def test_a_caption_that_is_none_is_refused_when_an_index_is_made_and_a_list_gives_its_first(tmp_path):
    (tmp_path / "captions.json").write_text(json.dumps({"a" * 14 + ".jpg": ["a dog", "a cat"], "b": None}))
    assert make_index(tmp_path / "captions.json", None)["captions"] == {"a" * 12: "a dog"}
    (tmp_path / "captions.json").write_text(json.dumps({"a": {"raw": "a dog"}}))
    with pytest.raises(ValueError, match=r"captions\.json: `caption of a` must be a caption"):
        make_index(tmp_path / "captions.json", None)


GOOD = {
    "annotations": {},
    "images": None,
    "classes": ["cat"],
    "captions": {"1": "a"},
    "boxes": {"1": [[0, 0, 1, 1, 0]]},
}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        "[" * 200_000,
        json.dumps({**GOOD, "captions": []}),
        json.dumps({**GOOD, "captions": {"1": 5}}),
        json.dumps({**GOOD, "classes": [None]}),
        json.dumps({**GOOD, "boxes": {"1": [[0, 0, 1, 1]]}}),
        json.dumps({**GOOD, "boxes": {"1": [[0, 0, 1, float("inf"), 0]]}}),
        json.dumps({**GOOD, "boxes": {"1": [[0, 0, 1, 1, 7]]}}),
        json.dumps({**GOOD, "boxes": {"1": 3}}),
        json.dumps({**GOOD, "more": 1}),
    ],
)
def test_what_is_no_index_is_refused_with_its_path_and_left_as_it_is(folder, tmp_path, content):
    path = tmp_path / "index.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"index\.json is not"):
        AnnotatedFolder(folder, index=path)
    with pytest.raises(FileExistsError, match=r"index\.json exists and was not written by this command"):
        write_index(GOOD, path)
    assert path.read_text() == content


def test_an_index_is_written_over_an_index_and_never_over_annotations_or_through_a_link(folder, tmp_path):
    captions, path = folder / "annotations" / "captions_train2014.json", tmp_path / "index.json"
    write_index(GOOD, path)
    write_index({**GOOD, "classes": ["dog"]}, path)
    (tmp_path / "link.json").symlink_to(path)
    before = captions.read_bytes()
    for other in (captions, tmp_path / "link.json", tmp_path):
        with pytest.raises(FileExistsError):
            write_index(GOOD, other)
    assert captions.read_bytes() == before
    assert json.loads(path.read_text())["classes"] == ["dog"]


def test_an_index_is_whole_whoever_writes_it_at_the_same_time(tmp_path):
    path, large = tmp_path / "index.json", {**GOOD, "captions": {str(n): "a caption" for n in range(20_000)}}
    write_index(large, path)
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write_index, large, path) for _ in range(8)]
        read = [load_index(path) for _ in range(20)]
    assert all(writer.result() is None for writer in writers)
    assert all(index == large for index in read)
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.json"]
