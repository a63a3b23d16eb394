"""SaliencyMap and EditMask: masks with soft values, which every torchvision v2 transform moves with the image.

As ``Mask`` subclasses they are left alone by photometric transforms and Normalize. ``Mask`` itself is
resampled by nearest neighbour: for a saliency map, 256² → 64², that alone costs a KLD of 0.022, more
than lies between the leading models. These are resampled bilinearly, antialiased.
"""

from __future__ import annotations

from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode, functional
from torchvision.transforms.v2.functional import register_kernel

# Kernels of images, to which soft maps belong. What only cuts or mirrors comes from Mask.
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
    def resample(field: tv_tensors.Mask, *args: Any, **kwargs: Any) -> Any:
        plain = field.as_subclass(torch.Tensor)
        if name != "pad":
            kwargs["interpolation"] = InterpolationMode.BILINEAR
        if name in ("resize", "resized_crop"):
            kwargs["antialias"] = True
        if kwargs.get("fill") is not None:
            kwargs["fill"] = 0  # nobody looks outside the picture
        moved = kernel(plain if plain.ndim > 2 else plain[None], *args, **kwargs)
        return tv_tensors.wrap(moved if plain.ndim > 2 else moved[0], like=field)


for _name in _IMAGE_KERNELS:
    for _type in (SaliencyMap, EditMask):
        _register(_name, _type)
