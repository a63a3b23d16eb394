"""What a training run of the readouts is given: its numbers, and images that stack (Sec. 5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.letterbox import Letterbox
from augsal_transforms.photometry import to_unit_range

MAX_BOXES = 8  # of an image's objects
SMALLEST, LARGEST = 0.1, 0.6  # side of a patch, as a share of the image's


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How readouts are trained. Frozen; the paper's numbers where it gives them (Sec. 5.1).

    Attributes:
        readout_steps: Steps of Eq. 3; after them features and heads stay, and SR goes on alone.
        saliency_steps: Steps of Eq. 4.
        batch_size: Images a step, over all processes.
        feature_rate: Learning rate of the feature extractors.
        head_rate: Learning rate of the heads.
        schedule: ``"constant"``, or ``"cosine"`` after a warm-up of 100 steps, to a fiftieth.
        patches: Random areas of interest an image.
        dropped: Share of captions that are dropped; prediction has none.
        augment: Share of images that SR also sees edited, with the editing loss (Eq. 7).
        save_every: Steps between checkpoints.
        workers: Processes that read images.
        seed: Of weights and draws.
    """

    readout_steps: int = 20_000
    saliency_steps: int = 22_000
    batch_size: int = 16
    feature_rate: float = 5e-5
    head_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    patches: int = 8
    dropped: float = 0.5
    augment: float = 0.0
    save_every: int = 200
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("readout_steps", "saliency_steps", "batch_size", "patches", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be 1 or more, got {getattr(self, name)!r}.")
        for name in ("dropped", "augment"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {getattr(self, name)!r}.")
        if self.schedule not in ("constant", "cosine"):
            raise ValueError(f"`schedule` must be 'constant' or 'cosine', got {self.schedule!r}.")

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return max(self.readout_steps, self.saliency_steps)


class TrainingSamples(Dataset[dict[str, Any]]):
    """An annotated data set on the model's grid: images that stack.

    The grid is planned for the first image; images of another aspect are squashed onto it (all of
    SALICON's have one). Boxes are padded to ``MAX_BOXES``, with a class of −1.
    """

    def __init__(self, dataset: Any, resolution: int, multiple: int, downsampling: int) -> None:
        self.dataset = dataset
        first = to_rgb_image(dataset[0]["image"])
        self.letterbox = Letterbox.plan((first.shape[-2], first.shape[-1]), resolution, multiple)
        self.cells = (self.letterbox.outer[0] // downsampling, self.letterbox.outer[1] // downsampling)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        raw = self.dataset[index]
        image = to_rgb_image(raw["image"]).as_subclass(Tensor)
        saliency_map = to_saliency_map(raw["saliency_map"], (image.shape[-2], image.shape[-1])).as_subclass(Tensor)
        placed = (self.letterbox.fit(to_unit_range(image)) * 255).round().to(torch.uint8)
        shares = [inner / outer for inner, outer in zip(self.letterbox.inner, self.letterbox.outer, strict=True)]
        boxes, classes = torch.zeros(MAX_BOXES, 4), torch.full((MAX_BOXES,), -1)
        count = min(MAX_BOXES, len(raw["boxes"]))
        boxes[:count] = raw["boxes"][:count] * torch.tensor([shares[1], shares[0]] * 2)
        classes[:count] = raw["classes"][:count]
        target = self.letterbox.fit_map(saliency_map, self.cells)
        return {
            **{"index": index, "image": placed, "saliency_map": target, "prompt": raw["prompt"] or ""},
            **{"boxes": boxes, "classes": classes, "image_id": str(raw["image_id"])},
        }


def draw_patches(images: int, patches: int, generator: torch.Generator) -> Tensor:
    """Random rectangles, (images, patches, 4): left, top, right and bottom as shares of the image."""
    sides = SMALLEST + (LARGEST - SMALLEST) * torch.rand(images, patches, 2, generator=generator)
    start = torch.rand(images, patches, 2, generator=generator) * (1 - sides)
    return torch.cat([start, start + sides], dim=-1)


def rectangles(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Rectangles (B, K, 4) as masks of whole pixels, (B, K, H, W) of 0 and 1; one of no size is empty."""
    left, top, right, bottom = corners.unbind(-1)
    y, x = (torch.arange(n, device=corners.device) + 0.5 for n in size)
    rows = (y >= top[..., None] * size[0]) & (y < bottom[..., None] * size[0])
    columns = (x >= left[..., None] * size[1]) & (x < right[..., None] * size[1])
    return (rows[..., :, None] & columns[..., None, :]).float()


def pool_area(areas: Tensor, cells: tuple[int, int]) -> Tensor:
    """Areas (B, K, H, W) as the share of each latent cell that they cover, (B, K, h, w)."""
    return F.adaptive_avg_pool2d(areas, cells)
