import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from augsal_transforms import EditMask, SaliencyMap

GEOMETRY = [
    v2.Resize((24, 40)),
    v2.Resize(20),
    v2.RandomResizedCrop((32, 32)),
    v2.RandomCrop(30),
    v2.CenterCrop(20),
    v2.RandomHorizontalFlip(p=1),
    v2.RandomVerticalFlip(p=1),
    v2.RandomRotation(40, interpolation=v2.InterpolationMode.BILINEAR),
    v2.RandomAffine(30, (0.2, 0.2), (0.7, 1.3), 10, interpolation=v2.InterpolationMode.BILINEAR),
    v2.RandomPerspective(p=1),
    v2.ElasticTransform(20.0),
    v2.Pad(5),
    v2.RandomCrop(60, pad_if_needed=True),
]


@pytest.mark.parametrize("transform", GEOMETRY, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("kind", [SaliencyMap, EditMask])
def test_maps_move_exactly_as_the_image_does(transform, kind):
    pixels = torch.rand(1, 48, 64)
    image, field = transform(tv_tensors.Image(pixels.expand(3, -1, -1)), kind(pixels))
    assert type(field) is kind
    assert torch.equal(field.as_subclass(torch.Tensor), image[:1].as_subclass(torch.Tensor))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("transform", GEOMETRY, ids=lambda t: type(t).__name__)
def test_an_empty_mask_moves_as_an_empty_image_does(transform, dtype):
    empty = torch.zeros(1, 48, 64, dtype=dtype)
    image, edit_mask = transform(tv_tensors.Image(empty), EditMask(empty))
    assert type(edit_mask) is EditMask
    assert torch.equal(edit_mask.as_subclass(torch.Tensor), image.as_subclass(torch.Tensor))
    assert (edit_mask.dtype, edit_mask.device) == (image.dtype, image.device)
    edit_mask += 1  # it has memory of its own, also where a transform passes it on
    assert edit_mask.min() == 1


@pytest.mark.parametrize("transform", GEOMETRY, ids=lambda t: type(t).__name__)
def test_maps_without_a_channel_move_too(transform):
    moved = transform(SaliencyMap(torch.rand(48, 64)))
    assert moved.ndim == 2
    assert type(moved) is SaliencyMap


def kld(field, reference):
    field, reference = (x.flatten() / x.sum() for x in (field, reference))
    return (reference * (1e-12 + reference / (field + 1e-12)).log()).sum().item()


def test_resizing_keeps_the_distribution_where_a_plain_mask_loses_it():
    y, x = torch.linspace(-1, 1, 256)[:, None], torch.linspace(-1, 1, 256)[None]
    blobs = [torch.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.01) for a, b in ((0.1, 0.2), (-0.5, 0.3), (0.4, -0.6))]
    field = sum(blobs)[None]
    reference = torch.nn.functional.adaptive_avg_pool2d(field, 64)
    assert kld(v2.Resize((64, 64))(SaliencyMap(field)), reference) < 1e-3
    assert kld(v2.Resize((64, 64))(tv_tensors.Mask(field)), reference) > 5e-3


@pytest.mark.parametrize(
    "transform", [v2.Pad(4, fill=127), v2.Pad(4, fill=[1, 2, 3]), v2.RandomRotation((30, 31), fill=127)]
)
def test_what_comes_in_from_outside_the_picture_is_not_salient(transform):
    image, field = transform(tv_tensors.Image(torch.full((3, 16, 16), 50)), SaliencyMap(torch.full((1, 16, 16), 0.5)))
    assert field.shape[-2:] == image.shape[-2:]
    assert field[0, 0, 0] == 0
    assert field.max() <= 0.5


@pytest.mark.parametrize("kind", [SaliencyMap, EditMask])
def test_photometric_transforms_leave_maps_alone(kind):
    field = kind(torch.rand(1, 8, 8))
    jitter = v2.Compose([v2.ColorJitter(0.5, 0.5, 0.5), v2.Normalize([0.5] * 3, [0.5] * 3), v2.GaussianBlur(3)])
    _, after = jitter(tv_tensors.Image(torch.rand(3, 8, 8)), field)
    assert torch.equal(after, field)


def test_photometric_transforms_act_alike_on_both_images():
    pixels = torch.rand(3, 8, 8)
    jitter = v2.ColorJitter(0.5, 0.5, 0.5, 0.2)
    first, second = jitter(tv_tensors.Image(pixels), tv_tensors.Image(pixels.clone()))
    assert torch.equal(first, second)
