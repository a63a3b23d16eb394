from collections import namedtuple

import pytest
import torch
from helpers.samples import THOROUGHLY, refusal, scene
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import default_collate

from augsal_transforms import SaliencyDiffusionAugment, SaliencyMap
from augsal_transforms.sample_keys import ADDED, ROLES, SampleKeys

NAMES = {"image": "img", "saliency_map": "gt", "prompt": "caption", "image_id": "id"}
no_caption = pytest.mark.filterwarnings("ignore:A sample has no caption:UserWarning")


def renamed(sample):
    return {NAMES[role]: value for role, value in sample.items()}


def augment_with(editor, **options):
    return SaliencyDiffusionAugment(editor=editor, **{"p": 1, "seed": 0, **options})


def test_a_sample_with_other_names_is_edited_as_one_with_ours(editor):
    ours, theirs = augment_with(editor)(scene()), augment_with(editor, keys=NAMES)(renamed(scene()))
    assert set(theirs) == set(NAMES.values()) | (set(ours) - set(NAMES))
    assert torch.equal(theirs["edited_image"], ours["edited_image"])
    assert torch.equal(theirs["gt"], ours["saliency_map"])
    assert type(theirs["gt"]) is SaliencyMap
    assert theirs["edit_word"] == ours["edit_word"] != ""


def test_positions_find_a_caption_in_a_tuple(editor):
    raw = scene()
    augment = augment_with(editor, keys={"prompt": 2, "image_id": 4})
    *_, caption, rest, image_id, added = augment((raw["image"], raw["saliency_map"], raw["prompt"], 5, raw["image_id"]))
    expected = augment_with(editor)(raw)
    assert (caption, rest, image_id) == (raw["prompt"], 5, raw["image_id"])
    assert torch.equal(added["edited_image"], expected["edited_image"])
    assert added["edit_word"] == expected["edit_word"] != ""
    label, image, *_ = augment_with(editor, p=0, keys={"image": 1, "saliency_map": 0})(
        [raw["saliency_map"], raw["image"]]
    )
    assert torch.equal(image, raw["image"])
    assert type(label) is SaliencyMap


def test_a_batch_has_names_of_its_own(editor):
    batch = default_collate([scene(n) for n in range(3)])
    ours = augment_with(editor).batch(batch)
    for theirs in (
        augment_with(editor, keys=NAMES).batch(renamed(batch)),
        augment_with(editor).batch(renamed(batch), keys=NAMES),
    ):
        assert torch.equal(theirs["edited_image"], ours["edited_image"])
        assert theirs["edit_word"] == ours["edit_word"]
        assert type(theirs["gt"]) is SaliencyMap
        assert "image" not in theirs


def test_a_named_tuple_becomes_a_dict_of_its_fields(editor):
    item = namedtuple("Item", ["image", "saliency_map", "prompt", "more"])
    raw = scene()
    sample = augment_with(editor)(item(raw["image"], raw["saliency_map"], raw["prompt"], 7))
    assert sample["more"] == 7
    assert sample["edit_word"]
    with pytest.raises(TypeError, match=r"fields \['img', 'label'\].*keys="):
        augment_with(editor)(namedtuple("Other", ["img", "label"])(raw["image"], raw["saliency_map"]))


def test_a_sample_without_a_caption_is_warned_of_once_and_counted_apart(editor):
    augment = augment_with(editor)
    caption = {**scene(), "caption": scene()["prompt"]}
    del caption["prompt"]
    with pytest.warns(UserWarning, match=r"no caption.*keys=\{'prompt': 'caption'\}"):
        augment(caption)
    augment(caption)
    augment(scene())
    assert augment.counts == {"edited without a word": 2, "edited": 1}


CAPTIONS = {
    "a red dog on the street": True,
    b"a red dog on the street": True,
    ("a red dog on the street", "another"): True,
    None: False,
    float("nan"): False,
    "": False,
}


@no_caption
@pytest.mark.parametrize("caption", CAPTIONS)
def test_captions_of_any_form_name_a_word_or_none(editor, caption):
    sample = augment_with(editor)({**scene(), "prompt": list(caption) if isinstance(caption, tuple) else caption})
    assert bool(sample["edit_word"]) == CAPTIONS[caption]
    assert sample["edit_word"] in ("", "red", "dog", "street")


@no_caption
@THOROUGHLY
@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.floats(),
        st.integers(),
        st.text(st.characters(), max_size=40),
        st.binary(max_size=20),
        st.lists(st.one_of(st.text(max_size=5), st.none(), st.integers()), max_size=3),
        st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    )
)
def test_any_caption_gives_a_sample_or_an_error_that_names_the_key(editor, caption):
    augment = augment_with(editor, p=0.1, keys={"prompt": "text"}, on_error="raise")
    sample = scene()
    del sample["prompt"]
    message = refusal(lambda: augment({**sample, "text": caption}))
    assert not message or "`text`" in message


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        (
            {"picture": "img"},
            ValueError,
            "`keys` must name some of image, saliency_map, prompt, image_id, got 'picture'",
        ),
        ({"image": "x", "prompt": "x"}, ValueError, "a key of its own, got 'x'"),
        ({"image": "saliency_map"}, ValueError, "a key of its own, got 'saliency_map'"),
        ({"prompt": 1}, ValueError, "a key of its own, got 1"),
        ({"prompt": "edit_word"}, ValueError, "must not hold 'edit_word', a key that is added"),
        ({"prompt": -1}, ValueError, "positions of 0 or more, got -1"),
        ({"prompt": None}, TypeError, "names .* or positions"),
        ({"prompt": True}, TypeError, "names .* or positions"),
        ({"image": "img", "prompt": 2}, TypeError, "all of one kind"),
        ("img", TypeError, "`keys` must be a dict"),
    ],
)
def test_keys_are_checked_when_they_are_given(keys, error, words):
    with pytest.raises(error, match=words):
        SampleKeys.of(keys)


def test_keys_of_the_other_kind_than_the_sample_are_refused(editor):
    with pytest.raises(TypeError, match="`keys` holds names, for dicts, got a tuple"):
        augment_with(editor, keys={"prompt": "caption"})((scene()["image"], scene()["saliency_map"]))
    with pytest.raises(TypeError, match="`keys` holds positions, for tuples, got a dict"):
        augment_with(editor, keys={"prompt": 2})(scene())


@THOROUGHLY
@given(
    st.one_of(
        st.dictionaries(
            st.sampled_from([*ROLES, "label", 3]),
            st.one_of(st.sampled_from([*ROLES, *ADDED, "img", "gt", ""]), st.integers(-2, 4), st.none(), st.floats()),
            max_size=4,
        ),
        st.lists(st.text(max_size=2), max_size=2),
        st.text(max_size=3),
    )
)
def test_any_keys_are_taken_or_refused_by_name(keys):
    if message := refusal(lambda: SampleKeys.of(keys)):
        assert "`keys` must" in message
    else:
        found = SampleKeys.of(keys)
        assert len(set(found.by_role.values())) == len(found.by_role) >= 2
        sample = {key: key for key in found.by_role.values() if isinstance(key, str)}
        assert not sample or set(found.read(sample)) == set(found.by_role)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"image": [torch.rand(3, 8, 8)]}, TypeError, "`image` of a batch must be a tensor"),
        ({"image": torch.rand(3, 8, 8)}, ValueError, r"`image` of a batch must be \(B, 3, H, W\)"),
        ({"image": torch.rand(0, 3, 8, 8)}, ValueError, "not empty"),
        ({"prompt": "a dog"}, TypeError, "`prompt` of a batch must hold one value for each image, got str"),
        ({"prompt": ["a dog"]}, ValueError, "`prompt` of a batch must hold 2 values, one for each image, got 1"),
        ({"prompt": [("a", "b"), ("c", "d")]}, TypeError, "one caption for each image, got lists"),
        ({"image_id": torch.tensor(3)}, ValueError, "`image_id` of a batch must hold 2 values"),
        ({"image_id": torch.zeros(2, 2)}, ValueError, "`image_id` must be one value"),
        ({"saliency_map": torch.rand(3, 1, 8, 8)}, ValueError, "`saliency_map` of a batch must hold 2 values"),
        ({"saliency_map": torch.rand(2, 1, 1, 8, 8)}, ValueError, "`saliency_map` must be"),
    ],
)
def test_a_batch_is_checked(editor, change, error, words):
    batch = {"image": torch.rand(2, 3, 8, 8), "saliency_map": torch.rand(2, 1, 8, 8), **change}
    with pytest.raises(error, match=words):
        augment_with(editor).batch(batch)


def test_a_batch_given_as_a_sample_names_the_door_for_batches(editor):
    with pytest.raises(ValueError, match=r"must be one image \(C, H, W\), got \(2, 3, 32, 40\).*augment\.batch"):
        augment_with(editor)(default_collate([scene(0), scene(1)]))
