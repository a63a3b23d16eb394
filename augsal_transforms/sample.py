"""The sample contract: what is read from a sample, and the keys that it gains, edited or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors

from augsal_transforms.data.captions import is_missing, to_caption
from augsal_transforms.data.images import to_rgb_image, to_saliency_map
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.randomness import pixel_hash
from augsal_transforms.sample_keys import SampleKeys
from augsal_transforms.tv_tensors import EditMask, SaliencyMap

PICTURES = {
    "image": tv_tensors.Image,
    "edited_image": tv_tensors.Image,
    "saliency_map": SaliencyMap,
    "edited_saliency_map": SaliencyMap,
    "edit_mask": EditMask,
}


def is_picture(value: Any) -> bool:
    """Whether a value can be an image or a map."""
    return isinstance(value, (PIL.Image.Image, np.ndarray)) or (isinstance(value, Tensor) and value.ndim >= 2)


def read_image(image: Any) -> tv_tensors.Image:
    """The image of a sample as RGB (3, H, W).

    Raises:
        TypeError: If it is no picture.
        ValueError: If it is a batch, or its shape or range is wrong.
    """
    if isinstance(image, Tensor) and image.ndim == 4:
        raise ValueError(
            f"`image` must be one image (C, H, W), got {tuple(image.shape)}. For a collated batch call "
            "`augment.batch(batch)`; for one image remove the batch dimension: `image[0]`."
        )
    return to_rgb_image(image)


def read_map(saliency_map: Any, image: Tensor, image_id: str) -> SaliencyMap:
    """The map of a sample as a tensor (1, H, W) of its image's size, on its device.

    Raises:
        TypeError: If it is no picture.
        ValueError: If its shape or its values are wrong; it is a target, so nothing may stand in for it.
    """
    try:
        found = to_saliency_map(saliency_map, (image.shape[-2], image.shape[-1]))
    except ValueError as error:
        raise ValueError(f"{error} (The sample's image_id: {image_id[:80]!r}.)") from error
    return SaliencyMap(found.to(image.device))


def read_image_id(row: Mapping[str, Any], image: Tensor) -> str:
    """The key of a sample's draws: its ``image_id``, or else a hash of the image's pixels.

    Raises:
        ValueError: If it is an array or tensor of several values.
    """
    image_id = row.get("image_id")
    if isinstance(image_id, (Tensor, np.ndarray)):
        if (image_id.numel() if isinstance(image_id, Tensor) else image_id.size) != 1:
            raise ValueError(f"`image_id` must be one value, got shape {tuple(image_id.shape)}.")
        image_id = image_id.item()
    return pixel_hash(image) if is_missing(image_id) else str(image_id)


def read_caption(row: Mapping[str, Any], keys: SampleKeys) -> str:
    """A sample's caption, or "".

    Raises:
        TypeError: If there is something else in its place.
    """
    return to_caption(row.get("prompt"), str(keys.by_role.get("prompt", "prompt")))


def split_batch(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The samples of a collated batch.

    Args:
        columns: A batch's values by role.

    Raises:
        TypeError: If the images are no tensor, or captions or ids are no sequence of one for each image.
        ValueError: If shapes or lengths are wrong.
    """
    images = columns["image"]
    if not isinstance(images, Tensor):
        raise TypeError(f"`image` of a batch must be a tensor (B, 3, H, W), got {type(images).__name__}.")
    if images.ndim != 4 or not len(images):
        raise ValueError(f"`image` of a batch must be (B, 3, H, W) and not empty, got {tuple(images.shape)}.")
    for role, values in columns.items():
        if not isinstance(values, (Tensor, np.ndarray)) and (
            isinstance(values, (str, bytes)) or not isinstance(values, Sequence)
        ):
            raise TypeError(f"`{role}` of a batch must hold one value for each image, got {type(values).__name__}.")
        if (isinstance(values, (Tensor, np.ndarray)) and not values.ndim) or len(values) != len(images):
            count = len(values) if getattr(values, "ndim", 1) else "one value"
            raise ValueError(f"`{role}` of a batch must hold {len(images)} values, one for each image, got {count}.")
        if role == "prompt" and any(isinstance(value, (list, tuple)) for value in values):
            raise TypeError(
                "`prompt` of a batch must hold one caption for each image, got lists: collation turns lists of "
                "captions sideways. Choose one caption in the data set."
            )
    return [{role: values[n] for role, values in columns.items()} for n in range(len(images))]


def unedited_leaves(image: tv_tensors.Image) -> dict[str, Any]:
    """The keys that a sample gains whose image was left as it is."""
    no_mask = torch.zeros(1, *image.shape[-2:], dtype=torch.float32, device=image.device)
    return {
        "edited_image": tv_tensors.Image(image.clone()),
        "edit_mask": EditMask(no_mask),
        "is_edited": torch.tensor(False),
        "edit_kind": "none",
        "edit_color": "",
        "edit_word": "",
        "edit_alpha": torch.tensor(0.0, dtype=torch.float32),
        "edit_strength": torch.tensor(0.0, dtype=torch.float32),
    }


def edited_leaves(result: EditedImage) -> dict[str, Any]:
    """The keys that a sample gains whose image was edited."""
    return {
        "edited_image": tv_tensors.Image(result.image),
        "edit_mask": EditMask(result.edit_mask),
        "is_edited": torch.tensor(True),
        "edit_kind": result.kind,
        "edit_color": result.color,
        "edit_word": result.word,
        "edit_alpha": torch.tensor(result.alpha, dtype=torch.float32),
        "edit_strength": torch.tensor(result.strength, dtype=torch.float32),
    }
