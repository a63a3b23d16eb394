"""Samples and data sets that worker processes can import, however they are started."""

import os

import PIL.Image
import torch
from hypothesis import settings
from torch.utils.data import Dataset
from torchvision.transforms.functional import to_tensor

from augsal_transforms.adapters._dataset import pack

THOROUGHLY = settings(max_examples=2000 if os.environ.get("AUGSAL_SLOW") else 100, deadline=None)


def scene(index=0, size=(32, 40)):
    generator = torch.Generator().manual_seed(index)
    image = (
        (torch.rand(3, 4, 5, generator=generator) * 200 + 20)
        .repeat_interleave(8, 1)
        .repeat_interleave(8, 2)
        .to(torch.uint8)
    )
    saliency_map = torch.zeros(1, *size)
    saliency_map[:, 8:24, 8:24] = 1
    return {
        "image": image,
        "saliency_map": saliency_map,
        "prompt": "a red dog on the street",
        "image_id": f"scene-{index}",
    }


def scene_image(index):
    return scene(index)["image"]


class Scenes(Dataset):
    def __init__(self, augment, count=8):
        self.augment, self.count = augment, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.augment(scene(index))


def draw(augment, image_id):
    """The edit and the seed that an augmentation draws for an image, or None."""
    generator = augment._toss(image_id)
    if generator is None:
        return None
    (edit,), seed = augment._source.draw(generator)
    return edit, seed


def refusal(call):
    """The message of the ValueError or TypeError that a call raises, or ""."""
    try:
        call()
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


class Draws(Dataset):
    def __init__(self, augment):
        self.augment = augment

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return str(draw(self.augment, str(index)))


class Photos(Dataset):
    """Images (3, H, W) in [0, 1] from a folder, each with its number."""

    def __init__(self, folder, count):
        self.folder, self.count = folder, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return to_tensor(PIL.Image.open(photo_path(self, index))), index


def photo_path(dataset, index):
    return dataset.folder / f"photo-{index}.png"


def carry(dataset, item, edit):
    image, *rest = item
    return (pack(image) if edit is None else pack(image, edit.image / 255, edit.edit_mask), *rest)
