"""Everything a small training needs, read once and kept in memory at the network's size: images, maps, edits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from table2.classical import CLASSICAL
from table2.variants import Cell
from torch import Tensor

from augsal_transforms.data.fixations import count_fixations
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.evaluation.leave_one_out import FixationDataset
from augsal_transforms.store.keys import image_hash, to_bytes
from augsal_transforms.store.store import EditStore

T = TypeVar("T")
Pair = tuple[Tensor, Tensor]  # an image with its map, or an edited one with its mask
Alternatives = list[list[Pair]]  # of each image, in 8 bits


@dataclass(frozen=True)
class Sample:
    """A training sample in 8 bits; stacked, a batch of them.

    Attributes:
        image: (3, S, S).
        saliency_map: (1, S, S).
        edited_image: (3, S, S).
        edit_mask: (1, S, S), zeros where nothing was edited.
        is_edited: (), bool.
    """

    image: Tensor
    saliency_map: Tensor
    edited_image: Tensor
    edit_mask: Tensor
    is_edited: Tensor


class TrainingPool:
    """Training images with their maps and all of their edits.

    Args:
        dataset: Images and maps.
        size: Side of the network's input; everything is resized to it.
        stores: Edits of these images, by the names that ``Cell.store`` gives them.
        alternatives: What takes an image's and its map's place, by the augmentation that does it.

    Raises:
        ValueError: If a record cannot be read, or a store has no edit of any of these images: cells with edits
            would be trained without them, and nobody would see it.
    """

    def __init__(
        self,
        dataset: SaliencyFolder,
        size: int,
        stores: dict[str, EditStore],
        alternatives: dict[str, Alternatives] | None = None,
    ) -> None:
        self.alternatives = alternatives or {}
        self.images, self.saliency_maps = list[Tensor](), list[Tensor]()
        self._edits: dict[str, list[dict[str, list[Pair]]]] = {name: [] for name in stores}
        for index in range(len(dataset)):
            sample = dataset[index]
            image = to_rgb_image(sample["image"]).as_subclass(Tensor)
            saliency_map = to_saliency_map(sample["saliency_map"], (image.shape[-2], image.shape[-1]))
            self.images.append(shrink(image, size))
            self.saliency_maps.append(shrink(saliency_map.as_subclass(Tensor), size))
            for name, store in stores.items():
                of_image = dict[str, list[Pair]]()
                for kind, edited, edit_mask in read_edits(store, image):
                    of_image.setdefault(kind, []).append((shrink(edited, size), shrink(edit_mask, size)))
                self._edits[name].append(of_image)
        for name, store in stores.items():
            if not any(self._edits[name]):
                raise ValueError(f"{store.folder} has no edit of these images; `augsal generate` makes them.")

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, cell: Cell, index: int, generator: torch.Generator) -> Sample:
        """A sample as a cell augments it.

        Whether comes first, then which, so that cells of other p edit some of the same samples alike.
        """
        image, saliency_map = self.images[index], self.saliency_maps[index]
        edit_mask = torch.zeros_like(saliency_map)
        if torch.rand((), generator=generator).item() >= cell.p:
            return Sample(image, saliency_map, image, edit_mask, torch.tensor(False))
        if cell.uses_edits:
            edited, edit_mask = self._draw_edit(cell, index, generator) or (image, edit_mask)
            if cell.augmentation == "edits":
                return Sample(image, saliency_map, edited, edit_mask, edit_mask.gt(0).any())
            image = edited
        elif cell.augmentation in CLASSICAL:
            image, saliency_map = CLASSICAL[cell.augmentation](image, saliency_map, generator)
        elif others := self.alternatives[cell.augmentation][index]:
            image, saliency_map = _draw(others, generator)
        return Sample(image, saliency_map, image, torch.zeros_like(edit_mask), torch.tensor(False))

    def _draw_edit(self, cell: Cell, index: int, generator: torch.Generator) -> Pair | None:
        """First a kind, then one of its edits; ``None`` for an image that could not be edited."""
        held = self._edits[cell.store][index]
        kinds = [kind for kind in cell.kinds if kind in held]
        if not kinds:
            return None
        return _draw(held[_draw(kinds, generator)], generator)


def read_edits(store: EditStore, image: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """All edits of an image: kind, edited image and edit mask at its own size.

    Raises:
        ValueError: If a record cannot be read.
    """
    name = image_hash(image)
    for held in store.list_edits(name):
        stored = store.read(held.path)
        if stored is None:
            raise ValueError(f"{held.path} is damaged, or of another version; delete {store.folder} to fill it again.")
        result = stored.onto(image, known_hash=name)
        yield held.kind, result.image, result.edit_mask


def _draw(choices: list[T], generator: torch.Generator) -> T:
    return choices[int(torch.randint(len(choices), (), generator=generator))]


def shrink(picture: Tensor, size: int) -> Tensor:
    """A picture (C, H, W), 8 bits or floats in [0, 1], as (C, size, size) in 8 bits."""
    pixels = picture.float() / 255 if picture.dtype == torch.uint8 else picture
    return to_bytes(resize(pixels, (size, size)).clamp(0, 1))


@dataclass(frozen=True)
class HeldOut:
    """Images to measure on: at the network's size in 8 bits; maps and fixations in each image's own pixels."""

    images: list[Tensor]
    saliency_maps: list[Tensor]
    fixation_maps: list[Tensor]

    @classmethod
    def read(cls, dataset: FixationDataset, size: int) -> HeldOut:
        """All images of a data set."""
        held_out = cls([], [], [])
        for index, name in enumerate(dataset.names):
            sample = dataset[index]
            image = to_rgb_image(sample["image"]).as_subclass(Tensor)
            own = (image.shape[-2], image.shape[-1])
            held_out.images.append(shrink(image, size))
            held_out.saliency_maps.append(to_bytes(to_saliency_map(sample["saliency_map"], own)))
            held_out.fixation_maps.append(count_fixations(dataset.fixations(name), own).to(torch.int16))
        return held_out
