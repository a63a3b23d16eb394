import io
import os
import warnings

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL.PngImagePlugin import PngInfo

from augsal_transforms.data.images import is_rotated, read_image, read_size, to_rgb_image, to_saliency_map
from augsal_transforms.data.layouts import list_files, list_images

MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]


@given(st.sampled_from(MODES), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_every_pil_mode_becomes_rgb_of_its_size(mode, width, height):
    image = to_rgb_image(PIL.Image.new(mode, (width, height)))
    assert image.shape == (3, height, width)
    assert image.dtype == torch.uint8


DTYPES = (
    "bool",
    "uint8",
    "int8",
    ">i2",
    "uint16",
    "int64",
    "uint64",
    "float16",
    ">f4",
    "float64",
    "complex64",
    "U1",
    "O",
)


@given(
    st.lists(st.integers(0, 7), max_size=5),
    st.sampled_from(DTYPES),
    st.sampled_from([0.0, 0.5, 1.0, -3.0, 254.0, 1e30, float("nan"), float("inf"), -float("inf")]),
    st.sampled_from([0.0, 0.25, 7.0, -1.0]),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_array_is_read_or_refused_by_name_as_a_map_and_as_an_image(shape, dtype, first, rest, as_tensor):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of NumPy, about the casts here
        values = np.full(shape, rest).astype(dtype)
        values[(slice(1),) * len(shape)] = np.array(first).astype(dtype)
    if as_tensor and values.dtype.isnative and values.dtype.kind not in "UO":
        values = torch.from_numpy(values)
    for name, convert, channels in (
        ("saliency_map", lambda given: to_saliency_map(given, (4, 6)), 1),
        ("image", to_rgb_image, 3),
    ):
        try:
            read = convert(values)
        except (TypeError, ValueError) as error:
            read, words = None, str(error)
        if read is None:
            assert words.startswith(f"`{name}` ")
        else:
            assert read.shape[0] == channels
            assert 0 <= read.min() <= read.max() <= (255 if read.dtype == torch.uint8 else 1)


def test_deep_images_are_scaled_not_clipped():
    deep = PIL.Image.fromarray(np.array([[0, 1000], [32000, 64000]], np.uint16))
    assert to_rgb_image(deep)[0].flatten().tolist() == [0, 4, 128, 255]
    saliency_map = to_saliency_map(deep, (2, 2))
    assert torch.allclose(saliency_map.flatten(), torch.tensor([0, 1000, 32000, 64000]) / 64000)


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
    saliency_map = to_saliency_map(given_map, (16, 24))
    assert saliency_map.shape == (1, 16, 24)
    assert saliency_map.dtype == torch.float32
    assert saliency_map.min() >= 0
    assert saliency_map.max() <= 1


def test_float_maps_above_one_are_divided_by_their_maximum_and_what_a_resize_leaves_below_zero_is_zero():
    assert to_saliency_map(np.array([[-0.5, 2.0, 4.0]]), (1, 3)).flatten().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.bfloat16])
def test_tensors_of_every_type_of_real_numbers_are_maps(dtype):
    assert to_saliency_map(torch.tensor([[0, 1]]).to(dtype), (1, 2)).flatten().tolist() == [0, 1]


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


SPOILED_MAPS = {
    "a batch": (torch.rand(1, 1, 4, 6), ValueError, r"Remove the batch dimension: `saliency_map\[0\]`"),
    "a log density": (torch.rand(4, 6).log() - 1, ValueError, "A log density is exponentiated first"),
    "a standardised map": (np.arange(24.0).reshape(4, 6) - 11.5, ValueError, r"must not be negative.*\[-11.5, 11.5\]"),
    "negative integers": (-np.ones((4, 6), int), ValueError, "must not be negative"),
    "what float32 cannot hold": (np.full((4, 6), 1e-300), ValueError, "too small for float32"),
    "minus infinity": (np.full((4, 6), -np.inf), ValueError, "NaN or infinite"),
    "an empty array": (np.zeros((0, 6)), ValueError, "not empty, got \\(0, 6\\)"),
    "an empty PIL image": (PIL.Image.new("L", (0, 4)), ValueError, "must not be empty"),
    "channels last": (torch.rand(4, 6, 1), ValueError, r"permute\(2, 0, 1\)"),
    "channels first": (np.ones((3, 4, 6)), ValueError, r"transpose\(1, 2, 0\)"),
    "complex numbers": (np.ones((4, 6), complex), TypeError, "real numbers, got an array of complex128"),
    "objects": (np.ones((4, 6), object), TypeError, "real numbers"),
    "a sparse tensor": (torch.eye(4, 6).to_sparse(), TypeError, "must be a dense tensor"),
    "a tensor without values": (torch.empty(4, 6, device="meta"), TypeError, "must be a dense tensor with values"),
    "8-bit floats": (torch.rand(4, 6).to(torch.float8_e4m3fn), TypeError, "real numbers"),
    "a masked array": (np.ma.masked_array(np.ones((4, 6)), np.eye(4, 6)), TypeError, "filled"),
    "a list": ([[1.0]], TypeError, "must be a PIL image, an array or a tensor, got list"),
}


@pytest.mark.parametrize("kind", SPOILED_MAPS)
def test_what_is_no_map_is_refused_and_never_becomes_zeros(kind):
    given_map, error, words = SPOILED_MAPS[kind]
    with pytest.raises(error, match=words):
        to_saliency_map(given_map, (4, 6))


READ_ONLY = np.full((4, 6), 0.5)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((4, 6), 0.5, np.float16), 0.5),
        (torch.full((4, 6), 0.5, dtype=torch.bfloat16), 0.5),
        (np.full((4, 6), 0.5, ">f4"), 0.5),
        (np.full((4, 6), 300, ">u2"), 1.0),
        (np.full((4, 6), 51, np.uint8), 0.2),
        (torch.full((4, 6), 40_000, dtype=torch.int32).to(torch.uint16), 1.0),
        (np.full((4, 6), 2**63, np.uint64), 1.0),
        (np.ones((4, 6), bool), 1.0),
        (np.zeros((4, 6), np.uint16), 0.0),
        (np.asfortranarray(np.full((4, 6), 0.25)), 0.25),
        (np.full((4, 12), 0.25)[::-1, ::2], 0.25),
        (READ_ONLY, 0.5),
        (torch.full((4, 6), 0.5, requires_grad=True), 0.5),
        (PIL.Image.new("I;16B", (6, 4)), 0.0),
        (PIL.Image.new("LA", (6, 4), (51, 3)), 0.2),
    ],
)
def test_any_real_numbers_in_any_memory_order_are_read_by_value(values, expected):
    saliency_map = to_saliency_map(values, (4, 6))
    assert torch.equal(saliency_map, torch.full((1, 4, 6), expected))


def test_images_in_any_memory_order_are_read_by_value_and_what_is_read_only_is_copied():
    array = np.random.default_rng(0).random((5, 7, 3))
    array.flags.writeable = False
    expected = torch.tensor(array.tolist(), dtype=torch.float64).permute(2, 0, 1)
    for given_image in (array, np.asfortranarray(array), array.astype(">f8")):
        assert torch.equal(to_rgb_image(given_image), expected)
    to_rgb_image(array).zero_()
    assert array.any()


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (np.zeros((4, 4, 3), "uint16"), ValueError, "divide 16-bit values by 65535"),
        (torch.zeros(3, 4, 4, dtype=torch.bool), ValueError, "uint8 or float"),
        (np.zeros((4, 4), complex), TypeError, "`image` must hold real numbers"),
        (torch.rand(1, 3, 4, 4), ValueError, r"`image\[0\]`"),
        (PIL.Image.fromarray(np.full((4, 4), np.nan, "float32")), ValueError, "`image`, a PIL image of mode F"),
        (PIL.Image.new("RGB", (3, 0)), ValueError, "`image` must not be empty"),
    ],
)
def test_other_images_are_refused_by_name(image, error, words):
    with pytest.raises(error, match=words):
        to_rgb_image(image)


def test_a_pil_image_whose_file_is_cut_off_is_refused_by_name(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype("uint8")
    PIL.Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    for convert in (to_rgb_image, lambda picture: to_saliency_map(picture, (64, 64))):
        with PIL.Image.open(tmp_path / "a.png") as picture, pytest.raises(ValueError, match="a PIL image of mode RGB"):
            convert(picture)


@pytest.mark.parametrize("form", ["eps", "tiff", "gif", "ppm"])
def test_no_other_decoder_is_started_whatever_a_file_is_named(tmp_path, form):
    PIL.Image.new("RGB", (6, 4)).save(tmp_path / f"a.{form}")
    path = (tmp_path / f"a.{form}").rename(tmp_path / "a.png")
    for read in (read_image, read_size):
        with pytest.raises(ValueError, match=r"a\.png is not a readable image: no image format was recognised"):
            read(path)


def test_pipes_devices_and_folders_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.jpg", "zero.png", "folder.png"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_image(tmp_path / name)
    assert list_images(tmp_path) == list_files(tmp_path) == []


def test_damaged_files_are_read_or_refused_by_their_path_and_nothing_else(tmp_path):
    rng, path, refused = np.random.default_rng(0), tmp_path / "damaged.jpg", 0
    picture, exif = PIL.Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)), PIL.Image.Exif()
    exif[0x0112] = 1
    for n in range(400):
        buffer = io.BytesIO()
        form = ("jpeg", "png", "webp", "bmp")[n % 4]
        picture.save(buffer, form, **({} if form == "bmp" else {"exif": exif}))
        content = bytearray(buffer.getvalue())
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(min(200, len(content)))] = rng.integers(256)
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_image(path)
        except ValueError as error:
            refused += "damaged.jpg is not a readable image" in str(error)
        # any other exception fails the test
    assert refused > 100


def test_exif_that_cannot_be_read_asks_for_no_rotation(tmp_path):
    text = PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n  8\nno hexadecimal")
    PIL.Image.new("RGB", (6, 4)).save(tmp_path / "a.png", pnginfo=text)
    image = read_image(tmp_path / "a.png")
    assert (image.size, is_rotated(image)) == ((6, 4), False)


def test_the_size_is_read_from_the_header(tmp_path):
    PIL.Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    assert read_size(tmp_path / "a.png") == (4, 6)


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
