"""The sample contract: what is read of a sample, and the keys that it gains, edited or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors

from augsal_transforms.data.images import to_saliency_map
from augsal_transforms.editor.results import EditedImage
from augsal_transforms.randomness import pixel_hash
from augsal_transforms.tv_tensors import EditMask, SaliencyMap

PICTURES = {
    "image": tv_tensors.Image,
    "edited_image": tv_tensors.Image,
    "saliency_map": SaliencyMap,
    "edit_mask": EditMask,
}


def is_picture(value: Any) -> bool:
    """Whether a value can be an image or a map."""
    return isinstance(value, (PIL.Image.Image, np.ndarray)) or (isinstance(value, Tensor) and value.ndim >= 2)


def read_map(saliency_map: Any, image: Tensor) -> tuple[SaliencyMap, str]:
    """The map as a tensor; where its values are no map, zeros and what is wrong with them."""
    size = (image.shape[-2], image.shape[-1])
    try:
        return SaliencyMap(to_saliency_map(saliency_map, size).to(image.device)), ""
    except ValueError as error:
        return SaliencyMap(torch.zeros(1, *size, device=image.device)), str(error)


def read_image_id(sample: Mapping[str, Any], image: Tensor) -> str:
    """What a sample's draws are keyed on: its ``image_id``, or else the image's pixels."""
    image_id = sample.get("image_id")
    if image_id is None:
        return pixel_hash(image)
    return str(image_id.item() if isinstance(image_id, Tensor) else image_id)


def read_caption(sample: Mapping[str, Any]) -> str:
    """A sample's caption, or ""."""
    return str(sample.get("prompt") or "")


def unedited_leaves(image: tv_tensors.Image, saliency_map: SaliencyMap) -> dict[str, Any]:
    """Every key of a sample whose image was left as it is."""
    return {
        "image": image,
        "saliency_map": saliency_map,
        "edited_image": tv_tensors.Image(image.clone()),
        "edit_mask": EditMask(torch.zeros(1, *image.shape[-2:], device=image.device)),
        "is_edited": torch.tensor(False),
        "edit_kind": "none",
        "edit_alpha": 0.0,
        "edit_word": "",
    }


def edited_leaves(result: EditedImage) -> dict[str, Any]:
    """The keys that an edit changes."""
    return {
        "edited_image": tv_tensors.Image(result.image),
        "edit_mask": EditMask(result.edit_mask),
        "is_edited": torch.tensor(True),
        "edit_kind": result.kind,
        "edit_alpha": result.alpha,
        "edit_word": result.word,
    }
