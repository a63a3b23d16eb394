"""From whatever a loader hands over to an RGB image and a saliency map, or a clear refusal."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from augsal_transforms.tv_tensors import SaliencyMap

MAX_PIXELS = 50_000_000  # beyond this a file is an attack or an accident
_ORIENTATION = 0x0112  # EXIF


def read_image(path: str | Path) -> PIL.Image.Image:
    """Open an image file fully, refusing bombs; EXIF rotation is reported, not applied.

    Saliency maps are drawn for the stored orientation, so turning the image would lose them.

    Raises:
        ValueError: If the file is not a whole image of at most 50 megapixels; the path is named.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with Path(path).open("rb") as file:
                image = PIL.Image.open(file)
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(
                        f"{image.width}×{image.height} pixels, at most {MAX_PIXELS // 10**6} million are read"
                    )
                image.load()
    except (
        OSError,
        ValueError,
        SyntaxError,
        PIL.Image.DecompressionBombError,
        PIL.Image.DecompressionBombWarning,
    ) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from error
    if is_rotated(image):
        warnings.warn(
            f"{path} has an EXIF rotation; its stored orientation is used, as saliency maps do.", stacklevel=2
        )
    return image


def is_rotated(image: PIL.Image.Image) -> bool:
    """Whether EXIF asks viewers to turn or mirror the image."""
    return bool(image.getexif().get(_ORIENTATION, 1) != 1)


def to_rgb_image(image: Any) -> tv_tensors.Image:
    """A PIL image, array or tensor as RGB (3, H, W), uint8 or float in [0, 1].

    Grey, alpha, palette, CMYK and 16-bit images are converted; arrays are (H, W), (H, W, C).

    Raises:
        TypeError: If it is none of these.
        ValueError: If its shape or range is wrong.
    """
    if isinstance(image, PIL.Image.Image):
        return tv_tensors.Image(functional.pil_to_tensor(_to_rgb_pil(image)))
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image))
        image = image[None] if image.ndim == 2 else image.movedim(-1, 0) if image.ndim == 3 else image
    if not isinstance(image, Tensor):
        raise TypeError(f"`image` must be a PIL image, an array or a tensor, got {type(image).__name__}.")
    plain = image.as_subclass(Tensor)
    plain = plain[None] if plain.ndim == 2 else plain
    if plain.ndim != 3 or plain.shape[0] not in (1, 2, 3, 4) or 0 in plain.shape:
        raise ValueError(f"`image` must be (C, H, W) with 1 to 4 channels and not empty, got {tuple(plain.shape)}.")
    if plain.dtype != torch.uint8 and not plain.is_floating_point():
        raise ValueError(f"`image` must be uint8 or float in [0, 1], got {plain.dtype}.")
    if plain.is_floating_point() and not bool(((plain >= 0) & (plain <= 1)).all()):
        raise ValueError(
            f"`image` must lie in [0, 1], got values in [{plain.min():.3g}, {plain.max():.3g}]. Put the augmentation "
            "first in the Compose, before Normalize, and divide 0–255 floats by 255."
        )
    rgb = plain[:1].expand(3, -1, -1) if plain.shape[0] < 3 else plain[:3]
    return tv_tensors.Image(rgb.contiguous())


def _to_rgb_pil(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # PIL would clip deep images at 255
        return PIL.Image.fromarray((_unit_peak(np.asarray(image, np.float64)) * 255).round().astype(np.uint8)).convert(
            "RGB"
        )
    return (
        image
        if image.mode == "RGB"
        else image.convert("RGBA").convert("RGB")
        if image.mode == "P"
        else image.convert("RGB")
    )


def to_saliency_map(saliency_map: Any, size: tuple[int, int]) -> SaliencyMap:
    """A PIL image, array or tensor as a float32 map (1, H, W) in [0, 1] at the image's size.

    8-bit values are divided by 255; deeper ones, and floats above 1, by their maximum; negative values
    become 0; another size is resized bilinearly, antialiased.

    Args:
        saliency_map: The map; colour files are read as grey.
        size: (H, W) of its image.

    Raises:
        TypeError: If it is none of these.
        ValueError: If its shape is wrong, or it holds NaN or infinity.
    """
    if isinstance(saliency_map, PIL.Image.Image):
        grey = saliency_map if saliency_map.mode.startswith(("I", "F")) else saliency_map.convert("L")
        saliency_map = np.array(grey)
    if isinstance(saliency_map, np.ndarray):
        saliency_map = torch.from_numpy(np.ascontiguousarray(saliency_map.astype(_torch_readable(saliency_map.dtype))))
        if saliency_map.ndim == 3 and saliency_map.shape[0] != 1:
            saliency_map = saliency_map.movedim(-1, 0)
    if not isinstance(saliency_map, Tensor):
        raise TypeError(f"`saliency_map` must be a PIL image, an array or a tensor, got {type(saliency_map).__name__}.")
    plain = saliency_map.as_subclass(Tensor)
    plain = plain[None] if plain.ndim == 2 else plain
    if plain.ndim != 3 or plain.shape[0] not in (1, 3, 4) or 0 in plain.shape:
        raise ValueError(f"`saliency_map` must be (H, W) or (1, H, W) and not empty, got {tuple(plain.shape)}.")
    field = plain[:3].float().mean(0, keepdim=True) if len(plain) > 1 else plain.float()
    scaled = field / 255 if plain.dtype == torch.uint8 else _scaled(field)
    if scaled.shape[-2:] != size:
        scaled = functional.resize_image(scaled, list(size), antialias=True).clamp(0, 1)
    return SaliencyMap(scaled)


def _scaled(field: Tensor) -> Tensor:
    """Deep or float values as a map in [0, 1]."""
    if not bool(field.isfinite().all()):
        raise ValueError("`saliency_map` holds NaN or infinite values.")
    field = field.clamp(min=0)
    return field / field.max().clamp(min=1)


def _unit_peak(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)
    return np.asarray(finite / max(finite.max(), 1.0))


def _torch_readable(dtype: np.dtype[Any]) -> Any:
    return dtype if dtype == np.uint8 else np.float32
