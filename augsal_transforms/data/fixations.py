"""Fixations: SALICON's JSON release of them, and as a map of counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augsal_transforms.data.folders import SaliencyFolder


def count_fixations(fixations: Tensor, size: tuple[int, int]) -> Tensor:
    """How often each pixel was fixated.

    Args:
        fixations: (N, 2) points (x, y), whole pixels from 0 inside the image.
        size: (H, W).

    Returns:
        (1, H, W) int64.
    """
    height, width = size
    places = fixations[:, 1] * width + fixations[:, 0]
    return torch.bincount(places, minlength=height * width).view(1, height, width)


def read_json_fixations(path: Path) -> dict[str, Tensor]:
    """Fixations of all viewers by file stem, (N, 2) points (x, y) from 0, of SALICON's JSON format.

    The file's are one-based [row, column]; those that fall outside of the image are moved to its edge.
    """
    table = json.loads(path.read_text())
    images = {image["id"]: image for image in table["images"]}
    rows: dict[int, list[Any]] = {}
    for entry in table["annotations"]:
        rows.setdefault(entry["image_id"], []).extend(entry["fixations"])
    found = {}
    for number, points in rows.items():
        image = images[number]
        edge = torch.tensor([image["width"] - 1, image["height"] - 1])
        places = torch.tensor(points, dtype=torch.long).view(-1, 2).flip(1) - 1
        found[Path(image["file_name"]).stem] = places.clamp(min=torch.zeros(2, dtype=torch.long), max=edge)
    return found


class FixatedFolder(SaliencyFolder):
    """A ``SaliencyFolder`` with ``annotations/fixations_{split}2014.json``, as ``fixations(name)`` gives it.

    Args:
        folder: The data set's folder.
        split: ``"train"`` or ``"val"``.
        captions: As in ``SaliencyFolder``.
    """

    def __init__(self, folder: str | Path, split: str = "train", *, captions: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, split, captions=captions)
        path = self.folder / "annotations" / f"fixations_{split}2014.json"
        self._fixations = read_json_fixations(path) if path.exists() else {}

    def fixations(self, name: str) -> Tensor:
        """(N, 2) points (x, y) in pixels from 0; none where the file has none."""
        return self._fixations.get(name, torch.zeros(0, 2, dtype=torch.long))
