"""The checks of the editor's arguments, and the advice in their errors."""

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.pictures import blob, picture

from augsal_transforms import Brightness, Contrast, EditConfig, SaliencyEditor
from augsal_transforms.diffusion.batching import check_seeds
from augsal_transforms.editor.checks import check_edits, check_prompts, check_saliency_maps

IMAGE = torch.zeros(3, 4, 6)


@pytest.mark.parametrize(
    ("maps", "error", "words"),
    [
        ([torch.rand(1, 1, 4, 6)], ValueError, r"`saliency_maps\[0\]` must have shape \(1, H, W\), .*batch apart"),
        ([torch.rand(4, 6)], ValueError, r"Add the channel: `saliency_map\[None\]`"),
        (torch.rand(1, 4, 6), ValueError, "Add the channel"),
        ([torch.rand(3, 4, 6)], ValueError, "one channel"),
        ([torch.rand(1, 0, 6)], ValueError, "no side of 0"),
        ([torch.full((1, 4, 6), float("nan"))], ValueError, "Replace NaN and infinity"),
        ([torch.tensor([[[0.5, float("inf")]]])], ValueError, "Replace NaN and infinity"),
        ([torch.tensor([[[-0.5, float("-inf")]]])], ValueError, "Log densities need `exp`"),
        ([torch.tensor([[[-3.0, -0.5]]])], ValueError, r"got values in \[-3, -0.5\]. Log densities need `exp`"),
        ([torch.tensor([[[0, 200]]])], ValueError, r"got values in \[0, 200\]. Divide it by its maximum"),
        ([torch.rand(1, 4, 6) * 1j], TypeError, "complex"),
        ([np.zeros((4, 6))], TypeError, r"`saliency_maps\[0\]` .*ndarray.*`v2.functional.to_image"),
        ([PIL.Image.new("L", (6, 4))], TypeError, "Convert a PIL image"),
        (PIL.Image.new("L", (6, 4)), TypeError, r"Write `\[saliency_map\]` for one image"),
        (None, TypeError, "`saliency_maps` must be a list"),
        (torch.tensor(0.5), TypeError, "`saliency_maps` must be a list"),
        ([], ValueError, "one per image, 1, got 0"),
    ],
)
def test_maps_that_cannot_be_used_are_refused(maps, error, words):
    with pytest.raises(error, match=words):
        check_saliency_maps(maps, [IMAGE])


@pytest.mark.parametrize(
    "given",
    [
        torch.tensor([[[0, 255]]], dtype=torch.uint8),
        torch.tensor([[[False, True]]]),
        torch.tensor([[[0.0, 1.0]]], dtype=torch.float16),
        torch.tensor([[[0, 1]]]),
    ],
)
def test_maps_of_every_real_type_become_float32_of_the_images_size(given):
    # Two pixels wide, resized to 6: 0 at the left edge, 1 at the right, and rising.
    (made,) = check_saliency_maps([given], [IMAGE])
    assert (made.dtype, made.shape) == (torch.float32, (1, 4, 6))
    assert (made[0, 0, 0], made[0, 0, -1]) == (0, 1)
    assert (made[0, 0].diff() >= 0).all()


def test_captions_of_data_sets_become_text():
    given = ["a dog", None, float("nan"), b"a cat", ["a bus", "the bus"], [], "a \udcff dog", np.str_("x")]
    assert check_prompts(given, [IMAGE] * 8) == ["a dog", "", "", "a cat", "a bus", "", "a � dog", "x"]
    assert check_prompts(None, [IMAGE] * 2) == ["", ""]


@pytest.mark.parametrize(
    ("prompts", "error", "words"),
    [
        ([5], TypeError, r"`prompts\[0\]` must be a caption"),
        ([{"en": "a dog"}], TypeError, r"`prompts\[0\]`"),
        ("a dog", TypeError, "`prompts` must be a list"),
        (np.array(["a dog"]), TypeError, "`prompts` must be a list"),
        ([], ValueError, "one entry per image, 1, got 0"),
    ],
)
def test_what_is_no_caption_is_refused(prompts, error, words):
    with pytest.raises(error, match=words):
        check_prompts(prompts, [IMAGE])


def test_an_edit_without_a_caption_is_the_same_for_every_way_to_say_so(editor):
    results = [
        editor.edit([picture()], [blob()], prompts, [Brightness(0.1)])[0] for prompts in (None, [None], [""], [[]])
    ]
    assert all(torch.equal(result.image, results[0].image) and result.word == "" for result in results)


def test_seeds_are_whole_numbers():
    assert check_seeds(3, [IMAGE] * 2) == [3, 3]
    assert check_seeds([np.int64(1), 2], [IMAGE] * 2) == [1, 2]
    assert type(check_seeds(np.int64(1), [IMAGE])[0]) is int
    for seed in (1.0, "1", None, True, [1.5], [True], torch.tensor(1)):
        with pytest.raises(TypeError, match="`seed` must be a whole number or a list of them"):
            check_seeds(seed, [IMAGE])
    with pytest.raises(ValueError, match="`seed` must have one entry per image, 1, got 2"):
        check_seeds([1, 2], [IMAGE])


@pytest.mark.parametrize(
    ("edits", "error", "words"),
    [
        ([Contrast], TypeError, r"`edits\[0\]` must hold edits, got the class Contrast: `Contrast\(\)`"),
        ([[Contrast(), Brightness]], TypeError, "got the class Brightness"),
        (
            [Contrast(), Brightness()],
            ValueError,
            r"one entry per image, 1, got 2. .*`\[\[Contrast\(\), Brightness\(\)\]\]`",
        ),
        ([], ValueError, "one entry per image, 1, got 0"),
        (
            ["contrast"],
            TypeError,
            r"`edits\[0\]` must hold edits \(Contrast, Brightness, Color\), got 'contrast'",
        ),
        ([None], TypeError, r"`edits\[0\]`"),
        ({"contrast": 1.5}, TypeError, "`edits` must be a list"),
    ],
)
def test_what_is_no_edit_is_refused_before_the_networks_work(editor, edits, error, words):
    with pytest.raises(error, match=words):
        check_edits(edits, [IMAGE])
    calls = []
    hook = editor.model.unet.register_forward_hook(lambda *args: calls.append(1))
    try:
        with pytest.raises(error, match=words):
            editor.edit([picture()], [blob()], None, edits)
    finally:
        hook.remove()
    assert not calls


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.rand(3, 8, 8), ValueError, r"Write `\[image\]` for one image"),
        ([torch.rand(1, 3, 8, 8)], ValueError, "Take the batch apart"),
        ([np.zeros((8, 8, 3), np.uint8)], TypeError, r"`images\[0\]` .*ndarray.*`v2.functional.to_image\(image\)`"),
        ([PIL.Image.new("RGB", (8, 8))], TypeError, "Convert a PIL image"),
        (PIL.Image.new("RGB", (8, 8)), TypeError, "`images` must be a list"),
        (np.zeros((1, 3, 8, 8)), TypeError, "`images` must be a list"),
        ("photo.jpg", TypeError, "`images` must be a list"),
        (torch.tensor(0.5), TypeError, "`images` must be a list"),
        ([torch.zeros(3, 8, 8, dtype=torch.int64)], TypeError, "uint8 or float"),
    ],
)
def test_images_of_other_libraries_are_refused_with_the_call_that_converts(editor, images, error, words):
    with pytest.raises(error, match=words):
        editor.edit(images, [blob()], None, [Contrast(1.5)])


def test_analyses_of_another_model_or_noise_level_are_refused(editor, sd2_folder):
    """With trajectories of other noise levels the edit would be wrong, without an error."""
    analyses = editor.analyse([picture()], [blob()], ["a dog"])
    others = [SaliencyEditor.from_pretrained(str(sd2_folder))]
    others += [replace(editor, config=config) for config in (EditConfig.paper(), EditConfig(noise_level=0.3))]
    for other in others:
        with pytest.raises(ValueError, match="same model, `steps` and `noise_level`"):
            other.apply(analyses, [Contrast(1.5)])
    for wrong in (analyses[0], "analyses", [picture()]):
        with pytest.raises(TypeError, match="`analyses` must be the list that `analyse` returned"):
            editor.apply(wrong, [Contrast(1.5)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"config": {"steps": 2}}, "`config` must be an EditConfig"),
        ({"calibration": "sd-v1-5"}, "`calibration` must be a Calibration"),
        ({"gate": True}, "`gate` must be Readouts"),
    ],
)
def test_options_of_another_type_are_refused_before_anything_is_loaded(options, words):
    with pytest.raises(TypeError, match=words):
        SaliencyEditor.from_pretrained("/no/such/folder", **options)


def test_no_image_is_no_result(editor):
    assert editor.edit([], [], None, []) == []
