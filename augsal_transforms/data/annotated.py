"""Images with maps, captions and object boxes: SALICON with COCO's annotations, read once into a small index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from augsal_transforms.data.folders import SaliencyFolder, read_captions


def read_boxes(folder: Path, split: str) -> dict[str, Any]:
    """Object boxes of ``annotations/instances_{split}2014.json``, COCO's format, crowds left out.

    COCO's category numbers have gaps; here classes are numbered from 0 in their order. Areas of interest
    are always boxes of objects, so there is no class for the background.

    Returns:
        ``classes``, a list of names, and ``boxes``: by the last twelve characters of the file's stem, which
        is the number in COCO's names, rows of left, top, right and bottom as shares of the image, and class.
    """
    path = folder / "annotations" / f"instances_{split}2014.json"
    if not path.exists():
        return {"classes": [], "boxes": {}}
    table = json.loads(path.read_text())
    categories = sorted(table["categories"], key=lambda category: category["id"])
    number = {category["id"]: n for n, category in enumerate(categories)}
    images = {image["id"]: image for image in table["images"]}
    boxes: dict[str, list[list[float]]] = {}
    for entry in table["annotations"]:
        if entry.get("iscrowd"):
            continue
        image, (x, y, width, height) = images[entry["image_id"]], entry["bbox"]
        edges = x / image["width"], y / image["height"], (x + width) / image["width"], (y + height) / image["height"]
        rows = boxes.setdefault(Path(image["file_name"]).stem[-12:], [])
        rows.append([*(round(edge, 4) for edge in edges), number[entry["category_id"]]])
    return {"classes": [category["name"] for category in categories], "boxes": boxes}


def read_index(folder: Path, split: str, path: Path) -> dict[str, Any]:
    """What is needed of the annotations, from the index file ``path``; it is written where there is none.

    COCO's files take hundreds of megabytes to parse; the index of SALICON's images takes a few. Delete it
    when the annotations change.

    Raises:
        ValueError: If two images have names that end alike, so that it is unclear which annotations are whose.
    """
    if path.exists():
        index: dict[str, Any] = json.loads(path.read_text())
        return index
    stems = SaliencyFolder(folder, split, captions={}).names
    names = {stem[-12:]: stem for stem in stems}
    if len(names) < len(stems):
        twice = next(stem for stem in stems if names[stem[-12:]] != stem)
        raise ValueError(
            f"{twice!r} and {names[twice[-12:]]!r} in {folder} end in the same twelve characters, by which COCO's "
            "annotations are found; rename one of them."
        )
    read = read_boxes(folder, split)
    captions = {stem[-12:]: caption for stem, caption in read_captions(folder, split).items()}
    index = {
        "classes": read["classes"],
        "captions": {name: captions[key] for key, name in names.items() if key in captions},
        "boxes": {name: read["boxes"][key] for key, name in names.items() if key in read["boxes"]},
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(index))
    partial.replace(path)
    return index


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
        table = read_index(folder, split, index)
        self.images = SaliencyFolder(folder, split, captions=table["captions"])
        self.boxes, self.classes = table["boxes"], tuple(table["classes"])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = self.images[index]
        rows = torch.tensor(self.boxes.get(sample["image_id"], []), dtype=torch.float32).view(-1, 5)
        return {**sample, "boxes": rows[:, :4], "classes": rows[:, 4].long()}
