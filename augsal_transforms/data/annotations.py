"""Captions and object boxes in a small index file: parsing COCO's takes hundreds of megabytes, the index a few."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from augsal_transforms.data.captions import captions_file, load_captions, to_caption
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.layouts import find_layout
from augsal_transforms.data.names import printable, to_name, without_ending
from augsal_transforms.data.outputs import refuse_foreign
from augsal_transforms.data.tables import read_json
from augsal_transforms.files import write_file

NUMBER = 12  # the last characters of a file's stem, by which annotations are found: the number in COCO's names
_PARTS: dict[str, type | tuple[type, ...]] = {
    "annotations": dict,
    "images": (str, type(None)),
    "classes": list,
    "captions": dict,
    "boxes": dict,
}


def read_index(folder: Path, split: str, path: Path, names: Iterable[str]) -> dict[str, Any]:
    """Read the index file ``path``, after making it where it is missing or out of date.

    It is out of date when the size or the modification time of an annotation file has changed, or the images have.
    Annotation files that are gone do not matter: the index replaces them. An index from ``augsal index`` serves any
    images.

    Args:
        folder: The data set's folder, with ``annotations``.
        split: ``"train"`` or ``"val"``.
        path: The index file.
        names: The images' file stems.

    Returns:
        The index as ``make_index`` returns it.

    Raises:
        ValueError: If two images have names that end alike, so that it is unclear which annotations are whose, or
            ``path`` is not an index.
        FileExistsError: If ``path`` is a link.
    """
    numbers = _numbers(names, folder)
    captions, instances = captions_file(folder, split), instances_file(folder, split)
    if path.exists():
        index = load_index(path)
        if _is_current(index, (captions, instances), numbers):
            return index
    index = make_index(captions, instances, numbers)
    write_index(index, path)
    return index


def load_index(path: Path) -> dict[str, Any]:
    """The content of an index file, checked.

    Raises:
        ValueError: If it is not an index that ``write_index`` wrote.
    """
    index = read_json(path)
    try:
        if set(index) != set(_PARTS) or not all(isinstance(index[part], kind) for part, kind in _PARTS.items()):
            raise TypeError(f"it must have the parts {', '.join(_PARTS)}")
        if not all(isinstance(text, str) for text in (*index["captions"].values(), *index["classes"])):
            raise TypeError("captions and classes must be text")
        for left, top, right, bottom, number in (row for rows in index["boxes"].values() for row in rows):
            if not all(map(math.isfinite, (left, top, right, bottom))) or number not in range(len(index["classes"])):
                raise ValueError("boxes must be four finite numbers and the number of a class")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{printable(path)} is not an index of `augsal index`: {error}. Name another file.") from error
    return dict(index)


def make_index(captions: Path | None, instances: Path | None, numbers: Iterable[str] | None = None) -> dict[str, Any]:
    """Collect the parts of the annotations that training reads.

    Args:
        captions: Captions file in COCO's or Karpathy's format, or a plain table of file stem to caption.
        instances: Object boxes in COCO's format.
        numbers: The last twelve characters of the stems of the images to keep; ``None`` keeps all.

    Returns:
        ``classes``, a list of names; ``captions`` and ``boxes`` by those twelve characters, boxes in the form of
        ``read_boxes``; ``annotations``, the size and modification time of each file; ``images``, a hash of
        ``numbers``.

    Raises:
        ValueError: If a file has another format, or a caption is of a wrong type.
    """
    boxes = read_boxes(instances)
    sentences = _read_sentences(captions) if captions else {}
    wanted = None if numbers is None else set(numbers)
    return {
        "annotations": {path.name: _stamp(path) for path in (captions, instances) if path},
        "images": None if wanted is None else _digest(wanted),
        "classes": boxes["classes"],
        "captions": {number: text for number, text in sentences.items() if wanted is None or number in wanted},
        "boxes": {number: rows for number, rows in boxes["boxes"].items() if wanted is None or number in wanted},
    }


def write_index(index: dict[str, Any], path: Path, *, overwrite: bool = False) -> None:
    """Write an index, whole or not at all; with ``overwrite`` also in the place of a file that is no index.

    Raises:
        FileExistsError: If the path is a link, or a file that is no index.
    """
    refuse_foreign(path, is_index, overwrite=overwrite)
    write_file(path, json.dumps(index).encode())


def is_index(path: Path) -> bool:
    """Whether a file is an index that ``write_index`` wrote."""
    try:
        return bool(load_index(path))
    except ValueError:
        return False


def _read_sentences(path: Path) -> dict[str, str]:
    sentences: dict[str, str] = {}
    for key, caption in load_captions(path).items():
        try:
            text = to_caption(caption, f"caption of {key}")
        except TypeError as error:
            raise ValueError(f"{printable(path)}: {error}") from error
        if text:
            sentences.setdefault(without_ending(to_name(key))[-NUMBER:], text)
    return sentences


def instances_file(folder: Path, split: str) -> Path | None:
    """The file with a folder's object boxes in COCO's format, if it has one."""
    path = folder / "annotations" / f"instances_{split}2014.json"
    return path if path.is_file() else None


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
    table = read_json(path)
    try:
        return _boxes(table)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{printable(path)} must be COCO's instances; reading it failed on {type(error).__name__}: {error}."
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
        if not all(map(math.isfinite, edges)) or min(image["width"], image["height"]) <= 0:
            raise ValueError(f"bbox {entry['bbox']} of image {entry['image_id']!r} has no finite place in its image")
        rows = boxes.setdefault(to_name(Path(image["file_name"]).stem)[-NUMBER:], [])
        rows.append([*(round(edge, 4) for edge in edges), number[entry["category_id"]]])
    return {"classes": [str(category["name"]) for category in categories], "boxes": boxes}


def _numbers(names: Iterable[str], folder: Path) -> set[str]:
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(name[-NUMBER:], name)
        if other != name:
            raise ValueError(
                f"{other!r} and {name!r} in {printable(folder)} end in the same twelve characters, by which COCO's "
                "annotations are found; rename one of them."
            )
    return set(found)


def _is_current(index: dict[str, Any], annotations: Iterable[Path | None], numbers: set[str]) -> bool:
    stamps = index["annotations"]
    if any(path and stamps.get(path.name) != _stamp(path) for path in annotations):
        return False
    return index["images"] in (None, _digest(numbers))


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
        folder: A folder of any layout, with COCO's files in ``annotations`` where it has any.
        split: ``"train"`` or ``"val"``.
        index: The index file; it is made where it is missing or out of date.
        sigma: As in ``SaliencyFolder``.

    Attributes:
        classes: Names of the classes; empty where a folder has no boxes.
    """

    def __init__(self, folder: Path, split: str = "train", *, index: Path, sigma: float | None = None) -> None:
        self.images = SaliencyFolder(folder, split, captions={}, layout=find_layout(folder, split), sigma=sigma)
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
