"""Captions and object boxes in a small file: COCO's take hundreds of megabytes to parse, this a few."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from augsal_transforms.data.folders import SaliencyFolder, captions_file, load_captions

NUMBER = 12  # the last characters of a file's stem, by which annotations are found: the number in COCO's names


def read_index(folder: Path, split: str, path: Path, names: Iterable[str]) -> dict[str, Any]:
    """The index file ``path``; made, or made again where the annotations or the images are others than its own.

    Annotations are others when their size or time of change is. Those that are not there any more are no
    reason: the index is what is left of them. One written by ``augsal index`` serves any images.

    Args:
        folder: The data set's folder, with ``annotations``.
        split: ``"train"`` or ``"val"``.
        path: Where the index lies or is to be written.
        names: The images' file stems.

    Returns:
        As ``make_index`` does.

    Raises:
        ValueError: If two images have names that end alike, so that it is unclear which annotations are whose.
    """
    numbers = _numbers(names, folder)
    captions, instances = captions_file(folder, split), instances_file(folder, split)
    if path.exists():
        index: dict[str, Any] = json.loads(path.read_text())
        if _is_current(index, (captions, instances), numbers):
            return index
    index = make_index(captions, instances, numbers)
    write_index(index, path)
    return index


def make_index(captions: Path | None, instances: Path | None, numbers: Iterable[str] | None = None) -> dict[str, Any]:
    """What is needed of the annotations.

    Args:
        captions: COCO's format, or a plain table of file stem to caption.
        instances: COCO's format.
        numbers: Only these images, by the last twelve characters of their stems; ``None`` takes all.

    Returns:
        ``classes``, a list of names; ``captions`` and ``boxes`` by those twelve characters, boxes as
        ``read_boxes`` has them; ``annotations``, each file's size and time of change; ``images``, a hash of
        ``numbers``.
    """
    boxes = read_boxes(instances)
    sentences = {stem[-NUMBER:]: caption for stem, caption in load_captions(captions).items()} if captions else {}
    wanted = None if numbers is None else set(numbers)
    return {
        "annotations": {path.name: _stamp(path) for path in (captions, instances) if path},
        "images": None if wanted is None else _digest(wanted),
        "classes": boxes["classes"],
        "captions": {number: text for number, text in sentences.items() if wanted is None or number in wanted},
        "boxes": {number: rows for number, rows in boxes["boxes"].items() if wanted is None or number in wanted},
    }


def write_index(index: dict[str, Any], path: Path) -> None:
    """Write an index so that readers find it whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(index))
    partial.replace(path)


def instances_file(folder: Path, split: str) -> Path | None:
    """Where a folder keeps COCO's object boxes, if it has any."""
    path = folder / "annotations" / f"instances_{split}2014.json"
    return path if path.exists() else None


def read_boxes(path: Path | None) -> dict[str, Any]:
    """Object boxes of a file in COCO's format, crowds left out; none for ``None``.

    COCO's category numbers have gaps; here classes are numbered from 0 in their order. Areas of interest
    are always boxes of objects, so there is no class for the background.

    Returns:
        ``classes``, a list of names, and ``boxes``: by the last twelve characters of the file's stem, which
        is the number in COCO's names, rows of left, top, right and bottom as shares of the image, and class.

    Raises:
        ValueError: If the file has another format.
    """
    if path is None:
        return {"classes": [], "boxes": {}}
    try:
        return _boxes(json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be COCO's instances; reading it failed on {type(error).__name__}: {error}."
        ) from error


def _boxes(table: dict[str, Any]) -> dict[str, Any]:
    categories = sorted(table["categories"], key=lambda category: category["id"])
    number = {category["id"]: n for n, category in enumerate(categories)}
    images = {image["id"]: image for image in table["images"]}
    boxes: dict[str, list[list[float]]] = {}
    for entry in table["annotations"]:
        if entry.get("iscrowd"):
            continue
        image, (x, y, width, height) = images[entry["image_id"]], entry["bbox"]
        edges = x / image["width"], y / image["height"], (x + width) / image["width"], (y + height) / image["height"]
        rows = boxes.setdefault(Path(image["file_name"]).stem[-NUMBER:], [])
        rows.append([*(round(edge, 4) for edge in edges), number[entry["category_id"]]])
    return {"classes": [category["name"] for category in categories], "boxes": boxes}


def _numbers(names: Iterable[str], folder: Path) -> set[str]:
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(name[-NUMBER:], name)
        if other != name:
            raise ValueError(
                f"{other!r} and {name!r} in {folder} end in the same twelve characters, by which COCO's "
                "annotations are found; rename one of them."
            )
    return set(found)


def _is_current(index: dict[str, Any], annotations: Iterable[Path | None], numbers: set[str]) -> bool:
    stamps = index.get("annotations", {})
    if any(path and stamps.get(path.name) != _stamp(path) for path in annotations):
        return False
    return "images" in index and index["images"] in (None, _digest(numbers))


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _digest(numbers: set[str]) -> str:
    return hashlib.sha256("\n".join(sorted(numbers)).encode()).hexdigest()[:16]


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
