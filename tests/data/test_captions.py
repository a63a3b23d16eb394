import json
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augsal_transforms.data.captions import load_captions, read_captions, to_caption
from augsal_transforms.data.folders import SaliencyFolder

PANDAS_NA = type("NAType", (), {"__module__": "pandas._libs.missing"})()


@pytest.mark.parametrize(
    ("value", "caption"),
    [
        ("a dog", "a dog"),
        (b"a dog", "a dog"),
        (bytearray("un café".encode()), "un café"),
        (np.str_("a dog"), "a dog"),
        (np.bytes_(b"a dog"), "a dog"),
        (np.array("a dog"), "a dog"),
        (np.array(["a dog", "a cat"]), "a dog"),
        (["a dog", "a cat"], "a dog"),
        ((None, float("nan"), "a cat"), "a cat"),
        ("\ufeffa dog", "a dog"),
        ("a \ud800 dog", "a \ufffd dog"),
        ("\ud83d\udc15", "\U0001f415"),  # two halves of one character
    ],
)
def test_a_caption_is_read_from_any_form_of_text(value, caption):
    assert to_caption(value) == caption


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "  \n", b"", [], (), [None], float("nan"), np.float16("nan"), np.float32("nan")),
        *(np.longdouble("nan"), np.array(np.nan), Decimal("NaN"), np.datetime64("NaT"), PANDAS_NA),
    ],
)
def test_missing_values_of_any_type_are_no_caption(value):
    assert to_caption(value) == ""


@pytest.mark.parametrize(
    "value", [0, 1.5, True, np.int64(3), {"raw": "a dog"}, {"a dog"}, [["a dog"]], torch.tensor(1.0), object()]
)
def test_anything_else_is_a_type_error_that_names_the_key(value):
    with pytest.raises(TypeError, match="`caption` must be a caption"):
        to_caption(value, "caption")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=4,
)


@given(ANYTHING)
@settings(max_examples=200, deadline=None)
def test_any_object_is_a_caption_or_a_type_error(value):
    try:
        text = to_caption(value)
    except TypeError as error:
        text = str(error)
    assert isinstance(text, str)
    text.encode("utf-8")


def write(folder: Path, names: list[str]) -> Path:
    for name in names:
        for part, ending in (("images", "jpg"), ("maps", "png")):
            (folder / part / "train").mkdir(parents=True, exist_ok=True)
            PIL.Image.new("L", (8, 6)).save(folder / part / "train" / f"{name}.{ending}")
    return folder


def karpathy(captions):
    images = [
        {"filename": f"{name}.jpg", "split": "train", "sentences": [{"raw": text} for text in texts]}
        for name, texts in captions.items()
    ]
    return {"images": images, "dataset": "coco"}


def coco(captions):
    images = [{"id": n, "file_name": f"train2014/{name}.jpg"} for n, name in enumerate(captions)]
    pairs = [(n, text) for n, texts in enumerate(captions.values()) for text in texts]
    return {"images": images, "annotations": [{"image_id": n, "caption": text} for n, text in pairs]}


@pytest.mark.parametrize(
    ("place", "table"),
    [
        ("dataset_coco.json", karpathy),
        ("annotations/dataset_coco.json", karpathy),
        ("annotations/captions_train2014.json", coco),
        ("captions.json", lambda captions: {f"{name}.jpg": texts for name, texts in captions.items()}),
        ("captions.json", lambda captions: {f"images/train/{name}.JPG": texts for name, texts in captions.items()}),
        ("captions.json", lambda captions: {name: texts[-1] for name, texts in captions.items() if texts[-1]}),
    ],
)
def test_captions_of_every_format_are_joined_with_or_without_endings(tmp_path, place, table):
    write(tmp_path, ["a", "b", "c.v2"])
    (tmp_path / "annotations").mkdir()
    captions = {"a": ["a dog"], "b": [None, "a cat"], "c.v2": [None]}
    (tmp_path / place).write_text(json.dumps(table(captions)))
    dataset = SaliencyFolder(tmp_path)
    assert [sample["prompt"] for sample in dataset] == ["a dog", "a cat", ""]
    assert (dataset.captioned, len(dataset), dataset.left_out) == (2, 3, [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_captions_saved_on_windows_as_unicode_are_read(tmp_path, encoding):
    write(tmp_path, ["a"])
    (tmp_path / "captions.json").write_bytes(json.dumps({"a": "un café"}, ensure_ascii=False).encode(encoding))
    assert SaliencyFolder(tmp_path)[0]["prompt"] == "un café"


def test_a_code_page_is_refused_and_not_guessed(tmp_path):
    write(tmp_path, ["a"])
    (tmp_path / "captions.json").write_bytes('{"a": "un café"}'.encode("cp1252"))
    with pytest.raises(
        ValueError, match=r"captions\.json must be UTF-8 text, but its byte 13 is not; save it as UTF-8"
    ):
        SaliencyFolder(tmp_path)


def test_a_caption_of_a_wrong_type_costs_its_own_image(tmp_path):
    write(tmp_path, ["a", "b"])
    (tmp_path / "captions.json").write_text(json.dumps({"a": {"raw": "a dog"}, "b": "a cat"}))
    dataset = SaliencyFolder(tmp_path)
    assert (dataset[1]["prompt"], dataset.captioned) == ("a cat", 1)
    with pytest.raises(ValueError, match=r"captions\.json: `caption of a` must be a caption .* got dict"):
        dataset[0]


def test_captions_of_no_image_are_warned_of(tmp_path):
    write(tmp_path, ["a"])
    (tmp_path / "captions.json").write_text(json.dumps({"photo-1": "a dog"}))
    with pytest.warns(UserWarning, match="has no caption of the 1 images here; it names 'photo-1', an image is named"):
        assert SaliencyFolder(tmp_path).captioned == 0


def test_composed_and_decomposed_names_are_one_name(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    for part, name in (("images", f"{decomposed}.jpg"), ("maps", f"{composed}.png")):
        (tmp_path / part).mkdir()
        PIL.Image.new("L", (8, 6)).save(tmp_path / part / name)
    (tmp_path / "captions.json").write_text(json.dumps({f"{decomposed}.jpg": "a cup"}))
    sample = SaliencyFolder(tmp_path)[0]
    assert (sample["image_id"], sample["prompt"]) == (composed, "a cup")


def test_maps_may_keep_the_ending_of_their_images(tmp_path):
    for path in ("images/a.jpg", "maps/a.jpg.png", "images/b.jpeg", "maps/b.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        PIL.Image.new("L", (8, 6)).save(tmp_path / path)
    assert SaliencyFolder(tmp_path).names == ["a", "b"]


def test_names_that_are_not_utf8_are_written_as_escapes(tmp_path):
    for part, ending in (("images", b".jpg"), ("maps", b".png")):
        (tmp_path / part).mkdir()
        name = os.fsdecode(b"caf\xe9" + ending)
        PIL.Image.new("L", (8, 6)).save(tmp_path / part / name, "png")
    dataset = SaliencyFolder(tmp_path)
    assert dataset.names == ["caf\\udce9"]
    assert dataset[0]["image"].size == (8, 6)
    json.dumps(dataset.names, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "content",
    [
        "[" * 200_000,
        '{"annotations": 3}',
        '{"images": [{"id": 1}], "annotations": []}',
        '{"images": [{"id": [1], "file_name": "a"}], "annotations": []}',
        '{"images": [{"id": 1, "file_name": 7}], "annotations": []}',
        '{"images": [], "annotations": [{"image_id": 1, "caption": "a"}]}',
        '{"images": [{"filename": "a.jpg", "sentences": [null]}]}',
        '"a"',
        "null",
        "{",
        "",
    ],
)
def test_what_is_no_table_of_captions_is_refused_with_the_file(tmp_path, content):
    (tmp_path / "captions.json").write_text(content)
    with pytest.raises(ValueError, match=r"captions\.json"):
        load_captions(tmp_path / "captions.json")
    with pytest.raises(ValueError, match=r"captions\.json"):
        read_captions(tmp_path, "train", ["a"])
