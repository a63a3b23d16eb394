"""Square crops of photographs at several scales, for training beside the scenes."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from augsal_transforms.data.images import read_image
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.progress import progress_bar

SIDE = 128  # px of a crop, after resizing
CROPS = 16  # of each photograph
TRAINING = 300  # photographs to train on


def training_part(names: list[str]) -> list[str]:
    """Select the photographs to train on: the first 300 by the SHA-256 of "osie" and the name."""
    return sorted(names, key=lambda name: hashlib.sha256(f"osie{name}".encode()).hexdigest())[:TRAINING]


def crop_photographs(folder: Path, path: Path, seed: int = 0) -> Tensor:
    """Draw crops of the training photographs of a data set, each resized to 128 px: (N, 3, 128, 128), uint8.

    Half of the crops have sides from two thirds of the photograph's short side up to all of it, as the editor sees
    photographs; the sides of the others start at 128 px. Sides are uniform on a logarithmic scale.

    Args:
        folder: Any data set that ``open_layout`` reads.
        path: File that keeps the crops; if it exists, they are read from it.
        seed: Seed of the crops.
    """
    if path.exists():
        crops: Tensor = torch.load(path, weights_only=True)
        return crops
    dataset, rng, drawn = open_layout(folder), np.random.default_rng(seed), []
    for name in progress_bar(training_part(dataset.names), desc="cropping photographs"):
        image = read_image(dataset.images[name]).convert("RGB")
        short = min(image.size)
        for n in range(CROPS):
            least = min(SIDE, short) if n % 2 else 2 * short / 3
            side = min(short, round(math.exp(rng.uniform(math.log(least), math.log(short)))))
            left, top = (int(rng.integers(length - side + 1)) for length in image.size)
            crop = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
            drawn.append(torch.from_numpy(np.array(crop)).permute(2, 0, 1))
    crops = torch.stack(drawn)
    torch.save(crops, path)
    return crops
