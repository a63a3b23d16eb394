"""Scenes as a data set on disk: SALICON's folders with annotation files in the formats of COCO and SALICON."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from augsal_transforms.scenes.observer import blur_fixations, fixate
from augsal_transforms.scenes.scenes import render_scene
from augsal_transforms.scenes.shapes import CATEGORIES

JPEG_QUALITY = 95


def write_scenes(
    folder: Path, count: int, *, split: str = "train", seed: int = 0, start: int = 0, size: int = 128
) -> None:
    """Render scenes into a folder that every reader of SALICON and COCO understands.

    Writes ``images/{split}/NAME.jpg``, ``maps/{split}/NAME.png`` and, in ``annotations``,
    ``captions_{split}2014.json`` and ``instances_{split}2014.json`` (COCO's formats; masks as run lengths)
    and ``fixations_{split}2014.json`` (SALICON's: one-based [row, column]). Splits can share a folder.

    Args:
        folder: Made where it does not exist.
        count: How many scenes.
        split: ``"train"`` or ``"val"``.
        seed: The series; the bundled editor was trained on series 1.
        start: The first scene's index.
        size: Height and width in pixels.

    Raises:
        FileExistsError: If the folder has this split already.
    """
    if (folder / "images" / split).exists():
        raise FileExistsError(f"{folder / 'images' / split} exists already; name another `folder` or `split`.")
    for part in (folder / "images" / split, folder / "maps" / split, folder / "annotations"):
        part.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    fixations: list[dict[str, Any]] = []
    for number in range(start, start + count):
        scene, name = render_scene(number, seed, size), f"scene_{seed}_{number:012d}"
        points = fixate(scene.image, scene.objects, seed=number)
        to_pil_image(scene.image).save(folder / "images" / split / f"{name}.jpg", quality=JPEG_QUALITY)
        to_pil_image(blur_fixations(points, (size, size))).save(folder / "maps" / split / f"{name}.png")
        images.append({"id": number, "file_name": f"{name}.jpg", "height": size, "width": size})
        captions.append({"id": number, "image_id": number, "caption": scene.caption})
        rows = (points.flip(1) + 1).tolist()
        fixations.append({"id": number, "image_id": number, "worker_id": 0, "fixations": rows})
        for thing in scene.objects:
            instances.append(
                {
                    "id": len(instances) + 1,
                    "image_id": number,
                    "category_id": CATEGORIES[thing.kind],
                    "bbox": list(thing.box),
                    "area": int(thing.mask.sum()),
                    "segmentation": {"size": [size, size], "counts": run_lengths(thing.mask)},
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": kind} for kind, number in CATEGORIES.items()]
    for kind, table in (
        ("captions", {"images": images, "annotations": captions}),
        ("instances", {"images": images, "annotations": instances, "categories": categories}),
        ("fixations", {"images": images, "annotations": fixations}),
    ):
        (folder / "annotations" / f"{kind}_{split}2014.json").write_text(json.dumps(table))


def run_lengths(mask: Tensor) -> list[int]:
    """A mask (H, W) bool as COCO's run lengths: column by column, of zeros first, then of ones, in turn."""
    flat = torch.cat([torch.zeros(1, dtype=torch.bool), mask.T.flatten()])
    changes = (flat[1:] != flat[:-1]).nonzero()[:, 0].tolist()
    edges = [0, *changes, mask.numel()]
    return [end - begin for begin, end in pairwise(edges)]
