"""collate_edited, a DataLoader's ``collate_fn`` that carries the edited images alone to the training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import default_collate

from augsal_transforms.sample_keys import describe_sample

OF_EDITED = ("edited_image", "edit_mask", "edited_saliency_map")


def collate_edited(samples: Sequence[Any]) -> Any:
    """Collate samples as ``default_collate`` does, but with pictures of the edited ones alone.

    ``edited_image``, ``edit_mask`` and ``edited_saliency_map`` are (E, …), in the samples' order, where E is the number
    of samples whose ``is_edited`` is true; everything else has all B. The losses take such rows: give them
    ``is_edited``. At p = 0.5 a loader sends a quarter fewer bytes from its workers, and the model predicts half as many
    edited images.

    Args:
        samples: Samples of ``SaliencyDiffusionAugment`` or ``AugmentedDataset``: dicts, or tuples and lists that end
            with the dict of what was added.

    Raises:
        TypeError: If a sample has no ``is_edited``: the augmentation did not see it.
        ValueError: If there is no sample, or some have pictures that others lack.
    """
    added = [sample[-1] if isinstance(sample, (tuple, list)) and sample else sample for sample in samples]
    for sample, found in zip(samples, added, strict=True):
        if not isinstance(found, Mapping) or "is_edited" not in found:
            raise TypeError(
                "`collate_edited` takes samples of SaliencyDiffusionAugment or AugmentedDataset, with the key "
                f"'is_edited', got {describe_sample(sample)}."
            )
    if len({frozenset(OF_EDITED).intersection(found) for found in added}) != 1:
        raise ValueError(
            "`collate_edited` takes one or more samples that all have the same of the keys "
            f"{', '.join(OF_EDITED)}. Use one augmentation, with or without `pairs`, for all."
        )
    rest = [{key: value for key, value in found.items() if key not in OF_EDITED} for found in added]
    edited = [found for found in added if found["is_edited"]]
    pictures = {key: _stack([found[key] for found in edited], added[0][key]) for key in OF_EDITED if key in added[0]}
    if isinstance(samples[0], Mapping):
        return {**default_collate(rest), **pictures}
    *columns, collated = default_collate([(*sample[:-1], found) for sample, found in zip(samples, rest, strict=True)])
    return [*columns, {**collated, **pictures}]


def _stack(pictures: list[Any], like: Any) -> Tensor:
    """Pictures as (E, …); where there are none, (0, …) with the shape of another one."""
    stacked: Tensor = default_collate(pictures or [like])
    return stacked if pictures else stacked.new_empty((0, *stacked.shape[1:]))
