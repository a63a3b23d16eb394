"""AugmentedDataset: the augmentation for pipelines that transform the image alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional

from augsal_transforms.transform import SaliencyDiffusionAugment


class AugmentedDataset(Dataset[dict[str, Any]]):
    """A data set whose pipeline transforms the image alone, augmented before that pipeline.

    Both images see the same random draws of ``image_transform``, both maps those of
    ``saliency_transform``: torch's, numpy's and Python's generators are replayed.

    Args:
        dataset: Raw samples: dicts with ``image`` and ``saliency_map``, or tuples that begin with them; what
            else a tuple holds is handed on as ``rest``.
        augment: The augmentation.
        image_transform: Applied to ``image`` and ``edited_image``, both given as RGB in the kind (PIL,
            array or tensor) that ``dataset`` gives.
        saliency_transform: Applied to ``saliency_map``, given as it is, and to ``edit_mask``, given in the
            same kind and range (16 bits for 16-bit maps).
    """

    def __init__(
        self,
        dataset: Any,
        augment: SaliencyDiffusionAugment,
        *,
        image_transform: Callable[[Any], Any] | None = None,
        saliency_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.dataset, self.augment = dataset, augment
        self.image_transform, self.saliency_transform = image_transform, saliency_transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        raw = self.dataset[index]
        if isinstance(raw, (tuple, list)):
            raw = {"image": raw[0], "saliency_map": raw[1], **({"rest": tuple(raw[2:])} if len(raw) > 2 else {})}
        sample: dict[str, Any] = self.augment({"image_id": index, **raw})
        for keys, transform, like in (
            (("image", "edited_image"), self.image_transform, raw["image"]),
            (("saliency_map", "edit_mask"), self.saliency_transform, raw["saliency_map"]),
        ):
            if transform is None:
                continue
            state = _random_state()
            for key in keys:
                with _replayed(state, keep=key == keys[0]):
                    sample[key] = transform(like if key == "saliency_map" else _as_given(sample[key], like))
        return sample


def _as_given(picture: Tensor, like: Any) -> Any:
    """A picture in the kind and range of the one a data set gave."""
    if isinstance(like, PIL.Image.Image):
        if like.mode.startswith("I"):
            return PIL.Image.fromarray((picture[0] * 65535).round().numpy().astype(np.uint16))
        return functional.to_pil_image(picture)
    integer = not (like.dtype.is_floating_point if isinstance(like, Tensor) else like.dtype.kind == "f")
    if picture.is_floating_point() and (integer or like.max() > 1):
        eight_bits = like.dtype in (np.uint8, torch.uint8) or not integer
        picture = picture * (255 if eight_bits else 65535)
    picture = (picture.round() if integer else picture).as_subclass(Tensor)
    if isinstance(like, Tensor):
        return picture.to(like.dtype)
    array = picture.numpy().astype(like.dtype)
    return array[0] if like.ndim == 2 and len(array) == 1 else np.moveaxis(array, 0, -1)


def _random_state() -> tuple[Any, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


@contextmanager
def _replayed(state: tuple[Any, Any, Any], *, keep: bool) -> Iterator[None]:
    """Run from a random state; go on from where the block leaves it, or from where it was before."""
    before = _random_state()
    _restore(state)
    try:
        yield
    finally:
        if not keep:
            _restore(before)


def _restore(state: tuple[Any, Any, Any]) -> None:
    torch.set_rng_state(state[0])
    np.random.set_state(state[1])
    random.setstate(state[2])
