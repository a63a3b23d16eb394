"""Whatever an argument is, the editor takes it or refuses it with an error that names it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augsal_transforms import Brightness, Color, Contrast, EditConfig
from augsal_transforms.editor.checks import check_edits, check_sources

DTYPES = (torch.float32, torch.float16, torch.float64, torch.uint8, torch.int64, torch.bool, torch.complex64)
LEVELS = (1.0, -1.0, 255.0, float("nan"), float("inf"))
IMAGES, MAPS = [torch.full((3, 4, 5), 0.5)], [torch.full((1, 4, 5), 0.5)]


@st.composite
def tensors(draw):
    shape = draw(st.one_of(st.lists(st.integers(0, 4), max_size=4), st.sampled_from([[1, 4, 5], [3, 4, 5]])))
    dtype, level = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(LEVELS))
    values = torch.linspace(0, 1, int(np.prod(shape))).reshape(shape) * level
    return (values if dtype.is_floating_point or dtype.is_complex else values.nan_to_num(0, 5, -5)).to(dtype)


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers())
leaves = st.one_of(scalars, tensors(), st.builds(object), st.just(np.zeros((2, 3))))
anything = st.recursive(leaves, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(), x, max_size=2))
edits = st.one_of(anything, st.sampled_from([Contrast, Contrast(), Brightness(0.1), Color("red")]))
checked = settings(max_examples=100, deadline=None, derandomize=True)


def takes_or_names(name, function, *arguments, **options):
    """Whether the arguments are taken; an error must be of kind or value and name the argument."""
    try:
        function(*arguments, **options)
    except (TypeError, ValueError) as error:
        assert f"`{name}" in str(error), error  # noqa: PT017 - no error is right too
        return False
    return True


@checked
@given(anything)
def test_images_maps_captions_and_seeds(value):
    takes_or_names("images", check_sources, [value], MAPS, None, 0, 64, 16)
    for given_value in (value, [value]):
        takes_or_names("saliency_maps", check_sources, IMAGES, given_value, None, 0, 64, 16)
        takes_or_names("prompts", check_sources, IMAGES, MAPS, given_value, 0, 64, 16)
        takes_or_names("seed", check_sources, IMAGES, MAPS, None, given_value, 64, 16)


@checked
@given(st.one_of(edits, st.lists(edits, max_size=3)))
def test_edits(value):
    takes_or_names("edits", check_edits, value, IMAGES)


@checked
@given(st.sampled_from(sorted(EditConfig.__dataclass_fields__)), anything)
def test_numbers_of_an_edit(name, value):
    takes_or_names(name, EditConfig, **{name: value})


@checked
@given(st.sampled_from([Contrast, Brightness, Color]), anything, st.text())
def test_alphas_colors_and_texts(kind, value, text):
    takes_or_names("alpha", kind, alpha=value)
    takes_or_names("color", Color, color=value)
    takes_or_names("alpha", Brightness.from_text, text)
    takes_or_names("alpha", Color.from_text, f"red:{text}")
    takes_or_names("color", Color.from_text, f"a{text.replace(':', '')}")


@pytest.mark.parametrize("prompts", [None, ["a dog"], [None], [b"a dog"], [float("nan")], ("a dog",)])
def test_what_is_right_is_taken(prompts):
    assert takes_or_names("prompts", check_sources, IMAGES, MAPS, prompts, [0], 64, 16)
