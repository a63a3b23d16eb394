"""Photographs that people looked at, in parts that are fixed by name; read once and kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from augsal_transforms.data.fixations import FixatedFolder, count_fixations
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.store.keys import to_bytes

SALT = "osie"  # the order of the photographs is that of SHA-256 of this and the name
SIZE = (160, 224)  # (H, W) of the encoder's input
GRID = (SIZE[0] // 8, SIZE[1] // 8)  # (H, W) of a prediction, and of the maps that it is trained on
SCORED = (75, 100)  # (H, W) at which predictions are scored: an eighth of each side of OSIE's photographs
Names = Callable[[Sequence[str]], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Number of photographs in each part; the parts follow each other in the order of the names' hashes.

    Attributes:
        training: Photographs to train on, also those of the bundled models.
        tuning: Photographs on which the learning rate is chosen.
        proof: Photographs on which the table is measured; nothing is chosen on them.
        judges: Photographs on which the judges are trained, and nothing else.
    """

    training: int = 300
    tuning: int = 100
    proof: int = 120
    judges: int = 180

    def names(self, part: str, names: Iterable[str]) -> list[str]:
        """The names of a part.

        Args:
            part: Name of an attribute.
            names: Names of all photographs, file stems.

        Raises:
            ValueError: If there are fewer photographs than the parts have together.
        """
        ordered = sorted(names, key=lambda name: hashlib.sha256((SALT + name).encode()).hexdigest())
        counts = vars(self)
        if len(ordered) < sum(counts.values()):
            wanted = ", ".join(f"{count} for {name}" for name, count in counts.items())
            raise ValueError(f"The data must have at least {sum(counts.values())} photographs ({wanted}), got "
                             f"{len(ordered)}.")  # fmt: skip
        start = sum(counts[name] for name in list(counts)[: list(counts).index(part)])
        return ordered[start : start + counts[part]]


@dataclass(frozen=True)
class Photographs:
    """Photographs with their maps and fixations.

    Attributes:
        names: Names of the N photographs.
        images: (N, 3, H, W) uint8 at ``SIZE``.
        saliency_maps: (N, 1, h, w) at ``GRID``, with a maximum of 1: maps to train on.
        scored_maps: (N, 1, h, w) at ``SCORED``, in [0, 1].
        fixation_maps: (N, 1, h, w) at ``SCORED``: number of fixations on each pixel.
    """

    names: list[str]
    images: Tensor
    saliency_maps: Tensor
    scored_maps: Tensor
    fixation_maps: Tensor

    @classmethod
    def read(cls, data: FixatedFolder, names: Sequence[str], progress: Names = lambda names: names) -> Photographs:
        """Read photographs by name."""
        read = [_read(data, name) for name in progress(names)]
        return cls(list(names), *(torch.stack(pictures) for pictures in zip(*read, strict=True)))


def read_part(
    folder: Path, part: str, parts: Parts | None = None, progress: Names = lambda names: names
) -> Photographs:
    """Read the photographs of a part of a data set.

    Args:
        folder: Folder of a data set with fixations.
        part: Name of an attribute of ``Parts``.
        parts: Sizes of the parts; ``None`` is OSIE's.
        progress: Wrapper around the names, as ``tqdm``.
    """
    data = FixatedFolder(folder)
    return Photographs.read(data, (parts or Parts()).names(part, data.names), progress)


def _read(data: FixatedFolder, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sample = data[data.names.index(name)]
    image = to_rgb_image(sample["image"]).as_subclass(Tensor)
    size = (image.shape[-2], image.shape[-1])
    saliency_map = to_saliency_map(sample["saliency_map"], size).as_subclass(Tensor).float()
    scale = torch.tensor([SCORED[1] / size[1], SCORED[0] / size[0]])
    fixation_map = count_fixations(data.fixations(name) * scale, SCORED)  # whole pixels, rounded down
    target = F.adaptive_avg_pool2d(saliency_map, GRID)
    pixels = resize(image.float() / 255, SIZE).clamp(0, 1)
    return (
        to_bytes(pixels),
        target / target.amax().clamp(min=1e-8),
        resize(saliency_map, SCORED).clamp(0, 1),
        fixation_map.to(torch.int16),
    )
