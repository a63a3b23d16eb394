"""Numbers and samples of a training run of the readouts (Sec. 5.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.letterbox import Letterbox
from augsal_transforms.photometry import to_unit_range

MAX_BOXES = 8  # objects of an image
SMALLEST, LARGEST = 0.1, 0.6  # side of a patch, as a share of the image's side


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Numbers of the training of readouts. Frozen; the paper's where it gives them (Sec. 5.1).

    Attributes:
        readout_steps: Number of steps with Eq. 3; afterwards only SR is trained.
        saliency_steps: Number of steps with Eq. 4.
        batch_size: Number of images in a step, over all processes.
        feature_rate: Learning rate of the feature extractors.
        head_rate: Learning rate of the heads.
        schedule: ``"constant"``, or ``"cosine"``: a warm-up of 100 steps, then a cosine down to a fiftieth.
        patches: Number of random areas of interest of an image.
        dropped: Share of captions that are dropped, in [0, 1]; a predictor has no captions.
        augment: Share of images that SR is trained on edited too, with the editing loss (Eq. 7), in [0, 1].
        save_every: Number of steps between checkpoints.
        workers: Number of processes that read images.
        seed: Seed of the weights and of all draws.

    Raises:
        TypeError: If a number is of another kind.
        ValueError: If a number is out of its range.
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
        lowest = dict.fromkeys(("readout_steps", "saliency_steps", "batch_size", "patches", "save_every"), 1)
        for name, least in {**lowest, "workers": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"`{name}` must be a whole number, got {value!r}.")
            if value < least:
                raise ValueError(f"`{name}` must be {least} or more, got {value!r}.")
        for name, most in {"dropped": 1.0, "augment": 1.0, "feature_rate": math.inf, "head_rate": math.inf}.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise TypeError(f"`{name}` must be a number, got {value!r}.")
            if not 0 <= value <= most or math.isinf(value):
                limit = "lie in [0, 1]" if most == 1 else "be finite, and 0 or more"
                raise ValueError(f"`{name}` must {limit}, got {value!r}.")
        if self.schedule not in ("constant", "cosine"):
            raise ValueError(f"`schedule` must be 'constant' or 'cosine', got {self.schedule!r}.")

    @property
    def steps(self) -> int:
        """Number of steps of the whole run."""
        return max(self.readout_steps, self.saliency_steps)


class TrainingSamples(Dataset[dict[str, Any]]):
    """An annotated data set on the model's grid, all images of one size so that they can be stacked.

    The grid is planned for the first image, and images of another aspect are stretched to it (all images of SALICON
    have the same one). Boxes are padded to ``MAX_BOXES``; the padding has the class −1.

    Args:
        dataset: Annotated samples, such as an ``AnnotatedFolder``.
        resolution: Side in pixels of a square of the grid's area.
        multiple: Sides of the grid are multiples of this number.
        downsampling: Image pixels per latent cell, f.

    Raises:
        ValueError: If the data set is empty.
    """

    def __init__(self, dataset: Any, resolution: int, multiple: int, downsampling: int) -> None:
        if len(dataset) == 0:
            raise ValueError("`dataset` must have one sample or more, got none.")
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
    """Rectangles (B, K, 4) as masks of whole pixels, (B, K, H, W), 0 or 1; a rectangle without size gives zeros."""
    left, top, right, bottom = corners.unbind(-1)
    y, x = (torch.arange(n, device=corners.device) + 0.5 for n in size)
    rows = (y >= top[..., None] * size[0]) & (y < bottom[..., None] * size[0])
    columns = (x >= left[..., None] * size[1]) & (x < right[..., None] * size[1])
    return (rows[..., :, None] & columns[..., None, :]).float()


def pool_area(areas: Tensor, cells: tuple[int, int]) -> Tensor:
    """The share of each latent cell that areas (B, K, H, W) cover, (B, K, h, w)."""
    return F.adaptive_avg_pool2d(areas, cells)
