import os

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

SIZE = (64, 64)


class SaliconDataset(DataLoader):
    """In a module that the script does not import by this name."""

    def __init__(self, img_dir, gt_dir, fix_dir, img_ids, exten=".png"):
        self.img_dir, self.gt_dir, self.fix_dir, self.img_ids, self.exten = img_dir, gt_dir, fix_dir, img_ids, exten
        self.img_transform = transforms.Compose(
            [transforms.Resize(SIZE), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
        )

    def __getitem__(self, idx):
        name = self.img_ids[idx]
        img = self.img_transform(Image.open(os.path.join(self.img_dir, name + ".jpg")).convert("RGB"))
        gt = np.array(Image.open(os.path.join(self.gt_dir, name + self.exten)).convert("L").resize(SIZE)) / 255
        fixations = (np.array(Image.open(os.path.join(self.fix_dir, name + self.exten)).convert("L")) > 0.5).astype(
            "float"
        )
        assert np.max(fixations) == 1.0
        return img, torch.FloatTensor(gt), torch.FloatTensor(fixations)  # fixations at their own resolution

    def __len__(self):
        return len(self.img_ids)
