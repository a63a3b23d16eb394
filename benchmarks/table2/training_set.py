"""Images, maps and edits for a small training, read once and kept in memory at the size of the network's input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from augsal_transforms.data.fixations import count_fixations
from augsal_transforms.data.folders import SaliencyFolder
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.diffusion.letterbox import resize
from augsal_transforms.evaluation.leave_one_out import FixationDataset
from augsal_transforms.progress import progress_bar
from augsal_transforms.store.keys import image_hash, to_bytes
from augsal_transforms.store.store import EditStore
from table2.classical import CLASSICAL
from table2.variants import Variant

T = TypeVar("T")
Pair = tuple[Tensor, Tensor]  # an image with its map, or an edited image with its mask
Alternatives = list[list[Pair]]  # for each image the pairs that may replace it, uint8


@dataclass(frozen=True)
class Sample:
    """A training sample as uint8 tensors, or a batch of samples stacked along a first axis.

    Attributes:
        image: Original or replaced image, (3, S, S).
        saliency_map: Map of the image, (1, S, S).
        edited_image: Edited image, (3, S, S); equal to ``image`` where nothing was edited.
        edit_mask: Mask of the edit, (1, S, S); zeros where nothing was edited.
        is_edited: Whether the sample was edited, (), bool.
    """

    image: Tensor
    saliency_map: Tensor
    edited_image: Tensor
    edit_mask: Tensor
    is_edited: Tensor


class TrainingSet:
    """Training images with their maps and all of their edits.

    Args:
        dataset: Images and maps.
        size: Side of the network's input in pixels; everything is resized to it.
        stores: Stores of edits of these images, by name as in ``Variant.store``.
        alternatives: Pairs that may replace an image and its map, by name of the augmentation.

    Raises:
        ValueError: If a record cannot be read, or a store has no edit of any of these images. Variants with edits
            would otherwise be trained without them, and nobody would notice.
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
        for index in progress_bar(range(len(dataset)), "image", "reading"):
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
                raise ValueError(f"{store.folder} has no edit of these images. Fill it with `augsal generate`.")

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, variant: Variant, index: int, generator: torch.Generator) -> Sample:
        """Draw the sample of an image as a variant augments it.

        The first draw decides whether the sample is augmented, the next ones choose the edit. Variants that differ in p
        therefore make the same edits of the samples that both augment.
        """
        image, saliency_map = self.images[index], self.saliency_maps[index]
        edit_mask = torch.zeros_like(saliency_map)
        if torch.rand((), generator=generator).item() >= variant.p:
            return Sample(image, saliency_map, image, edit_mask, torch.tensor(False))
        if variant.uses_edits:
            edited, edit_mask = self._draw_edit(variant, index, generator) or (image, edit_mask)
            if variant.augmentation == "edits":
                return Sample(image, saliency_map, edited, edit_mask, edit_mask.gt(0).any())
            image = edited
        elif variant.augmentation in CLASSICAL:
            image, saliency_map = CLASSICAL[variant.augmentation](image, saliency_map, generator)
        elif alternatives := self.alternatives[variant.augmentation][index]:
            image, saliency_map = _draw(alternatives, generator)
        return Sample(image, saliency_map, image, torch.zeros_like(edit_mask), torch.tensor(False))

    def _draw_edit(self, variant: Variant, index: int, generator: torch.Generator) -> Pair | None:
        """Draw a kind, then one of its edits; ``None`` if the image has no edit of the variant's kinds."""
        by_kind = self._edits[variant.store][index]
        kinds = [kind for kind in variant.kinds if kind in by_kind]
        if not kinds:
            return None
        return _draw(by_kind[_draw(kinds, generator)], generator)


def read_edits(store: EditStore, image: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield kind, edited image and edit mask of every edit of an image, at the image's own size.

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
    """Resize a picture (C, H, W), uint8 or float in [0, 1], to (C, size, size), uint8."""
    pixels = picture.float() / 255 if picture.dtype == torch.uint8 else picture
    return to_bytes(resize(pixels, (size, size)).clamp(0, 1))


@dataclass(frozen=True)
class HeldOut:
    """Held-out images, uint8 at the size of the network's input, with maps and fixations at each image's own size."""

    images: list[Tensor]
    saliency_maps: list[Tensor]
    fixation_maps: list[Tensor]

    @classmethod
    def read(cls, dataset: FixationDataset, size: int) -> HeldOut:
        """Read all images of a data set."""
        held_out = cls([], [], [])
        for index, name in enumerate(progress_bar(dataset.names, "image", "reading")):
            sample = dataset[index]
            image = to_rgb_image(sample["image"]).as_subclass(Tensor)
            height_width = (image.shape[-2], image.shape[-1])
            held_out.images.append(shrink(image, size))
            held_out.saliency_maps.append(to_bytes(to_saliency_map(sample["saliency_map"], height_width)))
            held_out.fixation_maps.append(count_fixations(dataset.fixations(name), height_width).to(torch.int16))
        return held_out
