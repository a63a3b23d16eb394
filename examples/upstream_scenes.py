"""Six procedural scenes in an upstream's layout, and a store of their edits, for the examples' ``--smoke``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from augsal_transforms import Brightness, Contrast, EditStore, SaliencyEditor
from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
from augsal_transforms.data.observer import blur_fixations, fixate
from augsal_transforms.data.scenes import render_scene
from augsal_transforms.identity import editor_identity
from augsal_transforms.records import EditKey

SIZE = (480, 640)  # SALICON's


def write_scenes(folder: Path, *, images: str, fixations: str, ending: str = ".jpg") -> Path:
    """Write ``data`` and ``edits`` into a folder; returns the first. ``{split}`` stands for train and val."""
    editor = SaliencyEditor.from_pretrained("bundled")
    store = EditStore(folder / "edits")
    for number, split in enumerate(["train"] * 4 + ["val"] * 2):
        scene = render_scene(number, seed=77)
        name = f"COCO_{split}2014_{number:012d}"
        points = fixate(scene.image, scene.objects, seed=number)
        points = (points * torch.tensor([SIZE[1] / 128, SIZE[0] / 128])).long()
        fixation_map = torch.zeros(1, *SIZE, dtype=torch.uint8)
        fixation_map[0, points[:, 1], points[:, 0]] = 255
        image, saliency_map = (
            folder / "data" / images.format(split=split) / f"{name}{ending}",
            folder / "data" / "maps" / split / f"{name}.png",
        )
        for path, picture in (
            (image, functional.resize(scene.image, SIZE)),
            (saliency_map, blur_fixations(points, SIZE)),
            (folder / "data" / fixations.format(split=split) / f"{name}.png", fixation_map),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            functional.to_pil_image(picture).save(path)
        if split == "train":
            _store_edits(store, editor, image, saliency_map, scene.caption)
    return folder / "data"


def _store_edits(store: EditStore, editor: SaliencyEditor, path: Path, saliency_map_path: Path, prompt: str) -> None:
    """Edit the image as it is on disk: edits are found by its pixels."""
    image = to_rgb_image(read_image(path)).as_subclass(Tensor)
    saliency_map = to_saliency_map(read_image(saliency_map_path), SIZE).as_subclass(Tensor)
    for edit in (Contrast(1.5), Brightness(0.15)):
        (result,) = editor.edit([image], [saliency_map], [prompt], [edit], seed=0)
        key = EditKey.of(image, saliency_map, prompt, edit, seed=0, editor=editor_identity(editor))
        store.put(key, image, result, source=path.stem)
