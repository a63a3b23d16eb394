"""AugmentedDataset: the augmentation for pipelines that transform the image alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import PIL.Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from augsal_transforms.pipelines import check_pipelines, image_like, mask_like
from augsal_transforms.randomness import GLOBAL_GENERATORS, GlobalState
from augsal_transforms.sample import is_picture
from augsal_transforms.sample_keys import SampleKeys, describe_sample
from augsal_transforms.sharing import SharedNumbers
from augsal_transforms.transform import SaliencyDiffusionAugment


class AugmentedDataset(Dataset[dict[str, Any]]):
    """A data set whose pipeline transforms the image alone, augmented before that pipeline.

    All four pictures are transformed from one state of torch's, NumPy's and Python's global generators, so that they
    see the same draws. An unedited image goes through its pipeline once, and the result is copied. When the first
    sample is read, a test pattern goes through both pipelines: refused are pipelines that draw from a generator of
    their own, and two that move a picture differently.

    Args:
        dataset: Raw samples: dicts with ``image`` and ``saliency_map``, or tuples that begin with them; the other items
            of a tuple are handed on as ``rest``.
        augment: The augmentation.
        image_transform: Applied to ``image`` and ``edited_image``, both given as RGB in the kind (PIL,
            array or tensor) that ``dataset`` gives.
        saliency_transform: Applied to ``saliency_map``, given as it is, and to ``edit_mask``, given in the kind, size
            and scale of the map (up to 255 for 8 bits, 65,535 for 16, 1 for floats up to 1).
        keys: Names or positions in a raw sample, as for ``SaliencyDiffusionAugment``; ``None`` takes the
            augmentation's. A tuple's become the contract's names.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: At the first sample, for pipelines that the four pictures cannot go through alike.
    """

    def __init__(
        self,
        dataset: Any,
        augment: SaliencyDiffusionAugment,
        *,
        image_transform: Callable[[Any], Any] | None = None,
        saliency_transform: Callable[[Any], Any] | None = None,
        keys: Mapping[str, str | int] | None = None,
    ) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"`dataset` must give samples by index, got {type(dataset).__name__}.")
        if not isinstance(augment, SaliencyDiffusionAugment):
            raise TypeError(f"`augment` must be a SaliencyDiffusionAugment, got {type(augment).__name__}.")
        for name, transform in (("image_transform", image_transform), ("saliency_transform", saliency_transform)):
            if transform is not None and not callable(transform):
                raise TypeError(f"`{name}` must be callable or None, got {type(transform).__name__}.")
        self.dataset, self.augment = dataset, augment
        self.image_transform, self.saliency_transform = image_transform, saliency_transform
        self.keys = augment.keys if keys is None else SampleKeys.of(keys)
        self._is_checked = SharedNumbers()  # once for all workers

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        with GLOBAL_GENERATORS:
            raw = self.dataset[index]
        sample, keys = self._as_dict(raw)
        row = keys.read(sample)
        needed = ["image"] if self.augment.predictor is not None else ["image", "saliency_map"]
        if lacking := [role for role in needed if role not in row]:
            raise TypeError(
                f"A sample of `dataset` must have {keys.describe()}, got {describe_sample(raw)} without "
                f"{' and '.join(lacking)}. Where they have other names, give `keys`; where there are no maps, give the "
                "augmentation a `predictor`."
            )
        (leaves,) = self.augment.augment_rows([{"image_id": index, **row}], keys)
        given = {"saliency_map": leaves["saliency_map"].as_subclass(Tensor), **row}
        with GLOBAL_GENERATORS:
            self._check_once(given["image"], given["saliency_map"])
            self._transform(leaves, given["image"], given["saliency_map"])
        augmented: dict[str, Any] = keys.write(sample, leaves)
        return augmented

    def _as_dict(self, raw: Any) -> tuple[Mapping[str, Any], SampleKeys]:
        """A raw sample as a dict, and the keys that it then has."""
        if is_picture(raw):
            raw = (raw,)
        if isinstance(raw, Mapping) or not isinstance(raw, (tuple, list)):
            return raw, self.keys
        row = self.keys.read(raw)
        if hasattr(raw, "_asdict") and not self.keys.holds_positions:
            return raw._asdict(), self.keys
        used = self.keys.positions
        rest = tuple(item for place, item in enumerate(raw) if place not in used)
        return {**row, **({"rest": rest} if rest else {})}, SampleKeys.of(None)

    def _check_once(self, image: Any, saliency_map: Any) -> None:
        if not self._is_checked.values[0] and (self.image_transform or self.saliency_transform):
            check_pipelines(self.image_transform, self.saliency_transform, image, saliency_map)
        self._is_checked.values[0] = 1

    def _transform(self, leaves: dict[str, Any], image: Any, saliency_map: Any) -> None:
        """Transform all pictures of a sample from one random state; the draws go on where the image's end."""
        start = GlobalState()
        if self.saliency_transform:
            for key in ("edit_mask", "edited_saliency_map"):
                if key in leaves:
                    leaves[key] = self.saliency_transform(mask_like(leaves[key], saliency_map))
                    start.restore()
            leaves["saliency_map"] = self.saliency_transform(saliency_map)
        after_map = GlobalState()
        if self.image_transform:
            start.restore()
            edited_image = image_like(leaves["edited_image"], image)
            leaves["image"] = self.image_transform(image_like(leaves["image"], image))
            # Equal images and equal draws give equal results: what is unedited is transformed once.
            if leaves["is_edited"] or not isinstance(leaves["image"], (Tensor, np.ndarray, PIL.Image.Image)):
                start.restore()
                leaves["edited_image"] = self.image_transform(edited_image)
            else:
                leaves["edited_image"] = _copy(leaves["image"])
        if GlobalState() == start:  # without draws for the image, those for the map are the sample's
            after_map.restore()


def _copy(picture: Any) -> Any:
    return picture.clone() if isinstance(picture, Tensor) else picture.copy()
