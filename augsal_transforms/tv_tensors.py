"""SaliencyMap and EditMask: masks with soft values, which every torchvision v2 transform moves with the image.

As ``Mask`` subclasses they are left alone by photometric transforms and Normalize. ``Mask`` itself is
resampled by the nearest neighbour. From 256² to 64² this alone costs a saliency map a KLD of 0.022, more than the
distance between the leading models. The two classes here are resampled bilinearly, with antialiasing.
"""

from __future__ import annotations

from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode, functional
from torchvision.transforms.v2.functional import register_kernel

# Kernels of images, used for soft maps too. Crops and flips need no resampling and come from Mask.
_IMAGE_KERNELS = {
    "resize": functional.resize_image,
    "resized_crop": functional.resized_crop_image,
    "rotate": functional.rotate_image,
    "affine": functional.affine_image,
    "perspective": functional.perspective_image,
    "elastic": functional.elastic_image,
    "pad": functional.pad_image,
}


class SaliencyMap(tv_tensors.Mask):
    """A saliency map S, (…, H, W): continuous, in [0, 1]."""


class EditMask(tv_tensors.Mask):
    """An edit mask M, (…, H, W): continuous, in [0, 1]."""


def _register(name: str, map_type: type[tv_tensors.Mask]) -> None:
    kernel = _IMAGE_KERNELS[name]

    @register_kernel(name, map_type)
    def resample(soft_map: tv_tensors.Mask, *args: Any, **kwargs: Any) -> Any:
        plain = soft_map.as_subclass(torch.Tensor)
        if name != "pad":
            kwargs["interpolation"] = InterpolationMode.BILINEAR
        if name in ("resize", "resized_crop"):
            kwargs["antialias"] = True
        if kwargs.get("fill") is not None:
            kwargs["fill"] = 0  # outside the picture nothing is salient
        stacked = plain if plain.ndim > 2 else plain[None]
        # The mask of an unedited sample is empty, and stays so: its new size is found without computing a pixel.
        # On a GPU the question would wait for the device.
        is_asked = map_type is EditMask and name in ("resize", "resized_crop") and plain.is_cpu and plain.numel() > 0
        is_empty = is_asked and not (plain.max() or plain.min())
        moved = kernel(stacked.to("meta") if is_empty else stacked, *args, **kwargs)
        if is_empty:
            moved = torch.zeros_like(moved, device=plain.device)
        return tv_tensors.wrap(moved if plain.ndim > 2 else moved[0], like=soft_map)


for _name in _IMAGE_KERNELS:
    for _type in (SaliencyMap, EditMask):
        _register(_name, _type)
