"""AugmentedSample: an unedited sample's picture is transformed once, and the samples are the same to the bit."""

import copy
import io
import pickle

import PIL.Image
import pytest
import torch
from helpers.records import filled, picture
from helpers.samples import scene
from torch.utils.data import DataLoader, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from augsal_transforms import EditMask, EditStore, SaliencyDiffusionAugment
from augsal_transforms.augmented_sample import AugmentedSample

IMAGES = ("image", "edited_image")


class Counted(v2.Transform):
    """Halves every image, and counts them."""

    count = 0

    def transform(self, inpt, params):
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        self.count += 1
        return tv_tensors.wrap(inpt // 2 if inpt.dtype == torch.uint8 else inpt / 2, like=inpt)


@pytest.fixture
def unedited(editor):
    return SaliencyDiffusionAugment(editor=editor, p=0)(scene())


@pytest.fixture
def edited(tmp_path):
    augment = SaliencyDiffusionAugment(store=filled(EditStore(tmp_path), 1), p=1, seed=0)
    saliency_map = torch.rand(1, 24, 32, generator=torch.Generator().manual_seed(0))
    return augment({"image": picture(0), "saliency_map": saliency_map, "image_id": "0"})


def images_transformed(sample):
    counted = Counted()
    counted(sample)
    return counted.count


def assert_equal(sample, expected):
    assert list(sample) == list(expected)
    for key, value in expected.items():
        assert type(sample[key]) is type(value), key
        if isinstance(value, torch.Tensor):
            assert sample[key].dtype == value.dtype, key
            assert torch.equal(sample[key], value), key
        else:
            assert sample[key] == value, key


PIPELINES = {
    "resize": [v2.Resize((24, 20)), v2.RandomHorizontalFlip(1), v2.ToDtype(torch.float32, scale=True)],
    "geometry": [
        v2.RandomResizedCrop((24, 24)),
        v2.RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 10),
        v2.RandomPerspective(0.4, 1),
        v2.ElasticTransform(),
        v2.RandomCrop(16, padding=8),
    ],
    "photometry": [
        v2.ToDtype(torch.float32, scale=True),
        v2.ColorJitter(0.5, 0.5, 0.5, 0.2),
        v2.RandomPhotometricDistort(p=1),
        v2.GaussianBlur(3),
        v2.Normalize([0.5, 0.4, 0.3], [0.2, 0.2, 0.2]),
    ],
    "half": [v2.ToDtype(torch.bfloat16, scale=True), v2.Normalize([0.5] * 3, [0.2] * 3)],
    "double": [v2.CenterCrop(7), v2.ToDtype(torch.float64, scale=True), v2.ToPureTensor()],
    "pil": [v2.ToPILImage(), v2.Resize(20), v2.ColorJitter(0.4)],
    "choice": [v2.RandomChoice([v2.RandomPosterize(3, 1), v2.RandomEqualize(1), v2.RandomSolarize(99, 1)])],
}


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("kind", ["unedited", "edited"])
def test_samples_are_the_same_to_the_bit_as_those_of_a_plain_dict(name, kind, request):
    sample = request.getfixturevalue(kind)
    pipeline = v2.Compose(PIPELINES[name])
    for seed in range(5):
        torch.manual_seed(seed)
        found = pipeline(sample)
        torch.manual_seed(seed)
        expected = pipeline(dict(sample))
        if name == "pil":
            found, expected = (
                {**one, **{key: v2.functional.pil_to_tensor(one[key]) for key in IMAGES}} for one in (found, expected)
            )
        assert_equal(found, expected)


def test_pictures_that_are_no_tensors_any_more_are_copied_too(unedited):
    found = v2.ToPILImage()(unedited)
    assert isinstance(found["edited_image"], PIL.Image.Image)
    assert found["edited_image"] is not found["image"]
    assert found["edited_image"].tobytes() == found["image"].tobytes()


def test_an_unedited_image_is_transformed_once_and_an_edited_sample_twice(unedited, edited):
    assert images_transformed(unedited) == 1
    assert images_transformed(dict(unedited)) == 2
    assert images_transformed(edited) == 2
    assert images_transformed(Counted()(v2.Resize(20)(unedited))) == 1


def test_the_two_images_never_share_memory(unedited):
    for sample in (unedited, v2.Resize((20, 24))(unedited), v2.Compose([v2.RandomHorizontalFlip(0)])(unedited)):
        before = sample["edited_image"].clone()
        sample["image"].add_(1)
        assert torch.equal(sample["edited_image"], before)


@pytest.mark.parametrize("key", ["image", "edited_image"])
def test_what_a_step_of_ones_own_does_to_one_image_is_kept(unedited, key):
    def paint(sample):
        sample[key].numpy()[:, 3:5, 3:5] = 7  # past torch's own count of changes
        return sample

    found = v2.Compose([v2.ToDtype(torch.uint8), paint, v2.RandomVerticalFlip(1)])(unedited)
    other = "edited_image" if key == "image" else "image"
    assert found[key].flip(1)[:, 3:5, 3:5].eq(7).all()
    assert torch.equal(found[other].flip(1), unedited[other])
    assert not torch.equal(found[other], found[key])


def test_a_picture_that_differs_in_one_bit_alone_is_transformed(unedited):
    as_float = v2.ToDtype(torch.float32, scale=True)(unedited)
    for value in (-0.0, float("nan")):
        sample = AugmentedSample(as_float)
        sample["image"] = sample["image"].clone()
        sample["edited_image"] = sample["image"].clone()
        sample["image"][0, 0, 0], sample["edited_image"][0, 0, 0] = 0.0, value
        assert images_transformed(sample) == 2


def test_an_equal_picture_of_another_class_does_not_stand_for_the_edited_image(unedited):
    class Other(tv_tensors.Image):
        pass

    found = v2.Resize(20)(AugmentedSample({"other": Other(unedited["image"]), **unedited}))
    assert type(found["edited_image"]) is tv_tensors.Image
    assert torch.equal(found["edited_image"], found["image"])


def test_noise_is_drawn_once_for_an_image_that_is_not_edited(unedited):
    found = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.GaussianNoise()])(unedited)
    assert torch.equal(found["image"], found["edited_image"])
    assert not torch.equal(found["image"] * 255, unedited["image"].float())


def test_other_names_of_the_image_and_tuples_work(editor):
    sample = scene()
    renamed = {
        "img": sample["image"],
        "saliency_map": sample["saliency_map"],
        "extra": tv_tensors.Image(sample["image"]),
    }
    augment = SaliencyDiffusionAugment(editor=editor, p=0, keys={"image": "img"})
    found = v2.Resize(20)(augment(renamed))
    assert torch.equal(found["img"], found["edited_image"])
    image, saliency_map, added = v2.Resize(20)(
        SaliencyDiffusionAugment(editor=editor, p=0)((sample["image"], sample["saliency_map"]))
    )
    assert torch.equal(image, added["edited_image"])
    assert saliency_map.shape[1:] == image.shape[1:]


def test_it_is_a_dict_and_copied_pickled_saved_or_collated_a_plain_one(unedited):
    assert isinstance(unedited, dict)
    file = io.BytesIO()
    torch.save(dict(unedited)["edit_alpha"], file)
    copies = [copy.copy(unedited), copy.deepcopy(unedited), pickle.loads(pickle.dumps(unedited)), unedited.copy()]
    for found in (*copies, default_collate([unedited, unedited]), {**unedited}):
        assert type(found) is dict
        assert list(found) == list(unedited)
    (batch,) = DataLoader([unedited], batch_size=1)
    assert type(batch) is dict


def test_a_mask_is_resized_only_where_it_is_not_empty_and_keeps_its_type(unedited, edited):
    for sample in (unedited, edited):
        found = v2.Resize((12, 16))(sample)
        assert isinstance(found["edit_mask"], EditMask)
        assert found["edit_mask"].shape == (1, 12, 16)
        assert bool(found["edit_mask"].any()) == bool(sample["is_edited"])
