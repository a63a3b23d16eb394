"""Samples and data sets that worker processes can import, however they are started."""

import torch
from torch.utils.data import Dataset


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


class Scenes(Dataset):
    def __init__(self, augment, count=8):
        self.augment, self.count = augment, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.augment(scene(index))


class Draws(Dataset):
    def __init__(self, augment):
        self.augment = augment

    def __len__(self):
        return 6

    def __getitem__(self, index):
        edit, _ = self.augment._draw(str(index))
        return "none" if edit is None else str(edit)
