import io
from collections import namedtuple

import PIL.Image
import pytest
import torch
from helpers.samples import Scenes, scene
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import AugmentedDataset, SaliencyDiffusionAugment, SaliencyMap
from augsal_transforms.lettering import MARK
from augsal_transforms.preview import GAP, SIDE
from augsal_transforms.randomness import GlobalState
from augsal_transforms.sample import unedited_leaves

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TOP = 24  # height of the titles with a gap


@pytest.fixture
def augment(editor):
    return SaliencyDiffusionAugment(editor=editor, p=1.0, seed=7)


@pytest.fixture
def idle(editor):
    """An augmentation that edits nothing: fast, for what does not depend on edits."""
    return SaliencyDiffusionAugment(editor=editor, p=0.0)


def edited_scene():
    """A sample as the augmentation leaves it, with an edit made by hand."""
    image = tv_tensors.Image(scene()["image"])
    leaves = {"image": image, "saliency_map": SaliencyMap(scene()["saliency_map"]), **unedited_leaves(image)}
    leaves["edited_image"][:, 8:24, 8:24] //= 2
    leaves["edit_mask"][:, 8:24, 8:24] = 1
    return {**scene(), **leaves, "is_edited": torch.tensor(True), "edit_kind": "contrast", "edit_word": "dog"}


def normalised(augment):
    scale = v2.ToDtype(torch.float32, scale=True)
    return v2.Compose([augment, v2.Resize((64, 64)), v2.RandomHorizontalFlip(p=1.0), scale, v2.Normalize(MEAN, STD)])


def panel(picture, column, size=(SIDE, SIDE)):
    """A panel of the first row, (3, h, w), 0–255."""
    left = GAP + column * (SIDE + GAP)
    cut = picture.crop((left, TOP, left + size[0], TOP + size[1]))
    return v2.functional.pil_to_tensor(cut).double()


def is_marked(picture):
    return MARK in {color for _, color in picture.getcolors(1 << 24)}


def test_colours_are_natural_after_normalize(idle):
    flipped = v2.functional.hflip(v2.functional.resize(scene()["image"], [64, 64]))
    expected = v2.functional.pil_to_tensor(to_pil_image(flipped).resize((SIDE, SIDE))).double()
    compose = normalised(idle)
    transformed = v2.Compose(compose.transforms[1:])(edited_scene())
    for picture in (
        idle.preview([scene()], compose),
        idle.preview([transformed], compose),
        idle.preview(transformed, mean=MEAN, std=STD),
        idle.preview([scene()], v2.Compose([v2.Compose(compose.transforms)])),
    ):
        assert (panel(picture, 0) - expected).abs().max() <= 1


def test_the_mask_is_shown_where_the_edit_is(augment):
    picture = augment.preview([scene()], normalised(augment))
    image, mask, edited = (panel(picture, column) for column in (0, 2, 3))
    changed = (edited - image).abs().amax(dim=0) > 20  # 0.3 leaves a mask of at most 0.07, which adds 17 of 255 levels
    dark = mask.sum(dim=0) < 0.3 * image.sum(dim=0)  # shown at a quarter of its brightness
    assert changed.any()
    assert dark.any()
    assert not (changed & dark).any()
    # The map is high in columns 8 to 24 of 40; mirrored these are columns 16 to 32, 77 to 154 of 192.
    assert dark[:, :60].all()


def test_panels_are_image_map_mask_and_edit(idle):
    mask = torch.zeros(1, 8, 8)
    mask[..., :4] = 1
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    sample = {
        **{"image": grey, "saliency_map": mask / 2, "edited_image": grey * 2, "edit_mask": mask},
        **{"is_edited": torch.tensor(True), "edit_word": "dog", "prompt": "a dog"},
    }
    picture = idle.preview(sample)
    for column, left, right in ((0, 100, 100), (1, 255, 0), (2, 100, 25), (3, 200, 200)):
        shown = panel(picture, column)
        assert shown[:, :, :70].unique().tolist() == [left]
        assert shown[:, :, 122:].unique().tolist() == [right]


def test_the_map_of_an_edited_image_stands_beside_it(idle):
    estimated = torch.zeros(1, 32, 40)
    estimated[..., :20] = 0.5
    plain, paired = edited_scene(), {**edited_scene(), "edited_saliency_map": SaliencyMap(estimated)}
    picture = idle.preview([plain, paired])
    assert picture.width == 5 * (SIDE + GAP) + GAP
    below = picture.crop((0, picture.height // 2, *picture.size))
    shown = [panel(one, 4, (192, 100)) for one in (picture, below)]
    assert (shown[0] == 255).all()  # the first sample has no such map: the paper stays white
    assert {255.0, 0.0} <= {shown[1][0, 60, column].item() for column in (40, 150)}


def test_a_look_changes_nothing_in_the_training(editor):
    augment = SaliencyDiffusionAugment(editor=editor, p=0.5)
    torch.manual_seed(3)
    expected = [bool(augment(scene(n))["is_edited"]) for n in range(4)]
    fresh = SaliencyDiffusionAugment(editor=editor, p=0.5)
    torch.manual_seed(3)
    before = GlobalState()
    compose = v2.Compose([fresh, v2.RandomHorizontalFlip()])
    fresh.preview(DataLoader(Scenes(lambda sample: sample), batch_size=2), compose, count=2)
    assert GlobalState() == before
    assert not fresh.counts
    assert [bool(fresh(scene(n))["is_edited"]) for n in range(4)] == expected


def test_it_is_a_picture_that_a_notebook_shows(idle):
    with PIL.Image.open(io.BytesIO(idle.preview(scene())._repr_png_())) as picture:
        assert picture.mode == "RGB"
        assert picture.width == 4 * (SIDE + GAP) + GAP


Pair = namedtuple("Pair", "image saliency_map prompt")


@pytest.mark.parametrize("held", ["list", "data set", "loader", "generator", "batch", "raw batch", "count"])
def test_whatever_holds_samples_can_be_shown(idle, held):
    raw = [scene(n) for n in range(3)]
    samples = {
        "list": raw,
        "data set": Scenes(idle, 3),
        "loader": DataLoader(Scenes(idle, 3), batch_size=2),
        "generator": (scene(n) for n in range(3)),
        "batch": torch.utils.data.default_collate([idle(sample) for sample in raw]),
        "raw batch": torch.utils.data.default_collate(raw),
        "count": [scene(n) for n in range(99)],
    }[held]
    usual = idle.preview(raw)
    picture = idle.preview(samples, count=3)
    assert picture.height == usual.height
    assert (panel(picture, 0, (192, 154)) - panel(usual, 0, (192, 154))).abs().max() == 0


def test_tuples_named_tuples_and_other_names_are_read(editor):
    plain = scene()
    positions = {"image": 1, "saliency_map": 0, "prompt": 2}
    values = plain["image"], plain["saliency_map"], plain["prompt"]
    for keys, sample in (
        (positions, (values[1], values[0], values[2])),
        (None, Pair(*values)),
        (
            {"image": "img", "saliency_map": "gt", "prompt": "text"},
            {"img": values[0], "gt": values[1], "text": values[2]},
        ),
    ):
        augment = SaliencyDiffusionAugment(editor=editor, p=0.0, keys=keys)
        done = augment(sample)
        added = done if isinstance(done, dict) else done[-1]
        added.update({key: edited_scene()[key] for key in ("edited_image", "edit_mask", "is_edited", "edit_word")})
        collated = torch.utils.data.default_collate([done, done])
        for samples in (done, [done], collated):
            assert is_marked(augment.preview(samples))
        for samples in (sample, [sample]):
            assert not is_marked(augment.preview(samples))


def test_samples_of_an_image_only_data_set_are_shown(idle):
    image_transform = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    dataset = AugmentedDataset([scene()], idle, image_transform=image_transform)
    shown = panel(idle.preview(dataset, image_transform), 0, (192, 154))
    assert (shown - panel(idle.preview(scene()), 0, (192, 154))).abs().max() <= 1


def test_an_unedited_sample_is_shown_dark_and_without_a_mark(idle):
    picture = idle.preview(scene())
    image, mask, edited = (panel(picture, column, (192, 154)) for column in (0, 2, 3))
    assert torch.equal(image, edited)
    assert torch.equal(mask, image // 4)
    assert not is_marked(picture)


@pytest.mark.parametrize(
    "caption",
    [
        "",
        None,
        float("nan"),
        "כלב אדום",
        "狗" * 300,
        "\u202e\x00\n\t",
        "<script>alert(1)</script>",
        "x" * 10_000,
        "\ud800 é",
    ],
    ids=["empty", "none", "nan", "hebrew", "chinese", "control", "script", "endless", "surrogate"],
)
def test_any_caption_can_be_drawn(idle, caption):
    usual = idle.preview(edited_scene())
    assert idle.preview({**edited_scene(), "prompt": caption}).size == usual.size


def test_a_long_caption_keeps_the_marked_word(idle):
    sample = edited_scene()
    sample["prompt"] = "and " * 400 + sample["edit_word"] + " and" * 400
    assert is_marked(idle.preview(sample))
    sample["prompt"] = "and " * 400
    assert not is_marked(idle.preview(sample))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2)])
def test_images_of_any_shape_fit(idle, size):
    sample = edited_scene()
    pictures = ("image", "edited_image", "saliency_map", "edit_mask")
    sample.update({name: v2.functional.center_crop(sample[name], list(size)) for name in pictures})
    assert idle.preview([sample]).height >= TOP


def test_what_cannot_be_shown_is_refused(idle):
    done = normalised(idle)(scene())
    with pytest.raises(ValueError, match="give the Compose as `transform`, or its `mean` and `std`"):
        idle.preview(done)
    with pytest.raises(TypeError, match="`mean` and `std` go together"):
        idle.preview(done, mean=MEAN)
    with pytest.raises(ValueError, match="`std` must hold one finite number"):
        idle.preview(done, mean=MEAN, std=[1.0, 2.0])
    with pytest.raises(TypeError, match="`transform` must hold this augmentation"):
        idle.preview(scene(), v2.Compose([v2.Resize(8)]))
    with pytest.raises(ValueError, match="one sample or more"):
        idle.preview([])
    with pytest.raises(ValueError, match="`count`"):
        idle.preview([scene()], count=0)
    with pytest.raises(TypeError, match="`samples` must be"):
        idle.preview(7)
    with pytest.raises(TypeError, match="needs an image with its saliency map"):
        idle.preview([scene()["image"]])
