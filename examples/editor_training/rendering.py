"""Render the training scenes of the bundled editor, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from augsal_transforms.progress import progress_bar
from augsal_transforms.scenes.scenes import render_scene

SEED = 1  # series of the training scenes
HELD_OUT = 50_000  # no editor is trained on scenes of the series from this number on
MAX_NAMED, GRID = 3, 16


class CaptionedScenes(Dataset[dict[str, Any]]):
    """Pixels and caption of each scene, and the masks of its named objects on a 16×16 grid."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        scene = render_scene(index, SEED)
        named = [thing for thing in scene.objects if thing.named]
        masks = torch.zeros(MAX_NAMED, GRID, GRID)
        for slot, thing in enumerate(named):
            masks[slot] = F.adaptive_avg_pool2d(thing.mask[None].float(), GRID)[0]
        words = [thing.kind for thing in named]
        return {"image": scene.image, "caption": scene.caption, "words": words, "masks": (masks * 255).byte()}


def render_training_scenes(count: int, path: Path) -> dict[str, Any]:
    """Render ``image`` (N, 3, 128, 128) and ``masks`` (N, 3, 16, 16), uint8, with lists of captions and words."""
    if path.exists():
        return torch.load(path, weights_only=True)
    loader = DataLoader(CaptionedScenes(count), batch_size=64, num_workers=2, collate_fn=_collate)
    batches = list(progress_bar(loader, desc="rendering scenes"))
    scenes: dict[str, Any] = {key: torch.cat([batch[key] for batch in batches]) for key in ("image", "masks")}
    scenes |= {key: [entry for batch in batches for entry in batch[key]] for key in ("caption", "words")}
    torch.save(scenes, path)
    return scenes


def _collate(scenes: list[dict[str, Any]]) -> dict[str, Any]:
    stacked = {key: torch.stack([scene[key] for scene in scenes]) for key in ("image", "masks")}
    return stacked | {key: [scene[key] for scene in scenes] for key in ("caption", "words")}


def to_signed(images: Tensor) -> Tensor:
    """Turn uint8 images into float32 in [−1, 1]."""
    return images.float() / 127.5 - 1
