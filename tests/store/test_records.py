import dataclasses

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.record_parts import as_webp
from helpers.records import EDITS, edited, key_of, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from augsal_transforms import Brightness, Color, Contrast
from augsal_transforms.store.keys import EditKey, image_hash
from augsal_transforms.store.records import decode, encode, read_metadata


@pytest.fixture(scope="module")
def record():
    original = picture()
    return encode(key_of(original, EDITS[0]), original, edited(original, EDITS[0]), source="photo")


def same(first, second):
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        equal = torch.equal(one, other) and one.dtype == other.dtype if torch.is_tensor(one) else one == other
        assert equal, field.name


@pytest.mark.parametrize("edit", EDITS, ids=str)
@pytest.mark.parametrize("place", [(3, 5, 9, 12), (0, 0, 24, 32), (23, 31, 1, 1)])
def test_an_edit_comes_back_to_the_bit_in_every_field(edit, place):
    original = picture()
    result = edited(original, edit, place)
    same(decode(encode(key_of(original, edit), original, result)).onto(original), result)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(0, 99), st.data())
def test_any_size_and_place_comes_back_from_a_record_of_either_form(size, seed, data):
    top, left = data.draw(st.integers(0, size[0] - 1)), data.draw(st.integers(0, size[1] - 1))
    place = (top, left, data.draw(st.integers(1, size[0] - top)), data.draw(st.integers(1, size[1] - left)))
    original, edit = picture(seed, size), Contrast(1.5)
    result = edited(original, edit, place, seed)
    record = encode(key_of(original, edit, seed), original, result)
    same(decode(record).onto(original), result)
    same(decode(as_webp(record)).onto(original), result)


def test_a_wide_panorama_comes_back():
    original, edit = picture(size=(2, 40_000)), Contrast(1.5)
    result = edited(original, edit, (0, 0, 2, 40_000))
    same(decode(encode(key_of(original, edit), original, result)).onto(original), result)


def test_a_float_image_gets_its_eight_bit_edit_and_keeps_its_own_pixels_outside():
    original, edit = picture(), Contrast(1.5)
    result = edited(original, edit)
    back = decode(encode(key_of(original, edit), original, result)).onto(original / 255)
    assert torch.equal(back.image, result.image / 255)
    noisy = original / 255 + 0.001 * (original < 128)  # still the same picture in 8 bits
    back = decode(encode(key_of(original, edit), original, result)).onto(noisy)
    outside = (result.edit_mask == 0).expand_as(noisy)
    assert torch.equal(back.image[outside], noisy[outside])


def test_an_edit_of_floats_is_refused_because_it_would_not_come_back():
    original, edit = picture() / 255, Contrast(1.5)
    with pytest.raises(ValueError, match="uint8"):
        encode(key_of(original, edit), original, edited(original, edit))


def test_an_edit_that_changed_nothing_is_a_record_too():
    original, edit = picture(), Contrast(1.5)
    result = dataclasses.replace(edited(original, edit), image=original, edit_mask=torch.zeros(1, 24, 32))
    same(decode(encode(key_of(original, edit), original, result)).onto(original), result)


def test_the_original_may_be_given_as_a_file(tmp_path):
    original, edit = picture(), Contrast(1.5)
    PIL.Image.fromarray(original.permute(1, 2, 0).numpy()).save(tmp_path / "photo.png")
    result = edited(original, edit)
    same(decode(encode(key_of(original, edit), original, result)).onto(tmp_path / "photo.png"), result)


def test_another_image_is_refused(record):
    other = picture()
    other[0, 0, 0] += 1
    with pytest.raises(ValueError, match=r"not the image this edit was made from .*photo"):
        decode(record).onto(other)


def test_only_the_rectangle_is_stored():
    original, edit = picture(size=(240, 320)), Contrast(1.5)
    small, large = (
        encode(key_of(original, edit), original, edited(original, edit, place))
        for place in ((10, 10, 24, 32), (10, 10, 200, 200))
    )
    assert len(small) < len(large) / 10
    assert len(small) < original.numel() / 40


def test_a_record_is_plain_safetensors(record):
    assert set(load(record)) == {"rectangle", "region"}


def test_a_record_says_what_it_is_without_its_pixels(record, tmp_path):
    (tmp_path / "record").write_bytes(record)
    metadata = read_metadata(tmp_path / "record")
    assert (metadata["kind"], metadata["alpha"], metadata["word"], metadata["source"]) == (
        "contrast",
        1500,
        "dog",
        "photo",
    )
    assert metadata["properties_after"]["brightness"] == 0.25
    (tmp_path / "record").write_bytes(record[:100])
    assert read_metadata(tmp_path / "record") is None


KEY = {
    **{"image": "00" * 32, "saliency_map": "11" * 32, "prompt": "a dög on a beach", "seed": 3},
    **{"kind": "color", "color": "red", "alpha": 450},
}


@pytest.mark.parametrize(
    ("schema", "digest"),
    [
        (1, "14b158818d1c7cb73420224956e9c7ac5d85a61d4bb10c4a77861e82cd393bc6"),
        (2, "04c4fb86732467de1d3b48ae6342852e3781fb323ac2fc2d27f44989819ed1c0"),
    ],
)
def test_the_key_of_an_edit_never_changes_by_accident(schema, digest):
    """A changed digest orphans every store there is; change SCHEMA if it is meant."""
    config = {"steps": 1, "guidance": "1.0"}
    editor = {"model": "m", "calibration": "c", "dtype": "float32", "config": config}
    key = EditKey(**KEY, editor=editor, schema=schema)
    assert key.digest() == digest
    assert key.filename == f"color-red+0450-{key.digest()[:16]}.safetensors"


def test_strengths_are_equal_by_the_thousandth():
    original = picture()
    assert key_of(original, Contrast(1.2)) == key_of(original, Contrast(1.2000000000000002))
    assert key_of(original, Contrast(1.2)) == key_of(original, Contrast(float(np.float32(1.2))))
    assert key_of(original, Contrast(1.2)) != key_of(original, Contrast(1.201))


def test_everything_an_edit_follows_from_is_in_its_key():
    original = picture()
    keys = [
        key_of(original, Brightness(0.15)),
        key_of(original, Brightness(-0.15)),
        key_of(original, Contrast(0.15)),
        key_of(original, Color("red", 0.15)),
        key_of(original, Color("blue", 0.15)),
        key_of(original, Brightness(0.15), seed=1),
        key_of(original, Brightness(0.15), prompt="a cat"),
        key_of(picture(1), Brightness(0.15)),
        dataclasses.replace(key_of(original, Brightness(0.15)), saliency_map="other"),
        dataclasses.replace(key_of(original, Brightness(0.15)), editor={"model": "other"}),
    ]
    assert len({key.digest() for key in keys}) == len({key.filename for key in keys}) == len(keys)


def test_a_picture_is_the_same_picture_as_bytes_and_as_floats():
    assert image_hash(picture()) == image_hash(picture() / 255) == image_hash((picture() / 255).double())
    assert image_hash(picture(size=(24, 32))) != image_hash(picture(size=(24, 32)).reshape(3, 32, 24))


@pytest.mark.parametrize("form", [bytes, as_webp])
def test_truncated_flipped_and_foreign_bytes_are_never_read_as_an_edit(record, form):
    """Every truncation, 3,000 flipped bits, 500 random blobs: none, or what was written."""
    record = form(record)
    truth = decode(record)
    rng = np.random.default_rng(0)
    damaged = [record[:n] for n in range(len(record))]
    for position in rng.integers(0, 8 * len(record), 3000):
        flipped = bytearray(record)
        flipped[position // 8] ^= 1 << position % 8
        damaged.append(bytes(flipped))
    damaged += [rng.bytes(int(n)) for n in rng.integers(0, 4000, 500)]
    wrong = 0
    for content in damaged:
        read = decode(content)
        wrong += read is not None and not (
            read.metadata == truth.metadata
            and all(torch.equal(getattr(read, name), getattr(truth, name)) for name in ("difference", "edit_mask"))
        )
    assert len(damaged) > 4000
    assert wrong == 0
    assert sum(decode(content) is not None for content in damaged) < 20  # flips that JSON does not see
