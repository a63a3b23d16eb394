"""Scenes as a data set on disk: SALICON's folders with annotation files in the formats of COCO and SALICON."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms.files import write_file
from augsal_transforms.scenes.observer import blur_fixations, fixate
from augsal_transforms.scenes.scenes import check_scenes, render_scene, series_of, viewers_of
from augsal_transforms.scenes.shapes import CATEGORIES

JPEG_QUALITY = 95
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ANNOTATIONS = ("captions", "instances", "fixations")


def write_scenes(
    folder: str | Path,
    count: int,
    *,
    split: str = "train",
    seed: int = 0,
    start: int = 0,
    size: int = 128,
    progress: Callable[[Sequence[int]], Any] = iter,
) -> None:
    """Render scenes into a folder that every reader of SALICON and COCO understands.

    Writes ``images/{split}/NAME.jpg``, ``maps/{split}/NAME.png`` and, in ``annotations``,
    ``captions_{split}2014.json`` and ``instances_{split}2014.json`` (COCO's formats; masks as run lengths)
    and ``fixations_{split}2014.json`` (SALICON's: one-based [row, column]). Splits can share a folder; each is a
    series of its own, so that no scene is in two. A run that was interrupted is resumed by the same call.

    Args:
        folder: The folder to write; it is made where it does not exist.
        count: Number of scenes, at least 1.
        split: ``"train"``, ``"val"``, or another name of letters, digits, ``-`` and ``_``.
        seed: The seed of the series (``series_of``); the bundled editor was trained on ``"train"`` of seed 1.
        start: The first scene's index, at least 0.
        size: Height and width in pixels, at least 8.
        progress: Wrapper of the scenes' numbers that is iterated over, such as ``tqdm``.

    Raises:
        FileExistsError: If the folder has this split already, an unfinished run of other numbers, or a link in a place
            that would be written to.
        TypeError: If a number is not an int.
        ValueError: If a number is too small, or the split has another name.
    """
    if not isinstance(split, str) or not _PLAIN_NAME.fullmatch(split):
        raise ValueError(
            f"`split` must be a name of letters, digits, - and _, such as 'train' or 'val', got {split!r}."
        )
    check_scenes(count=count, seed=seed, start=start, size=size)
    settings = {"split": split, "seed": seed, "start": start, "count": count, "size": size}
    folder = Path(folder)
    journal = folder / "annotations" / f"scenes_{split}.incomplete"
    _refuse_links(folder, split, journal)
    written = _resume(journal, settings) if journal.exists() else _begin(folder, journal, settings)
    with journal.open("a") as file:
        for number in progress(range(start + len(written), start + count)):
            written.append(_write_scene(folder, split, seed, number, size))
            file.write(json.dumps(written[-1]) + "\n")
            file.flush()
    for kind, table in _tables(written, size).items():
        write_file(_table_path(folder, split, kind), json.dumps(table).encode())
    journal.unlink()


def _table_path(folder: Path, split: str, kind: str) -> Path:
    return folder / "annotations" / f"{kind}_{split}2014.json"


def _refuse_links(folder: Path, split: str, journal: Path) -> None:
    parts = [folder / part for part in ("images", "maps", "annotations", f"images/{split}", f"maps/{split}")]
    for path in [*parts, journal, *(_table_path(folder, split, kind) for kind in _ANNOTATIONS)]:
        if path.is_symlink():
            raise FileExistsError(f"{path} is a link, and scenes are not written through links; remove it.")


def _begin(folder: Path, journal: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the folders of a split that is not there yet, and its journal: the settings, then a line for each scene."""
    split = settings["split"]
    outputs = [folder / "images" / split, folder / "maps" / split, journal]
    for path in [*outputs, *(_table_path(folder, split, kind) for kind in _ANNOTATIONS)]:
        if path.exists():
            raise FileExistsError(f"{path} exists already. Name another folder or split.")
    write_file(journal, (json.dumps(settings) + "\n").encode())
    for path in outputs[:2]:
        path.mkdir(parents=True)
    return []


def _resume(journal: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The scenes that an interrupted run of the same settings finished; a line cut off in writing is removed."""
    lines = journal.read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    try:
        begun, *written = [json.loads(line) for line in whole]
    except ValueError as error:
        raise ValueError(f"{journal} cannot be read: {error}. Remove this split and run again.") from error
    if begun != settings:
        raise FileExistsError(
            f"{journal} is an unfinished run with {begun}; run it again with these, or remove this split's folders."
        )
    if len(whole) < len(lines):
        write_file(journal, b"".join(whole))
    return written


def _write_scene(folder: Path, split: str, seed: int, number: int, size: int) -> dict[str, Any]:
    """Write a scene's image and map; returns what the annotation files say of it."""
    scene = render_scene(number, series_of(seed, split), size)
    name = f"scene_{seed if split == 'train' else f'{seed}-{split}'}_{number:012d}"
    points = fixate(scene.image, scene.objects, seed=viewers_of(number, seed, split))
    picture, saliency_map = io.BytesIO(), io.BytesIO()
    to_pil_image(scene.image).save(picture, "jpeg", quality=JPEG_QUALITY)
    to_pil_image(blur_fixations(points, (size, size))).save(saliency_map, "png")
    write_file(folder / "images" / split / f"{name}.jpg", picture.getvalue())
    write_file(folder / "maps" / split / f"{name}.png", saliency_map.getvalue())
    instances = [
        {
            "category_id": CATEGORIES[thing.kind],
            "bbox": list(thing.box),
            "area": int(thing.mask.sum()),
            "segmentation": {"size": [size, size], "counts": run_lengths(thing.mask)},
            "iscrowd": 0,
        }
        for thing in scene.objects
    ]
    rows = (points.flip(1) + 1).tolist()
    return {
        "number": number,
        "file_name": f"{name}.jpg",
        "caption": scene.caption,
        "fixations": rows,
        "instances": instances,
    }


def _tables(written: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """The annotation files' contents, in the formats of COCO and SALICON."""
    images = [{"id": s["number"], "file_name": s["file_name"], "height": size, "width": size} for s in written]
    captions = [{"id": s["number"], "image_id": s["number"], "caption": s["caption"]} for s in written]
    fixations = [
        {"id": s["number"], "image_id": s["number"], "worker_id": 0, "fixations": s["fixations"]} for s in written
    ]
    objects = [(scene["number"], instance) for scene in written for instance in scene["instances"]]
    instances = [{"id": n, "image_id": number, **instance} for n, (number, instance) in enumerate(objects, start=1)]
    categories = [{"id": number, "name": kind} for kind, number in CATEGORIES.items()]
    return {
        "captions": {"images": images, "annotations": captions},
        "instances": {"images": images, "annotations": instances, "categories": categories},
        "fixations": {"images": images, "annotations": fixations},
    }


def run_lengths(mask: Tensor) -> list[int]:
    """A mask (H, W) bool as COCO's run lengths: column by column, of zeros first, then of ones, in turn."""
    flat = torch.cat([torch.zeros(1, dtype=torch.bool), mask.T.flatten()])
    changes = (flat[1:] != flat[:-1]).nonzero()[:, 0].tolist()
    edges = [0, *changes, mask.numel()]
    return [end - begin for begin, end in pairwise(edges)]
