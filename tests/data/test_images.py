import io

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map

MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]


@given(st.sampled_from(MODES), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_every_pil_mode_becomes_rgb_of_its_size(mode, width, height):
    image = to_rgb_image(PIL.Image.new(mode, (width, height)))
    assert image.shape == (3, height, width)
    assert image.dtype == torch.uint8


def test_deep_images_are_scaled_not_clipped():
    deep = PIL.Image.fromarray(np.array([[0, 1000], [32000, 64000]], np.uint16))
    assert to_rgb_image(deep)[0].flatten().tolist() == [0, 4, 128, 255]
    field = to_saliency_map(deep, (2, 2))
    assert torch.allclose(field.flatten(), torch.tensor([0, 1000, 32000, 64000]) / 64000)


@given(
    st.sampled_from(["uint8", "uint16", "int32", "bool", "float32", "float64"]),
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from(["array", "channel", "tensor", "pil"]),
    st.integers(0, 2**16),
)
@settings(max_examples=200, deadline=None)
def test_every_map_becomes_floats_in_unit_range_at_the_images_size(dtype, height, width, form, seed):
    values = np.random.default_rng(seed).random((height, width)) * (
        1 if dtype.startswith("float") or dtype == "bool" else 255
    )
    array = values.astype(dtype)
    if form == "pil" and dtype not in ("uint8", "uint16", "int32", "float32"):
        form = "array"
    given_map = {
        "array": lambda: array,
        "channel": lambda: array[..., None],
        "tensor": lambda: torch.from_numpy(array.astype("float32")),
        "pil": lambda: PIL.Image.fromarray(array),
    }[form]()
    field = to_saliency_map(given_map, (16, 24))
    assert field.shape == (1, 16, 24)
    assert field.dtype == torch.float32
    assert field.min() >= 0
    assert field.max() <= 1


def test_float_maps_above_one_are_divided_by_their_maximum_and_negatives_are_zero():
    assert to_saliency_map(np.array([[-1.0, 2.0, 4.0]]), (1, 3)).flatten().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_maps_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="NaN or infinite"):
        to_saliency_map(np.array([[0.0, bad]]), (1, 2))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.rand(3, 4, 4) * 255, "before Normalize"),
        (torch.rand(3, 4, 4) - 0.5, r"must lie in \[0, 1\]"),
        (torch.full((3, 4, 4), float("nan")), r"must lie in \[0, 1\]"),
        (torch.rand(7, 4, 4), r"\(C, H, W\)"),
        (torch.rand(2, 3, 4, 4), r"\(C, H, W\)"),
        (torch.rand(3, 0, 4), "not empty"),
        (torch.zeros(3, 4, 4).long(), "uint8 or float"),
    ],
)
def test_images_out_of_range_or_shape_are_refused_with_advice(image, words):
    with pytest.raises(ValueError, match=words):
        to_rgb_image(image)


def test_what_is_no_picture_is_a_type_error():
    with pytest.raises(TypeError, match="`image` must be"):
        to_rgb_image("photo.jpg")
    with pytest.raises(TypeError, match="`saliency_map` must be"):
        to_saliency_map(None, (4, 4))


def test_arrays_are_height_width_channel():
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert torch.equal(to_rgb_image(array), torch.from_numpy(array).permute(2, 0, 1))
    assert to_rgb_image(array[..., 0]).shape == (3, 5, 7)


def test_broken_files_are_named(tmp_path):
    empty, html, cut = tmp_path / "empty.jpg", tmp_path / "page.jpg", tmp_path / "cut.jpg"
    empty.touch()
    html.write_text("<html>not found</html>")
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (64, 64)).save(buffer, "jpeg")
    cut.write_bytes(buffer.getvalue()[:300])
    for path in (empty, html, cut, tmp_path / "absent.jpg"):
        with pytest.raises(ValueError, match=path.name):
            read_image(path)


def test_bombs_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    PIL.Image.new("1", (9000, 9000)).save(path)
    with pytest.raises(ValueError, match=r"bomb.png .* 50 million"):
        read_image(path)


def test_exif_rotation_is_reported_not_applied(tmp_path):
    path, exif = tmp_path / "turned.jpg", PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (64, 48)).save(path, exif=exif)
    with pytest.warns(UserWarning, match="EXIF rotation"):
        assert read_image(path).size == (64, 48)
