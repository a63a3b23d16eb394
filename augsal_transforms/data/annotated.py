"""Images with maps, captions and object boxes: SALICON with COCO's annotations, read once into a small index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.index import NUMBER, read_index


class AnnotatedFolder(Dataset[dict[str, Any]]):
    """``SaliencyFolder`` with object boxes.

    Each sample is a ``SaliencyFolder``'s with ``boxes`` (N, 4), left, top, right and bottom as shares of the
    image, and ``classes`` (N,), int64.

    Args:
        folder: A folder in SALICON's layout with ``annotations``.
        split: ``"train"`` or ``"val"``.
        index: Where the index file lies or is to be written.

    Attributes:
        classes: Names of the classes; empty where a folder has no boxes.
    """

    def __init__(self, folder: Path, split: str = "train", *, index: Path) -> None:
        self.images = SaliencyFolder(folder, split, captions={})
        table = read_index(folder, split, index, self.images.names)
        numbers = {name: name[-NUMBER:] for name in self.images.names}
        captions = table["captions"]
        self.images.captions = {name: captions[number] for name, number in numbers.items() if number in captions}
        self.boxes = {name: table["boxes"].get(number, []) for name, number in numbers.items()}
        self.classes = tuple(table["classes"])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.images[index]
        rows = torch.tensor(self.boxes[sample["image_id"]], dtype=torch.float32).view(-1, 5)
        return {**sample, "boxes": rows[:, :4], "classes": rows[:, 4].long()}
