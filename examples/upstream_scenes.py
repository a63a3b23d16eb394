"""Write six procedural scenes in an upstream's layout, and a store of their edits, for ``--smoke``."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torchvision.transforms.v2 import functional

from augsal_transforms import EditStore, SaliencyEditor
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.generate.generation import Generation
from augsal_transforms.progress import progress_bar
from augsal_transforms.scenes.observer import blur_fixations, fixate
from augsal_transforms.scenes.scenes import render_scene

SIZE = (480, 640)  # SALICON's


def write_scenes(folder: Path, *, images: str, fixations: str, ending: str = ".jpg") -> Path:
    """Write ``data`` and ``edits`` into a folder and return the path of ``data``; ``{split}`` is train or val."""
    captions = {}
    for number, split in enumerate(["train"] * 4 + ["val"] * 2):
        scene = render_scene(number, seed=77)
        name = f"COCO_{split}2014_{number:012d}"
        captions[name] = scene.caption
        points = fixate(scene.image, scene.objects, seed=number)
        points = (points * torch.tensor([SIZE[1] / 128, SIZE[0] / 128])).long()
        fixation_map = torch.zeros(1, *SIZE, dtype=torch.uint8)
        fixation_map[0, points[:, 1], points[:, 0]] = 255
        for path, picture in (
            (f"{images}/{name}{ending}", functional.resize(scene.image, SIZE)),
            (f"maps/{{split}}/{name}.png", blur_fixations(points, SIZE)),
            (f"{fixations}/{name}.png", fixation_map),
        ):
            file = folder / "data" / path.format(split=split)
            file.parent.mkdir(parents=True, exist_ok=True)
            functional.to_pil_image(picture).save(file)
    (folder / "data" / "captions.json").write_text(json.dumps(captions))
    dataset = open_layout(folder / "data")
    generation = Generation(SaliencyEditor.from_pretrained("bundled"), EditStore(folder / "edits"), dataset)
    with progress_bar(total=len(dataset), unit="image", desc="edits") as shown:
        generation.run(dataset.names, shown.update)
    return folder / "data"
