"""Parts of photographs with people's gaze, for training the readouts beside the scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from editor_training.photographs import SIDE, training_part
from torch import Tensor
from torch.utils.data import Dataset

from augsal_transforms.data.images import read_image, to_rgb_image, to_saliency_map
from augsal_transforms.data.layouts import open_layout
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.progress import progress_bar

PARTS = 2  # rectangles out of each photograph, beside all of it; each is also mirrored
SMALLEST = 0.6  # side of a part, as a share of the photograph's


class GazeParts(Dataset[dict[str, Any]]):
    """Photographs and parts of them at 128 px, with the maps of people's gaze; no captions and no boxes.

    Args:
        folder: Any data set that ``open_layout`` reads; its training photographs are taken.
        path: File that keeps the parts; if it exists, they are read from it.
        seed: Seed of the parts.
    """

    def __init__(self, folder: Path, path: Path, seed: int = 0) -> None:
        if not path.exists():
            torch.save(cut_parts(folder, seed), path)
        stored = torch.load(path, weights_only=True)
        self.images: Tensor = stored["images"]
        self.saliency_maps: Tensor = stored["saliency_maps"]

    def __len__(self) -> int:
        return 2 * len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number, mirrored = divmod(index, 2)
        image, saliency_map = self.images[number], self.saliency_maps[number].float() / 255
        if mirrored:
            image, saliency_map = image.flip(-1), saliency_map.flip(-1)
        return {
            **{"image": image, "saliency_map": saliency_map, "prompt": "", "image_id": f"gaze {index}"},
            **{"boxes": torch.zeros(0, 4), "classes": torch.zeros(0, dtype=torch.long)},
        }


def cut_parts(folder: Path, seed: int) -> dict[str, Tensor]:
    """Cut the parts: ``images`` (N, 3, 128, 128) and ``saliency_maps`` (N, 1, 128, 128), uint8.

    A part has any sides from 0.6 of the photograph's on and is stretched to a square, as photographs of another aspect
    are in training.
    """
    dataset, generator = open_layout(folder), torch.Generator().manual_seed(seed)
    images, maps = [], []
    for name in progress_bar(training_part(dataset.names), desc="cutting photographs"):
        image = to_rgb_image(read_image(dataset.images[name])).as_subclass(Tensor).float()
        height, width = image.shape[-2:]
        saliency_map = to_saliency_map(read_image(dataset.maps[name]), (height, width)).as_subclass(Tensor)
        for n in range(1 + PARTS):
            share = torch.ones(2) if n == 0 else SMALLEST + (1 - SMALLEST) * torch.rand(2, generator=generator)
            rows, columns = round(share[0].item() * height), round(share[1].item() * width)
            place = torch.rand(2, generator=generator)
            top, left = int(place[0] * (height - rows + 1)), int(place[1] * (width - columns + 1))
            cut = [x[:, top : top + rows, left : left + columns] for x in (image, saliency_map)]
            part, gaze = (resize(x, (SIDE, SIDE)) for x in cut)
            if gaze.amax() > 0:  # nobody may have looked at a part
                images.append(part.round().clamp(0, 255).byte())
                maps.append((255 * gaze / gaze.amax()).round().byte())
    return {"images": torch.stack(images), "saliency_maps": torch.stack(maps)}
