import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import functional

from .config import Configured


class SALICONDataset(Dataset, Configured):
    def __init__(self, phase="train", out_size=(32, 40), target_size=(48, 64)):
        self.phase, self.out_size, self.target_size = phase, out_size, target_size
        self.split = "val" if phase == "valid" else phase
        self.file_stem, self.file_nr = f"COCO_{self.split}2014_", "{:012d}"
        self.samples = sorted(int(file.stem[-12:]) for file in (self.dir / "images").glob(f"{self.file_stem}*.jpg"))

    @property
    def dir(self):
        return Path(os.environ["SALICON_DATA_DIR"])

    def __len__(self):
        return len(self.samples)

    def preprocess(self, picture, data="img"):
        tensor = functional.to_tensor(Image.fromarray(picture))
        if data == "img":
            return functional.normalize(functional.resize(tensor, self.out_size), [0.45] * 3, [0.22] * 3)
        return tensor / tensor.sum() if data == "sal" else tensor > 0.5

    def __getitem__(self, index):
        name = self.file_stem + self.file_nr.format(self.samples[index])
        image = np.array(Image.open(self.dir / "images" / f"{name}.jpg").convert("RGB"))
        sal, fix = (
            np.array(Image.open(self.dir / kind / self.split / f"{name}.png")) for kind in ("maps", "fixations")
        )
        parts = [self.preprocess(picture, data) for picture, data in ((image, "img"), (sal, "sal"), (fix, "fix"))]
        return [[1], *parts, self.target_size]


class DHF1KDataset(Dataset, Configured):
    """Clips of three frames, made up."""

    def __init__(self, phase="train", target_size=(24, 32)):
        self.phase, self.target_size = phase, target_size

    def __len__(self):
        return 4

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        clip = torch.randn(3, 3, 32, 40, generator=generator)
        sal = torch.rand(3, 1, *self.target_size, generator=generator)
        return [[1, 2, 3], clip, sal / sal.sum((-2, -1), keepdim=True), sal > 0.9, self.target_size]
