import random
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
import torch
from helpers.records import EDITS, edited, key_of
from helpers.samples import scene
from torch.utils.data import Dataset, IterableDataset
from torchvision import transforms as v1
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms import AugmentedDataset, EditStore, SaliencyDiffusionAugment


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Edits of four scenes, made by hand, in no time."""
    store = EditStore(tmp_path_factory.mktemp("edits"))
    for n in range(4):
        original = scene(n)["image"]
        for edit in EDITS:
            store.put(key_of(original, edit), original, edited(original, edit, place=(8, 8, 16, 16)))
    return store


class Pairs(Dataset):
    """What upstream readers give: a PIL image and an 8-bit PIL map."""

    def __init__(self, make_map=to_pil_image, make_image=to_pil_image, wrap=lambda *pair: pair):
        self.make_map, self.make_image, self.wrap = make_map, make_image, wrap

    def __len__(self):
        return 4

    def __getitem__(self, index):
        raw = scene(index)
        return self.wrap(self.make_image(raw["image"]), self.make_map(raw["saliency_map"]))


def wrapped(store, image_transform=None, saliency_transform=None, *, data=None, p=1.0, **options):
    augment = SaliencyDiffusionAugment(store=store, p=p, seed=0)
    transforms = {"image_transform": image_transform, "saliency_transform": saliency_transform}
    return AugmentedDataset(data or Pairs(), augment, **transforms, **options)


GEOMETRY = v1.RandomHorizontalFlip(), v1.RandomCrop(24), v1.RandomRotation(20)


def test_all_four_pictures_see_one_draw(store):
    image_transform = v1.Compose([*GEOMETRY, v1.ColorJitter(0.5), v1.ToTensor()])
    plain = wrapped(store, image_transform, v1.Compose([*GEOMETRY, v1.ToTensor()]), p=0)
    # The map is the image's red channel, so that it must go where the image goes.
    data = Pairs(make_map=lambda _: None)
    data.wrap = lambda image, _: (image, image.getchannel(0))
    moved = wrapped(store, v1.Compose([*GEOMETRY, v1.ToTensor()]), v1.Compose([*GEOMETRY, v1.ToTensor()]), data=data)
    for _ in range(10):
        for index in range(4):
            sample = plain[index]
            assert torch.equal(sample["image"], sample["edited_image"])
            sample = moved[index]
            assert torch.equal(sample["image"][:1], sample["saliency_map"])
            outside = (sample["edit_mask"] == 0).expand_as(sample["image"])
            inside = ~torch.nn.functional.max_pool2d((~outside).float(), 3, 1, 1).bool()
            assert torch.equal(sample["image"][inside], sample["edited_image"][inside])
            assert sample["is_edited"]


class Twice:
    """An image transform in a form that cannot be copied, so that both images go through it."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, image):
        return [self.transform(image)]


IN_PLACE = v1.Compose([v1.ToTensor(), v1.Lambda(lambda image: image.mul_(torch.rand(()).item()))])
NOISE = v1.Compose([v1.ToTensor(), v1.Lambda(lambda image: image + torch.randn_like(image))])


@pytest.mark.parametrize(
    "transform",
    [
        *(v1.ToTensor(), np.array, IN_PLACE, NOISE),
        v1.Compose([v1.ColorJitter(0.5, 0.5, 0.5, 0.2), v1.ToTensor(), v1.RandomErasing(1.0, inplace=True)]),
        v1.Compose([v1.ToTensor(), v1.RandomErasing(1.0, value="random"), v1.Normalize([0.5] * 3, [0.2] * 3, True)]),
        v1.Compose([v1.RandomGrayscale(), v1.GaussianBlur(3), v1.RandomPosterize(3), v1.PILToTensor()]),
        v1.RandomSolarize(100, p=0.5),
    ],
)
def test_an_unedited_image_is_transformed_once_with_the_result_of_twice(store, transform):
    twice = Twice(transform)
    torch.manual_seed(3)
    fast = [wrapped(store, transform, p=0)[n] for n in range(4)] + [torch.rand(())]
    torch.manual_seed(3)
    slow = [wrapped(store, twice, p=0)[n] for n in range(4)] + [torch.rand(())]
    assert fast[-1] == slow[-1]  # the draws go on from one place
    for a, b in zip(fast[:-1], slow[:-1], strict=True):
        for key in ("image", "edited_image"):
            assert np.array_equal(np.asarray(a[key]), np.asarray(b[key][0]))
        assert a["edited_image"] is not a["image"]


def test_an_edited_sample_of_a_pipeline_of_its_own(store):
    sample = wrapped(store, v1.ToTensor(), v1.ToTensor())[0]
    assert sample["is_edited"]
    assert not torch.equal(sample["image"], sample["edited_image"])
    assert sample["edit_mask"].shape == sample["saliency_map"].shape == (1, 32, 40)
    assert sample["edit_mask"].max() == 1


@pytest.mark.parametrize(
    ("image_transform", "saliency_transform"),
    [
        (v1.RandomHorizontalFlip(), None),
        (None, v1.RandomVerticalFlip()),
        (v1.Compose([v1.ColorJitter(0.5), v1.RandomHorizontalFlip()]), v1.RandomHorizontalFlip()),
        (v1.RandomCrop(24), v1.Resize((24, 24))),
        (v1.CenterCrop(24), v1.Resize((24, 24))),
        (v1.CenterCrop((28, 36)), v1.Resize((28, 36))),
        (v1.RandomAffine(10), v1.ToTensor()),
        (lambda image: np.array(image)[:, :: np.random.choice([-1, 1])], None),
        (lambda image: image.rotate(90, expand=True) if random.random() < 0.3 else image, v1.ToTensor()),
        (v1.RandAugment(), None),
        (v1.RandomHorizontalFlip(1.0), v1.Compose([v1.ToTensor(), v1.GaussianBlur(15, 4.0)])),
        (v1.CenterCrop(24), v1.Resize((6, 6))),
    ],
)
def test_pipelines_that_move_image_and_map_differently_are_refused(store, image_transform, saliency_transform):
    dataset = wrapped(store, image_transform, saliency_transform)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"move a picture differently.*v2\.Compose\(\[augment"):
            dataset[0]


@pytest.mark.parametrize(
    ("image_transform", "saliency_transform"),
    [
        (v1.Resize((64, 64)), v1.Resize((16, 20))),
        (v1.Compose([v1.Resize((48, 60), v1.InterpolationMode.LANCZOS), v1.ToTensor()]), None),
        (v1.Compose([v1.ColorJitter(0.8, 0.8, 0.8, 0.5), v1.RandomGrayscale(0.5), v1.GaussianBlur(3)]), v1.ToTensor()),
        (v1.Compose([v1.RandomInvert(), v1.RandomPosterize(2), v1.RandomEqualize(), v1.RandomSolarize(99)]), None),
        (v1.Compose([v1.ToTensor(), v1.Normalize([0.5] * 3, [0.2] * 3), v1.RandomErasing(1.0)]), v1.ToTensor()),
        (lambda image: np.asarray(image) + np.random.normal(size=(32, 40, 3)), lambda field: np.asarray(field) / 255),
        (v1.CenterCrop(24), v1.CenterCrop(24)),
        (v1.ToTensor(), v1.Compose([v1.GaussianBlur(9, (1.5, 1.5)), v1.ToTensor()])),  # a map of fixations is blurred
        (v1.GaussianBlur(9, (1.5, 1.5)), v1.ToTensor()),
        (None, v1.Resize((14, 14))),  # the patches of a vision transformer
        (v1.ToTensor(), v1.Compose([v1.ToTensor(), v1.GaussianBlur(15, 4.0)])),
        (v1.Resize((64, 80)), v1.Compose([v1.Resize((8, 10)), v1.ToTensor()])),
    ],
)
def test_pipelines_that_agree_pass(store, image_transform, saliency_transform):
    assert wrapped(store, image_transform, saliency_transform)[0]["is_edited"]


NUMPY, TORCH = np.random.default_rng(0), torch.Generator()


@pytest.mark.parametrize(
    "transform",
    [
        lambda picture: picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT) if NUMPY.random() < 0.5 else picture,
        lambda picture: v1.ToTensor()(picture) * torch.rand((), generator=TORCH),
        lambda picture: np.asarray(picture) + random.Random().random(),
        lambda picture: (v1.ToTensor()(picture) + NUMPY.random() / 8).bfloat16(),
    ],
)
def test_pipelines_with_a_generator_of_their_own_are_refused(store, transform):
    for name, pipelines in (("image", (transform, None)), ("saliency", (None, transform))):
        with pytest.raises(ValueError, match=rf"`{name}_transform` gives two different results.*additional_targets"):
            wrapped(store, *pipelines)[0]


def test_a_pipeline_that_fails_on_the_test_pattern_says_that_it_is_not_checked(store):
    def strict(image):
        if image.getpixel((0, 0)) in ((230, 120, 40), (30, 100, 180)):
            raise KeyError("not a photograph")
        return image

    with pytest.warns(UserWarning, match="`image_transform` fails on a test pattern.*KeyError"):
        assert wrapped(store, strict)[0]["is_edited"]


def test_the_check_moves_no_generator_and_happens_once(store):
    calls = []
    dataset = wrapped(store, lambda image: calls.append(1) or image)
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    dataset[0]
    first = len(calls)
    dataset[1]
    assert len(calls) == first + 2
    assert first > 2
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state[1:]


def test_wrapping_a_data_set_moves_no_other_draw(store):
    transform = v1.Compose([v1.RandomHorizontalFlip(), v1.RandomCrop(24), v1.ToTensor()])
    torch.manual_seed(0)
    plain = [transform(Pairs()[n][0]) for n in range(4)]
    torch.manual_seed(0)
    dataset = wrapped(store, transform, transform, p=0)
    for n in range(4):
        assert torch.equal(dataset[n]["image"], plain[n])


def test_draws_for_the_map_alone_go_on(store):
    dataset = wrapped(store, v1.ToTensor(), lambda field: v1.ToTensor()(field) + torch.rand(()), p=0)
    assert dataset[0]["saliency_map"].max() != dataset[0]["saliency_map"].max()


def test_threads_see_one_draw_a_sample(store):
    transform = v1.Compose([v1.RandomHorizontalFlip(), v1.ColorJitter(0.5), v1.ToTensor()])
    dataset = wrapped(store, transform, v1.Compose([v1.RandomHorizontalFlip(), v1.ToTensor()]), p=0)
    with ThreadPoolExecutor(8) as pool:
        samples = list(pool.map(dataset.__getitem__, [n % 4 for n in range(100)]))
    assert all(torch.equal(sample["image"], sample["edited_image"]) for sample in samples)


def to_mode(mode, dtype, scale):
    return lambda field: PIL.Image.fromarray((field[0].numpy() * scale).astype(dtype)).convert(mode)


def to_array(dtype, scale, *shape):
    return lambda field: (field[0].numpy() * scale).astype(dtype).reshape(*shape or (32, 40))


SCALES = {
    "L": (to_mode("L", "uint8", 255), 255),
    "RGB": (to_mode("RGB", "uint8", 255), 255),
    "F up to 1": (to_mode("F", "float32", 1), 1),
    "F up to 255": (to_mode("F", "float32", 255), 255),
    "I of 16 bits": (to_mode("I", "int32", 65535), 65535),
    "I of 8 bits": (to_mode("I", "int32", 255), 255),
    "I;16": (lambda field: PIL.Image.fromarray((field[0].numpy() * 65535).astype("uint16")), 65535),
    "I;16, dark": (lambda field: PIL.Image.fromarray((field[0].numpy() * 99).astype("uint16")), 65535),
    "uint8": (to_array("uint8", 255), 255),
    "uint8, channel last": (to_array("uint8", 255, 32, 40, 1), 255),
    "uint8, channel first": (to_array("uint8", 255, 1, 32, 40), 255),
    "uint16": (to_array("uint16", 65535), 65535),
    "int32 of 8 bits": (to_array("int32", 255), 255),
    "int64 of 16 bits": (to_array("int64", 60000), 65535),
    "counts": (to_array("int64", 7), 7),
    "binary": (to_array("int64", 1), 1),
    "bool": (to_array("bool", 1), 1),
    "float64": (to_array("float64", 1), 1),
    "float up to 200": (to_array("float32", 200), 255),
    "float up to 1000": (to_array("float32", 1000), 1000),
    "int8": (to_array("int8", 100), 127),
    "int16": (to_array("int16", 20000), 32767),
    "float16 up to 50,000": (to_array("float16", 50000), 65504),
    "long double": (to_array("longdouble", 1), 1),
    "int16 tensor": (lambda field: (field * 20000).to(torch.int16), 32767),
    "tensor": (lambda field: field, 1),
    "tensor (H, W)": (lambda field: field[0].double(), 1),
    "8-bit tensor of 3 channels": (lambda field: (field * 255).byte().repeat(3, 1, 1), 255),
}


@pytest.mark.parametrize("name", SCALES)
def test_the_mask_has_the_kind_shape_and_scale_of_the_map(store, name):
    make, scale = SCALES[name]
    seen = []
    dataset = wrapped(store, None, lambda field: seen.append(field) or field, data=Pairs(make_map=make))
    sample = dataset[0]
    assert sample["is_edited"]
    mask, given = seen[-2:]
    assert type(mask) is type(given)
    assert getattr(mask, "dtype", None) == getattr(given, "dtype", None)
    assert not isinstance(mask, PIL.Image.Image) or mask.mode == given.mode
    assert np.asarray(mask).shape == np.asarray(given).shape
    assert np.asarray(mask).max() == scale
    assert np.asarray(mask).min() == 0


def test_the_mask_has_the_size_of_its_map(store):
    data = Pairs(make_map=lambda field: to_pil_image(field).resize((80, 64)))
    sample = wrapped(store, None, v1.ToTensor(), data=data)[0]
    assert sample["saliency_map"].shape == sample["edit_mask"].shape == (1, 64, 80)


@pytest.mark.parametrize(
    "make_image",
    [
        to_pil_image,
        lambda image: image,
        lambda image: image / 255,
        lambda image: image.permute(1, 2, 0).numpy(),
        lambda image: to_pil_image(image).convert("L"),
        lambda image: (image / 255).permute(1, 2, 0).numpy().astype(np.float16),
    ],
)
def test_both_images_come_in_the_kind_that_was_given(store, make_image):
    seen = []
    wrapped(store, Twice(lambda image: seen.append(image) or image), data=Pairs(make_image=make_image), p=0)[1]
    given = make_image(scene(1)["image"])
    for image in seen[-2:]:
        assert type(image) is type(given)
        assert getattr(image, "dtype", None) == getattr(given, "dtype", None)
        assert not isinstance(image, PIL.Image.Image) or image.mode == "RGB"


def test_the_rest_of_a_tuple_is_handed_on_and_keys_give_positions(store):
    data = Pairs(wrap=lambda image, field: (7, field, image, "a red dog", "more"))
    sample = wrapped(store, data=data, keys={"image": 2, "prompt": 3})[0]
    assert sample["is_edited"]
    assert sample["rest"] == (7, "more")
    assert sample["prompt"] == "a red dog"
    assert wrapped(store, data=Pairs(wrap=lambda *pair: [*pair, 5]))[0]["rest"] == (5,)
    assert "rest" not in wrapped(store)[0]


def test_keys_name_what_a_raw_sample_holds(store):
    data = Pairs(wrap=lambda image, field: {"img": image, "label": field, "file": "x.jpg"})
    sample = wrapped(store, v1.ToTensor(), v1.ToTensor(), data=data, keys={"image": "img", "saliency_map": "label"})[2]
    assert sample["is_edited"]
    assert {"img", "label", "file", "edited_image", "edit_mask"} < set(sample)
    assert sample["img"].shape == sample["edited_image"].shape == (3, 32, 40)
    assert sample["label"].shape == sample["edit_mask"].shape == (1, 32, 40)
    assert "image" not in sample


def test_a_named_tuple_becomes_a_dict(store):
    data = Pairs(wrap=namedtuple("Item", ["image", "saliency_map"]))
    assert wrapped(store, v1.ToTensor(), v1.ToTensor(), data=data)[0]["edit_mask"].shape == (1, 32, 40)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda image, field: image,
        lambda image, field: np.asarray(image),
        lambda image, field: (image,),
        lambda image, field: {"image": image},
        lambda image, field: {"img": image, "gt": field},
    ],
)
def test_samples_without_a_map_are_refused_with_the_ways_out(store, wrap):
    with pytest.raises(TypeError, match=r"must have 'image' and 'saliency_map', got .*give `keys`.*`predictor`"):
        wrapped(store, v1.ToTensor(), data=Pairs(wrap=wrap))[0]


@pytest.mark.parametrize("wrap", [lambda image, field: image, lambda image, field: {"image": image}])
def test_a_predictor_stands_in_for_missing_maps(store, predictor, wrap):
    augment = SaliencyDiffusionAugment(store=store, p=1, seed=0, predictor=predictor)
    dataset = AugmentedDataset(
        Pairs(wrap=wrap), augment, image_transform=v1.ToTensor(), saliency_transform=v1.Resize((16, 20))
    )
    sample = dataset[0]
    assert sample["is_predicted"]
    assert sample["saliency_map"].shape == sample["edit_mask"].shape == (1, 16, 20)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(Pairs())


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((Stream(), "augment"), {}, "`dataset` must give samples by index, got Stream"),
        ((Pairs(), "augment"), {}, "`augment` must be a SaliencyDiffusionAugment, got str"),
        (
            (Pairs(), SaliencyDiffusionAugment(editor="bundled")),
            {"image_transform": 5},
            "`image_transform` must be callable",
        ),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(arguments, options, words):
    with pytest.raises(TypeError, match=words):
        AugmentedDataset(*arguments, **options)
