"""Pictures of tensors: images in natural colours, whatever ``Normalize`` did to them, and maps in grey."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import PIL.Image
import torch
import torchvision.transforms as v1
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from augsal_transforms.data.images import to_rgb_image

OVERSHOOT = 0.1  # bicubic resizing leaves [0, 1] by less than this

Normalisation = tuple[Tensor, Tensor]


def to_picture(image: Any, steps: list[Normalisation]) -> PIL.Image.Image:
    """An image of any kind in natural colours."""
    if isinstance(image, Tensor):
        image = image.detach().as_subclass(Tensor).cpu()
        if image.is_floating_point():
            image = image.double()
            for mean, std in reversed(steps):
                image = image * std + mean
            low, high = image.min().item(), image.max().item()
            if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
                raise ValueError(
                    f"The images must lie in [0, 1] to be shown, got values in [{low:.3g}, {high:.3g}]. After "
                    "Normalize give the Compose as `transform`, or its `mean` and `std`; for images in 0–255 use "
                    "`v2.ToDtype(torch.float32, scale=True)`."
                )
            image = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    picture: PIL.Image.Image = to_pil_image(to_rgb_image(image))
    return picture


def to_grey(values: Any, size: tuple[int, int], *, by_peak: bool = False) -> PIL.Image.Image:
    """A map or mask as a grey picture of a size (width, height); ``by_peak`` divides it by its maximum."""
    if isinstance(values, PIL.Image.Image):
        values = pil_to_tensor(values)
    plain = values.detach().as_subclass(Tensor).cpu() if isinstance(values, Tensor) else torch.tensor(np.array(values))
    plain = (plain.double() / (255 if plain.dtype == torch.uint8 else 1)).nan_to_num(0.0)
    plain = plain.reshape(-1, *plain.shape[-2:]).mean(dim=0)
    if by_peak:
        plain = plain / plain.max().clamp(min=1e-12)
    grey = PIL.Image.fromarray((plain.clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    return grey if grey.size == size else grey.resize(size)


def find_normalisations(transform: Any) -> list[Normalisation]:
    """The means and standard deviations of every ``Normalize`` in a pipeline, in order."""
    if isinstance(transform, (v1.Normalize, v2.Normalize)):
        return [check_normalisation(transform.mean, transform.std)]
    return [step for part in _parts_of(transform) for step in find_normalisations(part)]


def _parts_of(transform: Any) -> list[Any]:
    if isinstance(transform, (v1.Compose, v2.Compose)):
        return list(transform.transforms)
    return list(transform) if isinstance(transform, nn.Sequential) else []


def replace_part(transform: Any, old: Any, new: Any) -> Any:
    """A pipeline with another transform in the place of one of its own."""
    if transform is old:
        return new
    parts = _parts_of(transform)
    return v2.Compose([replace_part(part, old, new) for part in parts]) if parts else transform


def check_normalisation(mean: Any, std: Any) -> Normalisation:
    """Means and standard deviations as columns, (1, 1, 1) or (3, 1, 1).

    Raises:
        TypeError: If one of the two lacks.
        ValueError: If they are not one or three finite numbers.
    """
    if mean is None or std is None:
        raise TypeError("`mean` and `std` go together: give both as `Normalize` has them, or neither.")
    columns = []
    for name, values in (("mean", mean), ("std", std)):
        numbers = torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1, 1)
        if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers.flatten().tolist())):
            raise ValueError(
                f"`{name}` must hold one finite number, or one for each of three channels, got {values!r}."
            )
        columns.append(numbers)
    return columns[0], columns[1]
